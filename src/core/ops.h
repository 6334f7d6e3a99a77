#pragma once
#include "core/call.h"

/*
 * Operations on objects: who may begin what, in which state, beside what else
 * (semantics.md 1.2 to 1.4 and its counterparts). An operation that began is
 * in current_operations until it ends, and allowed_operations follow.
 */
struct op_class {
    const struct model_class *cls;
    const struct field *allowed, *current;
    const char *const *listed; /* what allowed_operations may list; NULL-terminated */
    /* The error that `op` would meet now, NULL if it is admitted. Does not wait. `c` NULL: computing
     * allowed_operations. */
    struct err *(*check)(struct core *core, const struct row *r, const char *op);
};
extern const struct op_class vm_ops, vbd_ops, vif_ops, vtpm_ops, vdi_ops, sr_ops, network_ops, host_ops, pool_ops,
    appliance_ops;

struct op {
    struct core *core;
    const struct op_class *oc;
    char *ref;  /* owned */
    char *task; /* owned */
};

/* Waits while the only obstacle is another operation (up to 2 hours), then marks the object. [waits] */
struct err *op_begin(
    struct call *c, const struct op_class *oc, const char *ref, const char *name, struct op *ret) MUST_CHECK;
void op_end(struct op *op); /* AUTO; fine on a zeroed one */

/* Recomputes allowed_operations of one object; of a VM with its devices and their disks. */
void ops_refresh(struct core *c, const struct op_class *oc, const char *ref);
void ops_refresh_vm(struct core *c, const char *vm_ref);

/* OTHER_OPERATION_IN_PROGRESS for the first entry of current_operations; NULL if there is none. */
struct err *ops_conflict(const struct op_class *oc, const struct row *r) MUST_CHECK;
