/* Which operation a VM admits, as semantics.md 1.2 to 1.4 tell it: tables, then the checks in their order. */
#include <string.h>
#include "base/map.h"
#include "core/ops.h"
#include "core/vm.h"

enum {
    HALTED = 1,
    PAUSED = 2,
    SUSPENDED = 4,
    RUNNING = 8,
    ANY = 15,
};

static const struct {
    unsigned bit;
    const char *state, *lower;
} states[] = {
    { HALTED, "Halted", "halted" },
    { PAUSED, "Paused", "paused" },
    { SUSPENDED, "Suspended", "suspended" },
    { RUNNING, "Running", "running" },
};

enum {
    ON_TEMPLATE = 1,     /* also on templates that are no snapshots */
    ON_OWN_TEMPLATE = 2, /* unless it is a default template */
    ON_SNAPSHOT = 4,
    ON_DOM0 = 8,    /* control domain */
    UNCHECKED = 16, /* never listed: answers by itself */
};

static const struct vm_op {
    const char *name;
    unsigned states;
    unsigned flags;
} table[] = {
    { "start", HALTED, ON_DOM0 },
    { "start_on", HALTED, ON_DOM0 },
    { "provision", HALTED, ON_TEMPLATE },
    { "make_into_template", HALTED, 0 },
    { "changing_shadow_memory", HALTED, ON_TEMPLATE },
    { "changing_NVRAM", HALTED, ON_TEMPLATE },
    { "create_vtpm", HALTED, 0 },
    { "changing_VCPUs", HALTED, ON_TEMPLATE },
    { "changing_static_range", HALTED, ON_TEMPLATE | ON_DOM0 },
    { "changing_memory_limits", HALTED, ON_TEMPLATE | ON_DOM0 },
    { "changing_dynamic_range", HALTED | RUNNING, ON_TEMPLATE | ON_DOM0 },
    { "unpause", PAUSED, 0 },
    { "resume", SUSPENDED, 0 },
    { "resume_on", SUSPENDED, 0 },
    { "csvm", SUSPENDED, 0 },
    { "pause", RUNNING, 0 },
    { "suspend", RUNNING, 0 },
    { "clean_shutdown", RUNNING, 0 },
    { "clean_reboot", RUNNING, 0 },
    { "pool_migrate", RUNNING, 0 },
    { "snapshot_with_quiesce", RUNNING, 0 },
    { "changing_memory_live", RUNNING, ON_DOM0 },
    { "changing_shadow_memory_live", RUNNING, 0 },
    { "changing_VCPUs_live", RUNNING, ON_DOM0 },
    { "awaiting_memory_live", RUNNING, ON_DOM0 },
    { "call_plugin", RUNNING, 0 },
    { "data_source_op", RUNNING, ON_DOM0 },
    { "send_sysrq", RUNNING, 0 },
    { "send_trigger", RUNNING, 0 },
    { "sysprep", RUNNING, 0 },
    { "clone", HALTED, ON_TEMPLATE | ON_SNAPSHOT },
    { "copy", HALTED, ON_TEMPLATE | ON_SNAPSHOT },
    { "create_template", HALTED | SUSPENDED, 0 },
    { "destroy", HALTED | SUSPENDED, ON_TEMPLATE | ON_OWN_TEMPLATE | ON_SNAPSHOT },
    { "export", HALTED | SUSPENDED, ON_TEMPLATE | ON_SNAPSHOT },
    { "hard_reboot", PAUSED | RUNNING, 0 },
    { "checkpoint", PAUSED | SUSPENDED | RUNNING, 0 },
    { "get_boot_record", PAUSED | SUSPENDED | RUNNING, 0 },
    { "shutdown", PAUSED | SUSPENDED | RUNNING, 0 },
    { "hard_shutdown", PAUSED | SUSPENDED | RUNNING, ON_SNAPSHOT },
    { "migrate_send", HALTED | SUSPENDED | RUNNING, ON_TEMPLATE | ON_OWN_TEMPLATE },
    { "snapshot", ANY, 0 },
    { "revert", ANY, ON_SNAPSHOT },
    { "reverting", ANY, 0 },
    { "metadata_export", ANY, ON_TEMPLATE | ON_SNAPSHOT | ON_DOM0 },
    { "power_state_reset", ANY, 0 },
    { "update_allowed_operations", ANY, UNCHECKED },
    { "assert_operation_valid", ANY, UNCHECKED },
    { "query_services", ANY, 0 },
};

static const struct vm_op *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

static struct err *bad_power_state(const struct row *vm, unsigned expected)
{
    char want[64] = "";
    const char *actual = "";
    size_t len = 0;

    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        if (strcmp(states[i].state, row_str(vm, F_VM_power_state)) == 0)
            actual = states[i].lower;
        if (expected & states[i].bit)
            len += (size_t)snprintf(want + len, sizeof(want) - len, "%s%s", len ? ", " : "", states[i].lower);
    }
    return err_vm_bad_power_state(row_ref(vm), want, actual);
}

static unsigned state_bit(const struct row *vm)
{
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        if (strcmp(states[i].state, row_str(vm, F_VM_power_state)) == 0)
            return states[i].bit;
    return HALTED;
}

static unsigned admitted_states(struct core *c, const struct row *vm, const struct vm_op *op)
{
    bool copying = strcmp(op->name, "clone") == 0 || strcmp(op->name, "copy") == 0;
    const struct row *pool = core_pool_row(c);
    bool changing = strcmp(op->name, "changing_VCPUs") == 0 || strcmp(op->name, "changing_static_range") == 0 ||
        strcmp(op->name, "changing_memory_limits") == 0;

    if (copying &&
        (row_bool(vm, F_VM_is_a_snapshot) ||
            (pool && strcmp(row_map_str(pool, F_pool_other_config, "allow_clone_suspended_vm"), "true") == 0)))
        return op->states | SUSPENDED;
    if (changing && row_bool(vm, F_VM_is_control_domain))
        return op->states | RUNNING;
    return op->states;
}

/* 1.4: what may go on beside what. */
static bool is_in(const char *op, const char *const *group)
{
    for (; *group; group++)
        if (strcmp(op, *group) == 0)
            return true;
    return false;
}

static bool all_in(const struct value *current, const char *op, const char *const *group)
{
    if (!is_in(op, group))
        return false;
    for (size_t i = 0; i < current->n; i++)
        if (!is_in(current->items[2 * i + 1].s, group))
            return false;
    return true;
}

static bool none_of(const struct value *current, const char *const *group)
{
    for (size_t i = 0; i < current->n; i++)
        if (is_in(current->items[2 * i + 1].s, group))
            return false;
    return true;
}

static bool concurrent(const struct value *current, const char *op)
{
    static const char *const copies[] = { "clone", "copy", "export", NULL };
    static const char *const snapshots[] = { "snapshot", "checkpoint", NULL };
    static const char *const records[] = { "get_boot_record", NULL };
    static const char *const hard_shutdown[] = { "hard_shutdown", NULL };
    static const char *const hard[] = { "hard_shutdown", "hard_reboot", NULL };
    static const char *const send[] = { "migrate_send", NULL };
    static const char *const beside_send[] = { "metadata_export", "clean_shutdown", "clean_reboot", NULL };

    if (current->n == 0 || all_in(current, op, copies) || all_in(current, op, snapshots) ||
        all_in(current, op, records))
        return true;
    if (strcmp(op, "hard_shutdown") == 0)
        return none_of(current, hard_shutdown);
    if (strcmp(op, "hard_reboot") == 0)
        return none_of(current, hard);
    return current->n == 1 && is_in(current->items[1].s, send) && is_in(op, beside_send);
}

static bool map_true(const struct row *vm, const struct field *map, const char *key)
{
    const char *v = row_map_str(vm, map, key);

    return strcmp(v, "true") == 0 || strcmp(v, "1") == 0;
}

static struct err *check_kind(const struct row *vm, const struct vm_op *op)
{
    bool snapshot = row_bool(vm, F_VM_is_a_snapshot), template = row_bool(vm, F_VM_is_a_template);
    bool ok;

    if (template && !snapshot) {
        ok = op->flags & (ON_TEMPLATE | UNCHECKED);
        if ((op->flags & ON_OWN_TEMPLATE) && row_bool(vm, F_VM_is_default_template))
            ok = false;
        if (!ok)
            return err_new("VM_IS_TEMPLATE", (const char *[]){ row_ref(vm), op->name }, 2);
    }
    if (snapshot && !(op->flags & (ON_SNAPSHOT | UNCHECKED)))
        return err_new("VM_IS_SNAPSHOT", (const char *[]){ row_ref(vm), op->name }, 2);
    if (strcmp(op->name, "provision") == 0 && !template)
        return err_provision_only_allowed_on_template();
    if (strcmp(op->name, "revert") == 0 && !snapshot)
        return err_revert_only_allowed_on_snapshot();
    return NULL;
}

static struct err *check_moving(const struct row *vm, const char *op)
{
    static const char *const moving[] = { "suspend", "checkpoint", "pool_migrate", "migrate_send", NULL };

    if (is_in(op, moving) && (map_true(vm, F_VM_platform, "nomigrate") || map_true(vm, F_VM_platform, "nested-virt")))
        return err_vm_is_immobile(row_ref(vm));
    if (strcmp(op, "changing_dynamic_range") == 0 && map_true(vm, F_VM_platform, "nested-virt"))
        return err_vm_is_using_nested_virt(row_ref(vm));
    return NULL;
}

static struct err *check_dom0(const struct row *vm, const struct vm_op *op)
{
    if (!row_bool(vm, F_VM_is_control_domain))
        return NULL;
    if (strcmp(op->name, "changing_VCPUs") == 0 || strcmp(op->name, "destroy") == 0)
        return err_operation_not_allowed("This operation is not allowed on the control domain");
    if (!(op->flags & (ON_DOM0 | UNCHECKED)))
        return err_operation_not_allowed("This operation is not allowed on a control domain");
    return NULL;
}

static struct err *check_belongings(const struct row *vm, const char *op)
{
    const struct {
        const struct field *f;
        const char *code;
    } owners[] = {
        { F_VM_appliance, "VM_IS_PART_OF_AN_APPLIANCE" },
        { F_VM_protection_policy, "VM_ASSIGNED_TO_PROTECTION_POLICY" },
        { F_VM_snapshot_schedule, "VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE" },
    };

    if (strcmp(op, "make_into_template") == 0)
        for (size_t i = 0; i < ARRAY_LEN(owners); i++)
            if (!ref_is_null(row_str(vm, owners[i].f)))
                return err_new(owners[i].code, (const char *[]){ row_ref(vm), row_str(vm, owners[i].f) }, 2);
    if (strcmp(op, "query_services") == 0 && !*row_map_str(vm, F_VM_other_config, "is_system_domain"))
        return err_not_system_domain(row_ref(vm));
    if (strcmp(op, "create_vtpm") == 0 && row_n_related(vm, F_VM_VTPMs) > 0)
        return err_vtpm_max_amount_reached("1");
    return NULL;
}

static struct err *check(struct core *c, const struct row *vm, const char *name)
{
    const struct vm_op *op = find(name);
    const struct value *blocked = row_get(vm, F_VM_blocked_operations);
    const struct value *current = row_get(vm, F_VM_current_operations);

    if (!op)
        return err_operation_not_allowed(name);
    if (value_map_get(blocked, name))
        return err_operation_blocked(row_ref(vm), value_map_str(blocked, name));
    unsigned want = admitted_states(c, vm, op);
    if (!(want & state_bit(vm)))
        return bad_power_state(vm, want);
    if (!concurrent(current, name))
        return ops_conflict(&vm_ops, vm);
    TRY(check_kind(vm, op));
    TRY(check_moving(vm, name));
    TRY(check_dom0(vm, op));
    if (strcmp(name, "snapshot_with_quiesce") == 0)
        return err_new("VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED", (const char *[]){ row_ref(vm) }, 1);
    TRY(check_belongings(vm, name));
    static const char *const sizes[] = { "changing_dynamic_range", "changing_static_range", "changing_memory_limits",
        "changing_memory_live", "awaiting_memory_live", "changing_VCPUs_live", NULL };
    if (is_in(name, sizes) && state_bit(vm) == RUNNING && row_bool(vm, F_VM_is_control_domain))
        return err_not_implemented("changing the size of the control domain");
    return NULL;
}

struct err *vm_assert_at_rest(const struct row *vm)
{
    return state_bit(vm) & (HALTED | SUSPENDED) ? NULL : bad_power_state(vm, HALTED | SUSPENDED);
}

struct err *vm_assert_power_state(const struct row *vm, const char *expected)
{
    if (strcmp(row_str(vm, F_VM_power_state), expected) == 0)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(states); i++)
        if (strcmp(states[i].state, expected) == 0)
            return bad_power_state(vm, states[i].bit);
    return err_internal("no power state %s", expected);
}

/* Only what is built is listed. */
static const char *const listed[] = { "start", "start_on", "provision", "make_into_template", "changing_static_range",
    "changing_shadow_memory", "changing_dynamic_range", "changing_NVRAM", "unpause", "pause", "suspend", "resume",
    "resume_on", "pool_migrate", "clean_shutdown", "clean_reboot", "clone", "copy", "destroy", "hard_reboot",
    "hard_shutdown", "create_vtpm", "changing_VCPUs_live", NULL };

const struct op_class vm_ops = { .cls = C_VM,
    .allowed = F_VM_allowed_operations,
    .current = F_VM_current_operations,
    .listed = listed,
    .check = check };
