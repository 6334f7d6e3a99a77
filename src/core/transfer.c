#include "core/transfer.h"
#include <string.h>
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "core/http.h"
#include "core/ops.h"
#include "core/sm.h"
#include "core/task.h"
#include "core/vdi.h"
#include "gen/ipc_storage.h"

#define CLIENT_WAIT_US (600UL * 1000 * 1000) /* to take what is left in the buffers */

struct transfer {
    struct core *core;
    struct arena *arena; /* owned; holds all texts and itself */
    struct op op;
    const char *task, *job, *vdi; /* vdi: ref */
    const char *made;             /* ref of the disk that an import made; NULL */
    uint64_t id;
    bool import;
    int64_t announced; /* Content-Length; -1 */
    int64_t size;      /* of the disk */
    bool client_done, client_complete;
    struct waitq changed;
};

static void refuse_error(struct call *c, struct core_http_rep *rep, struct err *e)
{
    http_refuse_task(c, rep, 500, "Internal Error", e);
}

/* The end */

static struct err *wait_job(struct transfer *t, uint64_t *ret_bytes)
{
    struct storage_job_wait_rep rep = { 0 };
    struct ipc_peer *peer = NULL;

    TRY(core_need_storage(t->core, &peer));
    struct err *e = storage_job_wait(peer, t->arena, &(struct storage_job_wait_req){ .job = t->job }, &rep);
    if (ipc_is_interrupted(e) && fiber_interrupted()) {
        fiber_interrupt_clear();
        err_ignore(
            storage_job_cancel(peer, t->arena, &(struct storage_job_cancel_req){ .job = t->job }), "it ends with us");
        /* The task may say that it is over only when nobody holds the disk any more. */
        err_ignore(storage_job_wait(peer, t->arena, &(struct storage_job_wait_req){ .job = t->job }, &rep),
            "that it was cancelled is known");
    }
    if (!e)
        *ret_bytes = rep.bytes;
    return sm_err(t->core, t->task, e);
}

/* Storage has handed everything on; has the client got it? */
static struct err *wait_client(struct transfer *t)
{
    uint64_t deadline = clock_now(t->core->loop) + CLIENT_WAIT_US;

    while (!t->client_done && waitq_wait(&t->changed, deadline))
        ;
    if (fiber_interrupted())
        return err_task_cancelled(t->task);
    return t->client_complete ? NULL : err_internal("the client went away before the end");
}

static struct err *check_length(const struct transfer *t, uint64_t bytes)
{
    bool short_of = t->announced >= 0 && bytes < (uint64_t)t->announced;

    return short_of && t->announced <= t->size ? err_import_error_premature_eof() : NULL;
}

static struct err *outcome(struct transfer *t)
{
    struct call c = { .core = t->core, .arena = t->arena, .task = t->task, .client = "" };
    struct sm_progress *progress = sm_progress_start(t->core, t->task, t->job);
    uint64_t bytes = 0;
    struct err *e = wait_job(t, &bytes);

    sm_progress_stop(progress);
    if (!e)
        e = t->import ? check_length(t, bytes) : wait_client(t);
    op_end(&t->op);
    fiber_interrupt_clear();
    if (!t->import)
        return e;
    if (e && t->made)
        err_ignore(vdi_remove(&c, t->made), "the import's own error counts");
    else
        err_ignore(vdi_refresh(&c, t->vdi), "its size on the medium is told by the next scan");
    return e;
}

static void transfer_fiber(void *arg)
{
    struct transfer *t = arg;
    char key[24];

    task_run_begin(t->core, t->task, fiber_self());
    struct err *e = outcome(t);
    task_run_end(t->core, t->task);
    log_info(t->import ? "import of a disk ended" : "export of a disk ended", F("vdi", t->vdi), F("task", t->task),
        F("error", e ? err_text(e) : ""));
    task_finish(t->core, t->task, !e && t->made ? arena_printf(t->arena, "<value>%s</value>", t->made) : "", e);
    snprintf(key, sizeof(key), "%llu", (unsigned long long)t->id);
    map_remove(t->core->streams, key);
    arena_free(t->arena);
}

void transfer_stream_done(struct core *c, uint64_t stream_id, uint64_t bytes, bool complete)
{
    char key[24];

    (void)bytes; /* storage counts what counts */
    snprintf(key, sizeof(key), "%llu", (unsigned long long)stream_id);
    struct transfer *t = map_get(c->streams, key);
    if (!t)
        return;
    t->client_done = true;
    t->client_complete = complete;
    waitq_wake_all(&t->changed);
}

/* The beginning */

static struct transfer *transfer_new(struct call *c, const char *vdi, bool import)
{
    struct arena *a = arena_new();
    struct transfer *t = arena_new_of(a, struct transfer);
    char job[UUID_LEN + 1];

    uuid_make(job);
    t->core = c->core;
    t->arena = a;
    t->task = arena_strdup(a, c->task);
    t->job = arena_strdup(a, job);
    t->vdi = arena_strdup(a, vdi);
    t->import = import;
    t->announced = -1;
    waitq_init(&t->changed);
    return t;
}

static void transfer_free(struct transfer *t)
{
    if (!t)
        return;
    op_end(&t->op);
    arena_free(t->arena);
}
DEFINE_DROP(transfer)

/* From here on the transfer's own fiber has it. */
static void launch(struct call *c, struct transfer *t, struct core_http_rep *rep, int stream)
{
    char key[24];

    t->id = http_stream(c, rep, stream, t->import ? 2 : 1);
    snprintf(key, sizeof(key), "%llu", (unsigned long long)t->id);
    map_put(c->core->streams, key, t);
    fiber_start(c->core->loop, t->import ? "import" : "export", transfer_fiber, t);
}

enum format { FORMAT_RAW, FORMAT_OTHER, FORMAT_UNKNOWN };

static enum format format_of(const struct core_http_req *req)
{
    static const char *const others[] = { "vhd", "qcow2", "tar" };
    const char *text = value_map_str(&req->query, "format");

    if (!*text || strcasecmp(text, "raw") == 0)
        return FORMAT_RAW;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (strcasecmp(text, others[i]) == 0)
            return FORMAT_OTHER;
    return FORMAT_UNKNOWN;
}

/* Whether the request asks for what is built; answers otherwise. */
static bool is_built(struct call *c, const struct core_http_req *req, struct core_http_rep *rep)
{
    enum format f = format_of(req);
    const char *format = value_map_str(&req->query, "format");

    if (f == FORMAT_UNKNOWN)
        http_refuse_task(c, rep, 404, "Not Found", err_invalid_value("format", format));
    else if (f == FORMAT_OTHER)
        http_refuse_task(
            c, rep, 501, "Not Implemented", err_not_implemented(arena_printf(c->arena, "disks in format %s", format)));
    else if (value_map_get(&req->query, "base"))
        http_refuse_task(c, rep, 501, "Not Implemented", err_not_implemented("differences of disks"));
    else if (value_map_get(&req->query, "chunked"))
        http_refuse_task(c, rep, 501, "Not Implemented", err_not_implemented("disks in chunks"));
    else
        return true;
    return false;
}

static const struct row *find_row(struct core *c, const struct model_class *cls, const char *ref_or_uuid)
{
    const struct row *r = *ref_or_uuid ? store_find_of(c->store, cls, ref_or_uuid) : NULL;

    return r || !*ref_or_uuid ? r : store_by_uuid(c->store, cls, ref_or_uuid);
}

/* Export */

static struct err *start_export(struct call *c, const char *vdi, struct transfer **ret, int *ret_stream)
{
    AUTO(transfer_drop) struct transfer *t = transfer_new(c, vdi, false);
    struct storage_vdi_export_rep rep = { .stream = -1 };
    const struct row *row = NULL;
    struct ipc_peer *peer = NULL;
    const char *sr = NULL;

    TRY(op_begin(c, &vdi_ops, vdi, "copy", &t->op));
    TRY(call_row(c, C_VDI, vdi, &row));
    const char *uuid = arena_strdup(c->arena, row_str(row, F_VDI_uuid));
    TRY(vdi_storage(c, vdi, &peer, &sr));
    struct storage_vdi_export_req req = { .sr = sr, .uuid = uuid, .job = t->job };
    TRY(sm_err(c->core, c->task, storage_vdi_export(peer, c->arena, &req, &rep)));
    t->size = (int64_t)rep.size;
    *ret_stream = rep.stream;
    *ret = MOVE(t);
    return NULL;
}

struct err *transfer_export(struct core *core, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep)
{
    struct call c = { .core = core, .arena = a, .who = *who, .task = "", .client = req->client };
    struct transfer *t = NULL;
    int stream = -1;

    struct err *e = http_take_task(&c, req, "Exporting a raw disk");
    if (e) {
        http_refuse_task(&c, rep, 400, "Bad Request", e);
        return NULL;
    }
    if (!is_built(&c, req, rep))
        return NULL;
    const struct row *vdi = find_row(core, C_VDI, value_map_str(&req->query, "vdi"));
    if (!vdi) {
        http_refuse_task(&c, rep, 400, "Bad Request", err_vdi_missing("", value_map_str(&req->query, "vdi")));
        return NULL;
    }
    const char *file = arena_printf(a, "attachment; filename=\"%s.raw\"", row_str(vdi, F_VDI_uuid));
    e = start_export(&c, arena_strdup(a, row_ref(vdi)), &t, &stream);
    if (e) {
        refuse_error(&c, rep, e);
        return NULL;
    }
    launch(&c, t, rep, stream);
    http_add_header(a, rep, "Content-Type", "application/octet-stream");
    http_add_header(a, rep, "Content-Disposition", file);
    return NULL;
}

/* Import */

static struct err *start_import(
    struct call *c, const char *vdi, const char *made, int64_t announced, struct transfer **ret, int *ret_stream)
{
    AUTO(transfer_drop) struct transfer *t = transfer_new(c, vdi, true);
    struct storage_vdi_import_rep rep = { .stream = -1 };
    const struct row *row = NULL;
    struct ipc_peer *peer = NULL;
    const char *sr = NULL;

    TRY(vdi_begin_write(c, vdi, "import", &t->op));
    TRY(call_row(c, C_VDI, vdi, &row));
    const char *uuid = arena_strdup(c->arena, row_str(row, F_VDI_uuid));
    t->size = row_int(row, F_VDI_virtual_size);
    t->made = made ? arena_strdup(t->arena, made) : NULL;
    t->announced = announced;
    TRY(vdi_storage(c, vdi, &peer, &sr));
    struct storage_vdi_import_req req = { .sr = sr, .uuid = uuid, .job = t->job };
    TRY(sm_err(c->core, c->task, storage_vdi_import(peer, c->arena, &req, &rep)));
    *ret_stream = rep.stream;
    *ret = MOVE(t);
    return NULL;
}

/* The disk to fill: the one named, or a new one on the SR named. */
static struct err *import_target(
    struct call *c, const struct core_http_req *req, const char **ret_vdi, const char **ret_made)
{
    const char *wanted = value_map_str(&req->query, "vdi"), *sr_id = value_map_str(&req->query, "sr_id");
    const struct row *vdi = find_row(c->core, C_VDI, wanted);
    const struct row *sr = find_row(c->core, C_SR, *sr_id ? sr_id : value_map_str(&req->query, "sr_uuid"));

    if (vdi) {
        *ret_vdi = arena_strdup(c->arena, row_ref(vdi));
        return NULL;
    }
    if (*wanted || !sr || req->content_length <= 0)
        return err_vdi_missing(sr ? row_ref(sr) : "", wanted);
    struct vdi_spec spec = { .sr = arena_strdup(c->arena, row_ref(sr)),
        .name_label = "Imported VDI",
        .name_description = "",
        .virtual_size = req->content_length,
        .type = "user" };
    TRY(vdi_make(c, &spec, ret_made));
    *ret_vdi = *ret_made;
    return NULL;
}

struct err *transfer_import(struct core *core, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep)
{
    struct call c = { .core = core, .arena = a, .who = *who, .task = "", .client = req->client };
    const char *vdi = NULL, *made = NULL;
    struct transfer *t = NULL;
    int stream = -1;

    if (req->content_length == 0 && !*req->task_id) { /* a client looks whether it will be redirected (clients.md 2) */
        rep->status = 200;
        rep->reason = "OK";
        return NULL;
    }
    struct err *e = http_take_task(&c, req, "Importing a raw disk");
    if (e) {
        http_refuse_task(&c, rep, 400, "Bad Request", e);
        return NULL;
    }
    if (req->chunked) {
        http_refuse_task(&c, rep, 404, "Not Found", err_import_error_cannot_handle_chunked());
        return NULL;
    }
    if (!is_built(&c, req, rep))
        return NULL;
    e = import_target(&c, req, &vdi, &made);
    if (err_is(e, "VDI_MISSING")) {
        http_refuse_task(&c, rep, 400, "Bad Request", e);
        return NULL;
    }
    if (!e)
        e = start_import(&c, vdi, made, req->content_length, &t, &stream);
    if (e) {
        if (made)
            err_ignore(vdi_remove(&c, made), "the first error counts");
        refuse_error(&c, rep, e);
        return NULL;
    }
    launch(&c, t, rep, stream);
    return NULL;
}
