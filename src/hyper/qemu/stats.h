#pragma once
#include "hyper/hyper.h"

/* [waits] What QEMU counts: per disk of the plan, and which threads are the vCPUs. */
struct err *qemu_stats(
    struct hyper_guest *g, const struct vm_plan *plan, struct arena *a, struct stats_guest *ret_stats) MUST_CHECK;
