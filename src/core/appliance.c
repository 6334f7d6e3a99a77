/* VM_appliance: VMs that start and stop together, in the order of VM.order (semantics.md 18). */
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "core/implicit.h"
#include "core/ops.h"
#include "core/task.h"
#include "core/vm.h"

static struct err *check(struct core *c, const struct row *appliance, const char *op)
{
    (void)c;
    (void)op;
    return ops_conflict(&appliance_ops, appliance);
}

static const char *const listed[] = { "start", "clean_shutdown", "hard_shutdown", "shutdown", NULL };
const struct op_class appliance_ops = { .cls = C_VM_appliance,
    .allowed = F_VM_appliance_allowed_operations,
    .current = F_VM_appliance_current_operations,
    .listed = listed,
    .check = check };

/* What is done to each VM. */
typedef struct err *each_fn(struct call *c, const char *vm);

struct member {
    const char *vm;
    int64_t order;
    struct crew *crew;
    bool failed;
};

struct crew {
    struct call *call;
    each_fn *each;
    const struct field *delay; /* seconds to wait after a group; NULL: each VM's own operation waits (VM.start) */
    struct member *members;
    size_t n, running;
    bool cancelled;
    struct waitq done;
};

static void run_member(void *arg)
{
    struct member *m = arg;
    struct crew *crew = m->crew;
    AUTO(arena_drop) struct arena *a = arena_new();
    struct call c = *crew->call;

    c.arena = a;
    c.raw = NULL;
    struct err *e = crew->each(&c, m->vm);
    if (e) {
        log_info("a VM of an appliance failed", F("vm", m->vm), F("error", err_text(e)));
        err_free(e);
        m->failed = true;
    }
    crew->running--;
    waitq_wake_all(&crew->done);
}

/* One group in parallel; its fibers end before this returns, whatever happens. */
static void run_group(struct crew *crew, size_t from, size_t to)
{
    struct core *core = crew->call->core;
    int64_t delay = 0;

    for (size_t i = from; i < to; i++) {
        const struct row *vm = store_find_of(core->store, C_VM, crew->members[i].vm);
        if (vm && crew->delay && row_int(vm, crew->delay) > delay)
            delay = row_int(vm, crew->delay);
        crew->running++;
        fiber_start(core->loop, "appliance", run_member, &crew->members[i]);
    }
    while (crew->running)
        if (!waitq_wait(&crew->done, FOREVER)) {
            crew->cancelled = true; /* what began is still waited for */
            fiber_interrupt_clear();
        }
    if (!crew->cancelled && delay > 0 && to < crew->n)
        fiber_sleep((uint64_t)delay * 1000000);
}

static int ascending(const void *a, const void *b)
{
    const struct member *x = a, *y = b;

    return (x->order > y->order) - (x->order < y->order);
}

static int descending(const void *a, const void *b)
{
    return ascending(b, a);
}

static struct err *outcome(struct call *c, const struct crew *crew, const char *op)
{
    const char **params = arena_new_array(c->arena, crew->n + 1, const char *);
    size_t n = 0;

    params[n++] = op;
    for (size_t i = 0; i < crew->n; i++)
        if (crew->members[i].failed)
            params[n++] = crew->members[i].vm;
    return n > 1 ? err_new("OPERATION_PARTIALLY_FAILED", params, n) : NULL;
}

static struct err *for_all(struct call *c, const char *self, const char *op_name, each_fn *each, bool starting)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *appliance = NULL;
    struct crew crew = { .call = c, .each = each, .delay = starting ? NULL : F_VM_shutdown_delay };

    TRY(op_begin(c, &appliance_ops, self, op_name, &op));
    TRY(call_row(c, C_VM_appliance, self, &appliance));
    crew.n = row_n_related(appliance, F_VM_appliance_VMs);
    if (!crew.n)
        return err_operation_not_allowed("Appliance has no VMs.");
    waitq_init(&crew.done);
    crew.members = arena_new_array(c->arena, crew.n, struct member);
    for (size_t i = 0; i < crew.n; i++) {
        const struct row *vm = row_related(appliance, F_VM_appliance_VMs, i);
        crew.members[i] = (struct member){ arena_strdup(c->arena, row_ref(vm)), row_int(vm, F_VM_order), &crew, false };
    }
    qsort(crew.members, crew.n, sizeof(*crew.members), starting ? ascending : descending);
    for (size_t from = 0, to; from < crew.n; from = to) {
        for (to = from + 1; to < crew.n && crew.members[to].order == crew.members[from].order; to++)
            ;
        run_group(&crew, from, to);
        TRY(crew.cancelled ? err_task_cancelled(c->task) : task_check(c));
    }
    return outcome(c, &crew, op_name);
}

/* A VM that is already as wanted is no failure. */
static bool is_in(struct call *c, const char *vm_ref, const char *power)
{
    const struct row *vm = store_find_of(c->core->store, C_VM, vm_ref);

    return vm && strcmp(row_str(vm, F_VM_power_state), power) == 0;
}

static struct err *start_each(struct call *c, const char *vm)
{
    return is_in(c, vm, "Running") ? NULL : vm_start_here(c, vm, false);
}

static struct err *start_each_paused(struct call *c, const char *vm)
{
    return is_in(c, vm, "Running") || is_in(c, vm, "Paused") ? NULL : vm_start_here(c, vm, true);
}

static struct err *clean_each(struct call *c, const char *vm)
{
    return is_in(c, vm, "Halted") ? NULL : vm_stop(c, vm, VM_STOP_CLEAN);
}

static struct err *hard_each(struct call *c, const char *vm)
{
    return is_in(c, vm, "Halted") ? NULL : vm_stop(c, vm, VM_STOP_HARD);
}

static struct err *stop_each(struct call *c, const char *vm)
{
    return is_in(c, vm, "Halted") ? NULL : vm_stop(c, vm, VM_STOP_EITHER);
}

static struct err *start(struct call *c, const struct VM_appliance_start_args *a, struct value *ret)
{
    (void)ret;
    return for_all(c, a->self, "start", a->paused ? start_each_paused : start_each, true);
}

static struct err *clean_shutdown(struct call *c, const struct VM_appliance_clean_shutdown_args *a, struct value *ret)
{
    (void)ret;
    return for_all(c, a->self, "clean_shutdown", clean_each, false);
}

static struct err *hard_shutdown(struct call *c, const struct VM_appliance_hard_shutdown_args *a, struct value *ret)
{
    (void)ret;
    return for_all(c, a->self, "hard_shutdown", hard_each, false);
}

static struct err *shutdown_all(struct call *c, const struct VM_appliance_shutdown_args *a, struct value *ret)
{
    (void)ret;
    return for_all(c, a->self, "shutdown", stop_each, false);
}

static struct err *set_appliance(struct call *c, const struct VM_set_appliance_args *a, struct value *ret)
{
    const struct row *vm = NULL, *appliance = NULL;

    (void)ret;
    TRY(call_row(c, C_VM, a->self, &vm));
    if (!ref_is_null(a->value)) {
        TRY(call_row(c, C_VM_appliance, a->value, &appliance));
        if (row_bool(vm, F_VM_is_control_domain) || row_bool(vm, F_VM_is_a_template))
            return err_operation_not_allowed(
                "Control domains, templates and snapshots cannot be assigned to appliances");
    }
    return core_set(c->core, a->self, F_VM_appliance, value_str(ref_is_null(a->value) ? REF_NULL : a->value));
}

static struct err *created(struct call *c, struct value *record, const char **ret_ref)
{
    const struct tx_field fields[] = {
        { F_VM_appliance_name_label, value_str(value_map_str(record, "name_label")) },
        { F_VM_appliance_name_description, value_str(value_map_str(record, "name_description")) },
    };
    struct tx *t = tx_begin(c->core->store);

    *ret_ref = arena_strdup(c->arena, tx_create(t, C_VM_appliance, NULL, fields, ARRAY_LEN(fields)));
    TRY(tx_commit(t));
    ops_refresh(c->core, &appliance_ops, *ret_ref);
    return NULL;
}

/* Its VMs stay and belong to none. */
static struct err *destroyed(struct call *c, const char *ref, bool *ret_done)
{
    const struct row *appliance = NULL;

    (void)ret_done;
    TRY(call_row(c, C_VM_appliance, ref, &appliance));
    return ops_conflict(&appliance_ops, appliance);
}

static const struct class_hooks hooks = { .create = created, .destroy = destroyed };

void appliance_register(struct api_handlers *h)
{
    class_hooks_set(C_VM_appliance, &hooks);
    h->VM_appliance_start = start;
    h->VM_appliance_clean_shutdown = clean_shutdown;
    h->VM_appliance_hard_shutdown = hard_shutdown;
    h->VM_appliance_shutdown = shutdown_all;
    h->VM_set_appliance = set_appliance;
}
