/* VM: its vCPUs (semantics.md 3). */
#include "core/memory.h"
#include "core/vm.h"
#include "gen/ipc_host.h"

#define WEIGHT_MAX 65535
#define CAP_MAX 100000 /* percent: a thousand CPUs */
#define MASK_MAX 1024

/* 1 <= VCPUs_at_startup <= VCPUs_max. The state of the VM is looked at first, as for every operation. */
static struct err *set_vcpus(struct call *c, const char *self, const struct field *f, int64_t v)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *vm = NULL;

    TRY(op_begin(c, &vm_ops, self, "changing_VCPUs", &op));
    TRY(call_row(c, C_VM, self, &vm));
    int64_t max = f == F_VM_VCPUs_max ? v : row_int(vm, F_VM_VCPUs_max),
            startup = f == F_VM_VCPUs_max ? row_int(vm, F_VM_VCPUs_at_startup) : v;
    if (startup < 1 || startup > max)
        return vm_bad_number(c, f->name, v);
    struct memory_size size = memory_size_of(vm);
    struct tx *t = tx_begin(c->core->store);
    size.vcpus_max = max;
    tx_set(t, self, f, value_int(v));
    tx_set(t, self, F_VM_memory_overhead, value_int(memory_overhead(c->core, &size)));
    return tx_commit(t);
}

static struct err *set_VCPUs_max(struct call *c, const struct VM_set_VCPUs_max_args *a, struct value *ret)
{
    (void)ret;
    return set_vcpus(c, a->self, F_VM_VCPUs_max, a->value);
}

static struct err *set_VCPUs_at_startup(struct call *c, const struct VM_set_VCPUs_at_startup_args *a, struct value *ret)
{
    (void)ret;
    return set_vcpus(c, a->self, F_VM_VCPUs_at_startup, a->value);
}

/* Kept for the next start as well. */
static struct err *set_VCPUs_number_live(
    struct call *c, const struct VM_set_VCPUs_number_live_args *a, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *vm = NULL;
    struct ipc_peer *host = NULL;

    (void)ret;
    TRY(op_begin(c, &vm_ops, a->self, "changing_VCPUs_live", &op));
    TRY(call_row(c, C_VM, a->self, &vm));
    if (a->nvcpu < 1 || a->nvcpu > row_int(vm, F_VM_VCPUs_max))
        return vm_bad_number(c, "nvcpu", a->nvcpu);
    const char *uuid = arena_strdup(c->arena, row_str(vm, F_VM_uuid));
    TRY(core_need_host(c->core, &host));
    TRY(host_vm_vcpus(host, c->arena, &(struct host_vm_vcpus_req){ .vm = uuid, .count = (uint32_t)a->nvcpu }));
    TRY(call_row(c, C_VM, a->self, &vm));
    const struct row *metrics = row_follow(c->core->store, vm, F_VM_metrics);
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, a->self, F_VM_VCPUs_at_startup, value_int(a->nvcpu));
    if (metrics)
        tx_set(t, row_ref(metrics), F_VM_metrics_VCPUs_number, value_int(a->nvcpu));
    return tx_commit(t);
}

/* ---- what part of the host they get ---- */

static struct err *bad_param(struct arena *a, const char *key, const char *text)
{
    return err_invalid_value(arena_printf(a, "VCPUs_params:%s", key), text);
}

static bool number_within(const char *text, uint64_t max, uint32_t *ret)
{
    uint64_t n;

    if (!str_to_u64(str_of(text), &n) || n > max)
        return false;
    *ret = (uint32_t)n;
    return true;
}

/* "0,2-3": CPUs of the host. */
static bool mask_of(struct arena *a, const char *text, uint64_t n_cpus, struct vm_cpu *ret)
{
    struct str rest = str_of(text), item, from, to;

    ret->mask = arena_new_array(a, MASK_MAX, uint32_t);
    while (rest.len) {
        uint64_t first, last;

        str_cut(rest, ',', &item, &rest);
        bool range = str_cut(item, '-', &from, &to);
        if (!str_to_u64(from, &first) || !str_to_u64(range ? to : from, &last) || first > last || last >= n_cpus)
            return false;
        for (; first <= last && ret->n_mask < MASK_MAX; first++)
            ret->mask[ret->n_mask++] = (uint32_t)first;
    }
    return true;
}

struct err *vm_cpu_params(struct core *c, struct arena *a, const struct value *params, struct vm_cpu *ret)
{
    const char *weight = value_map_str(params, "weight"), *cap = value_map_str(params, "cap");
    const char *mask = value_map_str(params, "mask");
    struct vm_cpu cpu = { 0 };

    if (*weight && (!number_within(weight, WEIGHT_MAX, &cpu.weight) || !cpu.weight))
        return bad_param(a, "weight", weight);
    if (*cap && !number_within(cap, CAP_MAX, &cpu.cap))
        return bad_param(a, "cap", cap);
    if (!mask_of(a, mask, row_n_related(core_host_row(c), F_host_host_CPUs), &cpu))
        return bad_param(a, "mask", mask);
    *ret = cpu;
    return NULL;
}

/* One of the same name gives way. */
static struct err *add_to_VCPUs_params_live(
    struct call *c, const struct VM_add_to_VCPUs_params_live_args *a, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *vm = NULL;
    struct ipc_peer *host = NULL;
    struct vm_cpu cpu;

    (void)ret;
    TRY(op_begin(c, &vm_ops, a->self, "changing_VCPUs_live", &op));
    TRY(call_row(c, C_VM, a->self, &vm));
    struct value params =
        value_map_with(c->arena, row_get(vm, F_VM_VCPUs_params), value_str(a->key), value_str(a->value));
    TRY(vm_cpu_params(c->core, c->arena, &params, &cpu));
    const char *uuid = arena_strdup(c->arena, row_str(vm, F_VM_uuid));
    TRY(core_need_host(c->core, &host));
    TRY(host_vm_cpu(host, c->arena, &(struct host_vm_cpu_req){ .vm = uuid, .cpu = cpu }));
    TRY(call_row(c, C_VM, a->self, &vm));
    const struct row *metrics = row_follow(c->core->store, vm, F_VM_metrics);
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, a->self, F_VM_VCPUs_params, params);
    if (metrics)
        tx_set(t, row_ref(metrics), F_VM_metrics_VCPUs_params, params);
    return tx_commit(t);
}

void vm_vcpus_register(struct api_handlers *h)
{
    h->VM_set_VCPUs_max = set_VCPUs_max;
    h->VM_set_VCPUs_at_startup = set_VCPUs_at_startup;
    h->VM_set_VCPUs_number_live = set_VCPUs_number_live;
    h->VM_add_to_VCPUs_params_live = add_to_VCPUs_params_live;
}
