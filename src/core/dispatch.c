/*
 * The gate's service: one typed call in, the whole answer out. The order of
 * checks is that of protocol.md section 4 from the session on; what comes
 * before it the gate has done.
 */
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "core/agent.h"
#include "core/audit.h"
#include "core/call.h"
#include "core/console.h"
#include "core/core.h"
#include "core/http.h"
#include "core/implicit.h"
#include "core/rbac.h"
#include "core/reply.h"
#include "core/session.h"
#include "core/task.h"
#include "gen/ipc_core.h"

#define RUNNING_MAX 4096 /* calls at once in this process; TOO_MANY_PENDING_TASKS beyond */
#define START_WAIT_US (60UL * 1000 * 1000)

static size_t running;

static struct err *run(struct call *c, const struct value *args, struct value *ret)
{
    bool built = false;

    if (c->msg->implicit != IMPLICIT_NONE)
        return implicit_run(c, args, ret);
    TRY(api_dispatch(&c->core->handlers, c->msg, c, args, ret, &built));
    if (!built)
        return err_not_implemented(c->msg->name);
    return NULL;
}

/* A task of its own for calls that have an asynchronous form: they show in current_operations and can be cancelled. */
static bool wants_task(const struct call *c)
{
    return c->msg->async;
}

/* Headers link the new task to an existing one and fill its other_config (protocol.md section 4). */
static const char *make_task(struct call *c, struct arena *a, const char *label, const struct core_call_req *req)
{
    const char *parent = *req->subtask_of ? req->subtask_of : req->task_id;
    const char *ref =
        task_new(c->core, a, label, store_find_of(c->core->store, C_task, parent) ? parent : NULL, &c->who);
    struct value config = value_map(NULL, 0);

    if (req->http_config.kind != V_MAP || !req->http_config.n)
        return ref;
    for (size_t i = 0; i < req->http_config.n; i++)
        config = value_map_with(a, &config, value_str(arena_printf(a, "http:%s", req->http_config.items[2 * i].s)),
            req->http_config.items[2 * i + 1]);
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, ref, F_task_other_config, config);
    err_ignore(tx_apply(t, NULL), "a volatile row that is there");
    return ref;
}

struct async_call {
    struct call c;
    struct value args;
    const char *audited; /* its parameters as the audit log shows them; NULL: it is not in there */
};

static void async_fiber(void *arg)
{
    struct async_call *ac = arg;
    struct call *c = &ac->c;
    struct arena *a = c->arena;
    struct value ret = value_str("");
    struct buf xml;

    task_run_begin(c->core, c->task, fiber_self());
    struct err *e = run(c, ac->args.items, &ret);
    fiber_interrupt_clear();
    task_run_end(c->core, c->task);
    buf_init(&xml, 16 * 1024 * 1024);
    if (!e)
        wire_task_result(&xml, c->msg->result, &ret);
    if (ac->audited)
        audit_call(c, ac->audited, e);
    if (e)
        log_info("call failed", F("call", c->msg->name), F("task", c->task), F("error", err_text(e)));
    task_finish(c->core, c->task, xml.len ? xml.p : "", e);
    buf_done(&xml);
    running--;
    arena_free(a);
}

/* Owns nothing of the request after it returns: the call outlives it. */
static const char *start_async(
    struct call *c, const struct core_call_req *req, const char *audited, struct arena *reply_arena)
{
    struct arena *a = arena_new();
    struct async_call *ac = arena_new_of(a, struct async_call);
    char *label = arena_printf(a, "Async.%s", c->msg->name);

    ac->c = *c;
    ac->c.arena = a;
    ac->c.raw = NULL;
    ac->c.who.session = arena_strdup(a, c->who.session);
    ac->c.who.user = arena_strdup(a, c->who.user);
    ac->c.who.sid = arena_strdup(a, c->who.sid);
    ac->c.who.originator = arena_strdup(a, c->who.originator);
    ac->c.client = arena_strdup(a, c->client);
    ac->args = value_copy(a, &req->args);
    ac->audited = arena_strdup(a, audited);
    ac->c.task = make_task(c, a, label, req);
    running++;
    fiber_start(c->core->loop, ac->c.msg->name, async_fiber, ac);
    return arena_strdup(reply_arena, ac->c.task);
}

static struct err *check_session(struct call *c, const struct core_call_req *req)
{
    if (!c->msg->session)
        return NULL;
    if (req->local && cstr_empty(req->session)) {
        c->who = (struct principal){
            .session = "", .root = true, .role = ROLE_LOCAL_ROOT, .user = "root", .sid = "", .originator = ""
        };
        return NULL;
    }
    return session_find(c->core, req->session, c->arena, &c->who);
}

static struct err *checks(struct call *c, const struct core_call_req *req)
{
    TRY(check_session(c, req));
    if (c->msg->pool_internal) /* part of the check of the session: no ordinary one will do */
        return err_internal("%s is for members of the pool only", c->msg->name);
    if (c->msg->removed)
        return err_message_removed();
    if (c->msg->session)
        TRY(rbac_check(c, &req->args));
    if (req->async && !c->msg->async)
        return err_new("Fault",
            (const char *[]){ arena_printf(c->arena, "No async mode for this operation (rpc: %s)", c->msg->name) }, 1);
    if (running >= RUNNING_MAX)
        return err_too_many_pending_tasks();
    return NULL;
}

static struct err *run_sync(struct call *c, const struct core_call_req *req, struct value *ret)
{
    if (!wants_task(c))
        return run(c, req->args.items, ret);

    c->task = make_task(c, c->arena, c->msg->name, req);
    task_run_begin(c->core, c->task, fiber_self());
    struct err *e = run(c, req->args.items, ret);
    fiber_interrupt_clear();
    task_run_end(c->core, c->task);
    /* A synchronous call's task has told nobody its name: it goes with the call. */
    task_destroy_row(c->core, c->task);
    return e;
}

static struct err *answer(
    struct call *c, const struct core_call_req *req, struct reply *reply, struct core_call_rep *rep)
{
    struct value ret = value_str("");
    struct str id = str_of(req->id);
    static const struct type task_type = { .kind = TYPE_STRING, .text = "ref task" };
    struct buf *b = c->raw;

    wire_begin(b, c->envelope, false);
    uint64_t began = clock_now(c->core->loop);
    agent_called(c->core, req->user_agent);
    struct err *e = checks(c, req);
    const char *audited =
        audit_wants(c->msg) && (!c->msg->session || *c->who.user) ? audit_params(c, req->args.items) : NULL;
    if (audited && e)
        audit_call(c, audited, e);
    if (!e && req->async) {
        ret = value_str(start_async(c, req, audited, c->arena));
        wire_value(b, c->envelope, &task_type, &ret);
    } else if (!e) {
        running++;
        e = run_sync(c, req, &ret);
        running--;
        if (audited)
            audit_call(c, audited, e);
        if (!e && !c->raw_used)
            wire_value(b, c->envelope, c->msg->result, &ret);
    }
    if (!e) /* nothing is told that could be forgotten */
        e = store_wait_durable(c->core->store, store_gen(c->core->store));
    if (!e)
        e = reply_check(reply);
    if (e) {
        reply_clear(reply);
        wire_error(b, c->envelope, id, e);
        if (err_is(e, "INTERNAL_ERROR"))
            log_warn("call failed", F("call", c->msg->name), F("error", err_text(e)));
        err_free(e);
    } else {
        wire_end(b, c->envelope, false, id);
    }
    agent_answered(c->core, c->msg, clock_now(c->core->loop) - began);
    return reply_end(reply, c->arena, &rep->body, &rep->body_fd);
}

static struct err *on_call(struct ipc_call *ic, struct core_call_req *req, struct core_call_rep *rep)
{
    struct core *core = ic->ctx;
    AUTO(reply_done) struct reply reply;
    struct call c = { .core = core,
        .arena = ic->arena,
        .task = "",
        .client = req->client,
        .envelope = (enum envelope)req->envelope,
        .raw = &reply.text,
        .who = { .session = "", .user = "", .sid = "", .originator = "", .role = ROLE_READ_ONLY } };

    reply_init(&reply);
    if (req->msg >= model_n_msgs() || req->envelope > ENVELOPE_JSONRPC2 || req->args.kind != V_SET)
        return err_internal("the gate sent a call that does not exist");
    c.msg = model_msg(req->msg);
    if (req->args.n != c.msg->n_params)
        return err_internal("the gate sent %u parameters of %s", req->args.n, c.msg->name);
    if (!core->ready && !waitq_wait(&core->started, clock_now(core->loop) + START_WAIT_US))
        return err_host_still_booting();
    return answer(&c, req, &reply, rep);
}

static struct err *on_http(struct ipc_call *ic, struct core_http_req *req, struct core_http_rep *rep)
{
    return http_request(ic->ctx, ic->arena, req, rep);
}

static struct err *on_stream_done(struct ipc_call *ic, struct core_stream_done_req *req)
{
    http_stream_done(ic->ctx, req->stream_id, req->bytes, req->complete);
    return NULL;
}

static const struct core_ops ops = {
    .call = on_call,
    .http = on_http,
    .stream_done = on_stream_done,
};

void core_mount(struct core *c, struct ipc_peer *gate)
{
    console_forget_all(c); /* those of a gate before this one ended with it */
    ipc_serve(gate, &core_service, &ops, c);
}
