#pragma once
#include <stdbool.h>
#include "hyper/hyper.h"

/*
 * Guests that are only pretended, behind hyper.h: for tests, benchmarks and
 * what-if planning with thousands of VMs. A guest is one small object and one
 * file ("sim") in its folder, so a new process attaches to it like to a real
 * one; idle, it costs no descriptor, timer or fiber.
 *
 * A start takes 30 to 80 ms, a shutdown about 50 ms, of the loop's clock. What
 * shall go wrong is said in VM.platform, key "sim-fail", comma-separated:
 *     start             starting fails
 *     shutdown          the guest ignores the power button
 *     press             it misses the first press
 *     balloon           no driver moves its balloon
 *     unplug            the guest holds on to its devices
 *     save              suspending fails at its end
 *     agent-none        no agent in the guest; likewise agent-stalls,
 *     agent-floods, agent-dies (in the middle of an answer), agent-lies
 *     crash-after:MS    it panics so long after its start; likewise
 *     off-after:MS, reboot-after:MS, gone-after:MS
 */
extern const struct hyper_ops hyper_sim;

enum sim_act { SIM_NOTHING, SIM_OFF, SIM_REBOOT, SIM_CRASH, SIM_GONE };

/* Makes the guest of VM `uuid` do something by itself, now. False: no such guest in this process. */
bool hyper_sim_act(const char *uuid, enum sim_act act);
