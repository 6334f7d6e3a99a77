/* VM: making, destroying, and the fields whose setters do more than store. */
#include "core/vm.h"
#include "core/vtpm.h"
#include <string.h>
#include "base/mem.h"
#include "base/uuid.h"
#include "core/blob.h"
#include "core/core.h"
#include "core/implicit.h"
#include "core/guest_report.h"
#include "core/memory.h"
#include "gen/ipc_host.h"

#define VBD_MAX 255 /* positions 0 to 254; 255 is the control domain's */
#define VIF_MAX 16

/* Power state in the database */

static void drop_consoles(struct core *c, struct tx *t, const struct row *vm)
{
    (void)c;
    for (size_t i = 0; i < row_n_related(vm, F_VM_consoles); i++)
        tx_destroy(t, row_ref(row_related(vm, F_VM_consoles, i)));
}

static const char *location(struct core *c, struct arena *a, const char *console_ref)
{
    const struct row *host = core_host_row(c);
    const char *address = host ? row_str(host, F_host_address) : "";
    const char *open = strchr(address, ':') ? "[" : "", *close = *open ? "]" : "";

    if (c->config->https_port == 443)
        return arena_printf(a, "https://%s%s%s/console?ref=%s", open, address, close, console_ref);
    return arena_printf(
        a, "https://%s%s%s:%u/console?ref=%s", open, address, close, c->config->https_port, console_ref);
}

static void add_console(struct core *c, struct arena *a, struct tx *t, const char *vm_ref, const char *protocol)
{
    char uuid[UUID_LEN + 1];

    uuid_make(uuid);
    const char *ref = arena_printf(a, "OpaqueRef:%s", uuid);
    const struct tx_field fields[] = {
        { F_console_protocol, value_str(protocol) },
        { F_console_location, value_str(location(c, a, ref)) },
        { F_console_VM, value_str(vm_ref) },
    };
    tx_create(t, C_console, ref, fields, ARRAY_LEN(fields));
}

/* Over how many NUMA nodes of the host its memory is spread: those chosen for it, else all that there are. */
static void vm_set_nodes(const struct core *c, struct tx *t, const char *metrics, uint32_t chosen)
{
    int64_t all = 1;

    str_to_i64(str_of(row_map_str(core_host_row(c), F_host_cpu_info, "nr_nodes")), &all);
    tx_set(t, metrics, F_VM_metrics_numa_optimised, value_bool(chosen > 0));
    tx_set(t, metrics, F_VM_metrics_numa_nodes, value_int(chosen ? chosen : all));
}

void vm_set_running(struct core *c, struct tx *t, const char *vm_ref, const struct vm_state *s)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct row *vm = store_find_of(c->store, C_VM, vm_ref);
    bool was_down = !vm || strcmp(row_str(vm, F_VM_power_state), "Halted") == 0 ||
        strcmp(row_str(vm, F_VM_power_state), "Suspended") == 0;

    if (!vm)
        return;
    tx_set(t, vm_ref, F_VM_power_state, value_str(s->power));
    tx_set(t, vm_ref, F_VM_resident_on, value_str(c->host_ref));
    tx_set(t, vm_ref, F_VM_scheduled_to_be_resident_on, value_str(REF_NULL));
    tx_set(t, vm_ref, F_VM_domid, value_int(s->domid));
    if (s->memory_target)
        tx_set(t, vm_ref, F_VM_memory_target, value_int((int64_t)s->memory_target));
    const struct row *metrics = row_follow(c->store, vm, F_VM_metrics);
    if (metrics) {
        const char *m = row_ref(metrics);
        if (s->memory)
            tx_set(t, m, F_VM_metrics_memory_actual, value_int((int64_t)s->memory));
        if (s->vcpus)
            tx_set(t, m, F_VM_metrics_VCPUs_number, value_int(s->vcpus));
        vm_set_nodes(c, t, m, s->host_nodes);
        tx_set(t, m, F_VM_metrics_last_updated, value_datetime(now_text(c, a)));
        tx_set(t, m, F_VM_metrics_hvm, value_bool(strcmp(row_str(vm, F_VM_domain_type), "hvm") == 0));
        tx_set(t, m, F_VM_metrics_current_domain_type, value_str(row_str(vm, F_VM_domain_type)));
        if (was_down)
            tx_set(t, m, F_VM_metrics_VCPUs_params, *row_get(vm, F_VM_VCPUs_params));
        if (was_down)
            tx_set(t, m, F_VM_metrics_start_time, value_datetime(now_text(c, a)));
    }
    if (row_n_related(vm, F_VM_consoles) == 0) {
        add_console(c, a, t, vm_ref, "rfb");
        add_console(c, a, t, vm_ref, "vt100");
    }
}

void vm_set_halted(struct core *c, struct tx *t, const char *vm_ref)
{
    const struct row *vm = store_find_of(c->store, C_VM, vm_ref);

    if (!vm)
        return;
    tx_set(t, vm_ref, F_VM_power_state, value_str("Halted"));
    tx_set(t, vm_ref, F_VM_resident_on, value_str(REF_NULL));
    tx_set(t, vm_ref, F_VM_scheduled_to_be_resident_on, value_str(REF_NULL));
    tx_set(t, vm_ref, F_VM_domid, value_int(-1));
    tx_set(t, vm_ref, F_VM_requires_reboot, value_bool(false));
    for (size_t i = 0; i < row_n_related(vm, F_VM_VBDs); i++) {
        const char *vbd = row_ref(row_related(vm, F_VM_VBDs, i));
        tx_set(t, vbd, F_VBD_currently_attached, value_bool(false));
        tx_set(t, vbd, F_VBD_current_operations, value_map(NULL, 0));
    }
    for (size_t i = 0; i < row_n_related(vm, F_VM_VIFs); i++) {
        const char *vif = row_ref(row_related(vm, F_VM_VIFs, i));
        tx_set(t, vif, F_VIF_currently_attached, value_bool(false));
        tx_set(t, vif, F_VIF_current_operations, value_map(NULL, 0));
    }
    drop_consoles(c, t, vm);
    const struct row *metrics = row_follow(c->store, vm, F_VM_metrics);
    if (metrics)
        tx_set(t, row_ref(metrics), F_VM_metrics_current_domain_type, value_str("unspecified"));
    guest_report_drop(c, t, vm_ref);
    memory_share_out(c);
}

/* Create and destroy */

static struct err *check_create(struct call *c, const struct value *record)
{
    const char *power = value_map_str(record, "power_state");

    if (strcmp(power, "Suspended") == 0) {
        const struct value *flags = value_map_get(record, "last_boot_CPU_flags");
        if (ref_is_null(value_map_str(record, "suspend_VDI")) || !*value_map_str(record, "last_booted_record") ||
            !flags || !flags->n)
            return err_vm_bad_power_state(REF_NULL, "halted", "suspended");
    } else if (strcmp(power, "Halted") != 0) {
        return err_vm_bad_power_state(
            REF_NULL, "halted, suspended", strcmp(power, "Paused") == 0 ? "paused" : "running");
    }
    const struct {
        const char *field;
        const struct model_class *cls;
    } refs[] = { { "affinity", C_host }, { "suspend_VDI", C_VDI }, { "appliance", C_VM_appliance },
        { "snapshot_schedule", C_VMSS }, { "suspend_SR", C_SR } };
    for (size_t i = 0; i < ARRAY_LEN(refs); i++) {
        const char *ref = value_map_str(record, refs[i].field);
        const struct row *r = NULL;
        if (!ref_is_null(ref))
            TRY(call_row(c, refs[i].cls, ref, &r));
    }
    return NULL;
}

static int64_t int_of(const struct value *record, const char *field)
{
    const struct value *v = value_map_get(record, field);

    return v && v->kind == V_INT ? v->i : 0;
}

static struct err *create(struct call *c, struct value *record, const char **ret_ref)
{
    char uuid[UUID_LEN + 1];
    struct value v = *record;

    TRY(check_create(c, record));
    const struct value *other = value_map_get(&v, "other_config");
    struct value other_config = other ? *other : value_map(NULL, 0);
    if (!value_map_get(&other_config, "mac_seed")) {
        uuid_make(uuid);
        other_config =
            value_map_with(c->arena, &other_config, value_str("mac_seed"), value_str(arena_strdup(c->arena, uuid)));
        v = value_map_with(c->arena, &v, value_str("other_config"), other_config);
    }
    if (strcmp(value_map_str(&v, "domain_type"), "unspecified") == 0)
        v = value_map_with(
            c->arena, &v, value_str("domain_type"), value_str(*value_map_str(&v, "HVM_boot_policy") ? "hvm" : "pv"));

    struct tx_field *fields = arena_new_array(c->arena, (size_t)v.n + 8, struct tx_field);
    size_t n = 0;
    for (size_t i = 0; i < v.n; i++) {
        const struct field *f = model_field_find(C_VM, v.items[2 * i].s);
        if (f && f->relation != REL_DERIVED)
            fields[n++] = (struct tx_field){ f, v.items[2 * i + 1] };
    }
    struct tx *t = tx_begin(c->core->store);
    const struct tx_field empty[] = { { F_VM_metrics_install_time, value_datetime(DATETIME_EPOCH) },
        { F_VM_metrics_start_time, value_datetime(DATETIME_EPOCH) },
        { F_VM_metrics_last_updated, value_datetime(DATETIME_EPOCH) } };
    const char *metrics = arena_strdup(c->arena, tx_create(t, C_VM_metrics, NULL, empty, ARRAY_LEN(empty)));
    fields[n++] = (struct tx_field){ F_VM_metrics, value_str(metrics) };
    const struct value *platform = value_map_get(&v, "platform");
    const struct memory_size size = { int_of(&v, "memory_static_max"), int_of(&v, "VCPUs_max"),
        !platform || strcmp(value_map_str(platform, "vga"), "none") != 0 };
    fields[n++] = (struct tx_field){ F_VM_memory_overhead, value_int(memory_overhead(c->core, &size)) };
    fields[n++] = (struct tx_field){ F_VM_domid, value_int(-1) };
    fields[n++] = (struct tx_field){ F_VM_resident_on, value_str(REF_NULL) };
    fields[n++] = (struct tx_field){ F_VM_guest_metrics, value_str(REF_NULL) };
    const char *ref = arena_strdup(c->arena, tx_create(t, C_VM, NULL, fields, n));
    TRY(tx_commit(t));
    ops_refresh_vm(c->core, ref);
    *ret_ref = ref;
    return NULL;
}

struct err *vm_destroy_record(struct call *c, const char *vm_ref)
{
    const struct row *vm = NULL;

    TRY(call_row(c, C_VM, vm_ref, &vm));
    const struct field *const owned[] = { F_VM_VBDs, F_VM_VIFs, F_VM_VGPUs, F_VM_VUSBs, F_VM_consoles };
    const char *parent = arena_strdup(c->arena, row_str(vm, F_VM_parent));
    struct tx *t = tx_begin(c->core->store);
    for (size_t k = 0; k < ARRAY_LEN(owned); k++)
        for (size_t i = 0; i < row_n_related(vm, owned[k]); i++)
            tx_destroy(t, row_ref(row_related(vm, owned[k], i)));
    for (size_t i = 0; i < row_n_related(vm, F_VM_VTPMs); i++)
        vtpm_remove(c->core, t, row_related(vm, F_VM_VTPMs, i));
    for (size_t i = 0; i < row_n_related(vm, F_VM_children); i++)
        tx_set(t, row_ref(row_related(vm, F_VM_children, i)), F_VM_parent, value_str(parent));
    const struct row *metrics = row_follow(c->core->store, vm, F_VM_metrics);
    if (metrics)
        tx_destroy(t, row_ref(metrics));
    guest_report_drop(c->core, t, vm_ref);
    struct value blobs = blob_drop(c->core, t, c->arena, vm, F_VM_blobs);
    tx_destroy(t, vm_ref);
    TRY(tx_commit(t));
    blob_forget(c->core, &blobs);
    return NULL;
}

static struct err *destroy(struct call *c, const char *ref, bool *ret_done)
{
    AUTO(op_end) struct op op = { 0 };

    TRY(op_begin(c, &vm_ops, ref, "destroy", &op));
    TRY(vm_destroy_record(c, ref));
    *ret_done = true;
    return NULL;
}

/* Setters with effect */

static struct err *set_is_a_template(struct call *c, const struct row *vm, bool value)
{
    const char *ref = arena_strdup(c->arena, row_ref(vm));
    const struct row *metrics = row_follow(c->core->store, vm, F_VM_metrics);
    const char *m = metrics ? arena_strdup(c->arena, row_ref(metrics)) : NULL;
    AUTO(op_end) struct op op = { 0 };

    if (value && row_bool(vm, F_VM_is_a_template))
        return NULL;
    if (value)
        TRY(op_begin(c, &vm_ops, ref, "make_into_template", &op));
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, ref, F_VM_is_a_template, value_bool(value));
    if (value) {
        tx_set(t, ref, F_VM_ha_always_run, value_bool(false));
        tx_set(t, ref, F_VM_groups, value_set(NULL, 0));
        if (m)
            tx_destroy(t, m);
        tx_set(t, ref, F_VM_metrics, value_str(REF_NULL));
    } else {
        const struct tx_field fields[] = { { F_VM_metrics_install_time, value_datetime(now_text(c->core, c->arena)) },
            { F_VM_metrics_start_time, value_datetime(DATETIME_EPOCH) },
            { F_VM_metrics_last_updated, value_datetime(DATETIME_EPOCH) } };
        if (m)
            tx_set(t, m, F_VM_metrics_install_time, fields[0].value);
        else
            tx_set(t, ref, F_VM_metrics,
                value_str(arena_strdup(c->arena, tx_create(t, C_VM_metrics, NULL, fields, ARRAY_LEN(fields)))));
        tx_set(t, ref, F_VM_is_default_template, value_bool(false));
    }
    TRY(tx_commit(t));
    op_end(&op);
    ops_refresh_vm(c->core, ref);
    return NULL;
}

static struct err *set(struct call *c, const struct row *vm, const struct field *f, struct value *v, bool *ret_done)
{
    const struct row *r = NULL;

    if (f == F_VM_is_a_template) {
        TRY(set_is_a_template(c, vm, v->b));
        *ret_done = true;
    }
    if (f == F_VM_xenstore_data) { /* reaches a running guest only with a xenstore, which no hypervisor here has yet */
        if (strcmp(row_str(vm, F_VM_power_state), "Halted") != 0)
            return err_not_implemented("VM.xenstore_data of a running VM");
    }
    if (f == F_VM_affinity && !ref_is_null(v->s))
        return call_row(c, C_host, v->s, &r);
    if (f == F_VM_suspend_SR && !ref_is_null(v->s))
        return call_row(c, C_SR, v->s, &r);
    return NULL;
}

/* Small messages */

static struct err *set_is_default_template(
    struct call *c, const struct VM_set_is_default_template_args *a, struct value *ret)
{
    const struct row *vm = NULL;

    (void)ret;
    TRY(call_row(c, C_VM, a->vm, &vm));
    if (a->value)
        TRY(set_is_a_template(c, vm, true));
    TRY(call_row(c, C_VM, a->vm, &vm));
    struct value other = value_map_with(c->arena, row_get(vm, F_VM_other_config), value_str("default_template"),
        value_str(a->value ? "true" : "false"));
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, a->vm, F_VM_is_default_template, value_bool(a->value));
    tx_set(t, a->vm, F_VM_other_config, other);
    TRY(tx_commit(t));
    ops_refresh_vm(c->core, a->vm);
    return NULL;
}

static struct err *assert_operation_valid(
    struct call *c, const struct VM_assert_operation_valid_args *a, struct value *ret)
{
    const struct row *vm = NULL;

    (void)ret;
    TRY(call_row(c, C_VM, a->self, &vm));
    return vm_ops.check(c->core, vm, a->op);
}

static struct err *update_allowed_operations(
    struct call *c, const struct VM_update_allowed_operations_args *a, struct value *ret)
{
    const struct row *vm = NULL;

    (void)ret;
    TRY(call_row(c, C_VM, a->self, &vm));
    ops_refresh_vm(c->core, a->self);
    return NULL;
}

/* Numbers below max that no device of the VM uses. */
static struct err *free_numbers(struct call *c, const char *vm_ref, const struct field *devices,
    const struct field *number, int64_t max, struct value *ret)
{
    const struct row *vm = NULL;
    struct value *set = arena_new_array(c->arena, (size_t)max, struct value);
    bool used[256] = { false };
    size_t n = 0;

    TRY(call_row(c, C_VM, vm_ref, &vm));
    for (size_t i = 0; i < row_n_related(vm, devices); i++) {
        int64_t position = -1;
        if (vbd_position(row_str(row_related(vm, devices, i), number), &position) && position >= 0 && position < max)
            used[position] = true;
    }
    for (int64_t i = 0; i < max; i++)
        if (!used[i])
            set[n++] = value_str(arena_printf(c->arena, "%lld", (long long)i));
    *ret = value_set(set, n);
    return NULL;
}

static struct err *get_allowed_VBD_devices(
    struct call *c, const struct VM_get_allowed_VBD_devices_args *a, struct value *ret)
{
    return free_numbers(c, a->vm, F_VM_VBDs, F_VBD_userdevice, VBD_MAX, ret);
}

static struct err *get_allowed_VIF_devices(
    struct call *c, const struct VM_get_allowed_VIF_devices_args *a, struct value *ret)
{
    return free_numbers(c, a->vm, F_VM_VIFs, F_VIF_device, VIF_MAX, ret);
}

static struct err *assert_can_boot_here(struct call *c, const struct VM_assert_can_boot_here_args *a, struct value *ret)
{
    (void)ret;
    return vm_assert_can_boot_here(c, a->self, a->host);
}

static struct err *get_possible_hosts(struct call *c, const struct VM_get_possible_hosts_args *a, struct value *ret)
{
    struct value *set = arena_new_array(c->arena, store_count(c->core->store, C_host) + 1, struct value);
    const struct row *vm = NULL;
    size_t n = 0;

    TRY(call_row(c, C_VM, a->vm, &vm));
    const struct field *const places[] = { F_VM_resident_on, F_VM_scheduled_to_be_resident_on };
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        const struct row *host = row_follow(c->core->store, vm, places[i]);
        if (!host)
            continue;
        set[0] = value_str(arena_strdup(c->arena, row_ref(host))); /* it is there already: nowhere else */
        *ret = value_set(set, 1);
        return NULL;
    }
    for (const struct row *h = store_first(c->core->store, C_host); h; h = store_next(h)) {
        AUTO(err_drop) struct err *e = vm_assert_can_boot_here(c, a->vm, row_ref(h));
        if (!e)
            set[n++] = value_str(arena_strdup(c->arena, row_ref(h)));
    }
    *ret = value_set(set, n);
    return NULL;
}

static struct err *get_cooperative(struct call *c, const struct VM_get_cooperative_args *a, struct value *ret)
{
    const struct row *vm = NULL;

    TRY(call_row(c, C_VM, a->self, &vm));
    *ret = value_bool(true);
    return NULL;
}

static const struct class_hooks hooks = { .create = create, .destroy = destroy, .set = set };

void vm_register(struct api_handlers *h)
{
    class_hooks_set(C_VM, &hooks);
    h->VM_set_is_default_template = set_is_default_template;
    h->VM_assert_operation_valid = assert_operation_valid;
    h->VM_update_allowed_operations = update_allowed_operations;
    h->VM_get_allowed_VBD_devices = get_allowed_VBD_devices;
    h->VM_get_allowed_VIF_devices = get_allowed_VIF_devices;
    h->VM_assert_can_boot_here = assert_can_boot_here;
    h->VM_get_possible_hosts = get_possible_hosts;
    h->VM_get_cooperative = get_cooperative;
}
