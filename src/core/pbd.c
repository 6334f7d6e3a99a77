/* PBD: this host's connection to an SR (semantics.md 7.2). */
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "core/implicit.h"
#include "core/message.h"
#include "core/ops.h"
#include "core/sm.h"
#include "core/task.h"
#include "core/vdi.h"
#include "gen/ipc_storage.h"

static struct err *check_config(const struct value *config)
{
    const char *master = config && config->kind == V_MAP ? value_map_str(config, "SRmaster") : "";

    if (config && config->kind == V_MAP && value_map_get(config, "SRmaster"))
        return err_value_not_supported("SRmaster", master, "This key is for internal use only");
    return NULL;
}

static struct err *create(struct call *c, struct value *record, const char **ret_ref)
{
    const struct row *host = NULL, *sr = NULL;
    const char *sr_ref = arena_strdup(c->arena, value_map_str(record, "SR"));

    TRY(call_row(c, C_host, value_map_str(record, "host"), &host));
    TRY(call_row(c, C_SR, sr_ref, &sr));
    for (size_t i = 0; i < row_n_related(sr, F_SR_PBDs); i++) {
        const struct row *pbd = row_related(sr, F_SR_PBDs, i);
        if (strcmp(row_str(pbd, F_PBD_host), row_ref(host)) == 0)
            return err_pbd_exists(sr_ref, row_ref(host), row_ref(pbd));
    }
    TRY(check_config(value_map_get(record, "device_config")));
    const struct value *config = value_map_get(record, "device_config"), *other = value_map_get(record, "other_config");
    struct tx_field fields[4] = { { F_PBD_host, value_str(row_ref(host)) }, { F_PBD_SR, value_str(sr_ref) } };
    size_t n = 2;
    if (config)
        fields[n++] = (struct tx_field){ F_PBD_device_config, *config };
    if (other)
        fields[n++] = (struct tx_field){ F_PBD_other_config, *other };
    struct tx *t = tx_begin(c->core->store);
    const char *ref = arena_strdup(c->arena, tx_create(t, C_PBD, NULL, fields, n));
    TRY(tx_commit(t));
    ops_refresh(c->core, &sr_ops, sr_ref);
    *ret_ref = ref;
    return NULL;
}

static struct err *destroy(struct call *c, const char *ref, bool *ret_done)
{
    const struct row *pbd = NULL;

    TRY(call_row(c, C_PBD, ref, &pbd));
    if (row_bool(pbd, F_PBD_currently_attached))
        return err_operation_not_allowed("PBD is currently attached");
    const char *sr_ref = arena_strdup(c->arena, row_str(pbd, F_PBD_SR));
    struct tx *t = tx_begin(c->core->store);
    tx_destroy(t, ref);
    TRY(tx_commit(t));
    ops_refresh(c->core, &sr_ops, sr_ref);
    *ret_done = true;
    return NULL;
}

/* Attaches and looks what is there; the record follows. */
static struct err *attach(struct core *c, struct arena *a, const char *pbd_ref, const char *sr_ref)
{
    struct ipc_peer *peer = NULL;
    const char *uuid = NULL;

    TRY(sm_storage(c, a, sr_ref, &peer, &uuid));
    TRY(core_set(c, pbd_ref, F_PBD_currently_attached, value_bool(true)));
    struct err *e = sr_sync(c, a, sr_ref);
    if (!e)
        return NULL;
    err_ignore(storage_sr_detach(peer, a, &(struct storage_sr_detach_req){ .sr = uuid }), "the first error counts");
    err_ignore(core_set(c, pbd_ref, F_PBD_currently_attached, value_bool(false)), "the first error counts");
    return e;
}

static struct err *assert_ours(struct call *c, const struct row *pbd)
{
    if (strcmp(row_str(pbd, F_PBD_host), c->core->host_ref) != 0)
        return err_host_offline(row_str(pbd, F_PBD_host));
    return NULL;
}

static struct err *assert_sharable(const struct row *sr, const struct row *pbd)
{
    for (size_t i = 0; i < row_n_related(sr, F_SR_PBDs) && !row_bool(sr, F_SR_shared); i++) {
        const struct row *other = row_related(sr, F_SR_PBDs, i);
        if (other != pbd && row_bool(other, F_PBD_currently_attached))
            return err_sr_not_sharable(row_ref(sr), row_str(other, F_PBD_host));
    }
    return NULL;
}

static struct err *pbd_plug(struct call *c, const struct PBD_plug_args *args, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *pbd = NULL, *sr = NULL;

    (void)ret;
    TRY(call_row(c, C_PBD, args->self, &pbd));
    if (row_bool(pbd, F_PBD_currently_attached))
        return NULL;
    TRY(assert_ours(c, pbd));
    const char *sr_ref = arena_strdup(c->arena, row_str(pbd, F_PBD_SR));
    TRY(call_row(c, C_SR, sr_ref, &sr));
    TRY(assert_sharable(sr, pbd));
    TRY(op_begin(c, &sr_ops, sr_ref, "plug", &op));
    TRY(sm_err(c->core, c->task, attach(c->core, c->arena, args->self, sr_ref)));
    op_end(&op);
    sr_refresh(c->core, sr_ref);
    return NULL;
}

static struct err *assert_unused(const struct row *sr)
{
    for (size_t i = 0; i < row_n_related(sr, F_SR_VDIs); i++) {
        const struct row *vdi = row_related(sr, F_SR_VDIs, i);
        TRY(ops_conflict(&vdi_ops, vdi));
        for (size_t k = 0; k < row_n_related(vdi, F_VDI_VBDs); k++)
            if (row_bool(row_related(vdi, F_VDI_VBDs, k), F_VBD_currently_attached))
                return err_vdi_in_use(row_ref(vdi), "PBD.unplug");
    }
    return NULL;
}

static struct err *pbd_unplug(struct call *c, const struct PBD_unplug_args *args, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *pbd = NULL, *sr = NULL;
    struct ipc_peer *peer = NULL;

    (void)ret;
    TRY(call_row(c, C_PBD, args->self, &pbd));
    if (!row_bool(pbd, F_PBD_currently_attached))
        return NULL;
    TRY(assert_ours(c, pbd));
    const char *sr_ref = arena_strdup(c->arena, row_str(pbd, F_PBD_SR));
    TRY(op_begin(c, &sr_ops, sr_ref, "unplug", &op));
    TRY(core_need_storage(c->core, &peer));
    TRY(call_row(c, C_SR, sr_ref, &sr));
    TRY(assert_unused(sr));
    const char *uuid = arena_strdup(c->arena, row_str(sr, F_SR_uuid));
    TRY(core_set(
        c->core, args->self, F_PBD_currently_attached, value_bool(false))); /* from here on nobody begins anything */
    struct err *e = storage_sr_detach(peer, c->arena, &(struct storage_sr_detach_req){ .sr = uuid });
    if (e) { /* it is still there as far as anybody knows */
        TRY(err_first(e, core_set(c->core, args->self, F_PBD_currently_attached, value_bool(true))));
    }
    op_end(&op);
    sr_refresh(c->core, sr_ref);
    return NULL;
}

static struct err *pbd_set_device_config(
    struct call *c, const struct PBD_set_device_config_args *args, struct value *ret)
{
    const struct row *pbd = NULL;

    (void)ret;
    TRY(call_row(c, C_PBD, args->self, &pbd));
    TRY(check_config(args->value));
    if (row_bool(pbd, F_PBD_currently_attached))
        return err_operation_not_allowed("PBD is currently attached");
    return core_set(c->core, args->self, F_PBD_device_config, *args->value);
}

/* At start */

struct connection {
    char *pbd, *sr; /* owned */
};

static void plug_failed(struct core *c, struct arena *a, const struct connection *k, struct err *e)
{
    const char *body = arena_printf(a, "%s: %s", k->sr, err_text(e));

    message_raise(c, a, "PBD_PLUG_FAILED_ON_SERVER_START", "Host", row_str(core_host_row(c), F_host_uuid), body);
    log_warn("storage is not connected", F("pbd", k->pbd), F("error", err_text(e)));
    err_free(e);
    err_ignore(core_set(c, k->pbd, F_PBD_currently_attached, value_bool(false)), "it will be tried again");
}

/* Copies that a crash of ours cut short: what they made is worth nothing. */
static void drop_half_copies(struct core *c, struct arena *a, const char *sr_ref)
{
    const struct row *sr = store_find_of(c->store, C_SR, sr_ref);
    VEC(char *) vdis = { 0 };
    struct call call = { .core = c, .arena = a, .task = "", .client = "" };

    for (size_t i = 0; sr && i < row_n_related(sr, F_SR_VDIs); i++) {
        const struct row *vdi = row_related(sr, F_SR_VDIs, i);
        if (value_map_get(row_get(vdi, F_VDI_sm_config), VDI_COPYING))
            vec_push(&vdis, mem_strdup(row_ref(vdi)));
    }
    for (size_t i = 0; i < vdis.len; i++) {
        log_info("half a copy goes", F("vdi", vdis.p[i]));
        log_err(LOG_WARN_, "half a copy stays", vdi_remove(&call, vdis.p[i]));
        free(vdis.p[i]);
    }
    vec_done(&vdis);
}

static void clear_operations(struct core *c, const struct model_class *cls, const struct field *f)
{
    struct tx *t = tx_begin(c->store);

    for (const struct row *r = store_first(c->store, cls); r; r = store_next(r))
        tx_set(t, row_ref(r), f, value_map(NULL, 0));
    err_ignore(tx_apply(t, NULL), "volatile fields of rows that are there");
}

/*
 * At the core's start everything that was plugged is plugged and looked at. Later, when only the storage process is a
 * new one, nothing has changed on the medium, and a scan beside what clients do there would take half a disk for a
 * whole one.
 */
static struct err *connect_sr(struct core *c, struct arena *a, const struct connection *to, bool starting)
{
    struct ipc_peer *peer = NULL;
    const char *uuid = NULL;

    return starting ? attach(c, a, to->pbd, to->sr) : sm_storage(c, a, to->sr, &peer, &uuid);
}

static void plug_ours(struct core *c, bool starting)
{
    VEC(struct connection) all = { 0 };

    for (const struct row *r = store_first(c->store, C_PBD); r; r = store_next(r))
        if (strcmp(row_str(r, F_PBD_host), c->host_ref) == 0 && (starting || row_bool(r, F_PBD_currently_attached)))
            vec_push(&all, ((struct connection){ mem_strdup(row_ref(r)), mem_strdup(row_str(r, F_PBD_SR)) }));
    for (size_t i = 0; i < all.len; i++) {
        AUTO(arena_drop) struct arena *a = arena_new();
        struct err *e = connect_sr(c, a, &all.p[i], starting);

        if (e && ipc_is_lost(e))
            err_ignore(e, "the next one that comes up is asked");
        else if (e)
            plug_failed(c, a, &all.p[i], e);
        else if (starting)
            drop_half_copies(c, a, all.p[i].sr);
        sr_refresh(c, all.p[i].sr);
        free(all.p[i].pbd);
        free(all.p[i].sr);
    }
    vec_done(&all);
}

void pbd_plug_all(struct core *c)
{
    clear_operations(c, C_SR, F_SR_current_operations);
    clear_operations(c, C_VDI, F_VDI_current_operations);
    plug_ours(c, true);
}

void pbd_attach_again(struct core *c)
{
    plug_ours(c, false);
}

static const struct class_hooks hooks = { .create = create, .destroy = destroy };

void pbd_register(struct api_handlers *h)
{
    class_hooks_set(C_PBD, &hooks);
    h->PBD_plug = pbd_plug;
    h->PBD_unplug = pbd_unplug;
    h->PBD_set_device_config = pbd_set_device_config;
}
