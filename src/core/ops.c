#include "core/ops.h"
#include <string.h>
#include "base/mem.h"
#include "base/uuid.h"
#include "core/guest.h"
#include "core/task.h"

#define CONFLICT_WAIT_US (2UL * 3600 * 1000 * 1000) /* semantics.md 1.3: up to 2 hours */

struct err *ops_conflict(const struct op_class *oc, const struct row *r)
{
    const struct value *current = row_get(r, oc->current);

    char all[512] = "";
    size_t len = 0;

    if (!current->n)
        return NULL;
    if (current->n == 1 || oc != &vm_ops)
        return err_other_operation_in_progress(oc->cls->name, row_ref(r), current->items[1].s, current->items[0].s);
    for (size_t i = 0; i < current->n && len < sizeof(all); i++) /* several of a VM are told as {a,b} */
        len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", i ? "," : "{", current->items[2 * i + 1].s);
    if (len < sizeof(all))
        snprintf(all + len, sizeof(all) - len, "}");
    return err_other_operation_in_progress(oc->cls->name, row_ref(r), all, current->items[0].s);
}

static bool is_conflict(const struct err *e)
{
    return err_is(e, "OTHER_OPERATION_IN_PROGRESS");
}

static void set_allowed(struct core *c, struct arena *a, struct tx *t, const struct op_class *oc, const struct row *r)
{
    struct value allowed[64];
    size_t n = 0;

    for (size_t i = 0; oc->listed[i] && n < ARRAY_LEN(allowed); i++) {
        struct err *e = oc->check(c, r, oc->listed[i]);
        if (!e)
            allowed[n++] = value_str(oc->listed[i]);
        err_free(e);
    }
    tx_set(t, arena_strdup(a, row_ref(r)), oc->allowed, value_set(allowed, n));
}

void ops_refresh(struct core *c, const struct op_class *oc, const char *ref)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct row *r = store_find_of(c->store, oc->cls, ref);

    if (!r)
        return;
    struct tx *t = tx_begin(c->store);
    set_allowed(c, a, t, oc, r);
    err_ignore(tx_apply(t, NULL), "a volatile field of a row that is there");
}

static void refresh_related(struct core *c, struct arena *a, struct tx *t, const struct row *vm,
    const struct field *set, const struct op_class *oc)
{
    for (size_t i = 0; i < row_n_related(vm, set); i++) {
        const struct row *dev = row_related(vm, set, i);

        set_allowed(c, a, t, oc, dev);
        if (oc == &vbd_ops) {
            const struct row *vdi = row_follow(c->store, dev, F_VBD_VDI);
            if (vdi)
                set_allowed(c, a, t, &vdi_ops, vdi);
        }
    }
}

void ops_refresh_vm(struct core *c, const char *vm_ref)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct row *vm = store_find_of(c->store, C_VM, vm_ref);

    if (!vm)
        return;
    struct tx *t = tx_begin(c->store);
    set_allowed(c, a, t, &vm_ops, vm);
    refresh_related(c, a, t, vm, F_VM_VBDs, &vbd_ops);
    refresh_related(c, a, t, vm, F_VM_VIFs, &vif_ops);
    refresh_related(c, a, t, vm, F_VM_VTPMs, &vtpm_ops);
    err_ignore(tx_apply(t, NULL), "volatile fields of rows that are there");
}

static void refresh_after(struct core *c, const struct op_class *oc, const char *ref)
{
    if (oc == &vm_ops)
        ops_refresh_vm(c, ref);
    else
        ops_refresh(c, oc, ref);
}

static void mark(struct op *op, const char *name)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct row *r = store_find_of(op->core->store, op->oc->cls, op->ref);

    if (!r)
        return;
    const struct value *old = row_get(r, op->oc->current);
    struct value v =
        name ? value_map_with(a, old, value_str(op->task), value_str(name)) : value_map_without(a, old, op->task);
    struct tx *t = tx_begin(op->core->store);
    tx_set(t, op->ref, op->oc->current, v);
    err_ignore(tx_apply(t, NULL), "a volatile field of a row that is there");
    refresh_after(op->core, op->oc, op->ref);
}

struct err *op_begin(struct call *c, const struct op_class *oc, const char *ref, const char *name, struct op *ret)
{
    uint64_t deadline = clock_now(c->core->loop) + CONFLICT_WAIT_US;

    for (;;) {
        const struct row *r = NULL;

        TRY(call_row(c, oc->cls, ref, &r));
        struct err *e = oc->check(c->core, r, name);
        if (!e)
            break;
        if (!is_conflict(e))
            return e;
        if (!waitq_wait(&c->core->ops, deadline)) {
            struct err *cancelled = task_check(c);
            if (!cancelled)
                return e;
            err_free(e);
            return cancelled;
        }
        err_free(e);
    }
    char uuid[UUID_LEN + 1];
    uuid_make(uuid);
    *ret = (struct op){ .core = c->core,
        .oc = oc,
        .ref = mem_strdup(ref),
        .task = cstr_empty(c->task) ? mem_printf("OpaqueRef:%s", uuid) : mem_strdup(c->task) };
    mark(ret, name);
    return NULL;
}

void op_end(struct op *op)
{
    if (!op->core)
        return;
    mark(op, NULL);
    waitq_wake_all(&op->core->ops);
    if (op->oc == &vm_ops) {
        guest_catch_up(op->core, op->ref);
        ops_refresh(op->core, &host_ops, op->core->host_ref); /* may be without guests now, or not any more */
    }
    free(op->ref);
    free(op->task);
    *op = (struct op){ 0 };
}
