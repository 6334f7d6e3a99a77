/* VM: parameters with rules (semantics.md 3). */
#include <math.h>
#include <string.h>
#include "core/vm.h"

/* What is told of a crash can be kept for PV guests only, and a VM cannot be renamed by it. */
static struct err *check_crash(const struct row *vm, const char *action)
{
    bool core = cstr_starts(action, "coredump_and_") && strcmp(row_str(vm, F_VM_domain_type), "pv") != 0;

    if (core || strcmp(action, "rename_restart") == 0)
        return err_value_not_supported("actions_after_crash", action, "option is not supported");
    return NULL;
}

struct err *vm_check_params(struct core *c, const struct row *vm)
{
    char text[32];

    (void)c;
    if (row_int(vm, F_VM_VCPUs_max) < 1)
        return snprintf(text, sizeof(text), "%lld", (long long)row_int(vm, F_VM_VCPUs_max)),
               err_invalid_value("VCPUs_max", text);
    if (row_int(vm, F_VM_VCPUs_at_startup) < 1)
        return snprintf(text, sizeof(text), "%lld", (long long)row_int(vm, F_VM_VCPUs_at_startup)),
               err_invalid_value("VCPUs_at_startup", text);
    if (row_int(vm, F_VM_VCPUs_at_startup) > row_int(vm, F_VM_VCPUs_max)) {
        snprintf(text, sizeof(text), "%lld", (long long)row_int(vm, F_VM_VCPUs_at_startup));
        return err_value_not_supported("VCPUs-at-startup", text, "value greater than VCPUs-max");
    }
    TRY(vm_check_memory(vm));
    if (row_float(vm, F_VM_HVM_shadow_multiplier) < 1.0)
        return err_invalid_value("HVM_shadow_multiplier", "less than 1");
    return check_crash(vm, row_str(vm, F_VM_actions_after_crash));
}

/* Numbers */

static struct err *set_in_op(
    struct call *c, const char *self, const char *op_name, const struct field *f, struct value v)
{
    AUTO(op_end) struct op op = { 0 };

    TRY(op_begin(c, &vm_ops, self, op_name, &op));
    return core_set(c->core, self, f, v);
}

struct err *vm_bad_number(struct call *c, const char *field, int64_t v)
{
    return err_invalid_value(field, arena_printf(c->arena, "%lld", (long long)v));
}

static struct err *set_HVM_shadow_multiplier(
    struct call *c, const struct VM_set_HVM_shadow_multiplier_args *a, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };

    (void)ret;
    TRY(op_begin(c, &vm_ops, a->self, "changing_shadow_memory", &op));
    if (!(a->value >= 1.0))
        return err_invalid_value("HVM_shadow_multiplier", "less than 1");
    return core_set(c->core, a->self, F_VM_HVM_shadow_multiplier, value_float(a->value));
}

static struct err *plain(struct call *c, const char *self, const struct field *f, struct value v)
{
    const struct row *vm = NULL;

    TRY(call_row(c, C_VM, self, &vm));
    return core_set(c->core, self, f, v);
}

static struct err *set_start_delay(struct call *c, const struct VM_set_start_delay_args *a, struct value *ret)
{
    (void)ret;
    return a->value < 0 ? vm_bad_number(c, "start_delay", a->value)
                        : plain(c, a->self, F_VM_start_delay, value_int(a->value));
}

static struct err *set_shutdown_delay(struct call *c, const struct VM_set_shutdown_delay_args *a, struct value *ret)
{
    (void)ret;
    return a->value < 0 ? vm_bad_number(c, "shutdown_delay", a->value)
                        : plain(c, a->self, F_VM_shutdown_delay, value_int(a->value));
}

static struct err *set_order(struct call *c, const struct VM_set_order_args *a, struct value *ret)
{
    (void)ret;
    return plain(c, a->self, F_VM_order, value_int(a->value));
}

static struct err *set_ha_restart_priority(
    struct call *c, const struct VM_set_ha_restart_priority_args *a, struct value *ret)
{
    (void)ret;
    if (*a->value && strcmp(a->value, "restart") != 0 && strcmp(a->value, "best-effort") != 0)
        return err_invalid_value("ha_restart_priority", a->value);
    const struct row *vm = NULL;
    TRY(call_row(c, C_VM, a->self, &vm));
    const char *power = row_str(vm, F_VM_power_state);
    bool runs = strcmp(power, "Running") == 0 || strcmp(power, "Paused") == 0;
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, a->self, F_VM_ha_restart_priority, value_str(a->value));
    if (strcmp(a->value, "restart") == 0 && runs) /* from now on it is to run always */
        tx_set(t, a->self, F_VM_ha_always_run, value_bool(true));
    return tx_commit(t);
}

static struct err *set_ha_always_run(struct call *c, const struct VM_set_ha_always_run_args *a, struct value *ret)
{
    (void)ret;
    return plain(c, a->self, F_VM_ha_always_run, value_bool(a->value));
}

static struct err *set_domain_type(struct call *c, const struct VM_set_domain_type_args *a, struct value *ret)
{
    const struct row *vm = NULL;

    (void)ret;
    TRY(call_row(c, C_VM, a->self, &vm));
    TRY(vm_assert_power_state(vm, "Halted"));
    return core_set(c->core, a->self, F_VM_domain_type, value_str(a->value));
}

static struct err *set_HVM_boot_policy(struct call *c, const struct VM_set_HVM_boot_policy_args *a, struct value *ret)
{
    const struct row *vm = NULL;

    (void)ret;
    TRY(call_row(c, C_VM, a->self, &vm));
    TRY(vm_assert_power_state(vm, "Halted"));
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, a->self, F_VM_HVM_boot_policy, value_str(a->value));
    tx_set(t, a->self, F_VM_domain_type, value_str(*a->value ? "hvm" : "pv"));
    return tx_commit(t);
}

static struct err *set_actions_after_crash(
    struct call *c, const struct VM_set_actions_after_crash_args *a, struct value *ret)
{
    const struct row *vm = NULL;

    (void)ret;
    TRY(call_row(c, C_VM, a->self, &vm));
    TRY(check_crash(vm, a->value));
    return core_set(c->core, a->self, F_VM_actions_after_crash, value_str(a->value));
}

static struct err *set_has_vendor_device(
    struct call *c, const struct VM_set_has_vendor_device_args *a, struct value *ret)
{
    const struct row *vm = NULL;

    (void)ret;
    TRY(call_row(c, C_VM, a->self, &vm));
    TRY(vm_assert_power_state(vm, "Halted"));
    return core_set(c->core, a->self, F_VM_has_vendor_device, value_bool(a->value));
}

/* Maps */

static struct err *set_blocked(struct call *c, const char *self, struct value v)
{
    TRY(plain(c, self, F_VM_blocked_operations, v));
    ops_refresh_vm(c->core, self);
    return NULL;
}

static struct err *set_blocked_operations(
    struct call *c, const struct VM_set_blocked_operations_args *a, struct value *ret)
{
    (void)ret;
    return set_blocked(c, a->self, *a->value);
}

static struct err *map_add(
    struct call *c, const char *self, const struct field *f, const char *key, const char *v, struct value *ret_map)
{
    const struct row *vm = NULL;

    TRY(call_row(c, C_VM, self, &vm));
    if (value_map_get(row_get(vm, f), key))
        return err_map_duplicate_key("VM", f->name, row_str(vm, F_VM_uuid), key);
    *ret_map = value_map_with(c->arena, row_get(vm, f), value_str(key), value_str(v));
    *ret_map = value_copy(c->arena, ret_map);
    return NULL;
}

static struct err *map_remove_key(
    struct call *c, const char *self, const struct field *f, const char *key, struct value *ret_map)
{
    const struct row *vm = NULL;

    TRY(call_row(c, C_VM, self, &vm));
    *ret_map = value_map_without(c->arena, row_get(vm, f), key);
    *ret_map = value_copy(c->arena, ret_map);
    return NULL;
}

static struct err *add_to_blocked_operations(
    struct call *c, const struct VM_add_to_blocked_operations_args *a, struct value *ret)
{
    struct value v;

    (void)ret;
    TRY(map_add(c, a->self, F_VM_blocked_operations, a->key, a->value, &v));
    return set_blocked(c, a->self, v);
}

static struct err *remove_from_blocked_operations(
    struct call *c, const struct VM_remove_from_blocked_operations_args *a, struct value *ret)
{
    struct value v;

    (void)ret;
    TRY(map_remove_key(c, a->self, F_VM_blocked_operations, a->key, &v));
    return set_blocked(c, a->self, v);
}

static struct err *set_platform(struct call *c, const struct VM_set_platform_args *a, struct value *ret)
{
    (void)ret;
    return plain(c, a->self, F_VM_platform, *a->value);
}

static struct err *add_to_platform(struct call *c, const struct VM_add_to_platform_args *a, struct value *ret)
{
    struct value v;

    (void)ret;
    TRY(map_add(c, a->self, F_VM_platform, a->key, a->value, &v));
    return core_set(c->core, a->self, F_VM_platform, v);
}

static struct err *remove_from_platform(struct call *c, const struct VM_remove_from_platform_args *a, struct value *ret)
{
    struct value v;

    (void)ret;
    TRY(map_remove_key(c, a->self, F_VM_platform, a->key, &v));
    return core_set(c->core, a->self, F_VM_platform, v);
}

static struct err *set_other_config(struct call *c, const struct VM_set_other_config_args *a, struct value *ret)
{
    (void)ret;
    return plain(c, a->self, F_VM_other_config, *a->value);
}

static struct err *add_to_other_config(struct call *c, const struct VM_add_to_other_config_args *a, struct value *ret)
{
    struct value v;

    (void)ret;
    TRY(map_add(c, a->self, F_VM_other_config, a->key, a->value, &v));
    return core_set(c->core, a->self, F_VM_other_config, v);
}

static struct err *remove_from_other_config(
    struct call *c, const struct VM_remove_from_other_config_args *a, struct value *ret)
{
    struct value v;

    (void)ret;
    TRY(map_remove_key(c, a->self, F_VM_other_config, a->key, &v));
    return core_set(c->core, a->self, F_VM_other_config, v);
}

static struct err *set_NVRAM(struct call *c, const struct VM_set_NVRAM_args *a, struct value *ret)
{
    (void)ret;
    return set_in_op(c, a->self, "changing_NVRAM", F_VM_NVRAM, *a->value);
}

static struct err *add_to_NVRAM(struct call *c, const struct VM_add_to_NVRAM_args *a, struct value *ret)
{
    struct value v;

    (void)ret;
    TRY(map_add(c, a->self, F_VM_NVRAM, a->key, a->value, &v));
    return set_in_op(c, a->self, "changing_NVRAM", F_VM_NVRAM, v);
}

static struct err *remove_from_NVRAM(struct call *c, const struct VM_remove_from_NVRAM_args *a, struct value *ret)
{
    struct value v;

    (void)ret;
    TRY(map_remove_key(c, a->self, F_VM_NVRAM, a->key, &v));
    return set_in_op(c, a->self, "changing_NVRAM", F_VM_NVRAM, v);
}

/* semantics.md 3: keys that bios_strings may hold. */
static const char *const bios_keys[] = { "bios-vendor", "bios-version", "system-manufacturer", "system-product-name",
    "system-version", "system-serial-number", "baseboard-manufacturer", "baseboard-product-name", "baseboard-version",
    "baseboard-serial-number", "baseboard-asset-tag", "baseboard-location-in-chassis", "enclosure-asset-tag" };

static struct err *check_bios_string(const char *key, const char *v)
{
    bool known = false;

    for (size_t i = 0; i < ARRAY_LEN(bios_keys); i++)
        known = known || strcmp(bios_keys[i], key) == 0;
    if (!known)
        return err_invalid_value(key, "Unknown key");
    size_t len = strlen(v);
    if (len == 0 || len > 512)
        return err_invalid_value(key, "Must have 1 to 512 characters");
    for (size_t i = 0; i < len; i++)
        if (v[i] < 0x20 || v[i] > 0x7e)
            return err_invalid_value(key, "Contains characters that are not printable");
    return NULL;
}

static struct err *set_bios_strings(struct call *c, const struct VM_set_bios_strings_args *a, struct value *ret)
{
    const struct row *vm = NULL;

    (void)ret;
    TRY(call_row(c, C_VM, a->self, &vm));
    if (row_get(vm, F_VM_bios_strings)->n)
        return err_vm_bios_strings_already_set();
    TRY(vm_assert_power_state(vm, "Halted"));
    for (size_t i = 0; i < a->value->n; i++)
        TRY(check_bios_string(a->value->items[2 * i].s, a->value->items[2 * i + 1].s));
    return core_set(c->core, a->self, F_VM_bios_strings, *a->value);
}

static struct err *copy_bios_strings(struct call *c, const struct VM_copy_bios_strings_args *a, struct value *ret)
{
    const struct row *vm = NULL, *host = NULL;

    (void)ret;
    TRY(call_row(c, C_VM, a->vm, &vm));
    TRY(call_row(c, C_host, a->host, &host));
    if (row_get(vm, F_VM_bios_strings)->n)
        return err_vm_bios_strings_already_set();
    TRY(vm_assert_power_state(vm, "Halted"));
    struct value strings = value_copy(c->arena, row_get(host, F_host_bios_strings));
    return core_set(c->core, a->vm, F_VM_bios_strings, strings);
}

void vm_params_register(struct api_handlers *h)
{
    h->VM_set_HVM_shadow_multiplier = set_HVM_shadow_multiplier;
    h->VM_set_start_delay = set_start_delay;
    h->VM_set_shutdown_delay = set_shutdown_delay;
    h->VM_set_order = set_order;
    h->VM_set_ha_restart_priority = set_ha_restart_priority;
    h->VM_set_ha_always_run = set_ha_always_run;
    h->VM_set_domain_type = set_domain_type;
    h->VM_set_HVM_boot_policy = set_HVM_boot_policy;
    h->VM_set_actions_after_crash = set_actions_after_crash;
    h->VM_set_has_vendor_device = set_has_vendor_device;
    h->VM_set_blocked_operations = set_blocked_operations;
    h->VM_add_to_blocked_operations = add_to_blocked_operations;
    h->VM_remove_from_blocked_operations = remove_from_blocked_operations;
    h->VM_set_platform = set_platform;
    h->VM_add_to_platform = add_to_platform;
    h->VM_remove_from_platform = remove_from_platform;
    h->VM_set_other_config = set_other_config;
    h->VM_add_to_other_config = add_to_other_config;
    h->VM_remove_from_other_config = remove_from_other_config;
    h->VM_set_NVRAM = set_NVRAM;
    h->VM_add_to_NVRAM = add_to_NVRAM;
    h->VM_remove_from_NVRAM = remove_from_NVRAM;
    h->VM_set_bios_strings = set_bios_strings;
    h->VM_copy_bios_strings = copy_bios_strings;
}
