#include <string.h>
#include "core/implicit.h"
#include "core/ops.h"
#include "core/task.h"
#include "core/vdi.h"
#include "core/vm.h"
#include "gen/ipc_host.h"

/* VBD: a disk in a VM (semantics.md 4). */

#define UNPLUG_MS (60UL * 1000)

static bool is_plugging(const char *op)
{
    return strcmp(op, "plug") == 0 || strcmp(op, "unplug") == 0 || strcmp(op, "unplug_force") == 0;
}

static bool live(const struct row *vbd, struct store *s)
{
    const struct row *vm = row_follow(s, vbd, F_VBD_VM);

    return row_bool(vbd, F_VBD_currently_attached) && vm && strcmp(row_str(vm, F_VM_power_state), "Suspended") != 0;
}

/* A disk that somebody else writes, or that we would write beside others; then one that may not be written. */
static struct err *check_sharing(struct core *c, const struct row *vbd, const struct row *vdi)
{
    bool rw = strcmp(row_str(vbd, F_VBD_mode), "RW") == 0, sharable = row_bool(vdi, F_VDI_sharable);

    for (size_t i = 0; i < row_n_related(vdi, F_VDI_VBDs) && !sharable; i++) {
        const struct row *other = row_related(vdi, F_VDI_VBDs, i);
        if (other == vbd || !live(other, c->store))
            continue;
        if (rw || strcmp(row_str(other, F_VBD_mode), "RW") == 0)
            return err_new("VDI_IN_USE", (const char *[]){ row_ref(vdi) }, 1);
    }
    return rw && row_bool(vdi, F_VDI_read_only) ? err_vdi_readonly(row_ref(vdi)) : NULL;
}

/* vdi: the disk in the device, or the one that is to be inserted. */
static struct err *check_medium(struct core *c, const struct row *vbd, const struct row *vdi, const char *op)
{
    const struct value *busy = vdi ? row_get(vdi, F_VDI_current_operations) : NULL;

    if (!vdi)
        return NULL;
    if (!row_bool(vdi, F_VDI_managed))
        return err_vdi_not_managed(row_ref(vbd));
    if (strcmp(op, "attach") != 0 && strcmp(op, "plug") != 0 && strcmp(op, "insert") != 0)
        return NULL;
    for (size_t i = 0; i < busy->n; i++)
        if (strcmp(busy->items[2 * i + 1].s, "copy") != 0 && strcmp(busy->items[2 * i + 1].s, "mirror") != 0)
            return err_other_operation_in_progress("VDI", row_ref(vdi), busy->items[2 * i + 1].s, busy->items[2 * i].s);
    return check_sharing(c, vbd, vdi);
}

static struct err *check_power(const struct row *vbd, const struct row *vm, const char *op)
{
    const char *power = row_str(vm, F_VM_power_state);
    bool attached = row_bool(vbd, F_VBD_currently_attached), cd = strcmp(row_str(vbd, F_VBD_type), "CD") == 0;

    if (strcmp(power, "Running") == 0) {
        if (strcmp(op, "plug") == 0 && attached)
            return err_device_already_attached(row_ref(vbd));
        if (is_plugging(op) && strcmp(op, "plug") != 0 && !attached)
            return err_device_already_detached(row_ref(vbd));
        int64_t position = 0;
        if (is_plugging(op) && !cd && vbd_position(row_str(vbd, F_VBD_userdevice), &position) &&
            vm_disk_is_ide(vm, position))
            return err_vm_missing_pv_drivers(row_ref(vm)); /* an IDE disk stays */
        if (is_plugging(op) && cd)
            return err_operation_not_allowed("CD drives of a running VM cannot be plugged or unplugged");
    } else if (is_plugging(op)) {
        return err_vm_bad_power_state(row_ref(vm), "running",
            strcmp(power, "Halted") == 0       ? "halted"
                : strcmp(power, "Paused") == 0 ? "paused"
                                               : "suspended");
    }
    if (strcmp(power, "Suspended") == 0 && (strcmp(op, "insert") == 0 || strcmp(op, "eject") == 0))
        return err_vm_bad_power_state(row_ref(vm), "halted, running", "suspended");
    const struct value *current = row_get(vm, F_VM_current_operations);
    bool polite = strcmp(op, "plug") == 0 || strcmp(op, "unplug") == 0; /* unplug_force is not */
    for (size_t i = 0; i < current->n && polite; i++) {
        const char *name = current->items[2 * i + 1].s;
        if (strcmp(name, "clean_shutdown") == 0 || strcmp(name, "hard_shutdown") == 0 || strcmp(name, "suspend") == 0 ||
            strcmp(name, "pause") == 0)
            return err_operation_not_allowed("The VM is being shut down, suspended or paused");
    }
    return NULL;
}

static struct err *check(struct core *c, const struct row *vbd, const char *op)
{
    const struct row *vm = row_follow(c->store, vbd, F_VBD_VM);
    bool empty = row_bool(vbd, F_VBD_empty), cd = strcmp(row_str(vbd, F_VBD_type), "CD") == 0;

    const struct row *vdi = row_follow(c->store, vbd, F_VBD_VDI);

    if (strcmp(op, "pause") == 0 || strcmp(op, "unpause") == 0) /* no driver can */
        return err_sr_operation_not_supported(vdi ? row_str(vdi, F_VDI_SR) : REF_NULL);
    TRY(ops_conflict(&vbd_ops, vbd));
    if (!vm)
        return err_handle_invalid("VM", row_str(vbd, F_VBD_VM));
    if ((strcmp(op, "unplug") == 0 || strcmp(op, "unplug_force") == 0) && !row_bool(vbd, F_VBD_unpluggable))
        return err_vbd_not_unpluggable(row_ref(vbd));
    if (strcmp(op, "insert") == 0 || strcmp(op, "eject") == 0) {
        if (!cd)
            return err_vbd_not_removable_media(row_ref(vbd));
        if (strcmp(op, "eject") == 0 && empty)
            return err_vbd_is_empty(row_ref(vbd));
        if (strcmp(op, "insert") == 0 && !empty)
            return err_vbd_not_empty(row_ref(vbd));
    }
    TRY(check_power(vbd, vm, op));
    if ((strcmp(op, "plug") == 0 || strcmp(op, "attach") == 0) && !cd && strcmp(row_str(vbd, F_VBD_mode), "RO") == 0 &&
        strcmp(row_str(vm, F_VM_domain_type), "hvm") == 0)
        return err_disk_vbd_must_be_readwrite_for_hvm(row_ref(vbd));
    return check_medium(c, vbd, vdi, op);
}

static const char *const listed[] = { "attach", "eject", "insert", "plug", "unplug", "unplug_force", NULL };
const struct op_class vbd_ops = { .cls = C_VBD,
    .allowed = F_VBD_allowed_operations,
    .current = F_VBD_current_operations,
    .listed = listed,
    .check = check };

/* Create and destroy */

static bool may_be_in_vm(const char *type)
{
    static const char *const types[] = { "system", "user", "ephemeral", "suspend", "crashdump", "metadata", "rrd",
        "pvs_cache" };

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (strcmp(types[i], type) == 0)
            return true;
    return false;
}

/* The number of a new device: the one asked for, or the first free one. */
static struct err *choose_device(struct call *c, const struct row *vm, const char *userdevice, const char **ret)
{
    bool used[256] = { false };
    int64_t position = -1, other = -1;
    bool any = strcmp(userdevice, "autodetect") == 0;

    if (!any && !vbd_position(userdevice, &position))
        return err_invalid_device(userdevice);
    if (position > 254 && !row_bool(vm, F_VM_is_control_domain))
        return err_invalid_device(userdevice);
    for (size_t i = 0; i < row_n_related(vm, F_VM_VBDs); i++)
        if (vbd_position(row_str(row_related(vm, F_VM_VBDs, i), F_VBD_userdevice), &other))
            used[other] = true;
    for (int64_t i = 0; any && i < 255 && position < 0; i++)
        if (!used[i])
            position = i;
    if (position < 0 || used[position])
        return err_device_already_exists(userdevice);
    *ret = any ? arena_printf(c->arena, "%lld", (long long)position) : userdevice;
    return NULL;
}

static struct err *check_new_medium(struct call *c, const struct value *record)
{
    const struct value *empty = value_map_get(record, "empty");
    bool is_empty = empty && empty->b, cd = strcmp(value_map_str(record, "type"), "CD") == 0;
    const struct row *vdi = NULL;

    if (!is_empty) {
        TRY(call_row(c, C_VDI, value_map_str(record, "VDI"), &vdi));
        if (!may_be_in_vm(row_str(vdi, F_VDI_type)))
            return err_vdi_incompatible_type(row_ref(vdi), row_str(vdi, F_VDI_type));
    }
    if (cd && strcmp(value_map_str(record, "mode"), "RW") == 0)
        return err_vbd_cds_must_be_readonly();
    if (is_empty && !cd)
        return err_vbd_not_removable_media("in constructor");
    if (!is_empty && strcmp(value_map_str(record, "mode"), "RW") == 0 && row_bool(vdi, F_VDI_read_only))
        return err_vdi_readonly(row_ref(vdi));
    return NULL;
}

static struct err *create(struct call *c, struct value *record, const char **ret_ref)
{
    const struct row *vm = NULL;
    const char *device = NULL;

    TRY(call_row(c, C_VM, value_map_str(record, "VM"), &vm));
    TRY(check_new_medium(c, record));
    const struct value *current = row_get(vm, F_VM_current_operations);
    for (size_t i = 0; i < current->n; i++)
        if (strcmp(current->items[2 * i + 1].s, "pool_migrate") == 0 ||
            strcmp(current->items[2 * i + 1].s, "migrate_send") == 0)
            return ops_conflict(&vm_ops, vm);
    if (strcmp(value_map_str(record, "type"), "Floppy") == 0)
        return err_not_implemented("VBDs of type Floppy");
    TRY(choose_device(c, vm, value_map_str(record, "userdevice"), &device));

    struct tx_field *fields = arena_new_array(c->arena, (size_t)record->n + 4, struct tx_field);
    bool suspended = strcmp(row_str(vm, F_VM_power_state), "Suspended") == 0;
    size_t n = 0;
    for (size_t i = 0; i < record->n; i++) {
        const struct field *f = model_field_find(C_VBD, record->items[2 * i].s);
        if (f && f->relation != REL_DERIVED && f != F_VBD_userdevice && (f != F_VBD_currently_attached || suspended))
            fields[n++] = (struct tx_field){ f, record->items[2 * i + 1] };
    }
    fields[n++] = (struct tx_field){ F_VBD_userdevice, value_str(device) };
    const struct value *empty = value_map_get(record, "empty");
    const char *vdi_ref = empty && empty->b ? "" : arena_strdup(c->arena, value_map_str(record, "VDI"));
    if (empty && empty->b)
        fields[n++] = (struct tx_field){ F_VBD_VDI, value_str(REF_NULL) };
    struct tx *t = tx_begin(c->core->store);
    const char *ref = arena_strdup(c->arena, tx_create(t, C_VBD, NULL, fields, n));
    TRY(tx_commit(t));
    ops_refresh(c->core, &vbd_ops, ref);
    ops_refresh(c->core, &vdi_ops, vdi_ref);
    *ret_ref = ref;
    return NULL;
}

static struct err *destroy(struct call *c, const char *ref, bool *ret_done)
{
    const struct row *vbd = NULL;

    (void)ret_done;
    TRY(call_row(c, C_VBD, ref, &vbd));
    TRY(ops_conflict(&vbd_ops, vbd));
    if (row_bool(vbd, F_VBD_currently_attached))
        return err_operation_not_allowed(arena_printf(
            c->arena, "VBD '%s' still attached to '%s'", row_str(vbd, F_VBD_uuid), row_str(vbd, F_VBD_VM)));
    return NULL;
}

static struct err *set(struct call *c, const struct row *vbd, const struct field *f, struct value *v, bool *ret_done)
{
    if (f == F_VBD_unpluggable || f == F_VBD_type) { /* what may be done follows */
        const char *ref = arena_strdup(c->arena, row_ref(vbd));

        *ret_done = true;
        TRY(core_set(c->core, ref, f, *v));
        ops_refresh(c->core, &vbd_ops, ref);
        return NULL;
    }
    if (f == F_VBD_userdevice) {
        const struct row *vm = row_follow(c->core->store, vbd, F_VBD_VM);
        int64_t mine = -1, wanted = -1;
        if (!vbd_position(v->s, &wanted))
            return err_invalid_device(v->s);
        vbd_position(row_str(vbd, F_VBD_userdevice), &mine);
        if (vm && mine != wanted)
            return choose_device(c, vm, v->s, &v->s);
    }
    return NULL;
}

/* Plug and media */

static struct err *running_vm(
    struct call *c, const char *vbd_ref, const struct row **ret_vbd, const char **ret_uuid, bool *ret_running)
{
    TRY(call_row(c, C_VBD, vbd_ref, ret_vbd));
    const struct row *vm = row_follow(c->core->store, *ret_vbd, F_VBD_VM);
    if (!vm)
        return err_handle_invalid("VM", row_str(*ret_vbd, F_VBD_VM));
    *ret_uuid = arena_strdup(c->arena, row_str(vm, F_VM_uuid));
    *ret_running =
        strcmp(row_str(vm, F_VM_power_state), "Running") == 0 || strcmp(row_str(vm, F_VM_power_state), "Paused") == 0;
    return NULL;
}

static void refresh_vbd(struct call *c, const char *ref)
{
    const struct row *vbd = store_find_of(c->core->store, C_VBD, ref);

    ops_refresh(c->core, &vbd_ops, ref);
    if (vbd)
        ops_refresh(c->core, &vdi_ops, arena_strdup(c->arena, row_str(vbd, F_VBD_VDI)));
}

static struct err *vbd_plug(struct call *c, const struct VBD_plug_args *a, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *vbd = NULL;
    struct ipc_peer *host = NULL;
    const char *vm = NULL;
    bool running = false;
    struct host_disk_plug_req req = { 0 };

    (void)ret;
    TRY(op_begin(c, &vbd_ops, a->self, "plug", &op));
    TRY(core_need_host(c->core, &host));
    TRY(running_vm(c, a->self, &vbd, &vm, &running));
    req.vm = vm;
    TRY(vm_plan_disk(c, vbd, &req.disk));
    TRY(host_disk_plug(host, c->arena, &req));
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, a->self, F_VBD_currently_attached, value_bool(true));
    tx_set(t, a->self, F_VBD_device, value_str(req.disk.device));
    TRY(tx_commit(t));
    op_end(&op);
    refresh_vbd(c, a->self);
    return NULL;
}

static struct err *unplug(struct call *c, const char *self, const char *op_name, bool force)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *vbd = NULL;
    struct ipc_peer *host = NULL;
    const char *vm = NULL;
    bool running = false;

    TRY(op_begin(c, &vbd_ops, self, op_name, &op));
    TRY(core_need_host(c->core, &host));
    TRY(running_vm(c, self, &vbd, &vm, &running));
    TRY(host_disk_unplug(host, c->arena,
        &(struct host_disk_unplug_req){ .vm = vm, .vbd = self, .force = force, .timeout_ms = UNPLUG_MS }));
    TRY(core_set(c->core, self, F_VBD_currently_attached, value_bool(false)));
    op_end(&op);
    refresh_vbd(c, self);
    return NULL;
}

static struct err *vbd_unplug(struct call *c, const struct VBD_unplug_args *a, struct value *ret)
{
    (void)ret;
    return unplug(c, a->self, "unplug", false);
}

static struct err *vbd_unplug_force(struct call *c, const struct VBD_unplug_force_args *a, struct value *ret)
{
    (void)ret;
    return unplug(c, a->self, "unplug_force", true);
}

/* vdi NULL: eject. */
static struct err *change_medium(struct call *c, const char *self, const char *op_name, const char *vdi)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *vbd = NULL, *row = NULL;
    struct ipc_peer *host = NULL;
    const char *vm = NULL;
    bool running = false;
    struct host_media_req req = { 0 };

    TRY(op_begin(c, &vbd_ops, self, op_name, &op));
    TRY(running_vm(c, self, &vbd, &vm, &running));
    if (vdi) {
        TRY(call_row(c, C_VDI, vdi, &row));
        TRY(check_medium(c->core, vbd, row, op_name));
    }
    const char *old = arena_strdup(c->arena, row_str(vbd, F_VBD_VDI));
    if (running) {
        TRY(core_need_host(c->core, &host));
        TRY(running_vm(c, self, &vbd, &vm, &running));
        req.vm = vm;
        TRY(vm_plan_disk(c, vbd, &req.disk));
        req.disk.sr = req.disk.vdi = "";
        row = vdi ? store_find_of(c->core->store, C_VDI, vdi) : NULL;
        const struct row *sr = row ? row_follow(c->core->store, row, F_VDI_SR) : NULL;
        if (sr) {
            req.disk.sr = arena_strdup(c->arena, row_str(sr, F_SR_uuid));
            req.disk.vdi = arena_strdup(c->arena, row_str(row, F_VDI_uuid));
        }
        TRY(host_media(host, c->arena, &req));
    }
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, self, F_VBD_VDI, value_str(vdi ? vdi : REF_NULL));
    tx_set(t, self, F_VBD_empty, value_bool(!vdi));
    TRY(tx_commit(t));
    op_end(&op);
    refresh_vbd(c, self);
    ops_refresh(c->core, &vdi_ops, old);
    return NULL;
}

static struct err *vbd_insert(struct call *c, const struct VBD_insert_args *a, struct value *ret)
{
    (void)ret;
    return change_medium(c, a->vbd, "insert", a->vdi);
}

static struct err *vbd_eject(struct call *c, const struct VBD_eject_args *a, struct value *ret)
{
    (void)ret;
    return change_medium(c, a->vbd, "eject", NULL);
}

static struct err *vbd_pause(struct call *c, const struct VBD_pause_args *a, struct value *ret)
{
    const struct row *vbd = NULL;

    (void)ret;
    TRY(call_row(c, C_VBD, a->self, &vbd));
    return check(c->core, vbd, "pause");
}

static struct err *vbd_unpause(struct call *c, const struct VBD_unpause_args *a, struct value *ret)
{
    const struct row *vbd = NULL;

    (void)ret;
    TRY(call_row(c, C_VBD, a->self, &vbd));
    return check(c->core, vbd, "unpause");
}

static struct err *vbd_assert_attachable(struct call *c, const struct VBD_assert_attachable_args *a, struct value *ret)
{
    const struct row *vbd = NULL;

    (void)ret;
    TRY(call_row(c, C_VBD, a->self, &vbd));
    return check(c->core, vbd, "attach");
}

static struct err *vbd_set_mode(struct call *c, const struct VBD_set_mode_args *a, struct value *ret)
{
    const struct row *vbd = NULL;

    (void)ret;
    TRY(call_row(c, C_VBD, a->self, &vbd));
    const struct row *vm = row_follow(c->core->store, vbd, F_VBD_VM);
    if (vm)
        TRY(vm_assert_power_state(vm, "Halted"));
    if (row_bool(vbd, F_VBD_currently_attached))
        return err_device_already_attached(a->self);
    const struct row *vdi = row_follow(c->core->store, vbd, F_VBD_VDI);
    if (strcmp(a->value, "RW") == 0 && strcmp(row_str(vbd, F_VBD_type), "CD") == 0)
        return err_vbd_cds_must_be_readonly();
    if (strcmp(a->value, "RW") == 0 && vdi && row_bool(vdi, F_VDI_read_only))
        return err_vdi_readonly(row_ref(vdi));
    TRY(core_set(c->core, a->self, F_VBD_mode, value_str(a->value)));
    refresh_vbd(c, a->self);
    return NULL;
}

static const struct class_hooks hooks = { .create = create, .destroy = destroy, .set = set };

void vbd_register(struct api_handlers *h)
{
    class_hooks_set(C_VBD, &hooks);
    h->VBD_plug = vbd_plug;
    h->VBD_unplug = vbd_unplug;
    h->VBD_unplug_force = vbd_unplug_force;
    h->VBD_insert = vbd_insert;
    h->VBD_eject = vbd_eject;
    h->VBD_pause = vbd_pause;
    h->VBD_unpause = vbd_unpause;
    h->VBD_assert_attachable = vbd_assert_attachable;
    h->VBD_set_mode = vbd_set_mode;
}
