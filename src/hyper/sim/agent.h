#pragma once
#include "base/err.h"
#include "base/loop.h"

/*
 * The agent in a simulated guest: the other end of a socket, served by a fiber
 * until it is closed. It speaks QEMU's protocol as far as ours asks, and has
 * the faults that an agent in a guest may have.
 */
struct vm_plan;

enum sim_agent_kind {
    SIM_AGENT_GOOD,
    SIM_AGENT_NONE,   /* is not installed */
    SIM_AGENT_STALLS, /* listens and says nothing */
    SIM_AGENT_FLOODS, /* says too much */
    SIM_AGENT_DIES,   /* in the middle of an answer */
    SIM_AGENT_LIES,   /* answers, but not as documented */
    SIM_AGENT_N_KINDS,
};

/* "stalls" ...; SIM_AGENT_N_KINDS for other words. */
enum sim_agent_kind sim_agent_kind_find(const char *word, size_t len);

/* on_power_off(vm) when it is asked to switch its guest off, which may be gone by then. */
typedef void sim_power_off_fn(const char *vm);
struct err *sim_agent_open(struct loop *l, const struct vm_plan *plan, enum sim_agent_kind kind,
    sim_power_off_fn *on_power_off, int *ret_fd) MUST_CHECK;
