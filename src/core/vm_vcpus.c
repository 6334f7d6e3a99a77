/* VM: its vCPUs (semantics.md 3). */
#include "core/memory.h"
#include "core/vm.h"
#include "gen/ipc_host.h"

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

void vm_vcpus_register(struct api_handlers *h)
{
    h->VM_set_VCPUs_max = set_VCPUs_max;
    h->VM_set_VCPUs_at_startup = set_VCPUs_at_startup;
    h->VM_set_VCPUs_number_live = set_VCPUs_number_live;
}
