/* SR: a storage repository (semantics.md 7.1). */
#include <string.h>
#include "base/mem.h"
#include "base/uuid.h"
#include "core/implicit.h"
#include "core/ops.h"
#include "core/sm.h"
#include "core/vdi.h"
#include "gen/ipc_storage.h"

/* What each operation needs of the driver, and whether of a plugged PBD. */
static const struct {
    const char *op, *feature;
    bool plugged;
} needs[] = {
    { "scan", "SR_SCAN", true },
    { "update", "SR_UPDATE", true },
    { "destroy", "SR_DELETE", false },
    { "vdi_create", "VDI_CREATE", true },
    { "vdi_destroy", "VDI_DELETE", true },
    { "vdi_resize", "VDI_RESIZE", true },
    { "vdi_introduce", "VDI_INTRODUCE", true },
};

static struct err *check_unplugged(const struct row *sr, const char *op)
{
    bool destroy = strcmp(op, "destroy") == 0;

    if (!destroy && strcmp(op, "forget") != 0)
        return NULL;
    for (size_t i = 0; i < row_n_related(sr, F_SR_PBDs); i++)
        if (row_bool(row_related(sr, F_SR_PBDs, i), F_PBD_currently_attached))
            return err_sr_has_pbd(row_ref(sr));
    return destroy && !row_n_related(sr, F_SR_PBDs) ? err_sr_has_no_pbds(row_ref(sr)) : NULL;
}

static struct err *check(struct core *c, const struct row *sr, const char *op)
{
    if (strcmp(op, "plug") != 0)
        TRY(ops_conflict(&sr_ops, sr));
    TRY(check_unplugged(sr, op));
    if (row_bool(sr, F_SR_is_tools_sr) && (strcmp(op, "vdi_create") == 0 || strcmp(op, "vdi_destroy") == 0))
        return err_sr_operation_not_supported(row_ref(sr));
    for (size_t i = 0; i < ARRAY_LEN(needs); i++) {
        if (strcmp(op, needs[i].op) != 0)
            continue;
        if (!sm_has(c, sr, needs[i].feature))
            return err_sr_operation_not_supported(row_ref(sr));
        if (needs[i].plugged)
            TRY(sr_assert_plugged(c, sr));
    }
    return NULL;
}

static const char *const listed[] = { "scan", "destroy", "forget", "plug", "unplug", "update", "vdi_create",
    "vdi_introduce", "vdi_destroy", "vdi_resize", "pbd_create", "pbd_destroy", NULL };
const struct op_class sr_ops = { .cls = C_SR,
    .allowed = F_SR_allowed_operations,
    .current = F_SR_current_operations,
    .listed = listed,
    .check = check };

/* Create */

static const char *lower(struct arena *a, const char *s)
{
    char *copy = arena_strdup(a, s);

    for (char *p = copy; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    return copy;
}

/* What create() and introduce() store alike; sizes are unknown until a scan. */
static const char *add_row(struct tx *t, const char *uuid, const char *name, const char *description, const char *type,
    const char *content, bool shared, const struct value *sm_config)
{
    const struct tx_field fields[] = {
        { F_SR_uuid, value_str(uuid) },
        { F_SR_name_label, value_str(name) },
        { F_SR_name_description, value_str(description) },
        { F_SR_type, value_str(type) },
        { F_SR_content_type, value_str(content) },
        { F_SR_shared, value_bool(shared) },
        { F_SR_sm_config, *sm_config },
        { F_SR_physical_size, value_int(-1) },
        { F_SR_physical_utilisation, value_int(-1) },
        { F_SR_virtual_allocation, value_int(-1) },
    };

    return tx_create(t, C_SR, NULL, fields, ARRAY_LEN(fields));
}

static struct err *assert_driver(struct call *c, const char *type)
{
    return sm_find(c->core, type) ? NULL : err_sr_unknown_driver(type);
}

/* The medium is ready: the records, and what is on it. */
static struct err *record_new(
    struct call *c, const struct SR_create_args *args, const char *uuid, const char *type, const char **ret_ref)
{
    const char *content = *args->content_type ? args->content_type : strcmp(type, "iso") == 0 ? "iso" : "user";
    struct tx *t = tx_begin(c->core->store);
    const char *sr = arena_strdup(c->arena,
        add_row(t, uuid, args->name_label, args->name_description, type, content, args->shared, args->sm_config));
    const struct tx_field pbd[] = {
        { F_PBD_host, value_str(args->host) },
        { F_PBD_SR, value_str(sr) },
        { F_PBD_device_config, *args->device_config },
        { F_PBD_currently_attached, value_bool(true) },
    };

    tx_create(t, C_PBD, NULL, pbd, ARRAY_LEN(pbd));
    TRY(tx_commit(t));
    struct err *e = sr_sync(c->core, c->arena, sr);
    if (e)
        return err_first(e, sr_drop_rows(c->core, sr));
    *ret_ref = sr;
    return NULL;
}

static struct err *sr_create(struct call *c, const struct SR_create_args *args, struct value *ret)
{
    const char *type = lower(c->arena, args->type), *ref = NULL;
    const struct row *host = NULL;
    struct ipc_peer *storage = NULL;
    char uuid[UUID_LEN + 1];

    TRY(call_row(c, C_host, args->host, &host));
    TRY(assert_driver(c, type));
    if (strcmp(args->host, c->core->host_ref) != 0)
        return err_host_offline(args->host);
    if (value_map_get(args->device_config, "SRmaster"))
        return err_value_not_supported(
            "SRmaster", value_map_str(args->device_config, "SRmaster"), "This key is for internal use only");
    uuid_make(uuid);
    TRY(core_need_storage(c->core, &storage));
    struct storage_sr_create_req create = { .sr = uuid,
        .type = type,
        .config = *args->device_config,
        .size = args->physical_size > 0 ? (uint64_t)args->physical_size : 0 };
    struct storage_sr_attach_req attach = { .sr = uuid, .type = type, .config = *args->device_config };
    TRY(sm_err(c->core, c->task, storage_sr_create(storage, c->arena, &create)));
    struct err *e = storage_sr_attach(storage, c->arena, &attach);
    if (!e)
        e = record_new(c, args, uuid, type, &ref);
    if (e) { /* nothing remains; a driver that made nothing has nothing to destroy */
        err_ignore(storage_sr_destroy(storage, c->arena, &(struct storage_sr_destroy_req){ .sr = uuid }),
            "the first error counts");
        err_ignore(storage_sr_detach(storage, c->arena, &(struct storage_sr_detach_req){ .sr = uuid }),
            "the first error counts");
        return sm_err(c->core, c->task, e);
    }
    *ret = value_str(ref);
    return NULL;
}

static struct err *sr_introduce(struct call *c, const struct SR_introduce_args *args, struct value *ret)
{
    char made[UUID_LEN + 1];
    const char *type = lower(c->arena, args->type), *uuid = args->uuid;

    if (!*uuid) {
        uuid_make(made);
        uuid = made;
    }
    if (!uuid_valid(uuid))
        return err_uuid_invalid("SR", uuid);
    if (store_by_uuid(c->core->store, C_SR, uuid))
        return err_sr_uuid_exists(uuid);
    TRY(assert_driver(c, type));
    struct tx *t = tx_begin(c->core->store);
    const char *ref = arena_strdup(c->arena,
        add_row(t, uuid, args->name_label, args->name_description, type, args->content_type, args->shared,
            args->sm_config));
    TRY(tx_commit(t));
    ops_refresh(c->core, &sr_ops, ref);
    *ret = value_str(ref);
    return NULL;
}

/* Forget and destroy */

static struct err *sr_forget(struct call *c, const struct SR_forget_args *args, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };

    (void)ret;
    TRY(op_begin(c, &sr_ops, args->sr, "forget", &op));
    return sr_drop_rows(c->core, args->sr);
}

static struct err *assert_destroyable(struct core *c, const struct row *sr)
{
    for (size_t i = 0; i < row_n_related(sr, F_SR_VDIs); i++) {
        const struct row *vdi = row_related(sr, F_SR_VDIs, i);
        if (row_bool(vdi, F_VDI_managed) && strcmp(row_str(vdi, F_VDI_type), "rrd") != 0)
            return err_sr_not_empty();
    }
    if (strcmp(row_map_str(sr, F_SR_other_config, "indestructible"), "true") == 0)
        return err_sr_indestructible(row_ref(sr));
    if (row_bool(sr, F_SR_local_cache_enabled))
        return err_sr_is_cache_sr(c->host_ref);
    return NULL;
}

static struct err *sr_destroy(struct call *c, const struct SR_destroy_args *args, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *sr = NULL;
    struct ipc_peer *storage = NULL;
    const char *uuid = NULL;

    (void)ret;
    TRY(op_begin(c, &sr_ops, args->sr, "destroy", &op));
    TRY(call_row(c, C_SR, args->sr, &sr));
    TRY(assert_destroyable(c->core, sr));
    TRY(sm_err(c->core, c->task, sm_storage(c->core, c->arena, args->sr, &storage, &uuid)));
    struct err *e = storage_sr_destroy(storage, c->arena, &(struct storage_sr_destroy_req){ .sr = uuid });
    if (e) {
        err_ignore(storage_sr_detach(storage, c->arena, &(struct storage_sr_detach_req){ .sr = uuid }),
            "the first error counts");
        return sm_err(c->core, c->task, e);
    }
    return sr_drop_rows(c->core, args->sr);
}

/* Asking the medium */

static struct err *sr_scan(struct call *c, const struct SR_scan_args *args, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };

    (void)ret;
    TRY(op_begin(c, &sr_ops, args->sr, "scan", &op));
    TRY(sm_err(c->core, c->task, sr_sync(c->core, c->arena, args->sr)));
    op_end(&op);
    ops_refresh(c->core, &sr_ops, args->sr);
    return NULL;
}

static struct err *sr_update(struct call *c, const struct SR_update_args *args, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };

    (void)ret;
    TRY(op_begin(c, &sr_ops, args->sr, "update", &op));
    return sm_err(c->core, c->task, sr_sync_sizes(c->core, c->arena, args->sr));
}

/* The XML that clients of XenServer know: <SRlist><SR><UUID>..</UUID></SR></SRlist>. */
static const char *probe_text(struct arena *a, const struct value *found)
{
    const char *text = "<?xml version=\"1.0\" ?>\n<SRlist>\n";

    for (size_t i = 0; found->kind == V_SET && i < found->n; i++)
        if (found->items[i].kind == V_MAP && uuid_valid(value_map_str(&found->items[i], "uuid")))
            text = arena_printf(a, "%s\t<SR>\n\t\t<UUID>\n\t\t\t%s\n\t\t</UUID>\n\t</SR>\n", text,
                value_map_str(&found->items[i], "uuid"));
    return arena_printf(a, "%s</SRlist>\n", text);
}

static struct err *sr_probe(struct call *c, const struct SR_probe_args *args, struct value *ret)
{
    const char *type = lower(c->arena, args->type);
    struct storage_sr_probe_rep rep = { 0 };
    const struct row *host = NULL;
    struct ipc_peer *storage = NULL;

    TRY(call_row(c, C_host, args->host, &host));
    TRY(assert_driver(c, type));
    TRY(core_need_storage(c->core, &storage));
    TRY(sm_err(c->core, c->task,
        storage_sr_probe(
            storage, c->arena, &(struct storage_sr_probe_req){ .type = type, .config = *args->device_config }, &rep)));
    *ret = value_str(probe_text(c->arena, &rep.found));
    return NULL;
}

static struct err *sr_get_supported_types(
    struct call *c, const struct SR_get_supported_types_args *args, struct value *ret)
{
    size_t n = 0, max = store_count(c->core->store, C_SM);
    struct value *types = arena_new_array(c->arena, max + 1, struct value);

    (void)args;
    for (const struct row *r = store_first(c->core->store, C_SM); r && n < max; r = store_next(r))
        types[n++] = value_str(arena_strdup(c->arena, row_str(r, F_SM_type)));
    *ret = value_set(types, n);
    return NULL;
}

/* Fields */

static struct err *set_field(struct call *c, const char *ref, const struct field *f, struct value v)
{
    const struct row *sr = NULL;

    TRY(call_row(c, C_SR, ref, &sr));
    return core_set(c->core, ref, f, v);
}

static struct err *sr_set_shared(struct call *c, const struct SR_set_shared_args *args, struct value *ret)
{
    const struct row *sr = NULL;

    (void)ret;
    TRY(call_row(c, C_SR, args->sr, &sr));
    if (row_n_related(sr, F_SR_PBDs) > 1)
        return err_sr_has_multiple_pbds(row_ref(row_related(sr, F_SR_PBDs, 0)));
    return core_set(c->core, args->sr, F_SR_shared, value_bool(args->value));
}

static struct err *sr_set_name_label(struct call *c, const struct SR_set_name_label_args *args, struct value *ret)
{
    (void)ret;
    return set_field(c, args->sr, F_SR_name_label, value_str(args->value));
}

static struct err *sr_set_name_description(
    struct call *c, const struct SR_set_name_description_args *args, struct value *ret)
{
    (void)ret;
    return set_field(c, args->sr, F_SR_name_description, value_str(args->value));
}

static struct err *sr_set_physical_size(struct call *c, const struct SR_set_physical_size_args *args, struct value *ret)
{
    (void)ret;
    return set_field(c, args->self, F_SR_physical_size, value_int(args->value));
}

static struct err *sr_set_virtual_allocation(
    struct call *c, const struct SR_set_virtual_allocation_args *args, struct value *ret)
{
    (void)ret;
    return set_field(c, args->self, F_SR_virtual_allocation, value_int(args->value));
}

static struct err *sr_set_physical_utilisation(
    struct call *c, const struct SR_set_physical_utilisation_args *args, struct value *ret)
{
    (void)ret;
    return set_field(c, args->self, F_SR_physical_utilisation, value_int(args->value));
}

/* Gone since introduce() and create() are there; kept to say so. */
static struct err *sr_make(struct call *c, const struct SR_make_args *args, struct value *ret)
{
    (void)c;
    (void)args;
    (void)ret;
    return err_message_deprecated();
}

void sr_register(struct api_handlers *h)
{
    h->SR_create = sr_create;
    h->SR_make = sr_make;
    h->SR_introduce = sr_introduce;
    h->SR_forget = sr_forget;
    h->SR_destroy = sr_destroy;
    h->SR_scan = sr_scan;
    h->SR_update = sr_update;
    h->SR_probe = sr_probe;
    h->SR_get_supported_types = sr_get_supported_types;
    h->SR_set_shared = sr_set_shared;
    h->SR_set_name_label = sr_set_name_label;
    h->SR_set_name_description = sr_set_name_description;
    h->SR_set_physical_size = sr_set_physical_size;
    h->SR_set_virtual_allocation = sr_set_virtual_allocation;
    h->SR_set_physical_utilisation = sr_set_physical_utilisation;
}
