#pragma once
#include "base/err.h"
#include "base/loop.h"

/*
 * The vm service (idl/ipc/vm.toml): one VM's life on top of hyper.h. It owns
 * the state, the journal in the VM's folder and the policies for what the guest
 * does by itself, of which it tells its peer through vmevents.changed.
 *
 * It may be mounted in a process of its own (runnymede-vm) or in the host's
 * process (sim). One operation at a time; destroy and hard_reboot overtake a
 * shutdown, reboot or start that is still waiting. Freeing it leaves the guest
 * alone: the next service on the same folder attaches.
 */
struct hyper_ops;
struct ipc_peer;
struct vm_service;

struct vm_service_env {
    const char *dir; /* the VM's folder, absolute, existing; copied */
};

struct err *vm_service_new(struct loop *l, const struct hyper_ops *ops, const struct vm_service_env *env,
    struct vm_service **ret_service) MUST_CHECK;

/* Serves vm.toml on the peer and tells it of changes, until it closes. Borrowed; the last one mounted is told. */
void vm_service_mount(struct vm_service *s, struct ipc_peer *p);

/* Its peer must be closed. NULL is fine; what is under way is finished first. */
void vm_service_free(struct vm_service *s);
DEFINE_DROP(vm_service)
