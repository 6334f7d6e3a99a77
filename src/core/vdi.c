/* VDI: a virtual disk (semantics.md 6). */
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "core/implicit.h"
#include "core/ops.h"
#include "core/sm.h"
#include "core/task.h"
#include "core/vdi.h"
#include "gen/ipc_storage.h"

/* What each operation may do beside a guest that has the disk open, and needs of the driver. */
enum beside { ALONE, READERS, ANY };
static const struct {
    const char *op, *feature; /* NULL: none */
    enum beside beside;
    bool not_cbt_metadata;
} rules[] = {
    { "destroy", "VDI_DELETE", ALONE, false },
    { "forget", NULL, ALONE, false },
    { "resize", "VDI_RESIZE", ALONE, true },
    { "copy", NULL, READERS, true },
    { "clone", NULL, READERS, true }, /* a whole copy as long as no driver can clone */
    { "update", "VDI_UPDATE", ALONE, false },
    { "blocked", NULL, ANY, false },
};

static bool is_op(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static struct err *check_current(const struct row *vdi, const char *op)
{
    const struct value *current = row_get(vdi, F_VDI_current_operations);

    for (size_t i = 0; i < current->n; i++) {
        const char *other = current->items[2 * i + 1].s;
        if (is_op(other, "copy") || is_op(other, "clone") || (is_op(other, "mirror") && is_op(op, "destroy")))
            continue;
        return err_other_operation_in_progress("VDI", row_ref(vdi), other, current->items[2 * i].s);
    }
    return NULL;
}

static struct err *check_vbds(const struct row *vdi, const char *op, enum beside beside)
{
    for (size_t i = 0; i < row_n_related(vdi, F_VDI_VBDs) && beside != ANY; i++) {
        const struct row *vbd = row_related(vdi, F_VDI_VBDs, i);
        if (row_bool(vbd, F_VBD_currently_attached) && (beside == ALONE || is_op(row_str(vbd, F_VBD_mode), "RW")))
            return err_vdi_in_use(row_ref(vdi), op);
    }
    for (size_t i = 0; i < row_n_related(vdi, F_VDI_VBDs); i++)
        TRY(ops_conflict(&vbd_ops, row_related(vdi, F_VDI_VBDs, i)));
    return NULL;
}

static struct err *check_kind(const struct row *vdi, const struct row *sr, const char *op)
{
    bool destroy = is_op(op, "destroy");

    if (destroy && is_op(row_str(sr, F_SR_type), "udev"))
        return err_vdi_is_a_physical_device(row_ref(vdi));
    if (destroy && row_bool(sr, F_SR_is_tools_sr))
        return err_sr_operation_not_supported(row_ref(sr));
    if ((destroy || is_op(op, "forget")) && is_op(row_str(vdi, F_VDI_type), "rrd"))
        return err_vdi_has_rrds(row_ref(vdi));
    if ((is_op(op, "copy") || is_op(op, "clone")) && is_op(row_str(vdi, F_VDI_on_boot), "reset"))
        return err_vdi_on_boot_mode_incompatible_with_operation();
    return NULL;
}

static struct err *check(struct core *c, const struct row *vdi, const char *op)
{
    const struct row *sr = row_follow(c->store, vdi, F_VDI_SR);

    if (!sr)
        return err_handle_invalid("SR", row_str(vdi, F_VDI_SR));
    TRY(check_current(vdi, op));
    if (is_op(op, "resize"))
        TRY(sr_assert_plugged(c, sr));
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (!is_op(op, rules[i].op))
            continue;
        TRY(check_vbds(vdi, op, rules[i].beside));
        if (rules[i].feature && !sm_has(c, sr, rules[i].feature))
            return err_sr_operation_not_supported(row_ref(sr));
        if (is_op(op, "clone") && !sm_has(c, sr, "VDI_CLONE") && !sm_has(c, sr, "VDI_CREATE"))
            return err_sr_operation_not_supported(row_ref(sr));
        if (rules[i].not_cbt_metadata && is_op(row_str(vdi, F_VDI_type), "cbt_metadata"))
            return err_vdi_incompatible_type(row_ref(vdi), "cbt_metadata");
    }
    return check_kind(vdi, sr, op);
}

static const char *const listed[] = { "clone", "copy", "destroy", "forget", "resize", "update", NULL };
const struct op_class vdi_ops = { .cls = C_VDI,
    .allowed = F_VDI_allowed_operations,
    .current = F_VDI_current_operations,
    .listed = listed,
    .check = check };

/* The storage service with a disk's SR attached. */
struct place {
    struct ipc_peer *peer;
    const char *sr, *uuid; /* uuids */
    const char *sr_ref;
};

static struct err *find_place(struct call *c, const char *vdi_ref, struct place *ret)
{
    const struct row *vdi = NULL, *sr = NULL;
    struct place p = { 0 };

    TRY(call_row(c, C_VDI, vdi_ref, &vdi));
    p.uuid = arena_strdup(c->arena, row_str(vdi, F_VDI_uuid));
    p.sr_ref = arena_strdup(c->arena, row_str(vdi, F_VDI_SR));
    TRY(call_row(c, C_SR, p.sr_ref, &sr));
    TRY(sr_assert_plugged(c->core, sr));
    TRY(sm_err(c->core, c->task, sm_storage(c->core, c->arena, p.sr_ref, &p.peer, &p.sr)));
    *ret = p;
    return NULL;
}

struct err *vdi_storage(struct call *c, const char *vdi_ref, struct ipc_peer **ret, const char **ret_sr)
{
    struct place p = { 0 };

    TRY(find_place(c, vdi_ref, &p));
    *ret = p.peer;
    *ret_sr = p.sr;
    return NULL;
}

/* Sizes are told best effort: the operation itself is done. */
static void tell_sizes(struct call *c, const char *sr_ref)
{
    struct err *e = sr_sync_sizes(c->core, c->arena, sr_ref);

    if (e)
        log_err(LOG_WARN_, "sizes of the SR are not known", e);
}

/* Create */

static const struct value empty_map = { .kind = V_MAP }, empty_set = { .kind = V_SET };

static const struct value *or_empty(const struct value *v, const struct value *empty)
{
    return v ? v : empty;
}

static const char *add_row(struct call *c, struct tx *t, const struct vdi_spec *spec, const struct storage_vdi *v)
{
    struct value sm_config = value_map_with(
        c->arena, or_empty(spec->sm_config, &empty_map), value_str("image-format"), value_str(v->format));
    const struct tx_field fields[] = {
        { F_VDI_uuid, value_str(v->uuid) },
        { F_VDI_name_label, value_str(spec->name_label) },
        { F_VDI_name_description, value_str(spec->name_description) },
        { F_VDI_SR, value_str(spec->sr) },
        { F_VDI_virtual_size, value_int((int64_t)v->size) },
        { F_VDI_physical_utilisation, value_int((int64_t)v->used) },
        { F_VDI_type, value_str(spec->type) },
        { F_VDI_sharable, value_bool(spec->sharable) },
        { F_VDI_read_only, value_bool(spec->read_only) },
        { F_VDI_other_config, *or_empty(spec->other_config, &empty_map) },
        { F_VDI_sm_config, sm_config },
        { F_VDI_xenstore_data, *or_empty(spec->xenstore_data, &empty_map) },
        { F_VDI_tags, *or_empty(spec->tags, &empty_set) },
        { F_VDI_location, value_str(v->location) },
        { F_VDI_managed, value_bool(true) },
    };

    return arena_strdup(c->arena, tx_create(t, C_VDI, NULL, fields, ARRAY_LEN(fields)));
}

static void destroy_data(struct call *c, struct ipc_peer *peer, const char *sr, const char *uuid)
{
    bool interrupted = fiber_interrupted();
    struct storage_vdi_destroy_req req = { .sr = sr, .uuid = uuid };

    fiber_interrupt_clear();
    err_ignore(storage_vdi_destroy(peer, c->arena, &req), "the first error counts");
    if (interrupted)
        fiber_interrupt(fiber_self());
}

struct err *vdi_make(struct call *c, const struct vdi_spec *spec, const char **ret_ref)
{
    AUTO(op_end) struct op op = { 0 };
    struct storage_vdi_create_rep rep = { 0 };
    struct ipc_peer *peer = NULL;
    const char *sr = NULL;
    char uuid[UUID_LEN + 1];

    if (is_op(spec->type, "cbt_metadata"))
        return err_vdi_incompatible_type("", spec->type);
    TRY(op_begin(c, &sr_ops, spec->sr, "vdi_create", &op));
    TRY(sm_err(c->core, c->task, sm_storage(c->core, c->arena, spec->sr, &peer, &sr)));
    uuid_make(uuid);
    struct storage_vdi_create_req req = { .sr = sr,
        .uuid = uuid,
        .name = spec->name_label,
        .type = spec->type,
        .size = spec->virtual_size > 0 ? (uint64_t)spec->virtual_size : 0,
        .sm_config = *or_empty(spec->sm_config, &empty_map) };
    struct err *e = storage_vdi_create(peer, c->arena, &req, &rep);
    if (e)
        return sm_err(c->core, c->task, e);
    struct tx *t = tx_begin(c->core->store);
    const char *ref = add_row(c, t, spec, &rep.vdi);
    e = tx_commit(t);
    if (e) {
        destroy_data(c, peer, sr, uuid);
        return e;
    }
    tell_sizes(c, spec->sr);
    op_end(&op);
    ops_refresh(c->core, &vdi_ops, ref);
    *ret_ref = ref;
    return NULL;
}

static bool flag(const struct value *record, const char *key)
{
    const struct value *v = value_map_get(record, key);

    return v && v->kind == V_BOOL && v->b;
}

static struct err *create(struct call *c, struct value *record, const char **ret_ref)
{
    const struct value *size = value_map_get(record, "virtual_size");
    const struct row *sr = NULL;
    struct vdi_spec spec = {
        .sr = arena_strdup(c->arena, value_map_str(record, "SR")),
        .name_label = value_map_str(record, "name_label"),
        .name_description = value_map_str(record, "name_description"),
        .virtual_size = size && size->kind == V_INT ? size->i : 0,
        .type = value_map_str(record, "type"),
        .sharable = flag(record, "sharable"),
        .read_only = flag(record, "read_only"),
        .other_config = value_map_get(record, "other_config"),
        .sm_config = value_map_get(record, "sm_config"),
        .tags = value_map_get(record, "tags"),
        .xenstore_data = value_map_get(record, "xenstore_data"),
    };

    TRY(call_row(c, C_SR, spec.sr, &sr));
    return vdi_make(c, &spec, ret_ref);
}

/* Destroy */

static bool is_gone(const struct err *e)
{
    return err_is(e, "SR_BACKEND_FAILURE_46"); /* the image is not there any more: only its record is left to remove */
}

struct err *vdi_remove(struct call *c, const char *vdi_ref)
{
    AUTO(op_end) struct op op = { 0 };
    AUTO(op_end) struct op sr_op = { 0 };
    const struct row *vdi = NULL;
    struct place p = { 0 };

    TRY(op_begin(c, &vdi_ops, vdi_ref, "destroy", &op));
    TRY(call_row(c, C_VDI, vdi_ref, &vdi));
    const char *sr_ref = arena_strdup(c->arena, row_str(vdi, F_VDI_SR));
    TRY(op_begin(c, &sr_ops, sr_ref, "vdi_destroy", &sr_op));
    TRY(find_place(c, vdi_ref, &p));
    struct err *e =
        storage_vdi_destroy(p.peer, c->arena, &(struct storage_vdi_destroy_req){ .sr = p.sr, .uuid = p.uuid });
    if (e && !is_gone(e))
        return sm_err(c->core, c->task, e);
    if (e)
        err_ignore(e, "gone is what was asked for");
    TRY(call_row(c, C_VDI, vdi_ref, &vdi));
    struct tx *t = tx_begin(c->core->store);
    vdi_drop_row(c->core, t, vdi);
    TRY(tx_commit(t));
    tell_sizes(c, sr_ref);
    return NULL;
}

static struct err *destroy(struct call *c, const char *ref, bool *ret_done)
{
    *ret_done = true;
    return vdi_remove(c, ref);
}

static struct err *vdi_forget(struct call *c, const struct VDI_forget_args *args, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *vdi = NULL;

    (void)ret;
    TRY(op_begin(c, &vdi_ops, args->vdi, "forget", &op));
    TRY(call_row(c, C_VDI, args->vdi, &vdi));
    struct tx *t = tx_begin(c->core->store);
    vdi_drop_row(c->core, t, vdi);
    return tx_commit(t);
}

/* Resize, update, introduce */

static void take_stat(struct tx *t, const char *ref, const struct storage_vdi *v)
{
    tx_set(t, ref, F_VDI_virtual_size, value_int((int64_t)v->size));
    tx_set(t, ref, F_VDI_physical_utilisation, value_int((int64_t)v->used));
    tx_set(t, ref, F_VDI_location, value_str(v->location));
    tx_set(t, ref, F_VDI_missing, value_bool(false));
}

static struct err *vdi_resize(struct call *c, const struct VDI_resize_args *args, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    AUTO(op_end) struct op sr_op = { 0 };
    struct storage_vdi_resize_rep rep = { 0 };
    struct place p = { 0 };

    (void)ret;
    TRY(op_begin(c, &vdi_ops, args->vdi, "resize", &op));
    TRY(find_place(c, args->vdi, &p));
    TRY(op_begin(c, &sr_ops, p.sr_ref, "vdi_resize", &sr_op));
    struct storage_vdi_resize_req req = {
        .sr = p.sr, .uuid = p.uuid, .size = args->size > 0 ? (uint64_t)args->size : 0
    };
    TRY(sm_err(c->core, c->task, storage_vdi_resize(p.peer, c->arena, &req, &rep)));
    struct tx *t = tx_begin(c->core->store);
    take_stat(t, args->vdi, &rep.vdi);
    TRY(tx_commit(t));
    tell_sizes(c, p.sr_ref);
    return NULL;
}

struct err *vdi_refresh(struct call *c, const char *ref)
{
    struct storage_vdi_stat_rep rep = { 0 };
    struct place p = { 0 };

    TRY(find_place(c, ref, &p));
    TRY(sm_err(c->core, c->task,
        storage_vdi_stat(p.peer, c->arena, &(struct storage_vdi_stat_req){ .sr = p.sr, .uuid = p.uuid }, &rep)));
    struct tx *t = tx_begin(c->core->store);
    take_stat(t, ref, &rep.vdi);
    return tx_commit(t);
}

static struct err *vdi_update(struct call *c, const struct VDI_update_args *args, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };

    (void)ret;
    TRY(op_begin(c, &vdi_ops, args->vdi, "update", &op));
    return vdi_refresh(c, args->vdi);
}

static struct err *find_location(struct call *c, const char *sr_ref, const char *location, struct storage_vdi *ret)
{
    struct storage_sr_scan_rep rep = { 0 };
    struct ipc_peer *peer = NULL;
    const char *sr = NULL;

    TRY(sm_err(c->core, c->task, sm_storage(c->core, c->arena, sr_ref, &peer, &sr)));
    TRY(sm_err(c->core, c->task, storage_sr_scan(peer, c->arena, &(struct storage_sr_scan_req){ .sr = sr }, &rep)));
    for (size_t i = 0; i < rep.n_vdis; i++)
        if (is_op(rep.vdis[i].location, location)) {
            *ret = rep.vdis[i];
            return NULL;
        }
    return err_vdi_location_missing(sr_ref, location);
}

/* The record of a disk that the medium has; its size and uuid are the medium's. */
static struct err *vdi_introduce(struct call *c, const struct VDI_introduce_args *args, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *sr = NULL;
    struct storage_vdi v = { 0 };

    if (*args->uuid && !uuid_valid(args->uuid))
        return err_uuid_invalid("VDI", args->uuid);
    TRY(call_row(c, C_SR, args->SR, &sr));
    for (size_t i = 0; i < row_n_related(sr, F_SR_VDIs); i++)
        if (is_op(row_str(row_related(sr, F_SR_VDIs, i), F_VDI_location), args->location))
            return err_location_not_unique(args->SR, args->location);
    TRY(op_begin(c, &sr_ops, args->SR, "vdi_introduce", &op));
    TRY(find_location(c, args->SR, args->location, &v));
    struct vdi_spec spec = { .sr = args->SR,
        .name_label = args->name_label,
        .name_description = args->name_description,
        .type = args->type,
        .sharable = args->sharable,
        .read_only = args->read_only || v.read_only,
        .other_config = args->other_config,
        .sm_config = args->sm_config,
        .xenstore_data = args->xenstore_data };
    struct tx *t = tx_begin(c->core->store);
    const char *ref = add_row(c, t, &spec, &v);
    if (!args->managed)
        tx_set(t, ref, F_VDI_managed, value_bool(false));
    TRY(tx_commit(t));
    ops_refresh(c->core, &vdi_ops, ref);
    *ret = value_str(ref);
    return NULL;
}

/* Copies */

static struct err *set_copying(struct call *c, const char *ref, bool copying)
{
    const struct row *vdi = NULL;

    TRY(call_row(c, C_VDI, ref, &vdi));
    const struct value *old = row_get(vdi, F_VDI_sm_config);
    struct value v = copying ? value_map_with(c->arena, old, value_str(VDI_COPYING), value_str("true"))
                             : value_map_without(c->arena, old, VDI_COPYING);
    return core_set(c->core, ref, F_VDI_sm_config, v);
}

static struct err *copy_data(struct call *c, const char *from, const char *to)
{
    AUTO(sm_progress_drop) struct sm_progress *progress = NULL;
    struct storage_vdi_copy_rep rep = { 0 };
    struct place p = { 0 }, q = { 0 };
    char job[UUID_LEN + 1];

    TRY(find_place(c, from, &p));
    TRY(find_place(c, to, &q));
    uuid_make(job);
    progress = sm_progress_start(c->core, c->task, job);
    struct storage_vdi_copy_req req = { .sr = p.sr, .uuid = p.uuid, .to_sr = q.sr, .to_uuid = q.uuid, .job = job };
    return sm_err(c->core, c->task, storage_vdi_copy(q.peer, c->arena, &req, &rep));
}

/* What of the source its copy has too. */
static struct err *spec_of(struct call *c, const char *vdi_ref, const char *sr, struct vdi_spec *ret)
{
    const struct row *vdi = NULL;
    struct value *maps = arena_new_array(c->arena, 2, struct value);

    TRY(call_row(c, C_VDI, vdi_ref, &vdi));
    maps[0] = value_copy(c->arena, row_get(vdi, F_VDI_other_config));
    maps[1] = value_map_with(c->arena, &empty_map, value_str(VDI_COPYING), value_str("true"));
    if (is_op(row_map_str(vdi, F_VDI_sm_config, "image-format"), "raw") && !sr)
        maps[1] = value_map_with(c->arena, &maps[1], value_str("image-format"), value_str("raw"));
    *ret = (struct vdi_spec){
        .sr = arena_strdup(c->arena, sr ? sr : row_str(vdi, F_VDI_SR)),
        .name_label = arena_strdup(c->arena, row_str(vdi, F_VDI_name_label)),
        .name_description = arena_strdup(c->arena, row_str(vdi, F_VDI_name_description)),
        .virtual_size = row_int(vdi, F_VDI_virtual_size),
        .type = arena_strdup(c->arena, row_str(vdi, F_VDI_type)),
        .other_config = &maps[0],
        .sm_config = &maps[1],
    };
    return NULL;
}

static struct err *copy_new(struct call *c, const char *vdi, const char *sr, const char **ret_ref)
{
    struct vdi_spec spec = { 0 };
    const char *ref = NULL;

    TRY(spec_of(c, vdi, sr, &spec));
    TRY(vdi_make(c, &spec, &ref));
    struct err *e = copy_data(c, vdi, ref);
    if (!e)
        e = set_copying(c, ref, false);
    if (!e) {
        *ret_ref = ref;
        return NULL;
    }
    bool interrupted = fiber_interrupted();
    fiber_interrupt_clear();
    err_ignore(vdi_remove(c, ref), "the copy's own error counts");
    if (interrupted)
        fiber_interrupt(fiber_self());
    return e;
}

struct err *vdi_copy_new(struct call *c, const char *vdi, const char *sr, const char **ret_ref)
{
    AUTO(op_end) struct op op = { 0 };

    TRY(op_begin(c, &vdi_ops, vdi, "copy", &op));
    TRY(copy_new(c, vdi, sr, ret_ref));
    err_ignore(vdi_refresh(c, *ret_ref), "its size on the medium is told by the next scan");
    return NULL;
}

static struct err *vdi_clone(struct call *c, const struct VDI_clone_args *args, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    const char *ref = NULL;

    TRY(op_begin(c, &vdi_ops, args->vdi, "clone", &op));
    TRY(copy_new(c, args->vdi, NULL, &ref));
    err_ignore(vdi_refresh(c, ref), "its size on the medium is told by the next scan");
    *ret = value_str(ref);
    return NULL;
}

static struct err *copy_into(struct call *c, const char *from_ref, const char *into_ref)
{
    AUTO(op_end) struct op op = { 0 };
    AUTO(op_end) struct op into_op = { 0 };
    const struct row *from = NULL, *into = NULL;

    TRY(call_row(c, C_VDI, into_ref, &into));
    TRY(call_row(c, C_VDI, from_ref, &from));
    if (is_op(into_ref, from_ref))
        return err_vdi_in_use(into_ref, "copy");
    if (row_bool(into, F_VDI_read_only))
        return err_vdi_readonly(into_ref);
    if (row_int(into, F_VDI_virtual_size) < row_int(from, F_VDI_virtual_size))
        return err_vdi_too_small(
            into_ref, arena_printf(c->arena, "%lld", (long long)row_int(from, F_VDI_virtual_size)));
    TRY(op_begin(c, &vdi_ops, from_ref, "copy", &op));
    TRY(vdi_begin_write(c, into_ref, "copy", &into_op));
    TRY(copy_data(c, from_ref, into_ref));
    return vdi_refresh(c, into_ref);
}

struct err *vdi_begin_write(struct call *c, const char *vdi_ref, const char *what, struct op *ret)
{
    const struct row *vdi = NULL;

    TRY(call_row(c, C_VDI, vdi_ref, &vdi));
    if (row_bool(vdi, F_VDI_read_only))
        return err_vdi_readonly(vdi_ref);
    TRY(check_vbds(vdi, what, ALONE));
    return op_begin(c, &vdi_ops, vdi_ref, "blocked", ret);
}

static struct err *vdi_copy(struct call *c, const struct VDI_copy_args *args, struct value *ret)
{
    const struct row *sr = NULL;
    const char *ref = args->into_vdi;

    if (!ref_is_null(args->base_vdi))
        return err_not_implemented("VDI.copy of differences to base_vdi");
    if (!ref_is_null(args->into_vdi)) {
        TRY(copy_into(c, args->vdi, args->into_vdi));
    } else {
        TRY(call_row(c, C_SR, args->sr, &sr));
        TRY(vdi_copy_new(c, args->vdi, args->sr, &ref));
    }
    *ret = value_str(ref);
    return NULL;
}

/* Fields */

static struct err *set_field(struct call *c, const char *ref, const struct field *f, struct value v)
{
    const struct row *vdi = NULL;

    TRY(call_row(c, C_VDI, ref, &vdi));
    TRY(core_set(c->core, ref, f, v));
    ops_refresh(c->core, &vdi_ops, ref);
    TRY(call_row(c, C_VDI, ref, &vdi));
    size_t n = row_n_related(vdi, F_VDI_VBDs);
    const char **vbds = arena_new_array(c->arena, n + 1, const char *);
    for (size_t i = 0; i < n; i++)
        vbds[i] = arena_strdup(c->arena, row_ref(row_related(vdi, F_VDI_VBDs, i)));
    for (size_t i = 0; i < n; i++) /* whether it may be attached depends on what was set */
        ops_refresh(c->core, &vbd_ops, vbds[i]);
    return NULL;
}

/* The medium keeps the name too, for a scan that finds no record; that it cannot be told does not matter to the caller.
 */
static struct err *vdi_set_name_label(struct call *c, const struct VDI_set_name_label_args *args, struct value *ret)
{
    const struct row *vdi = NULL;
    struct place p = { 0 };

    (void)ret;
    TRY(set_field(c, args->self, F_VDI_name_label, value_str(args->value)));
    TRY(call_row(c, C_VDI, args->self, &vdi));
    const struct row *sr = row_follow(c->core->store, vdi, F_VDI_SR);
    if (!sr || !sr_is_plugged(c->core, sr) || !sm_has(c->core, sr, "VDI_CREATE"))
        return NULL;
    struct err *e = find_place(c, args->self, &p);
    if (!e)
        e = storage_vdi_rename(
            p.peer, c->arena, &(struct storage_vdi_rename_req){ .sr = p.sr, .uuid = p.uuid, .name = args->value });
    if (e)
        log_err(LOG_WARN_, "the medium keeps an old name", e);
    return NULL;
}

#define SETTER(name, type_args, field, make)                                                       \
    static struct err *vdi_##name(struct call *c, const struct type_args *args, struct value *ret) \
    {                                                                                              \
        (void)ret;                                                                                 \
        return set_field(c, args->self, field, make(args->value));                                 \
    }
SETTER(set_name_description, VDI_set_name_description_args, F_VDI_name_description, value_str)
SETTER(set_sharable, VDI_set_sharable_args, F_VDI_sharable, value_bool)
SETTER(set_read_only, VDI_set_read_only_args, F_VDI_read_only, value_bool)
SETTER(set_managed, VDI_set_managed_args, F_VDI_managed, value_bool)
SETTER(set_missing, VDI_set_missing_args, F_VDI_missing, value_bool)
SETTER(set_virtual_size, VDI_set_virtual_size_args, F_VDI_virtual_size, value_int)
SETTER(set_physical_utilisation, VDI_set_physical_utilisation_args, F_VDI_physical_utilisation, value_int)
SETTER(set_is_a_snapshot, VDI_set_is_a_snapshot_args, F_VDI_is_a_snapshot, value_bool)
SETTER(set_snapshot_of, VDI_set_snapshot_of_args, F_VDI_snapshot_of, value_str)
SETTER(set_snapshot_time, VDI_set_snapshot_time_args, F_VDI_snapshot_time, value_datetime)
SETTER(set_metadata_of_pool, VDI_set_metadata_of_pool_args, F_VDI_metadata_of_pool, value_str)

static const struct class_hooks hooks = { .create = create, .destroy = destroy };

void vdi_register(struct api_handlers *h)
{
    class_hooks_set(C_VDI, &hooks);
    h->VDI_forget = vdi_forget;
    h->VDI_resize = vdi_resize;
    h->VDI_update = vdi_update;
    h->VDI_introduce = vdi_introduce;
    h->VDI_copy = vdi_copy;
    h->VDI_clone = vdi_clone;
    h->VDI_set_name_label = vdi_set_name_label;
    h->VDI_set_name_description = vdi_set_name_description;
    h->VDI_set_sharable = vdi_set_sharable;
    h->VDI_set_read_only = vdi_set_read_only;
    h->VDI_set_managed = vdi_set_managed;
    h->VDI_set_missing = vdi_set_missing;
    h->VDI_set_virtual_size = vdi_set_virtual_size;
    h->VDI_set_physical_utilisation = vdi_set_physical_utilisation;
    h->VDI_set_is_a_snapshot = vdi_set_is_a_snapshot;
    h->VDI_set_snapshot_of = vdi_set_snapshot_of;
    h->VDI_set_snapshot_time = vdi_set_snapshot_time;
    h->VDI_set_metadata_of_pool = vdi_set_metadata_of_pool;
}
