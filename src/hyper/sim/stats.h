#pragma once
#include <stdint.h>
#include "base/arena.h"
struct vm_plan;
struct stats_guest;

/*
 * The counters of a pretended guest: its load swings about a mean of its own,
 * the same whoever asks and whenever, so its graphs go on over restarts.
 */
void sim_stats_at(uint64_t wall_us, const struct vm_plan *plan, struct arena *a, struct stats_guest *ret_stats);
