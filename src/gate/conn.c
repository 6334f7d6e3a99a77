#include "gate/conn.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "base/arena.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "gen/model.h"
#include "model/own.h"

#define READ_STEP 4096
#define LINGER_US 2000000 /* how long we listen to what nobody wants, so that our answer is not lost */
#define LINGER_BYTES (1 << 20)

uint64_t conn_deadline(const struct conn *c, uint32_t seconds)
{
    return clock_now(gate_loop(c->gate)) + (uint64_t)seconds * 1000000;
}

int conn_send(struct conn *c, const struct buf *b)
{
    return stream_write_all(&c->stream, b->p, b->len, (uint64_t)gate_config(c->gate)->stall_s * 1000000);
}

int conn_send_error(struct conn *c, int status, const char *text)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 128 * 1024);
    http_answer_error(&b, status, NULL, text, NULL);
    return conn_send(c, &b);
}

/* More input behind what is there. 0 or -errno; the end is -ECONNRESET. */
static int read_more(struct conn *c, size_t want, uint64_t deadline_us)
{
    char *p = buf_reserve(&c->in, want);
    ssize_t n;

    if (!p)
        return -ENOBUFS;
    n = stream_read_until(&c->stream, p, want, deadline_us);
    if (n <= 0)
        return n ? (int)n : -ECONNRESET;
    buf_commit(&c->in, (size_t)n);
    return 0;
}

static void skip_empty_lines(struct buf *in)
{
    size_t n = 0;

    while (n < in->len && (in->p[n] == '\r' || in->p[n] == '\n'))
        n++;
    if (n)
        buf_consume(in, n);
}

/* 0 and the head's length, a status to refuse with, or -errno: gone. */
static int read_head(struct conn *c, size_t *ret_len)
{
    const struct gate_config *config = gate_config(c->gate);
    uint64_t deadline_us;
    size_t scan = 0;

    skip_empty_lines(&c->in);
    if (!c->in.len) {
        buf_done(&c->in);
        buf_init(&c->in, HTTP_HEAD_MAX + RPC_BODY_MAX);
        if (!stream_wait(&c->stream, conn_deadline(c, config->idle_s)))
            return -ETIMEDOUT;
    }
    deadline_us = conn_deadline(c, config->head_s);
    for (;;) {
        size_t len;
        int r;

        skip_empty_lines(&c->in); /* only before the first line: later there is one */
        len = http_head_len(buf_str(&c->in), &scan);
        if (len > HTTP_HEAD_MAX || (!len && c->in.len >= HTTP_HEAD_MAX))
            return c->in.p && memchr(c->in.p, '\n', HTTP_HEAD_MAX) ? 431 : 414;
        if (len) {
            *ret_len = len;
            return 0;
        }
        r = read_more(c, READ_STEP, deadline_us);
        if (r)
            return r == -ETIMEDOUT ? 408 : r;
    }
}

int conn_read_body(struct conn *c, const struct http_request *r, size_t max, struct str *ret_body)
{
    uint64_t deadline_us = conn_deadline(c, gate_config(c->gate)->body_s);
    size_t len = r->content_length > 0 ? (size_t)r->content_length : 0;

    if (r->chunked || r->content_length < 0)
        return 411;
    if (r->content_length > (int64_t)max)
        return 413;
    if (r->expect_continue && c->in.len < len) {
        int sent = stream_write_all(&c->stream, "HTTP/1.1 100 Continue\r\n\r\n", 25, 1000000);

        if (sent)
            return sent;
    }
    while (c->in.len < len) {
        int result = read_more(c, len - c->in.len, deadline_us);

        if (result)
            return result == -ETIMEDOUT ? 408 : result;
    }
    *ret_body = (struct str){ c->in.p ? c->in.p : "", len };
    return 0;
}

/* Who asks beforehand may ask for anything: the call itself says what it may. */
static enum outcome serve_options(struct conn *c, const struct http_request *r)
{
    const char *wanted = http_header(r, "access-control-request-headers");
    AUTO(buf_done) struct buf b;

    buf_init(&b, 64 * 1024);
    http_answer_begin(&b, true, 200, NULL);
    buf_add_c(&b, "Content-Length: 0\r\nCache-Control: no-cache, no-store\r\nAccess-Control-Allow-Origin: *\r\n");
    buf_printf(&b, "Access-Control-Allow-Headers: %s%sX-Requested-With\r\n", wanted ? wanted : "", wanted ? ", " : "");
    buf_printf(&b, "Access-Control-Allow-Methods: GET, PUT, POST\r\nConnection: %s\r\n",
        r->keep_alive ? "keep-alive" : "close");
    http_answer_end(&b);
    return conn_send(c, &b) == 0 && r->keep_alive ? CONN_NEXT : CONN_CLOSE;
}

static enum outcome serve_file(struct conn *c, const struct http_request *r, const struct site_file *f)
{
    uint64_t stall_us = (uint64_t)gate_config(c->gate)->stall_s * 1000000;
    AUTO(buf_done) struct buf b;

    buf_init(&b, 4096);
    http_answer_begin(&b, true, 200, NULL);
    buf_printf(&b, "Content-Type: %s\r\nContent-Length: %zu\r\nConnection: %s\r\nCache-Control: no-cache\r\n", f->type,
        f->bytes.len, r->keep_alive ? "keep-alive" : "close");
    buf_add_c(&b, "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n");
    http_answer_end(&b);
    if (conn_send(c, &b))
        return CONN_CLOSE;
    if (r->method != HTTP_HEAD && stream_write_all(&c->stream, f->bytes.p, f->bytes.len, stall_us))
        return CONN_CLOSE;
    return r->keep_alive ? CONN_NEXT : CONN_CLOSE;
}

/* Paths match by their longest prefix, as clients expect: "/export/" is "/export", "/xmlrpc" is "/". */
static const struct http_action *find_action(const struct http_request *r)
{
    const char *method = http_method_name(r->method);
    const struct http_action *best = NULL;

    for (size_t i = 0; i < HTTP_ACTION_COUNT; i++) {
        const struct http_action *h = &model_http_actions[i];

        if (cstr_eq(h->method, method) && cstr_starts(r->path, h->path) &&
            (!best || strlen(h->path) > strlen(best->path)))
            best = h;
    }
    for (size_t i = 0; i < ARRAY_LEN(own_http_actions); i++) {
        const struct http_action *h = &own_http_actions[i];

        if (cstr_eq(h->method, method) && cstr_eq(r->path, h->path))
            best = h;
    }
    return best;
}

/* NULL counts as nothing: there is no such action. */
static void count(struct conn *c, const struct http_action *h)
{
    struct gate_count *counts = gate_counts(c->gate);
    size_t i = 0;

    while (i < ACTIONS_MAX && counts[i].action && counts[i].action != h)
        i++;
    if (!h || i == ACTIONS_MAX)
        return;
    counts[i].action = h;
    counts[i].requests++;
    counts[i].connections += !c->served;
    c->served = true;
}

static enum outcome serve(struct conn *c, struct arena *a, const struct http_request *r)
{
    const struct site *site = gate_config(c->gate)->site;
    const struct site_file *file = NULL;
    const struct http_action *h = find_action(r);

    count(c, h);
    if ((r->method == HTTP_GET || r->method == HTTP_HEAD) && site)
        file = site_find(site, r->path);
    if (file || r->method == HTTP_OPTIONS) {
        struct str body; /* of either nobody expects one, but a client may send it */
        int status = r->content_length > 0 || r->chunked ? conn_read_body(c, r, RPC_BODY_MAX, &body) : 0;

        if (status) {
            c->unread = true;
            return status > 0 ? (conn_send_error(c, status, NULL), CONN_CLOSE) : CONN_CLOSE;
        }
        if (r->content_length > 0)
            buf_consume(&c->in, body.len);
        return file ? serve_file(c, r, file) : serve_options(c, r);
    }
    if (h && (cstr_eq(h->name, "post_root") || cstr_eq(h->name, "post_RPC2")))
        return rpc_serve(c, a, r, false);
    if (h && (cstr_eq(h->name, "post_json") || cstr_eq(h->name, "post_jsonrpc")))
        return rpc_serve(c, a, r, true);
    if (h && !cstr_eq(h->name, "get_root"))
        return action_serve(c, a, r, h->name);

    c->unread = r->chunked || r->content_length > (int64_t)c->in.len;
    conn_send_error(
        c, r->method == HTTP_HEAD ? 501 : 404, r->path); /* handlers have no HEAD, in the reference neither */
    return CONN_CLOSE;
}

static enum outcome serve_next(struct conn *c)
{
    AUTO(arena_drop) struct arena *a = NULL;
    struct http_request r;
    size_t head_len = 0;
    int status = read_head(c, &head_len);

    if (status < 0 || (c->door == GATE_PLAIN && gate_tls_only(c->gate)))
        return CONN_CLOSE;
    a = arena_new();
    if (!status)
        status = http_request_parse(a, (struct str){ c->in.p, head_len }, &r);
    if (status) {
        c->unread = true;
        conn_send_error(c, status, "The request could not be understood.");
        return CONN_CLOSE;
    }
    buf_consume(&c->in, head_len);
    return serve(c, a, &r);
}

static bool handshake(struct conn *c)
{
    uint64_t deadline_us = conn_deadline(c, gate_config(c->gate)->handshake_s);

    while (c->stream.tls) {
        int r = tls_handshake(c->stream.tls);

        if (!r)
            break;
        if (r != -EAGAIN || !fiber_wait_fd(c->stream.fd, tls_want(c->stream.tls), deadline_us))
            return false;
    }
    return true;
}

/* Closing with bytes unread resets the connection, and the client may lose our answer: listen a little longer. */
static void linger(struct conn *c)
{
    uint64_t deadline_us = clock_now(gate_loop(c->gate)) + LINGER_US;
    AUTO(mem_drop) char *waste = mem_alloc(READ_STEP);

    if (c->stream.tls)
        tls_end(c->stream.tls);
    shutdown(c->stream.fd, SHUT_WR);
    for (size_t n = 0; n < LINGER_BYTES; n += READ_STEP)
        if (stream_read_until(&c->stream, waste, READ_STEP, deadline_us) <= 0)
            break;
}

void conn_main(void *arg)
{
    struct conn *c = arg;
    enum outcome o = CONN_CLOSE;

    if (handshake(c)) {
        if (c->refused) {
            c->unread = true;
            conn_send_error(c, 503, "Too many connections.");
        } else {
            while ((o = serve_next(c)) == CONN_NEXT)
                ;
        }
    }
    if (o == CONN_RELAYED)
        return;
    if (c->unread)
        linger(c);
    conn_free(c);
}
