/* VM: clone, copy and provision (semantics.md 2 and 20). */
#include <expat.h>
#include <string.h>
#include "base/mem.h"
#include "base/uuid.h"
#include "base/vec.h"
#include "core/generation.h"
#include "core/message.h"
#include "core/task.h"
#include "core/vdi.h"
#include "core/vm.h"
#include "core/vtpm.h"

/* Disks made on the way, removed again unless the whole succeeds. */
struct made {
    struct call *c;
    VEC(const char *) vdis;
};

static void undo(struct made *m)
{
    bool interrupted = fiber_interrupted();

    fiber_interrupt_clear();
    for (size_t i = m->vdis.len; i-- > 0;)
        err_ignore(vdi_remove(m->c, m->vdis.p[i]), "the operation's own error is the one to tell");
    m->vdis.len = 0;
    if (interrupted)
        fiber_interrupt(fiber_self());
}

static void made_done(struct made *m)
{
    undo(m);
    vec_done(&m->vdis);
}

/* The fields of the new record */

static bool is_reset(const struct field *f)
{
    const struct field *const reset[] = { F_VM_uuid, F_VM_appliance, F_VM_snapshot_schedule, F_VM_protection_policy,
        F_VM_blocked_operations, F_VM_ha_always_run, F_VM_start_delay, F_VM_shutdown_delay, F_VM_order, F_VM_suspend_SR,
        F_VM_version, F_VM_blobs, F_VM_current_operations, F_VM_allowed_operations, F_VM_resident_on,
        F_VM_scheduled_to_be_resident_on, F_VM_domid, F_VM_metrics, F_VM_guest_metrics, F_VM_is_a_snapshot,
        F_VM_snapshot_of, F_VM_snapshot_time, F_VM_parent, F_VM_is_default_template, F_VM_suspend_VDI, F_VM_power_state,
        F_VM_snapshot_info, F_VM_snapshot_metadata, F_VM_transportable_snapshot_id, F_VM_is_vmss_snapshot,
        F_VM_is_snapshot_from_vmpp, F_VM_generation_id, F_VM_requires_reboot, F_VM_name_label, F_VM_other_config,
        F_VM_pending_guidances, F_VM_pending_guidances_recommended, F_VM_pending_guidances_full };

    for (size_t i = 0; i < ARRAY_LEN(reset); i++)
        if (reset[i] == f)
            return true;
    return f->relation == REL_DERIVED;
}

static struct value new_other_config(struct call *c, const struct row *vm)
{
    struct value v = value_copy(c->arena, row_get(vm, F_VM_other_config));
    char seed[UUID_LEN + 1];

    uuid_make(seed);
    v = value_map_without(c->arena, &v, "default_template");
    v = value_map_without(c->arena, &v, "xensource_internal");
    v = value_map_with(c->arena, &v, value_str("mac_seed"), value_str(arena_strdup(c->arena, seed)));
    if (row_bool(vm, F_VM_is_a_template) && !row_bool(vm, F_VM_is_a_snapshot) &&
        !value_map_get(&v, "base_template_name")) /* what it was made from first */
        v = value_map_with(c->arena, &v, value_str("base_template_name"),
            value_str(arena_strdup(c->arena, row_str(vm, F_VM_name_label))));
    return v;
}

static const char *create_record(
    struct call *c, struct tx *t, const struct row *vm, const char *name, struct value other_config)
{
    struct tx_field *fields = arena_new_array(c->arena, C_VM->n_fields + 8u, struct tx_field);
    const struct tx_field metrics[] = { { F_VM_metrics_install_time, value_datetime(DATETIME_EPOCH) },
        { F_VM_metrics_start_time, value_datetime(DATETIME_EPOCH) },
        { F_VM_metrics_last_updated, value_datetime(DATETIME_EPOCH) } };
    size_t n = 0;

    for (size_t i = 0; i < C_VM->n_fields; i++)
        if (!is_reset(C_VM->fields[i]))
            fields[n++] = (struct tx_field){ C_VM->fields[i], *row_get(vm, C_VM->fields[i]) };
    fields[n++] = (struct tx_field){ F_VM_name_label, value_str(name) };
    fields[n++] = (struct tx_field){ F_VM_other_config, other_config };
    fields[n++] = (struct tx_field){ F_VM_power_state, value_str("Halted") };
    /* a guest that was copied must notice */
    const char *generation = *row_str(vm, F_VM_generation_id) ? generation_fresh(c->arena) : "";
    fields[n++] = (struct tx_field){ F_VM_generation_id, value_str(generation) };
    fields[n++] = (struct tx_field){ F_VM_domid, value_int(-1) };
    fields[n++] = (struct tx_field){ F_VM_metrics,
        value_str(arena_strdup(c->arena, tx_create(t, C_VM_metrics, NULL, metrics, ARRAY_LEN(metrics)))) };
    return arena_strdup(c->arena, tx_create(t, C_VM, NULL, fields, n));
}

/* Devices; `vdis` maps each VBD's index to the disk of the copy. */

static void create_vbd(struct call *c, struct tx *t, const struct row *vbd, const char *vm_ref, const char *vdi)
{
    const struct field *const same[] = { F_VBD_userdevice, F_VBD_bootable, F_VBD_mode, F_VBD_type, F_VBD_unpluggable,
        F_VBD_empty, F_VBD_qos_algorithm_type, F_VBD_qos_algorithm_params, F_VBD_qos_supported_algorithms };
    struct tx_field fields[ARRAY_LEN(same) + 4];
    struct value other = value_copy(c->arena, row_get(vbd, F_VBD_other_config));
    size_t n = 0;

    if (strcmp(row_str(vbd, F_VBD_type), "Disk") == 0)
        other = value_map_with(c->arena, &other, value_str("owner"), value_str(""));
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        fields[n++] = (struct tx_field){ same[i], *row_get(vbd, same[i]) };
    fields[n++] = (struct tx_field){ F_VBD_VM, value_str(vm_ref) };
    fields[n++] = (struct tx_field){ F_VBD_VDI, value_str(vdi) };
    fields[n++] = (struct tx_field){ F_VBD_other_config, other };
    tx_create(t, C_VBD, NULL, fields, n);
}

static void create_vif(struct call *c, struct tx *t, const struct row *vif, const char *vm_ref, const char *seed)
{
    const struct field *const same[] = { F_VIF_device, F_VIF_network, F_VIF_MTU, F_VIF_other_config,
        F_VIF_qos_algorithm_type, F_VIF_qos_algorithm_params, F_VIF_qos_supported_algorithms, F_VIF_locking_mode,
        F_VIF_ipv4_allowed, F_VIF_ipv6_allowed };
    struct tx_field fields[ARRAY_LEN(same) + 3];
    int64_t device = 0;
    char mac[18];
    size_t n = 0;

    str_to_i64(str_of(row_str(vif, F_VIF_device)), &device);
    vif_mac(seed, device, mac);
    for (size_t i = 0; i < ARRAY_LEN(same); i++)
        fields[n++] = (struct tx_field){ same[i], *row_get(vif, same[i]) };
    fields[n++] = (struct tx_field){ F_VIF_VM, value_str(vm_ref) };
    fields[n++] = (struct tx_field){ F_VIF_MAC, value_str(arena_strdup(c->arena, mac)) };
    fields[n++] = (struct tx_field){ F_VIF_MAC_autogenerated, value_bool(true) };
    tx_create(t, C_VIF, NULL, fields, n);
}

/* Copies every disk; CDs stay the same disks. */
static struct err *copy_disks(
    struct call *c, const char *vm_ref, const char *sr, struct made *made, const char ***ret_vdis)
{
    const struct row *vm = NULL;

    TRY(call_row(c, C_VM, vm_ref, &vm));
    size_t n = row_n_related(vm, F_VM_VBDs);
    const char **vdis = arena_new_array(c->arena, n + 1, const char *);
    bool *is_disk = arena_new_array(c->arena, n + 1, bool);
    for (size_t i = 0; i < n; i++) {
        const struct row *vbd = row_related(vm, F_VM_VBDs, i);
        vdis[i] = arena_strdup(c->arena, row_str(vbd, F_VBD_VDI));
        is_disk[i] = strcmp(row_str(vbd, F_VBD_type), "CD") != 0 && !ref_is_null(vdis[i]);
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_disk[i])
            continue;
        TRY(task_check(c));
        TRY(vdi_copy_new(c, vdis[i], sr, &vdis[i]));
        vec_push(&made->vdis, vdis[i]);
    }
    *ret_vdis = vdis;
    return NULL;
}

struct err *vm_duplicate(
    struct call *c, const char *vm_ref, const char *name, enum vm_copy how, const char *sr, const char **ret_ref)
{
    AUTO(made_done) struct made made = { .c = c };
    AUTO(op_end) struct op op = { 0 };
    const struct row *vm = NULL;
    const char **vdis = NULL;

    TRY(op_begin(c, &vm_ops, vm_ref, how == VM_CLONE ? "clone" : "copy", &op));
    TRY(copy_disks(c, vm_ref, sr, &made, &vdis));
    TRY(call_row(c, C_VM, vm_ref, &vm)); /* the operation keeps its devices as they were */
    struct value other_config = new_other_config(c, vm);
    struct tx *t = tx_begin(c->core->store);
    const char *ref = create_record(c, t, vm, name, other_config);
    for (size_t i = 0; i < row_n_related(vm, F_VM_VBDs); i++)
        create_vbd(c, t, row_related(vm, F_VM_VBDs, i), ref, vdis[i]);
    for (size_t i = 0; i < row_n_related(vm, F_VM_VIFs); i++)
        create_vif(c, t, row_related(vm, F_VM_VIFs, i), ref, value_map_str(&other_config, "mac_seed"));
    vtpm_copy(c, t, vm, ref);
    TRY(tx_commit(t));
    made.vdis.len = 0;
    ops_refresh_vm(c->core, ref);
    message_raise_vm(c->core, c->arena, "VM_CLONED", vm_ref, how == VM_CLONE ? "cloned" : "copied");
    *ret_ref = ref;
    return NULL;
}

static struct err *vm_clone(struct call *c, const struct VM_clone_args *a, struct value *ret)
{
    const char *ref = NULL;

    TRY(vm_duplicate(c, a->vm, a->new_name, VM_CLONE, NULL, &ref));
    *ret = value_str(ref);
    return NULL;
}

static struct err *vm_copy(struct call *c, const struct VM_copy_args *a, struct value *ret)
{
    const struct row *sr = NULL;
    const char *ref = NULL;

    if (!ref_is_null(a->sr)) {
        TRY(call_row(c, C_SR, a->sr, &sr));
        if (strcmp(row_str(sr, F_SR_content_type), "iso") == 0)
            return err_operation_not_allowed("Cannot copy a VM's disks to an ISO SR");
    }
    TRY(vm_duplicate(c, a->vm, a->new_name, VM_COPY, ref_is_null(a->sr) ? NULL : a->sr, &ref));
    *ret = value_str(ref);
    return NULL;
}

/* Provision: other_config["disks"], <provision><disk device= size= sr= bootable= type=/></provision> */

#define DISKS_MAX 64

struct disk_spec {
    const char *device, *sr, *type;
    int64_t size;
    bool bootable;
};

struct provision {
    struct arena *a;
    struct disk_spec disks[DISKS_MAX];
    size_t n;
    bool bad;
};

static void on_start(void *arg, const XML_Char *name, const XML_Char **attrs)
{
    struct provision *p = arg;
    struct disk_spec d = { .device = "", .sr = "", .type = "system" };

    if (strcmp(name, "disk") != 0)
        return;
    for (; *attrs; attrs += 2) {
        const char *v = arena_strdup(p->a, attrs[1]);
        if (strcmp(attrs[0], "device") == 0)
            d.device = v;
        else if (strcmp(attrs[0], "sr") == 0)
            d.sr = v;
        else if (strcmp(attrs[0], "type") == 0)
            d.type = v;
        else if (strcmp(attrs[0], "bootable") == 0)
            d.bootable = strcmp(v, "true") == 0;
        else if (strcmp(attrs[0], "size") == 0)
            p->bad = p->bad || !str_to_i64(str_of(v), &d.size);
    }
    if (p->n == DISKS_MAX)
        p->bad = true;
    else
        p->disks[p->n++] = d;
}

static void on_doctype(void *arg, const XML_Char *name, const XML_Char *sysid, const XML_Char *pubid, int internal)
{
    struct provision *p = arg;

    (void)name;
    (void)sysid;
    (void)pubid;
    (void)internal;
    p->bad = true; /* no document types: nothing to expand */
}

static struct err *parse_disks(struct arena *a, const char *xml, struct provision *p)
{
    p->a = a;
    if (!*xml)
        return NULL;
    XML_Parser parser = XML_ParserCreate("UTF-8");
    XML_SetUserData(parser, p);
    XML_SetElementHandler(parser, on_start, NULL);
    XML_SetStartDoctypeDeclHandler(parser, on_doctype);
    bool ok = XML_Parse(parser, xml, (int)strlen(xml), 1) == XML_STATUS_OK && !p->bad;
    XML_ParserFree(parser);
    return ok ? NULL : err_internal("other_config:disks cannot be understood");
}

static struct err *make_disk(struct call *c, const char *vm_ref, const struct disk_spec *d, struct made *made)
{
    const struct row *sr = store_by_uuid(c->core->store, C_SR, d->sr);
    const char *vdi = NULL;
    struct value owner[2] = { value_str("owner"), value_str("") };

    if (!sr)
        return err_uuid_invalid("sr", d->sr);
    struct vdi_spec spec = { .sr = arena_strdup(c->arena, row_ref(sr)),
        .name_label = d->device,
        .name_description = "Created by template provisioner",
        .virtual_size = d->size,
        .type = d->type };
    TRY(vdi_make(c, &spec, &vdi));
    vec_push(&made->vdis, vdi);
    const struct tx_field fields[] = {
        { F_VBD_VM, value_str(vm_ref) },
        { F_VBD_VDI, value_str(vdi) },
        { F_VBD_userdevice, value_str(d->device) },
        { F_VBD_bootable, value_bool(d->bootable) },
        { F_VBD_mode, value_str("RW") },
        { F_VBD_type, value_str("Disk") },
        { F_VBD_unpluggable, value_bool(strcmp(d->type, "system") != 0) },
        { F_VBD_other_config, value_map(owner, 1) },
    };
    struct tx *t = tx_begin(c->core->store);
    tx_create(t, C_VBD, NULL, fields, ARRAY_LEN(fields));
    return tx_commit(t);
}

static struct err *vm_provision(struct call *c, const struct VM_provision_args *a, struct value *ret)
{
    AUTO(made_done) struct made made = { .c = c };
    AUTO(op_end) struct op op = { 0 };
    struct provision *p = arena_new_of(c->arena, struct provision);
    const struct row *vm = NULL;

    (void)ret;
    TRY(op_begin(c, &vm_ops, a->vm, "provision", &op));
    TRY(call_row(c, C_VM, a->vm, &vm));
    TRY(parse_disks(c->arena, row_map_str(vm, F_VM_other_config, "disks"), p));
    if (*row_map_str(vm, F_VM_other_config, "postinstall"))
        return err_permission_denied("no folder of post-install scripts is permitted");
    for (size_t i = 0; i < p->n; i++) {
        int64_t position = 0;
        TRY(task_check(c));
        if (!vbd_position(p->disks[i].device, &position))
            return err_invalid_device(p->disks[i].device);
        TRY(make_disk(c, a->vm, &p->disks[i], &made)); /* undone disks take their VBDs along */
    }
    TRY(call_row(c, C_VM, a->vm, &vm));
    struct value other = value_copy(c->arena, row_get(vm, F_VM_other_config));
    other = value_map_without(c->arena, &other, "disks");
    other = value_map_without(c->arena, &other, "postinstall");
    const struct row *metrics = row_follow(c->core->store, vm, F_VM_metrics);
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, a->vm, F_VM_other_config, other);
    tx_set(t, a->vm, F_VM_is_a_template, value_bool(false));
    if (strcmp(row_map_str(vm, F_VM_platform, "vtpm"), "true") == 0 && row_n_related(vm, F_VM_VTPMs) == 0)
        vtpm_add(c, t, a->vm, false, "");
    if (metrics)
        tx_set(t, row_ref(metrics), F_VM_metrics_install_time, value_datetime(now_text(c->core, c->arena)));
    TRY(tx_commit(t));
    made.vdis.len = 0;
    return NULL;
}

void vm_clone_register(struct api_handlers *h)
{
    h->VM_clone = vm_clone;
    h->VM_copy = vm_copy;
    h->VM_provision = vm_provision;
}
