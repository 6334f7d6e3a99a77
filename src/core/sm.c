/* SM, and what SR, PBD and VDI have in common (semantics.md 7). */
#include "core/sm.h"
#include <string.h>
#include "base/map.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "base/vec.h"
#include "core/blob.h"
#include "core/ops.h"
#include "core/task.h"
#include "core/vdi.h"
#include "gen/ipc_storage.h"

#define PROGRESS_US (1000UL * 1000)

const struct row *sr_pbd(struct core *c, const struct row *sr)
{
    for (size_t i = 0; i < row_n_related(sr, F_SR_PBDs); i++) {
        const struct row *pbd = row_related(sr, F_SR_PBDs, i);
        if (strcmp(row_str(pbd, F_PBD_host), c->host_ref) == 0)
            return pbd;
    }
    return NULL;
}

bool sr_is_plugged(struct core *c, const struct row *sr)
{
    const struct row *pbd = sr_pbd(c, sr);

    return pbd && row_bool(pbd, F_PBD_currently_attached);
}

struct err *sr_assert_plugged(struct core *c, const struct row *sr)
{
    return sr_is_plugged(c, sr) ? NULL : err_sr_has_no_pbds(row_ref(sr));
}

const struct row *sm_find(struct core *c, const char *type)
{
    for (const struct row *r = store_first(c->store, C_SM); r; r = store_next(r))
        if (strcmp(row_str(r, F_SM_type), type) == 0)
            return r;
    return NULL;
}

bool sm_has(struct core *c, const struct row *sr, const char *feature)
{
    const struct row *sm = sm_find(c, row_str(sr, F_SR_type));

    return sm && value_map_get(row_get(sm, F_SM_features), feature);
}

struct err *sm_storage(
    struct core *c, struct arena *a, const char *sr_ref, struct ipc_peer **ret, const char **ret_uuid)
{
    struct ipc_peer *peer = NULL;

    TRY(core_need_storage(c, &peer));
    const struct row *sr = store_find_of(c->store, C_SR, sr_ref);
    if (!sr)
        return err_handle_invalid("SR", sr_ref);
    const struct row *pbd = sr_pbd(c, sr);
    if (!pbd)
        return err_sr_has_no_pbds(sr_ref);
    struct storage_sr_attach_req req = { .sr = arena_strdup(a, row_str(sr, F_SR_uuid)),
        .type = arena_strdup(a, row_str(sr, F_SR_type)),
        .config = value_copy(a, row_get(pbd, F_PBD_device_config)) };
    TRY(storage_sr_attach(peer, a, &req));
    *ret = peer;
    *ret_uuid = req.sr;
    return NULL;
}

/* Errors */

static const char *ref_of_uuid(struct core *c, const char *uuid)
{
    const struct row *r = uuid_valid(uuid) ? store_by_uuid(c->store, C_VDI, uuid) : NULL;

    if (!r && uuid_valid(uuid))
        r = store_by_uuid(c->store, C_SR, uuid);
    return r ? row_ref(r) : uuid;
}

struct err *sm_err(struct core *c, const char *task, struct err *e)
{
    static const char *const codes[] = { "VDI_IN_USE", "SR_NOT_ATTACHED", "SR_OPERATION_NOT_SUPPORTED",
        "VDI_TOO_SMALL" };
    AUTO(err_drop) struct err *owned = NULL;
    const char *params[4];
    size_t n = e ? err_n_params(e) : 0;

    if (!e)
        return NULL;
    if (ipc_is_interrupted(e)) {
        err_ignore(e, "told as the task's");
        return err_task_cancelled(task);
    }
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (err_is(e, codes[i]) && n <= ARRAY_LEN(params)) {
            owned = e;
            for (size_t k = 0; k < n; k++)
                params[k] = ref_of_uuid(c, err_param(e, k));
            return err_new(codes[i], params, n);
        }
    return e;
}

/* Records */

void vdi_drop_row(struct core *c, struct tx *t, const struct row *vdi)
{
    for (size_t i = 0; i < row_n_related(vdi, F_VDI_VBDs); i++) {
        const struct row *vbd = row_related(vdi, F_VDI_VBDs, i);

        if (strcmp(row_str(vbd, F_VBD_type), "CD") != 0) {
            tx_destroy(t, row_ref(vbd));
            continue;
        }
        tx_set(t, row_ref(vbd), F_VBD_empty, value_bool(true));
        tx_set(t, row_ref(vbd), F_VBD_VDI, value_str(REF_NULL));
    }
    bool suspend = strcmp(row_str(vdi, F_VDI_type), "suspend") == 0;
    for (const struct row *vm = suspend ? store_first(c->store, C_VM) : NULL; vm; vm = store_next(vm))
        if (strcmp(row_str(vm, F_VM_suspend_VDI), row_ref(vdi)) == 0)
            tx_set(t, row_ref(vm), F_VM_suspend_VDI, value_str(REF_NULL));
    tx_destroy(t, row_ref(vdi));
}

struct err *sr_drop_rows(struct core *c, const char *sr_ref)
{
    const struct field *const pool_fields[] = { F_pool_default_SR, F_pool_suspend_image_SR, F_pool_crash_dump_SR };
    const struct field *const host_fields[] = { F_host_suspend_image_sr, F_host_crash_dump_sr };
    const struct row *sr = store_find_of(c->store, C_SR, sr_ref);
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value blobs = value_set(NULL, 0);
    struct tx *t = tx_begin(c->store);

    for (size_t i = 0; sr && i < row_n_related(sr, F_SR_VDIs); i++)
        vdi_drop_row(c, t, row_related(sr, F_SR_VDIs, i));
    for (size_t i = 0; sr && i < row_n_related(sr, F_SR_PBDs); i++)
        tx_destroy(t, row_ref(row_related(sr, F_SR_PBDs, i)));
    for (size_t i = 0; i < ARRAY_LEN(pool_fields); i++)
        if (strcmp(row_str(core_pool_row(c), pool_fields[i]), sr_ref) == 0)
            tx_set(t, c->pool_ref, pool_fields[i], value_str(REF_NULL));
    for (size_t i = 0; i < ARRAY_LEN(host_fields); i++)
        if (strcmp(row_str(core_host_row(c), host_fields[i]), sr_ref) == 0)
            tx_set(t, c->host_ref, host_fields[i], value_str(REF_NULL));
    if (sr)
        blobs = blob_drop(c, t, a, sr, F_SR_blobs);
    tx_destroy(t, sr_ref);
    TRY(tx_commit(t));
    blob_forget(c, &blobs);
    return NULL;
}

static void set_sizes(struct tx *t, const char *sr_ref, const struct storage_stat *stat)
{
    tx_set(t, sr_ref, F_SR_physical_size, value_int((int64_t)stat->size));
    tx_set(t, sr_ref, F_SR_physical_utilisation, value_int((int64_t)stat->used));
    tx_set(t, sr_ref, F_SR_virtual_allocation, value_int((int64_t)stat->virtual));
}

static bool is_attached(const struct row *vdi)
{
    for (size_t i = 0; i < row_n_related(vdi, F_VDI_VBDs); i++)
        if (row_bool(row_related(vdi, F_VDI_VBDs, i), F_VBD_currently_attached))
            return true;
    return false;
}

static void add_found(struct tx *t, const char *sr_ref, const struct storage_vdi *v)
{
    const struct value format[2] = { value_str("image-format"), value_str(v->format) };
    const struct model_enum *types = F_VDI_type->type->en;
    const char *type = "user";
    const struct tx_field fields[] = {
        { F_VDI_uuid, value_str(v->uuid) },
        { F_VDI_name_label, value_str(v->name) },
        { F_VDI_SR, value_str(sr_ref) },
        { F_VDI_virtual_size, value_int((int64_t)v->size) },
        { F_VDI_physical_utilisation, value_int((int64_t)v->used) },
        { F_VDI_type, value_str(enum_has(types, v->type, &type) ? type : "user") },
        { F_VDI_read_only, value_bool(v->read_only) },
        { F_VDI_location, value_str(v->location) },
        { F_VDI_managed, value_bool(true) },
        { F_VDI_sm_config, value_map(format, 1) },
    };

    tx_create(t, C_VDI, NULL, fields, ARRAY_LEN(fields));
}

static void take_scan(struct core *c, struct tx *t, const struct row *sr, const struct storage_sr_scan_rep *rep)
{
    AUTO(map_drop) struct map *found = map_new();

    for (size_t i = 0; i < rep->n_vdis; i++)
        map_put(found, rep->vdis[i].uuid, &rep->vdis[i]);
    for (size_t i = 0; i < row_n_related(sr, F_SR_VDIs); i++) {
        const struct row *vdi = row_related(sr, F_SR_VDIs, i);
        const struct storage_vdi *v = map_remove(found, row_str(vdi, F_VDI_uuid));

        if (v) {
            tx_set(t, row_ref(vdi), F_VDI_virtual_size, value_int((int64_t)v->size));
            tx_set(t, row_ref(vdi), F_VDI_physical_utilisation, value_int((int64_t)v->used));
            tx_set(t, row_ref(vdi), F_VDI_location, value_str(v->location));
            tx_set(t, row_ref(vdi), F_VDI_missing, value_bool(false));
        } else if (is_attached(vdi)) {
            tx_set(t, row_ref(vdi), F_VDI_missing, value_bool(true)); /* somebody has it open: its record stays */
        } else {
            vdi_drop_row(c, t, vdi);
        }
    }
    for (size_t i = 0; i < rep->n_vdis; i++) /* in the order of the medium; what is left in the map is new */
        if (map_get(found, rep->vdis[i].uuid) && !store_by_uuid(c->store, C_VDI, rep->vdis[i].uuid))
            add_found(t, row_ref(sr), map_remove(found, rep->vdis[i].uuid));
    set_sizes(t, row_ref(sr), &rep->stat);
}

struct err *sr_sync(struct core *c, struct arena *a, const char *sr_ref)
{
    struct storage_sr_scan_rep rep = { 0 };
    struct ipc_peer *peer = NULL;
    const char *uuid = NULL;

    TRY(sm_storage(c, a, sr_ref, &peer, &uuid));
    TRY(storage_sr_scan(peer, a, &(struct storage_sr_scan_req){ .sr = uuid }, &rep));
    const struct row *sr = store_find_of(c->store, C_SR, sr_ref);
    if (!sr)
        return err_handle_invalid("SR", sr_ref);
    struct tx *t = tx_begin(c->store);
    take_scan(c, t, sr, &rep);
    TRY(tx_commit(t));
    sr_refresh(c, sr_ref);
    return NULL;
}

struct err *sr_sync_sizes(struct core *c, struct arena *a, const char *sr_ref)
{
    struct storage_sr_stat_rep rep = { 0 };
    struct ipc_peer *peer = NULL;
    const char *uuid = NULL;

    TRY(sm_storage(c, a, sr_ref, &peer, &uuid));
    TRY(storage_sr_stat(peer, a, &(struct storage_sr_stat_req){ .sr = uuid }, &rep));
    struct tx *t = tx_begin(c->store);
    set_sizes(t, sr_ref, &rep.stat);
    return tx_commit(t);
}

void sr_refresh(struct core *c, const char *sr_ref)
{
    const struct row *sr = store_find_of(c->store, C_SR, sr_ref);
    VEC(char *) vdis = { 0 };

    if (!sr)
        return;
    for (size_t i = 0; i < row_n_related(sr, F_SR_VDIs); i++)
        vec_push(&vdis, mem_strdup(row_ref(row_related(sr, F_SR_VDIs, i))));
    ops_refresh(c, &sr_ops, sr_ref);
    for (size_t i = 0; i < vdis.len; i++) {
        ops_refresh(c, &vdi_ops, vdis.p[i]);
        free(vdis.p[i]);
    }
    vec_done(&vdis);
}

/* Progress */

struct sm_progress {
    struct core *core;
    char *task, *job; /* owned */
    bool stop;
    struct waitq wake;
};

static void tell(struct sm_progress *p)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct storage_job_progress_rep rep = { 0 };

    if (!p->core->storage)
        return;
    struct err *e =
        storage_job_progress(p->core->storage, a, &(struct storage_job_progress_req){ .job = p->job }, &rep);
    if (e)
        err_ignore(e, "not begun, or over");
    else if (rep.total && !p->stop)
        task_progress(p->core, p->task, (double)rep.done / (double)rep.total);
}

static void progress_fiber(void *arg)
{
    struct sm_progress *p = arg;

    while (!p->stop) {
        waitq_wait(&p->wake, clock_now(p->core->loop) + PROGRESS_US);
        if (!p->stop)
            tell(p);
    }
    free(p->task);
    free(p->job);
    free(p);
}

struct sm_progress *sm_progress_start(struct core *c, const char *task, const char *job)
{
    if (cstr_empty(task))
        return NULL;
    struct sm_progress *p = mem_new(struct sm_progress);
    p->core = c;
    p->task = mem_strdup(task);
    p->job = mem_strdup(job);
    waitq_init(&p->wake);
    fiber_start(c->loop, "progress", progress_fiber, p);
    return p;
}

void sm_progress_stop(struct sm_progress *p)
{
    if (!p)
        return;
    p->stop = true;
    waitq_wake_all(&p->wake);
}
