#include "core/http.h"
#include <string.h>
#include <sys/stat.h>
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/audit.h"
#include "core/backup.h"
#include "core/blob.h"
#include "core/console.h"
#include "core/host_backup.h"
#include "core/metrics.h"
#include "core/rbac.h"
#include "core/session.h"
#include "core/status.h"
#include "core/task.h"
#include "core/transfer.h"
#include "model/own.h"

#define START_WAIT_US (60UL * 1000 * 1000)

static void answer(struct arena *a, struct core_http_rep *rep, unsigned status, const char *reason, const char *text)
{
    const char *body = arena_printf(a, "<html><body><h1>%u %s</h1><p>%s</p></body></html>", status, reason, text);

    rep->status = status;
    rep->reason = reason;
    rep->body = str_of(body);
}

static void unauthorised(struct arena *a, struct core_http_rep *rep)
{
    rep->headers = arena_new_array(a, 1, struct core_header);
    rep->n_headers = 1;
    rep->headers[0] = (struct core_header){ "WWW-Authenticate", "Basic realm=\"Runnymede\"" };
    answer(a, rep, 401, "Unauthorised", "Please log in");
}

/* The credentials in the documented order; *ret_own is a session made for this request. */
static bool authenticate(
    struct core *c, struct arena *a, const struct core_http_req *req, struct principal *who, const char **ret_own)
{
    struct err *e = NULL;

    if (req->local) {
        *who = (struct principal){
            .session = "", .root = true, .role = ROLE_LOCAL_ROOT, .user = "root", .sid = "", .originator = ""
        };
        return true;
    }
    if (*req->session) {
        e = session_find(c, req->session, a, who);
    } else if (*req->user) {
        e = session_login(
            c, a, req->user, req->password, arena_printf(a, "%s using Basic auth", req->client), false, ret_own);
        if (!e)
            e = session_find(c, *ret_own, a, who);
    } else {
        return false;
    }
    if (!e)
        return true;
    err_ignore(e, "401 says it all");
    return false;
}

struct err *http_refuse(
    struct arena *a, struct core_http_rep *rep, unsigned status, const char *reason, const char *text)
{
    answer(a, rep, status, reason, text);
    return NULL;
}

void http_add_header(struct arena *a, struct core_http_rep *rep, const char *name, const char *value)
{
    if (!rep->headers)
        rep->headers = arena_new_array(a, 4, struct core_header);
    rep->headers[rep->n_headers++] = (struct core_header){ name, value };
}

struct err *http_hand_over(struct arena *a, struct core_http_rep *rep, const char *type, struct str body, int file)
{
    struct stat st;

    rep->status = 200;
    http_add_header(a, rep, "Content-Type", type);
    if (file <= 0) {
        rep->body = body;
        return NULL;
    }
    if (fstat(file, &st) == 0)
        http_add_header(a, rep, "Content-Length", arena_printf(a, "%lld", (long long)st.st_size));
    rep->stream = file;
    rep->direction = 1; /* from here to the client */
    rep->idle_timeout_s = 300;
    return NULL;
}

/* ---- with a task ---- */

struct err *http_take_task(struct call *c, const struct core_http_req *req, const char *label)
{
    if (!*req->task_id) {
        c->task = task_new(c->core, c->arena, label, NULL, &c->who);
        return NULL;
    }
    TRY(task_assert_owner(c, req->task_id));
    if (!task_is_pending(c->core, req->task_id))
        return err_operation_not_allowed("the task has ended already");
    c->task = arena_strdup(c->arena, req->task_id);
    return NULL;
}

void http_refuse_task(struct call *c, struct core_http_rep *rep, unsigned status, const char *reason, struct err *e)
{
    log_info("transfer refused", F("task", c->task), F("error", err_text(e)));
    answer(c->arena, rep, status, reason, err_text(e));
    task_finish(c->core, c->task, "", e);
}

uint64_t http_stream(struct call *c, struct core_http_rep *rep, int stream, uint8_t direction)
{
    rep->status = 200;
    rep->reason = "OK";
    rep->stream = stream;
    rep->stream_id = ++c->core->next_stream;
    rep->direction = direction;
    http_add_header(c->arena, rep, "task-id", c->task);
    return rep->stream_id;
}

/* ---- which there are ---- */

static const struct http_action *find_action(const char *name)
{
    for (size_t i = 0; i < HTTP_ACTION_COUNT; i++)
        if (strcmp(model_http_actions[i].name, name) == 0)
            return &model_http_actions[i];
    for (size_t i = 0; i < ARRAY_LEN(own_http_actions); i++)
        if (strcmp(own_http_actions[i].name, name) == 0)
            return &own_http_actions[i];
    return NULL;
}

/* What is built. */
typedef struct err *action_fn(struct core *c, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep);
static const struct {
    const char *name;
    action_fn *run;
} built[] = {
    { "connect_console", console_open },
    { "connect_console_ws", console_open },
    { "get_vncsnapshot", console_picture },
    { "get_pool_xml_db_sync", backup_dump },
    { "put_pool_xml_db_sync", backup_restore },
    { "get_host_backup", host_backup_download },
    { "put_host_restore", host_backup_restore },
    { "get_blob", blob_download },
    { "put_blob", blob_upload },
    { "get_export_raw_vdi", transfer_export },
    { "put_import_raw_vdi", transfer_import },
    { "rrd_updates", metrics_http },
    { "host_rrd", metrics_http },
    { "get_host_rrds", metrics_http },
    { "vm_rrd", metrics_http },
    { "get_vm_rrds", metrics_http },
    { "sr_rrd", metrics_http },
    { "own_metrics", metrics_http },
    { "get_audit_log", audit_http },
    { "get_system_status", status_http },
    { "get_host_logs_download", status_logs_http },
};

static action_fn *built_action(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(built); i++)
        if (strcmp(built[i].name, name) == 0)
            return built[i].run;
    return NULL;
}

static const char *key_of(char key[24], uint64_t stream_id)
{
    snprintf(key, 24, "%llu", (unsigned long long)stream_id);
    return key;
}

/* What has no task of its own to follow: the client's ends with the answer, or with the file that is one. */
static void follow(struct core *c, const char *task, struct core_http_rep *rep)
{
    char key[24];

    if (rep->direction != 1) {
        if (task_is_pending(c, task))
            task_finish(c, task, "", rep->status == 200 ? NULL : err_internal("%s", rep->reason));
        return;
    }
    rep->stream_id = ++c->next_stream;
    map_put(c->reports, key_of(key, rep->stream_id), mem_strdup(task));
}

static void file_done(struct core *c, uint64_t stream_id, bool complete)
{
    char key[24];
    AUTO(mem_drop) char *task = map_remove(c->reports, key_of(key, stream_id));

    if (task)
        task_finish(c, task, "", complete ? NULL : err_internal("the client went away before the end"));
}

/* A request ends the task that it names, so it may only name one that its sender may touch. Who names none, or one that
 * is not there, hears of that later or not at all. */
static struct err *check_task(
    struct core *c, struct arena *a, const struct core_http_req *req, const struct principal *who)
{
    struct call call = { .core = c, .arena = a, .who = *who, .task = "", .client = req->client };

    return store_find_of(c->store, C_task, req->task_id) ? task_assert_owner(&call, req->task_id) : NULL;
}

static void run(struct core *c, struct arena *a, const struct core_http_req *req, const struct http_action *action,
    const struct principal *who, struct core_http_rep *rep)
{
    AUTO(err_drop)
    struct err *e = check_task(c, a, req, who);
    action_fn *fn = built_action(action->name);

    if (e) {
        answer(a, rep, 403, "Forbidden", err_text(e));
        return;
    }
    e = rbac_check_role(who, (enum role)action->role, arena_printf(a, "http/%s", action->name));
    if (e) {
        answer(a, rep, 403, "Forbidden", err_text(e));
        if (*req->task_id)
            task_finish(c, req->task_id, "", MOVE(e));
        return;
    }
    e = fn ? fn(c, a, req, who, rep) : err_not_implemented(action->name);
    if (!e && *req->task_id && !rep->stream_id)
        follow(c, req->task_id, rep);
    if (!e)
        return;
    log_warn("request failed", F("action", action->name), F("error", err_text(e)));
    if (fn)
        answer(a, rep, 500, "Internal Error", err_text(e));
    else
        answer(a, rep, 501, "Not Implemented", err_text(e));
    if (*req->task_id)
        task_finish(c, req->task_id, "", MOVE(e));
}

struct err *http_request(struct core *c, struct arena *a, struct core_http_req *req, struct core_http_rep *rep)
{
    const struct http_action *action = find_action(req->action);
    struct principal who = { 0 };
    const char *own = NULL;

    rep->stream = -1;
    rep->reason = "OK";
    if (!c->ready && !waitq_wait(&c->started, clock_now(c->loop) + START_WAIT_US)) {
        answer(a, rep, 503, "Service Unavailable", "The host is still starting");
        return NULL;
    }
    if (!action) {
        answer(a, rep, 404, "Not Found", "No such action");
        return NULL;
    }
    if (!authenticate(c, a, req, &who, &own)) {
        if (!blob_is_open(c, req)) {
            unauthorised(a, rep);
            return NULL;
        }
        who = (struct principal){ .session = "", .role = ROLE_READ_ONLY, .user = "", .sid = "", .originator = "" };
        req->task_id = ""; /* a stranger has none */
    }
    run(c, a, req, action, &who, rep);
    if (strcmp(req->method, "GET") != 0 || rep->status == 403)
        audit_action(c, req, &who, rep->status);
    if (own)
        session_end(c, own);
    return NULL;
}

void http_stream_done(struct core *c, uint64_t stream_id, uint64_t bytes, bool complete)
{
    console_stream_done(c, stream_id);
    file_done(c, stream_id, complete);
    transfer_stream_done(c, stream_id, bytes, complete);
}
