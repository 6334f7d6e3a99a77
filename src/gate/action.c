#include <errno.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "gate/conn.h"
#include "gen/ipc_core.h"

/* What the end of a relay has to know. */
struct done {
    struct gate *gate;
    struct conn *conn;
    struct ipc_peer *core; /* a reference */
    uint64_t stream_id;
};

static void on_relay_done(void *ctx, uint64_t bytes, bool complete)
{
    struct done *d = ctx;
    struct core_stream_done_req req = { .stream_id = d->stream_id, .bytes = bytes, .complete = complete };

    err_ignore(core_stream_done(d->core, &req), "the core that wanted to know is gone");
    ipc_unref(d->core);
    conn_free(d->conn);
    free(d);
}

static struct value pairs_of(struct arena *a, const struct http_request *r)
{
    static const char *const from_cookies[] = { "subtask_of", "pool_secret" };
    struct value *pairs = arena_new_array(a, 2 * (r->n_query + ARRAY_LEN(from_cookies)), struct value);
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(from_cookies); i++) {
        const char *v = http_cookie(r, from_cookies[i]);

        if (!v)
            continue;
        pairs[2 * n] = value_str(from_cookies[i]);
        pairs[2 * n++ + 1] = value_str(v);
    }
    for (size_t i = 0; i < r->n_query; i++) {
        if (cstr_eq(r->query[i].name, "session_id") || cstr_eq(r->query[i].name, "task_id"))
            continue; /* have fields of their own */
        pairs[2 * n] = value_str(r->query[i].name);
        pairs[2 * n++ + 1] = value_str(r->query[i].value);
    }
    return value_map(pairs, n);
}

static const char *or_empty(const char *s)
{
    return s && str_is_utf8(str_of(s)) ? s : "";
}

static struct core_http_req request_of(
    struct conn *c, struct arena *a, const struct http_request *r, const char *action)
{
    const char *user = "", *password = "";

    http_basic_auth(a, r, &user, &password);
    return (struct core_http_req){
        .action = action,
        .method = http_method_name(r->method),
        .path = r->path,
        .query = pairs_of(a, r),
        .session = or_empty(http_credential(r, "session_id")),
        .task_id = or_empty(http_credential(r, "task_id")),
        .user = user,
        .password = password,
        .client = c->client,
        .local = c->door == GATE_LOCAL,
        .content_length = r->content_length,
        .chunked = r->chunked,
        .accept = or_empty(http_header(r, "accept")),
        .websocket = ws_asked(r),
    };
}

static bool has_header(const struct core_http_rep *rep, const char *name)
{
    for (size_t i = 0; i < rep->n_headers; i++)
        if (!strcasecmp(rep->headers[i].name, name))
            return true;
    return false;
}

static void add_headers(struct buf *b, const struct core_http_rep *rep, bool with_length)
{
    for (size_t i = 0; i < rep->n_headers; i++) {
        const char *name = rep->headers[i].name;

        if (!strcasecmp(name, "connection") || (!with_length && !strcasecmp(name, "content-length")))
            continue;
        http_answer_header(b, name, rep->headers[i].value);
    }
    buf_add_c(b, "Connection: close\r\n");
    if (!has_header(rep, "cache-control"))
        buf_add_c(b, "Cache-Control: no-cache, no-store\r\n");
    if (!has_header(rep, "access-control-allow-origin")) /* the web interface reads figures and disks, too */
        buf_add_c(b, "Access-Control-Allow-Origin: *\r\n");
}

static int send_whole(struct conn *c, const struct core_http_rep *rep)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 16 << 20);
    if (rep->status >= 400 && !rep->body.len && !has_header(rep, "content-type")) {
        AUTO(buf_done) struct buf extra;

        buf_init(&extra, 64 * 1024);
        for (size_t i = 0; i < rep->n_headers; i++)
            http_answer_header(&extra, rep->headers[i].name, rep->headers[i].value);
        http_answer_error(&b, (int)rep->status, rep->reason, NULL, extra.p);
        return conn_send(c, &b);
    }
    http_answer_begin(&b, true, (int)rep->status, rep->reason);
    add_headers(&b, rep, false);
    if (rep->status >= 400 && !has_header(rep, "content-type")) /* errors are told in HTML */
        buf_add_c(&b, "Content-Type: text/html\r\n");
    buf_printf(&b, "Content-Length: %zu\r\n", rep->body.len);
    http_answer_end(&b);
    buf_add_str(&b, rep->body);
    return b.overflow ? conn_send_error(c, 500, "The answer is too long.") : conn_send(c, &b);
}

/* What goes before the stream. status 0: nothing, the core speaks a protocol of its own (the command line's). */
static int send_stream_head(
    struct conn *c, const struct http_request *r, const struct core_http_rep *rep, struct buf *websocket_answer)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 256 * 1024);
    if (r->expect_continue && rep->direction != RELAY_DOWN)
        buf_add_c(&b, "HTTP/1.1 100 Continue\r\n\r\n");
    if (websocket_answer->len) {
        buf_add_str(&b, buf_str(websocket_answer));
    } else if (r->method == HTTP_CONNECT) {
        buf_add_c(&b, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nCache-Control: no-cache, no-store\r\n\r\n");
    } else if (rep->status) {
        http_answer_begin(&b, rep->direction != RELAY_DOWN, (int)rep->status, rep->reason);
        add_headers(&b, rep, rep->direction == RELAY_DOWN);
        http_answer_end(&b);
        if (rep->body.len)
            buf_add_str(&b, rep->body);
    }
    return conn_send(c, &b);
}

static enum outcome hand_over(struct conn *c, const struct http_request *r, struct core_http_rep *rep,
    struct ipc_peer *core, bool websocket, enum ws_protocol protocol)
{
    struct done *d = mem_new(struct done);
    struct relay_spec spec = {
        .loop = gate_loop(c->gate),
        .client = c->stream,
        .fd = fd_take(&rep->stream),
        .direction = (enum relay_direction)rep->direction,
        .early = c->in,
        .up_bytes = r->content_length,
        .websocket = websocket,
        .protocol = protocol,
        .idle_timeout_s = rep->idle_timeout_s,
        .done = on_relay_done,
        .ctx = d,
    };

    *d = (struct done){ .gate = c->gate, .conn = c, .core = ipc_ref(core), .stream_id = rep->stream_id };
    c->stream = (struct stream){ .fd = -1 };
    buf_init(&c->in, 0);
    c->relay = relay_start(&spec);
    return CONN_RELAYED;
}

static void tell_failed(struct ipc_peer *core, const struct core_http_rep *rep)
{
    struct core_stream_done_req req = { .stream_id = rep->stream_id };

    err_ignore(core_stream_done(core, &req), "the core that wanted to know is gone");
}

static enum outcome answer(struct conn *c, const struct http_request *r, struct core_http_rep *rep,
    struct ipc_peer *core, struct buf *websocket_answer, enum ws_protocol protocol)
{
    bool has_stream = rep->stream > 0;
    bool sound = has_stream ? rep->direction >= RELAY_DOWN && rep->direction <= RELAY_BOTH : rep->status >= 100;

    if (!sound)
        conn_send_error(c, 500, "The toolstack gave no proper answer.");
    else if (!has_stream)
        send_whole(c, rep);
    else if (send_stream_head(c, r, rep, websocket_answer) == 0)
        return hand_over(c, r, rep, core, websocket_answer->len > 0, protocol);
    if (has_stream)
        tell_failed(core, rep);
    return CONN_CLOSE;
}

/* An API error is no HTTP answer of the core's: something unforeseen, shown as the reference shows exceptions. */
static void send_exception(struct conn *c, struct arena *a, struct err *e)
{
    const char *text = err_code(e);

    for (size_t i = 0; i < err_n_params(e); i++)
        text = arena_printf(a, i ? "%s, %s" : "%s: %s", text, err_param(e, i));
    conn_send_error(c, ipc_is_lost(e) ? 503 : 500, text);
    err_free(e);
}

static enum outcome refuse(struct conn *c, int status, const char *text)
{
    conn_send_error(c, status, text);
    return CONN_CLOSE;
}

enum outcome action_serve(struct conn *c, struct arena *a, const struct http_request *r, const char *action)
{
    struct core_http_req req = request_of(c, a, r, action);
    struct core_http_rep rep = { .stream = -1 };
    enum ws_protocol protocol = WS_PLAIN;
    AUTO(buf_done) struct buf websocket_answer;
    struct ipc_peer *core;
    enum outcome o = CONN_CLOSE;
    struct err *e;

    buf_init(&websocket_answer, 4096);
    c->unread = r->chunked || r->expect_continue || r->content_length > (int64_t)c->in.len;
    if (req.websocket && ws_handshake(r, &websocket_answer, &protocol))
        return refuse(c, 400, "This WebSocket handshake is not that of RFC 6455.");
    if (cstr_eq(action, "post_cli") && r->content_length > CLI_BODY_MAX)
        return refuse(c, 413, "The arguments of a command may have 200 KiB.");
    core = gate_core(c->gate);
    if (!core)
        return refuse(c, 503, "The toolstack is not running.");

    e = core_http(core, a, &req, &rep);
    if (e)
        send_exception(c, a, e);
    else
        o = answer(c, r, &rep, core, &websocket_answer, protocol);
    if (rep.stream > 0)
        fd_drop(&rep.stream);
    ipc_unref(core);
    return o;
}
