#pragma once
#include "base/err.h"
#include "gen/ipc_vm.h"
#include "ipc/ipc.h"

/*
 * Opens doors: what a plan names, the broker gets as descriptors from storage
 * and net and puts into the plan. They belong to the plan (and so to the call
 * that brought it); closing them undoes all of it: a lease ends and a tap
 * vanishes with its last holder.
 */
struct broker {
    void *ctx;
    struct err *(*storage)(void *ctx, struct ipc_peer **ret_peer); /* [waits] the connection as it is now */
    struct err *(*net)(void *ctx, struct ipc_peer **ret_peer);
    const char *boot_dir; /* kernels and initrds for "direct" */
};

/* [waits] On failure what was opened stays in the plan and goes with it. */
struct err *broker_plan(const struct broker *b, struct arena *a, struct vm_plan *plan) MUST_CHECK;
/* For a guest that runs already and is to run from new descriptors: its leases are shared with the old ones. */
struct err *broker_plan_beside(const struct broker *b, struct arena *a, struct vm_plan *plan) MUST_CHECK;
struct err *broker_disk(const struct broker *b, struct arena *a, struct vm_disk *disk) MUST_CHECK;
struct err *broker_nic(const struct broker *b, struct arena *a, const char *vm, struct vm_nic *nic) MUST_CHECK;
