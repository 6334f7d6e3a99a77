/* VM: how much memory it has, and may have (semantics.md 3). */
#include <stdlib.h>
#include <string.h>
#include "core/memory.h"
#include "core/vm.h"

#define TOLERANCE (1LL << 20) /* of a target that counts as reached */
#define TARGET_WAIT_US (256 * 1000000ULL)

struct limits {
    int64_t static_min, dynamic_min, dynamic_max, static_max;
};

static struct limits limits_of(const struct row *vm)
{
    return (struct limits){ row_int(vm, F_VM_memory_static_min), row_int(vm, F_VM_memory_dynamic_min),
        row_int(vm, F_VM_memory_dynamic_max), row_int(vm, F_VM_memory_static_max) };
}

static bool in_order(const struct limits *l)
{
    return l->static_min >= 0 && l->static_min <= l->dynamic_min && l->dynamic_min <= l->dynamic_max &&
        l->dynamic_max <= l->static_max;
}

bool vm_is_pinned(const struct row *vm)
{
    const char *nested = row_map_str(vm, F_VM_platform, "nested-virt");

    return row_bool(vm, F_VM_is_control_domain) || strcmp(nested, "true") == 0 || strcmp(nested, "1") == 0;
}

static struct err *check_pinned(const struct row *vm, const struct limits *l)
{
    if (vm_is_pinned(vm) && (l->dynamic_min != l->dynamic_max || l->dynamic_max != l->static_max))
        return err_memory_constraint_violation_maxpin("the memory of this VM cannot be ballooned");
    return NULL;
}

struct err *vm_check_memory(const struct row *vm)
{
    struct limits l = limits_of(vm);

    if (!in_order(&l))
        return err_new("MEMORY_CONSTRAINT_VIOLATION", NULL, 0);
    return check_pinned(vm, &l);
}

/* ---- limits ---- */

static struct err *store_limits(struct call *c, const struct row *vm, const struct limits *want)
{
    struct memory_size size = memory_size_of(vm);
    struct tx *t = tx_begin(c->core->store);

    const char *self = arena_strdup(c->arena, row_ref(vm));
    size.static_max = want->static_max;
    tx_set(t, self, F_VM_memory_static_min, value_int(want->static_min));
    tx_set(t, self, F_VM_memory_dynamic_min, value_int(want->dynamic_min));
    tx_set(t, self, F_VM_memory_dynamic_max, value_int(want->dynamic_max));
    tx_set(t, self, F_VM_memory_static_max, value_int(want->static_max));
    tx_set(t, self, F_VM_memory_target, value_int(want->dynamic_max));
    tx_set(t, self, F_VM_memory_overhead, value_int(memory_overhead(c->core, &size)));
    return tx_commit(t);
}

static struct err *set_limits(struct call *c, const char *self, const char *op_name, const struct limits *want)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *vm = NULL;

    TRY(op_begin(c, &vm_ops, self, op_name, &op));
    TRY(call_row(c, C_VM, self, &vm));
    if (!in_order(want))
        return err_memory_constraint_violation_order();
    TRY(check_pinned(vm, want));
    if (strcmp(row_str(vm, F_VM_power_state), "Running") == 0)
        return memory_set_range(c, self, want->dynamic_min, want->dynamic_max);
    return store_limits(c, vm, want);
}

/* The limits as they are, for setters that change one of them. */
static struct err *current(struct call *c, const char *self, struct limits *ret)
{
    const struct row *vm = NULL;

    TRY(call_row(c, C_VM, self, &vm));
    *ret = limits_of(vm);
    return NULL;
}

static struct err *set_memory_limits(struct call *c, const struct VM_set_memory_limits_args *a, struct value *ret)
{
    (void)ret;
    return set_limits(c, a->self, "changing_memory_limits",
        &(struct limits){ a->static_min, a->dynamic_min, a->dynamic_max, a->static_max });
}

static struct err *set_memory(struct call *c, const struct VM_set_memory_args *a, struct value *ret)
{
    struct limits l;

    (void)ret;
    TRY(current(c, a->self, &l));
    l.static_min = l.static_min > a->value ? a->value : l.static_min;
    l.dynamic_min = l.dynamic_max = l.static_max = a->value;
    return set_limits(c, a->self, "changing_memory_limits", &l);
}

static struct err *set_memory_static_range(
    struct call *c, const struct VM_set_memory_static_range_args *a, struct value *ret)
{
    struct limits l;

    (void)ret;
    TRY(current(c, a->self, &l));
    l.static_min = a->min;
    l.static_max = a->max;
    return set_limits(c, a->self, "changing_static_range", &l);
}

static struct err *set_memory_static_min(
    struct call *c, const struct VM_set_memory_static_min_args *a, struct value *ret)
{
    struct limits l;

    (void)ret;
    TRY(current(c, a->self, &l));
    l.static_min = a->value;
    return set_limits(c, a->self, "changing_static_range", &l);
}

static struct err *set_memory_static_max(
    struct call *c, const struct VM_set_memory_static_max_args *a, struct value *ret)
{
    struct limits l;

    (void)ret;
    TRY(current(c, a->self, &l));
    l.static_max = a->value;
    return set_limits(c, a->self, "changing_static_range", &l);
}

static struct err *set_memory_dynamic_range(
    struct call *c, const struct VM_set_memory_dynamic_range_args *a, struct value *ret)
{
    struct limits l;

    (void)ret;
    TRY(current(c, a->self, &l));
    l.dynamic_min = a->min;
    l.dynamic_max = a->max;
    return set_limits(c, a->self, "changing_dynamic_range", &l);
}

static struct err *set_memory_dynamic_min(
    struct call *c, const struct VM_set_memory_dynamic_min_args *a, struct value *ret)
{
    struct limits l;

    (void)ret;
    TRY(current(c, a->self, &l));
    l.dynamic_min = a->value;
    return set_limits(c, a->self, "changing_dynamic_range", &l);
}

static struct err *set_memory_dynamic_max(
    struct call *c, const struct VM_set_memory_dynamic_max_args *a, struct value *ret)
{
    struct limits l;

    (void)ret;
    TRY(current(c, a->self, &l));
    l.dynamic_max = a->value;
    return set_limits(c, a->self, "changing_dynamic_range", &l);
}

/* ---- what it costs ---- */

static struct err *compute_memory_overhead(
    struct call *c, const struct VM_compute_memory_overhead_args *a, struct value *ret)
{
    const struct row *vm = NULL;

    TRY(call_row(c, C_VM, a->vm, &vm));
    *ret = value_int(memory_overhead_of(c->core, vm));
    return NULL;
}

/* approximate: XenServer then searches less precisely; here there is a formula. */
static struct err *maximise_memory(struct call *c, const struct VM_maximise_memory_args *a, struct value *ret)
{
    const struct row *vm = NULL;

    TRY(call_row(c, C_VM, a->self, &vm));
    *ret = value_int(memory_max_within(c->core, vm, a->total));
    return NULL;
}

/* ---- live ---- */

/* The old way: one number for both ends of the range. */
static struct err *set_memory_target_live(
    struct call *c, const struct VM_set_memory_target_live_args *a, struct value *ret)
{
    struct limits l;

    (void)ret;
    TRY(current(c, a->self, &l));
    l.dynamic_min = l.dynamic_max = a->target;
    return set_limits(c, a->self, "changing_memory_live", &l);
}

static bool reached(struct core *c, const struct row *vm)
{
    const struct row *metrics = row_follow(c->store, vm, F_VM_metrics);

    return metrics &&
        llabs(row_int(metrics, F_VM_metrics_memory_actual) - row_int(vm, F_VM_memory_target)) <= TOLERANCE;
}

static struct err *wait_memory_target_live(
    struct call *c, const struct VM_wait_memory_target_live_args *a, struct value *ret)
{
    uint64_t deadline = clock_now(c->core->loop) + TARGET_WAIT_US;
    AUTO(op_end) struct op op = { 0 };
    const struct row *vm = NULL;

    (void)ret;
    TRY(op_begin(c, &vm_ops, a->self, "awaiting_memory_live", &op));
    for (;;) {
        TRY(call_row(c, C_VM, a->self, &vm));
        TRY(vm_assert_power_state(vm, "Running"));
        if (reached(c->core, vm))
            return NULL;
        if (waitq_wait(&c->core->changed, deadline))
            continue;
        return fiber_interrupted() ? err_task_cancelled(c->task)
                                   : err_new("VM_MEMORY_TARGET_WAIT_TIMEOUT", (const char *[]){ a->self }, 1);
    }
}

void vm_memory_register(struct api_handlers *h)
{
    h->VM_set_memory_limits = set_memory_limits;
    h->VM_set_memory = set_memory;
    h->VM_set_memory_static_range = set_memory_static_range;
    h->VM_set_memory_static_min = set_memory_static_min;
    h->VM_set_memory_static_max = set_memory_static_max;
    h->VM_set_memory_dynamic_range = set_memory_dynamic_range;
    h->VM_set_memory_dynamic_min = set_memory_dynamic_min;
    h->VM_set_memory_dynamic_max = set_memory_dynamic_max;
    h->VM_compute_memory_overhead = compute_memory_overhead;
    h->VM_maximise_memory = maximise_memory;
    h->VM_set_memory_target_live = set_memory_target_live;
    h->VM_wait_memory_target_live = wait_memory_target_live;
}
