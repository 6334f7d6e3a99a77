#include <errno.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "gate/conn.h"
#include "gen/errors.h"
#include "gen/ipc_core.h"
#include "gen/model.h"
#include "model/wire.h"
#include "proto/json.h"
#include "proto/xmlrpc.h"

#define PIECE_SIZE (64UL * 1024)
#define HEAD_MAX 1024UL
#define REPLACEMENT "\xef\xbf\xbd"

struct rpc {
    struct conn *conn;
    struct arena *arena;
    const struct http_request *http;
    enum envelope envelope;
    struct str id;    /* of JSON-RPC, as JSON text */
    const char *name; /* without Async. */
    bool async;
    const struct value *params;
    size_t n_params;
    const struct msg *msg;
    const char *session;
    struct value args;
};

/* Answers */

static void add_head(struct buf *b, const struct rpc *x, uint64_t len)
{
    http_answer_begin(b, true, 200, NULL);
    buf_printf(b, "Content-Length: %llu\r\nContent-Type: %s\r\nConnection: %s\r\n", (unsigned long long)len,
        x->envelope == ENVELOPE_XMLRPC ? "text/xml" : "application/json", x->http->keep_alive ? "keep-alive" : "close");
    buf_add_c(b,
        "Cache-Control: no-cache, no-store\r\nAccess-Control-Allow-Origin: *\r\n"
        "Access-Control-Allow-Headers: X-Requested-With\r\n");
    http_answer_end(b);
}

static enum outcome send_last(struct rpc *x, struct buf *b)
{
    return !conn_send(x->conn, b) && x->http->keep_alive ? CONN_NEXT : CONN_CLOSE;
}

/* Head and body in one piece: one system call, and the client wakes up once. */
static enum outcome send_bytes(struct rpc *x, struct str body)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, HEAD_MAX + body.len);
    buf_reserve(&b, HEAD_MAX + body.len);
    add_head(&b, x, body.len);
    buf_add_str(&b, body);
    return send_last(x, &b);
}

/* A long answer lies in a memfd and goes out as the client takes it. */
static enum outcome send_file(struct rpc *x, int fd)
{
    AUTO(buf_done) struct buf b;
    struct stat st;

    buf_init(&b, HEAD_MAX + PIECE_SIZE);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return CONN_CLOSE;
    add_head(&b, x, (uint64_t)st.st_size);
    for (off_t at = 0; at < st.st_size;) {
        ssize_t n = pread(fd, buf_reserve(&b, PIECE_SIZE), PIECE_SIZE, at);

        if (n <= 0)
            return CONN_CLOSE;
        buf_commit(&b, (size_t)n);
        at += n;
        if (at < st.st_size && conn_send(x->conn, &b))
            return CONN_CLOSE;
        if (at < st.st_size)
            buf_clear(&b);
    }
    return send_last(x, &b);
}

static enum outcome send_api_error(struct rpc *x, struct err *e)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 4 << 20);
    wire_error(&b, x->envelope, x->id, e);
    err_free(e);
    return send_bytes(x, buf_str(&b));
}

/* Understanding the call */

static bool take_prefix(const char **name, const char *prefix)
{
    if (!cstr_starts(*name, prefix))
        return false;
    *name += strlen(prefix);
    return true;
}

/* Everything that is no UTF-8 becomes U+FFFD, so that the rest of the call can be understood and answered. */
static struct str repair(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, s.len * 3 + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.len;) {
        size_t len = 1;

        while (len < 4 && i + len <= s.len && !str_is_utf8((struct str){ s.p + i, len }))
            len++;
        if (i + len > s.len || !str_is_utf8((struct str){ s.p + i, len })) {
            memcpy(out + n, REPLACEMENT, 3);
            n += 3;
            i++;
            continue;
        }
        memcpy(out + n, s.p + i, len);
        n += len;
        i += len;
    }
    return (struct str){ out, n };
}

/* The string in which the repair shows. */
static const char *find_repaired(const struct value *v)
{
    size_t n = v->kind == V_MAP ? 2U * v->n : v->kind == V_SET ? v->n : 0;

    if (v->kind == V_STRING)
        return strstr(v->s, REPLACEMENT) ? v->s : NULL;
    for (size_t i = 0; i < n; i++) {
        const char *found = find_repaired(&v->items[i]);

        if (found)
            return found;
    }
    return NULL;
}

static struct err *check_text(const struct rpc *x)
{
    const char *bad = NULL;

    for (size_t i = 0; i < x->n_params && !bad; i++)
        bad = find_repaired(&x->params[i]);
    return err_invalid_value("Invalid UTF-8 string in parameter", bad ? bad : REPLACEMENT);
}

static struct err *parse(struct rpc *x, struct str body, bool json)
{
    struct json_call c = { 0 };

    if (json)
        TRY(json_parse_call(x->arena, body, &c));
    else
        TRY(xmlrpc_parse_call(x->arena, body, &c.call));
    x->envelope = !json ? ENVELOPE_XMLRPC : c.version2 ? ENVELOPE_JSONRPC2 : ENVELOPE_JSONRPC1;
    x->id = c.id;
    x->name = c.call.method;
    x->params = c.call.params;
    x->n_params = c.call.n_params;
    x->async = take_prefix(&x->name, "Async.") || take_prefix(&x->name, "InternalAsync.");
    return NULL;
}

static struct err *count_mismatch(const struct rpc *x, long expected, long received)
{
    return err_message_parameter_count_mismatch(
        x->name, arena_printf(x->arena, "%ld", expected), arena_printf(x->arena, "%ld", received));
}

/* Both numbers are told without the session. */
static struct err *check_count(struct rpc *x)
{
    long received = (long)x->n_params - x->msg->session;
    bool has_defaults = x->msg->n_required < x->msg->n_params;

    if (received < x->msg->n_required || (!has_defaults && received > x->msg->n_params))
        return count_mismatch(x, x->msg->n_required, received);
    if (!x->msg->session)
        return NULL;
    if (x->params[0].kind != V_STRING)
        return err_internal("the session is not a string");
    x->session = x->params[0].s;
    x->params++;
    x->n_params--;
    return NULL;
}

static struct err *check_args(struct rpc *x)
{
    struct value *args = arena_new_array(x->arena, x->msg->n_params, struct value);

    for (size_t i = 0; i < x->msg->n_params; i++) {
        const struct param *p = &x->msg->params[i];

        if (i < x->n_params)
            TRY(type_check(x->arena, p->type, p->name, &x->params[i], &args[i]));
        else
            args[i] = *p->dflt;
    }
    x->args = value_set(args, x->msg->n_params);
    return NULL;
}

/* protocol.md section 4, as far as it needs no state. */
static struct err *understand(struct rpc *x)
{
    x->msg = model_msg_find(x->name);
    if (!x->msg)
        return err_message_method_unknown(x->name);
    TRY(check_count(x));
    return check_args(x);
}

/* Calls that are about the protocol and no object */

static const struct type string_type = { .kind = TYPE_STRING, .text = "string" };

static enum outcome list_methods(struct rpc *x)
{
    static const struct type set_type = { .kind = TYPE_SET, .text = "set(string)", .elem = &string_type };
    struct value *names = arena_new_array(x->arena, model_n_msgs() + 1, struct value);
    struct value all;
    AUTO(buf_done) struct buf b;
    size_t n = 0;

    for (size_t i = 0; i < model_n_msgs(); i++)
        if (!model_msg(i)->hidden)
            names[n++] = value_str(model_msg(i)->name);
    names[n++] = value_str("system.listMethods");
    all = value_set(names, n);

    buf_init(&b, 4 << 20);
    wire_begin(&b, x->envelope, true);
    wire_value(&b, x->envelope, &set_type, &all);
    wire_end(&b, x->envelope, true, x->id);
    return send_bytes(x, buf_str(&b));
}

static enum outcome is_alive(struct rpc *x)
{
    struct value echo = value_str("");
    AUTO(buf_done) struct buf b;

    if (x->n_params > 0 && x->params[0].kind == V_STRING)
        echo = x->params[0];
    buf_init(&b, 4 << 20);
    wire_begin(&b, x->envelope, true);
    wire_value(&b, x->envelope, &string_type, &echo);
    wire_end(&b, x->envelope, true, x->id);
    return send_bytes(x, buf_str(&b));
}

/* The call */

static const char *text_header(const struct rpc *x, const char *name)
{
    const char *v = http_header(x->http, name);

    return v && str_is_utf8(str_of(v)) ? v : "";
}

/* x-http-other-config-<name>: <value> */
static struct value http_config(const struct rpc *x)
{
    static const char prefix[] = "x-http-other-config-";
    struct value *pairs = arena_new_array(x->arena, x->http->n_headers * 2, struct value);
    size_t n = 0;

    for (size_t i = 0; i < x->http->n_headers; i++) {
        const struct http_pair *h = &x->http->headers[i];

        if (strncasecmp(h->name, prefix, strlen(prefix)) != 0 || !str_is_utf8(str_of(h->value)))
            continue;
        pairs[2 * n] = value_str(h->name + strlen(prefix));
        pairs[2 * n + 1] = value_str(h->value);
        n++;
    }
    return value_map(pairs, n);
}

struct hangup {
    struct fiber *fiber;
    bool seen;
};

static void on_hangup(void *arg, uint32_t events)
{
    struct hangup *h = arg;

    if (h->seen || !(events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)))
        return;
    h->seen = true;
    fiber_interrupt(h->fiber);
}

/* Waiting for events ends with the client. Other calls are carried out even if nobody is left to hear the answer. */
static struct err *call_while_wanted(
    struct rpc *x, struct ipc_peer *core, const struct core_call_req *req, struct core_call_rep *ret_rep)
{
    struct hangup h = { .fiber = fiber_self() };
    struct watch *w = NULL;
    struct err *e;

    if (x->msg == M_event_from || x->msg == M_event_next)
        w = watch_new(gate_loop(x->conn->gate), x->conn->stream.fd, EPOLLRDHUP, on_hangup, &h);
    e = core_call(core, x->arena, req, ret_rep);
    watch_free(w);
    fiber_interrupt_clear();
    return e;
}

static enum outcome call_core(struct rpc *x)
{
    struct ipc_peer *core = gate_core(x->conn->gate);
    struct core_call_req req = {
        .envelope = (uint8_t)x->envelope,
        .id = x->id.p ? x->id.p : "",
        .msg = x->msg->id,
        .async = x->async,
        .session = x->session ? x->session : "",
        .args = x->args,
        .client = x->conn->client,
        .local = x->conn->door == GATE_LOCAL,
        .user_agent = text_header(x, "user-agent"),
        .task_id = text_header(x, "task-id"),
        .subtask_of = text_header(x, "subtask-of"),
        .http_config = http_config(x),
    };
    struct core_call_rep rep = { .body_fd = -1 };
    struct err *e;
    enum outcome o;

    if (!core) {
        conn_send_error(x->conn, 503, "The toolstack is not running.");
        return CONN_CLOSE;
    }
    e = call_while_wanted(x, core, &req, &rep);
    ipc_unref(core);
    if (e)
        return send_api_error(x, e);
    o = rep.body_fd > 0 ? send_file(x, rep.body_fd) : send_bytes(x, rep.body);
    if (rep.body_fd > 0)
        fd_drop(&rep.body_fd);
    return o;
}

static enum outcome run(struct rpc *x, bool repaired)
{
    struct err *e;

    if (repaired)
        return send_api_error(x, check_text(x));
    if (cstr_eq(x->name, "system.listMethods"))
        return list_methods(x);
    if (cstr_starts(x->name, "system.isAlive:"))
        return is_alive(x);
    e = understand(x);
    return e ? send_api_error(x, e) : call_core(x);
}

enum outcome rpc_serve(struct conn *c, struct arena *a, const struct http_request *r, bool json)
{
    struct rpc x = { .conn = c, .arena = a, .http = r };
    struct str body;
    struct err *e;
    bool repaired = false;
    int status = conn_read_body(c, r, RPC_BODY_MAX, &body);

    if (status) {
        c->unread = true;
        if (status > 0)
            conn_send_error(c, status, status == 413 ? "The body of a call may have 300 KiB." : NULL);
        return CONN_CLOSE;
    }
    if (!str_is_utf8(body)) {
        repaired = true;
        e = parse(&x, repair(a, body), json);
    } else {
        e = parse(&x, body, json);
    }
    buf_consume(&c->in, body.len);
    if (!c->in.len) /* the call may wait for long: without this memory */
        buf_done(&c->in), buf_init(&c->in, HTTP_HEAD_MAX + RPC_BODY_MAX);
    if (e) {
        c->unread = c->in.len > 0;
        conn_send_error(c, 500, err_param(e, 0));
        err_free(e);
        return CONN_CLOSE;
    }
    return run(&x, repaired);
}
