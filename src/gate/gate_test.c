#include "gate/gate.h"
#include <errno.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "gen/ipc_core.h"
#include "gen/model.h"
#include "model/wire.h"
#include "test.h"

/*
 * The gate with real HTTP bytes on socket pairs on one side, and a core made
 * of a few lines on the other, over the in-process transport.
 */
struct world {
    struct loop *loop;
    struct gate *gate;
    struct site *site;
    struct ipc_peer *here, *there; /* gate's end, core's end */
    /* what the core saw last */
    char session[64], args[256], client[64], config[64], path[64], query[128], user[32], password[32];
    bool async, local, websocket;
    int64_t content_length;
    int n_calls, n_cancelled;
    /* what it does with the next HTTP action */
    unsigned direction, status, idle_timeout_s;
    int stream; /* the core's end of the stream */
    bool done, complete;
    uint64_t bytes;
};

static void answer_text(struct arena *a, const struct core_call_req *req, const char *text, struct core_call_rep *rep)
{
    static const struct type string_type = { .kind = TYPE_STRING };
    struct value v = value_str(text);
    struct buf b;

    buf_init(&b, 1 << 20);
    wire_begin(&b, (enum envelope)req->envelope, false);
    wire_value(&b, (enum envelope)req->envelope, &string_type, &v);
    wire_end(&b, (enum envelope)req->envelope, false, str_of(req->id));
    rep->body = (struct str){ arena_dup(a, b.p, b.len), b.len };
    buf_done(&b);
}

static struct err *on_call(struct ipc_call *c, struct core_call_req *req, struct core_call_rep *rep)
{
    struct world *w = c->ctx;
    const struct msg *m = model_msg(req->msg);

    w->n_calls++;
    w->async = req->async;
    w->local = req->local;
    snprintf(w->session, sizeof(w->session), "%s", req->session);
    snprintf(w->client, sizeof(w->client), "%s", req->client);
    snprintf(w->args, sizeof(w->args), "%s",
        req->args.n ? req->args.items[0].kind == V_STRING ? req->args.items[0].s : "?" : "");
    snprintf(w->config, sizeof(w->config), "%s", value_map_str(&req->http_config, "purpose"));
    if (m == M_event_from) {
        fiber_sleep(60 * 1000000);
        w->n_cancelled += c->cancelled;
    }
    if (m == M_VM_start) /* slow */
        fiber_sleep(5 * 1000000);
    if (m == M_VM_get_all_records) {
        AUTO(mem_drop) char *big = mem_alloc(3 << 20);

        memset(big, 'x', 3 << 20);
        return fd_memfd("reply", big, 3 << 20, &rep->body_fd);
    }
    if (m == M_VM_destroy)
        return err_new("HANDLE_INVALID", (const char *[]){ "VM", "OpaqueRef:1" }, 2);
    answer_text(c->arena, req, m == M_VM_get_name_label ? "a<b" : "ok", rep);
    return NULL;
}

static struct err *on_http(struct ipc_call *c, struct core_http_req *req, struct core_http_rep *rep)
{
    static struct core_header headers[] = { { "task-id", "OpaqueRef:t" }, { "Content-Type", "text/plain" } };
    struct world *w = c->ctx;
    int fds[2];

    snprintf(w->path, sizeof(w->path), "%s %s %s", req->action, req->method, req->path);
    snprintf(w->session, sizeof(w->session), "%s", req->session);
    snprintf(w->query, sizeof(w->query), "%s/%s", value_map_str(&req->query, "format"),
        value_map_str(&req->query, "session_id"));
    snprintf(w->user, sizeof(w->user), "%s", req->user);
    snprintf(w->password, sizeof(w->password), "%s", req->password);
    w->websocket = req->websocket;
    w->content_length = req->content_length;
    rep->status = w->status;
    rep->headers = headers;
    rep->n_headers = ARRAY_LEN(headers);
    rep->direction = (uint8_t)w->direction;
    rep->stream_id = 77;
    rep->idle_timeout_s = w->idle_timeout_s;
    if (!w->direction) {
        rep->body = STR("hello");
        return NULL;
    }
    TRY(socket_pair(fds));
    TRY(fd_set_nonblock(fds[0], true));
    w->stream = fds[0];
    rep->stream = fds[1];
    return NULL;
}

static struct err *on_stream_done(struct ipc_call *c, struct core_stream_done_req *req)
{
    struct world *w = c->ctx;

    CHECK_INT(req->stream_id, 77);
    w->done = true;
    w->complete = req->complete;
    w->bytes = req->bytes;
    return NULL;
}

static const struct core_ops ops = { .call = on_call, .http = on_http, .stream_done = on_stream_done };

static void add_core(struct world *w)
{
    ipc_pair(w->loop, &w->here, &w->there);
    ipc_serve(w->there, &core_service, &ops, w);
    gate_add_core(w->gate, w->here);
}

static void world_init(struct world *w, struct loop *l, bool with_core)
{
    struct gate_config config = gate_defaults;

    *w = (struct world){ .loop = l, .status = 200, .stream = -1 };
    w->site = site_new();
    site_finish(w->site);
    config.site = w->site;
    config.max_conns = 5;
    config.max_per_address = 3;
    w->gate = gate_new(l, &config);
    if (with_core)
        add_core(w);
}

static void world_done(struct world *w)
{
    gate_close(w->gate);
    for (int i = 0; gate_n_conns(w->gate) && i < 1000; i++)
        fiber_sleep(100000);
    CHECK_INT(gate_n_conns(w->gate), 0);
    fiber_sleep(70 * 1000000); /* handlers still asleep */
    ipc_close(w->there);
    ipc_close(w->here);
    fiber_yield();
    fiber_yield();
    gate_free(w->gate);
    site_free(w->site);
    fd_drop(&w->stream);
}

/* The client's side */

static int dial_from(struct world *w, enum gate_door door, const char *client)
{
    int fds[2];

    CHECK_OK(socket_pair(fds));
    CHECK_OK(fd_set_nonblock(fds[0], true));
    gate_accept(w->gate, fds[1], door, client);
    return fds[0];
}

static int dial(struct world *w)
{
    return dial_from(w, GATE_PLAIN, "192.0.2.7");
}

static void put(int fd, const char *p, size_t len)
{
    while (len) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0) {
            CHECK(errno == EAGAIN);
            CHECK(fiber_wait_fd(fd, EPOLLOUT, clock_now(fiber_loop()) + 1000000000));
            continue;
        }
        p += n;
        len -= (size_t)n;
    }
}

static void say(int fd, const char *text)
{
    put(fd, text, strlen(text));
}

/* Up to len bytes; less at the end of the stream or when nothing comes for 100 s. */
static size_t get(int fd, char *p, size_t len)
{
    size_t have = 0;

    while (have < len) {
        ssize_t n = recv(fd, p + have, len - have, MSG_DONTWAIT);

        if (n > 0)
            have += (size_t)n;
        else if (n == 0 || errno != EAGAIN || !fiber_wait_fd(fd, EPOLLIN, clock_now(fiber_loop()) + 100000000))
            break;
    }
    return have;
}

static void expect(int fd, const char *text)
{
    size_t len = strlen(text);
    AUTO(mem_drop) char *got = mem_alloc(len + 1);

    get(fd, got, len);
    CHECK_STR(got, text);
}

static void expect_end(int fd)
{
    char c;

    CHECK_INT(get(fd, &c, 1), 0);
}

/* All until the connection ends must contain `text`. */
static void expect_last(int fd, const char *text)
{
    AUTO(mem_drop) char *got = mem_alloc(65536);

    get(fd, got, 65535);
    if (!strstr(got, text))
        CHECK_STR(got, text);
}

static void post(int fd, const char *path, const char *version, const char *body)
{
    AUTO(mem_drop)
    char *text = mem_printf("POST %s HTTP/%s\r\nHost: h\r\nx-http-other-config-purpose: test\r\n"
                            "Content-Length: %zu\r\n\r\n%s",
        path, version, strlen(body), body);

    say(fd, text);
}

#define RPC_HEAD(length, type, connection)                                                               \
    "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\nContent-Type: " type "\r\nConnection: " connection \
    "\r\nCache-Control: no-cache, no-store\r\nAccess-Control-Allow-Origin: *\r\n"                        \
    "Access-Control-Allow-Headers: X-Requested-With\r\n\r\n"
#define XML_CALL(name, params) \
    "<?xml version=\"1.0\"?><methodCall><methodName>" name "</methodName><params>" params "</params></methodCall>"
#define P(text) "<param><value><string>" text "</string></value></param>"
#define JSON2(name, params) "{\"jsonrpc\":\"2.0\",\"method\":\"" name "\",\"params\":[" params "],\"id\":7}"

TEST_FIBER(both_envelopes_are_answered_to_the_letter)
{
    struct world w;
    world_init(&w, loop, true);
    AUTO(fd_drop) int fd = dial(&w);

    post(fd, "/RPC2", "1.1", XML_CALL("VM.get_name_label", P("OpaqueRef:s") P("OpaqueRef:1")));
    expect(fd,
        RPC_HEAD(
            "232", "text/xml", "keep-alive") "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct>"
                                             "<member><name>Status</name><value>Success</value></member>"
                                             "<member><name>Value</name><value>a&lt;b</value></member>"
                                             "</struct></value></param></params></methodResponse>");
    CHECK_STR(w.session, "OpaqueRef:s");
    CHECK_STR(w.args, "OpaqueRef:1");
    CHECK_STR(w.client, "192.0.2.7");
    CHECK_STR(w.config, "test");
    CHECK(!w.local && !w.async);

    post(fd, "/jsonrpc", "1.1", JSON2("VM.get_name_label", "\"s\",\"r\""));
    expect(fd, RPC_HEAD("39", "application/json", "keep-alive") "{\"jsonrpc\":\"2.0\",\"result\":\"a<b\",\"id\":7}");
    post(fd, "/json", "1.1", "{\"method\":\"VM_get_name_label\",\"params\":[\"s\",\"r\"],\"id\":\"a\"}");
    expect(fd, RPC_HEAD("38", "application/json", "keep-alive") "{\"result\":\"a<b\",\"error\":null,\"id\":\"a\"}");

    post(fd, "/jsonrpc", "1.0", JSON2("VM.destroy", "\"s\",\"r\""));
    expect(fd,
        RPC_HEAD("98", "application/json", "close") "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":1,\"message\":\"HANDLE_"
                                                    "INVALID\",\"data\":[\"VM\",\"OpaqueRef:1\"]},\"id\":7}");
    expect_end(fd);
    world_done(&w);
}

TEST_FIBER(the_login_takes_two_or_four_parameters)
{
    struct world w;
    world_init(&w, loop, true);
    AUTO(fd_drop) int fd = dial(&w);

    post(fd, "/jsonrpc", "1.1", JSON2("session.login_with_password", "\"root\",\"x\""));
    expect(fd, RPC_HEAD("38", "application/json", "keep-alive") "{\"jsonrpc\":\"2.0\",\"result\":\"ok\",\"id\":7}");
    post(fd, "/xmlrpc", "1.0", XML_CALL("session.login_with_password", P("root") P("x") P("1.0") P("me")));
    expect_last(fd, "<value>ok</value>");
    CHECK_INT(w.n_calls, 2);
    CHECK_STR(w.args, "root");
    world_done(&w);
}

TEST_FIBER(answers_come_in_the_order_of_requests)
{
    struct world w;
    world_init(&w, loop, true);
    AUTO(fd_drop) int fd = dial_from(&w, GATE_LOCAL, "local");

    say(fd,
        "POST /jsonrpc HTTP/1.1\r\nContent-Length: 81\r\n\r\n"
        "{\"jsonrpc\":\"2.0\",\"method\":\"Async.VM.start\",\"params\":[\"s\",\"r\",false,false],\"id\":1}\r\n"
        "POST /jsonrpc HTTP/1.1\r\nContent-Length: 74\r\nConnection: close\r\n\r\n"
        "{\"jsonrpc\":\"2.0\",\"method\":\"VM.get_name_label\",\"params\":[\"s\",\"r\"],\"id\":\"2\"}");
    expect(fd, RPC_HEAD("38", "application/json", "keep-alive") "{\"jsonrpc\":\"2.0\",\"result\":\"ok\",\"id\":1}");
    expect(fd, RPC_HEAD("41", "application/json", "close") "{\"jsonrpc\":\"2.0\",\"result\":\"a<b\",\"id\":\"2\"}");
    expect_end(fd);
    CHECK(w.local);
    world_done(&w);
}

TEST_FIBER(the_gate_itself_refuses_what_needs_no_state)
{
    static const struct {
        const char *path, *body, *answer;
    } cases[] = {
        { "/jsonrpc", JSON2("VM.fly", "\"s\""), "\"message\":\"MESSAGE_METHOD_UNKNOWN\",\"data\":[\"VM.fly\"]" },
        { "/jsonrpc", JSON2("VM.get_name_label", "\"s\""),
            "\"message\":\"MESSAGE_PARAMETER_COUNT_MISMATCH\",\"data\":[\"VM.get_name_label\",\"1\",\"0\"]" },
        { "/jsonrpc", JSON2("VM.get_name_label", "\"s\",\"r\",\"t\""),
            "\"message\":\"MESSAGE_PARAMETER_COUNT_MISMATCH\",\"data\":[\"VM.get_name_label\",\"1\",\"2\"]" },
        { "/jsonrpc", JSON2("VM.start", "\"s\",\"r\",\"perhaps\",false"), "\"error\":" },
        { "/jsonrpc", JSON2("VM.get_by_name_label", "\"s\",\"\xff\""), "\"Invalid UTF-8 string in parameter\"" },
        { "/", XML_CALL("VM.fly", ""), "<value>MESSAGE_METHOD_UNKNOWN</value><value>VM.fly</value>" },
        { "/", "<methodCall>", "HTTP/1.1 500 Internal Error\r\nContent-Type: text/html" },
        { "/jsonrpc", "{}", "HTTP/1.1 500 Internal Error\r\nContent-Type: text/html" },
        { "/", XML_CALL("system.listMethods", ""), "<params><param><value><array><data><value>" },
        { "/", XML_CALL("system.isAlive:x", P("echo")), "<params><param><value>echo</value></param></params>" },
    };
    struct world w;
    world_init(&w, loop, true);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AUTO(fd_drop) int fd = dial(&w);

        post(fd, cases[i].path, "1.0", cases[i].body);
        expect_last(fd, cases[i].answer);
    }
    CHECK_INT(w.n_calls, 0);
    world_done(&w);
}

TEST_FIBER(requests_beyond_the_limits_get_a_clear_answer)
{
    static char junk[20000];
    struct world w;
    world_init(&w, loop, true);
    memset(junk, 'a', sizeof(junk));

    AUTO(fd_drop) int body = dial(&w);
    say(body, "POST / HTTP/1.1\r\nContent-Length: 307201\r\n\r\nx");
    expect_last(body, "HTTP/1.1 413 ");
    fiber_sleep(3000000); /* it still listens for a while, and counts */
    AUTO(fd_drop) int none = dial(&w);
    say(none, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    expect_last(none, "HTTP/1.1 411 ");
    fiber_sleep(3000000);
    AUTO(fd_drop) int head = dial(&w);
    say(head, "GET / HTTP/1.1\r\nA: ");
    put(head, junk, sizeof(junk));
    expect_last(head, "HTTP/1.1 431 ");
    fiber_sleep(3000000);
    AUTO(fd_drop) int line = dial(&w);
    say(line, "GET /");
    put(line, junk, sizeof(junk));
    expect_last(line, "HTTP/1.1 414 ");
    fiber_sleep(3000000);
    AUTO(fd_drop) int bad = dial(&w);
    say(bad, "rubbish\r\n\r\n");
    expect_last(bad, "HTTP/1.1 400 ");
    fiber_sleep(3000000);
    AUTO(fd_drop) int slow = dial(&w);
    say(slow, "GET /");
    expect_last(slow, "HTTP/1.1 408 ");
    fiber_sleep(3000000);
    AUTO(fd_drop) int lost = dial(&w);
    say(lost, "PUT /nowhere HTTP/1.1\r\n\r\n");
    expect_last(lost, "HTTP/1.1 404 ");
    CHECK_INT(w.n_calls, 0);
    world_done(&w);
}

TEST_FIBER(connections_beyond_the_limits_get_a_503)
{
    struct world w;
    world_init(&w, loop, true);
    int fds[6];

    for (int i = 0; i < 3; i++)
        fds[i] = dial(&w);
    AUTO(fd_drop) int fourth = dial(&w);
    expect_last(fourth, "HTTP/1.1 503 ");
    fds[3] = dial_from(&w, GATE_LOCAL, "local");
    fds[4] = dial_from(&w, GATE_LOCAL, "local");
    AUTO(fd_drop) int sixth = dial_from(&w, GATE_LOCAL, "local");
    expect_last(sixth, "HTTP/1.1 503 ");
    for (int i = 0; i < 5; i++)
        fd_drop(&fds[i]);
    fiber_sleep(1000000);
    fds[5] = dial(&w);
    post(fds[5], "/jsonrpc", "1.0", JSON2("VM.get_name_label", "\"s\",\"r\""));
    expect_last(fds[5], "\"result\":\"a<b\"");
    fd_drop(&fds[5]);
    world_done(&w);
}

TEST_FIBER(requests_wait_for_the_core_a_while)
{
    struct world w;
    world_init(&w, loop, false);
    AUTO(fd_drop) int fd = dial(&w);
    AUTO(fd_drop) int later = dial(&w);
    uint64_t from = clock_now(loop);

    post(fd, "/jsonrpc", "1.1", JSON2("VM.get_name_label", "\"s\",\"r\""));
    expect_last(fd, "HTTP/1.1 503 ");
    CHECK(clock_now(loop) - from >= 10000000);
    post(later, "/jsonrpc", "1.0", JSON2("VM.get_name_label", "\"s\",\"r\""));
    fiber_sleep(3000000);
    add_core(&w);
    expect_last(later, "\"result\":\"a<b\"");
    world_done(&w);
}

TEST_FIBER(long_answers_come_from_a_file)
{
    struct world w;
    world_init(&w, loop, true);
    AUTO(fd_drop) int fd = dial(&w);
    AUTO(mem_drop) char *got = mem_alloc(3 << 20);

    post(fd, "/jsonrpc", "1.1", JSON2("VM.get_all_records", "\"s\""));
    expect(fd, RPC_HEAD("3145728", "application/json", "keep-alive"));
    CHECK_INT(get(fd, got, 3 << 20), 3 << 20);
    CHECK(got[0] == 'x' && got[(3 << 20) - 1] == 'x');
    world_done(&w);
}

TEST_FIBER(waiting_for_events_ends_with_the_client)
{
    struct world w;
    world_init(&w, loop, true);
    int fd = dial(&w);

    post(fd, "/jsonrpc", "1.1", JSON2("event.from", "\"s\",[\"*\"],\"\",60.1"));
    fiber_sleep(1000000);
    CHECK_INT(w.n_calls, 1);
    fd_drop(&fd);
    fiber_sleep(1000000);
    CHECK_INT(w.n_cancelled, 1);
    CHECK_INT(gate_n_conns(w.gate), 0);
    world_done(&w);
}

TEST_FIBER(small_pages_are_answered_whole)
{
    struct world w;
    world_init(&w, loop, true);
    AUTO(fd_drop) int fd = dial(&w);

    say(fd,
        "GET /rrd_updates?format=json&session_id=wrong HTTP/1.1\r\nCookie: session_id=right; task_id=t\r\n"
        "Authorization: Basic cm9vdDpwdw==\r\n\r\n");
    expect(fd,
        "HTTP/1.1 200 OK\r\ntask-id: OpaqueRef:t\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        "Cache-Control: no-cache, no-store\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 5\r\n\r\nhello");
    expect_end(fd);
    CHECK_STR(w.path, "rrd_updates GET /rrd_updates");
    CHECK_STR(w.session, "right");
    CHECK_STR(w.query, "json/");
    CHECK_STR(w.user, "root");
    CHECK_STR(w.password, "pw");
    world_done(&w);
}

TEST_FIBER(an_upload_hears_200_before_it_sends)
{
    struct world w;
    char got[16] = "";
    world_init(&w, loop, true);
    AUTO(fd_drop) int fd = dial(&w);

    w.direction = 2;
    say(fd, "PUT /import_raw_vdi/?vdi=x&format=vhd HTTP/1.1\r\nContent-Length: 10\r\n\r\n");
    expect(fd,
        "HTTP/1.1 200 OK\r\ntask-id: OpaqueRef:t\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        "Cache-Control: no-cache, no-store\r\nAccess-Control-Allow-Origin: *\r\n\r\n");
    CHECK_STR(w.path, "put_import_raw_vdi PUT /import_raw_vdi/");
    CHECK_INT(w.content_length, 10);
    say(fd, "01234");
    CHECK_INT(get(w.stream, got, 5), 5);
    say(fd, "56789beyond");
    CHECK_INT(get(w.stream, got + 5, 11), 5); /* then the end */
    CHECK_STR(got, "0123456789");
    CHECK(!w.done);
    fd_drop(&w.stream); /* the core has finished */
    expect_end(fd);
    fiber_sleep(1000);
    CHECK(w.done && w.complete);
    CHECK_INT(w.bytes, 10);
    world_done(&w);
}

TEST_FIBER(an_upload_cut_short_is_told_incomplete)
{
    struct world w;
    char got[16] = "";
    world_init(&w, loop, true);
    int fd = dial(&w);

    w.direction = 2;
    say(fd, "PUT /import HTTP/1.1\r\nContent-Length: 1125899906842624\r\n\r\nsome");
    CHECK_INT(get(w.stream, got, 0), 0);
    fiber_sleep(1000);
    fd_drop(&fd);
    CHECK_INT(get(w.stream, got, 16), 4);
    CHECK_STR(got, "some");
    fd_drop(&w.stream);
    fiber_sleep(1000);
    CHECK(w.done && !w.complete);
    CHECK_INT(w.bytes, 4);

    fd = dial(&w); /* an empty one, to look for a redirect */
    w.done = false;
    say(fd, "PUT /import HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
    fiber_sleep(1000);
    CHECK_INT(get(w.stream, got, 1), 0);
    fd_drop(&w.stream);
    expect_last(fd, "HTTP/1.1 200 OK\r\n");
    fiber_sleep(1000);
    CHECK(w.done && w.complete);
    fd_drop(&fd);
    world_done(&w);
}

static void send_much(void *arg)
{
    struct world *w = arg;
    AUTO(mem_drop) char *much = mem_alloc(8 << 20);

    memset(much, 'd', 8 << 20);
    put(w->stream, much, 8 << 20);
    fd_drop(&w->stream);
}

TEST_FIBER(a_download_flows_at_the_clients_pace)
{
    struct world w;
    AUTO(mem_drop) char *got = mem_alloc((8 << 20) + 1);
    world_init(&w, loop, true);
    AUTO(fd_drop) int fd = dial(&w);

    w.direction = 1;
    say(fd, "GET /export?uuid=x HTTP/1.1\r\n\r\n");
    expect(fd,
        "HTTP/1.0 200 OK\r\ntask-id: OpaqueRef:t\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        "Cache-Control: no-cache, no-store\r\nAccess-Control-Allow-Origin: *\r\n\r\n");
    fiber_start(loop, "sender", send_much, &w);
    fiber_sleep(1000000);
    CHECK(w.stream >= 0); /* we do not read, so it cannot have sent all */
    CHECK_INT(get(fd, got, (8 << 20) + 1), 8 << 20);
    fiber_sleep(1000);
    CHECK(w.done && w.complete);
    CHECK_INT(w.bytes, 8 << 20);
    world_done(&w);
}

TEST_FIBER(a_tunnel_goes_both_ways)
{
    struct world w;
    char got[16] = "";
    world_init(&w, loop, true);
    AUTO(fd_drop) int fd = dial(&w);

    w.direction = 3;
    say(fd, "CONNECT /console?ref=OpaqueRef:1&session_id=s HTTP/1.0\r\n\r\n");
    expect(fd, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nCache-Control: no-cache, no-store\r\n\r\n");
    CHECK_STR(w.path, "connect_console CONNECT /console");
    CHECK_STR(w.session, "s");
    say(w.stream, "RFB 003.008\n");
    expect(fd, "RFB 003.008\n");
    say(fd, "RFB");
    CHECK_INT(get(w.stream, got, 3), 3);
    CHECK_INT(gate_n_conns(w.gate), 1);
    fd_drop(&w.stream);
    expect_end(fd);
    fiber_sleep(1000);
    CHECK(w.done);
    CHECK_INT(w.bytes, 15);
    world_done(&w);
}

TEST_FIBER(a_console_nobody_uses_is_closed)
{
    struct world w;
    world_init(&w, loop, true);
    AUTO(fd_drop) int fd = dial(&w);
    uint64_t from;

    w.direction = 3;
    w.idle_timeout_s = 40;
    say(fd, "CONNECT /console?ref=1 HTTP/1.0\r\n\r\n");
    expect(fd, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nCache-Control: no-cache, no-store\r\n\r\n");
    from = clock_now(loop);
    fiber_sleep(30 * 1000000);
    say(fd, "key");
    expect_end(fd);
    CHECK(clock_now(loop) - from >= 70 * 1000000 && clock_now(loop) - from < 80 * 1000000);
    world_done(&w);
}

TEST_FIBER(the_command_line_gets_its_stream_bare)
{
    struct world w;
    char got[16] = "";
    world_init(&w, loop, true);
    AUTO(fd_drop) int fd = dial(&w);

    w.direction = 3;
    w.status = 0;
    say(fd, "POST /cli HTTP/1.0\r\ncontent-length: 8\r\n\r\nvm-list\n");
    fiber_sleep(1000);
    CHECK_INT(get(w.stream, got, 8), 8);
    CHECK_STR(got, "vm-list\n");
    say(w.stream, "XenSource thin CLI protocol");
    expect(fd, "XenSource thin CLI protocol");
    world_done(&w);
}

#define UPGRADE                                                                                  \
    "GET /console?uuid=x&session_id=s HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
#define UPGRADED                                                                        \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

TEST_FIBER(a_websocket_carries_the_console)
{
    struct world w;
    char got[16] = "";
    world_init(&w, loop, true);
    AUTO(fd_drop) int fd = dial(&w);

    w.direction = 3;
    say(fd, UPGRADE "Sec-WebSocket-Protocol: binary\r\n\r\n");
    expect(fd, UPGRADED "Sec-WebSocket-Protocol: binary\r\n\r\n");
    CHECK(w.websocket);
    CHECK_STR(w.path, "connect_console_ws GET /console");
    say(w.stream, "RFB");
    expect(fd, "\x82\x03RFB");
    put(fd,
        "\x82\x83zzzz\x1b\x18\x19"
        "\x89\x81zzzz\x1b",
        9 + 7); /* abc, and a ping of "a" */
    CHECK_INT(get(w.stream, got, 3), 3);
    CHECK_STR(got, "abc");
    expect(fd,
        "\x8a\x01"
        "a");
    put(fd, "\x88\x82\1\1\1\1\2\351", 8);
    expect(fd, "\x88\x02\003\350");
    expect_end(fd);
    fiber_sleep(1000);
    CHECK(w.done && w.complete);
    world_done(&w);
}

TEST_FIBER(an_old_websocket_speaks_base64)
{
    struct world w;
    char got[16] = "";
    world_init(&w, loop, true);
    AUTO(fd_drop) int fd = dial(&w);

    w.direction = 3;
    say(fd, UPGRADE "Sec-WebSocket-Protocol: base64\r\n\r\n");
    expect(fd, UPGRADED "Sec-WebSocket-Protocol: base64\r\n\r\n");
    say(w.stream, "ab");
    expect(fd, "\x81\x04YWI=");
    put(fd, "\x81\x84\0\0\0\0YWI=\x81\x84\0\0\0\0YWJj", 20);
    CHECK_INT(get(w.stream, got, 5), 5);
    CHECK_STR(got, "ababc");
    fd_drop(&w.stream);
    expect(fd, "\x88\x02\003\350");
    world_done(&w);
}

TEST_FIBER(pages_and_preflights_need_no_core)
{
    struct world w;
    world_init(&w, loop, false);
    AUTO(fd_drop) int fd = dial(&w);

    say(fd, "OPTIONS /jsonrpc HTTP/1.1\r\nAccess-Control-Request-Headers: content-type\r\n\r\n");
    expect(fd,
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nCache-Control: no-cache, no-store\r\n"
        "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Headers: content-type, X-Requested-With\r\n"
        "Access-Control-Allow-Methods: GET, PUT, POST\r\nConnection: keep-alive\r\n\r\n");
    say(fd, "GET / HTTP/1.0\r\n\r\n");
    expect_last(fd, "This host speaks XenAPI.");
    AUTO(fd_drop) int page = dial(&w);
    say(page, "GET /console.html?uuid=x HTTP/1.0\r\n\r\n");
    expect_last(page, "apt install novnc");
    add_core(&w); /* for world_done */
    world_done(&w);
}

/* A TLS client on a fiber: repeats the call until it need not wait. */
static int tls_step(SSL *ssl, int fd, int result)
{
    int e = SSL_get_error(ssl, result);

    if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
        return result;
    CHECK(fiber_wait_fd(fd, e == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT, clock_now(fiber_loop()) + 100000000));
    return -EAGAIN;
}

TEST_FIBER(behind_tls_all_is_the_same)
{
    AUTO(buf_done) struct buf pem;
    AUTO(tls_server_drop) struct tls_server *tls = NULL;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    char got[1024] = "";
    size_t have = 0;
    struct world w;
    int r, fds[2];

    buf_init(&pem, 1 << 16);
    CHECK_OK(tls_make_self_signed("h", NULL, 0, &pem));
    CHECK_OK(tls_server_new(buf_str(&pem), &tls));
    world_init(&w, loop, false);
    gate_free(w.gate); /* this one wants a certificate */
    w.gate = gate_new(loop,
        &(struct gate_config){ .tls = tls,
            .max_conns = 1,
            .max_per_address = 1,
            .handshake_s = 9,
            .head_s = 9,
            .body_s = 9,
            .idle_s = 9,
            .stall_s = 9,
            .core_s = 9 });
    add_core(&w);
    CHECK_OK(socket_pair(fds));
    CHECK_OK(fd_set_nonblock(fds[0], true));
    gate_accept(w.gate, fds[1], GATE_TLS, "192.0.2.7");

    SSL_set_fd(ssl, fds[0]);
    while ((r = tls_step(ssl, fds[0], SSL_connect(ssl))) == -EAGAIN)
        ;
    CHECK_INT(r, 1);
    static const char request[] =
        "POST /jsonrpc HTTP/1.0\r\nContent-Length: 72\r\n\r\n" JSON2("VM.get_name_label", "\"s\",\"r\"");
    CHECK_INT(SSL_write(ssl, request, sizeof(request) - 1), sizeof(request) - 1);
    for (;;) {
        r = tls_step(ssl, fds[0], SSL_read(ssl, got + have, (int)(sizeof(got) - 1 - have)));
        if (r > 0)
            have += (size_t)r;
        else if (r != -EAGAIN)
            break;
    }
    CHECK(strstr(got, "\"result\":\"a<b\""));

    AUTO(fd_drop) int mute = dial_from(&w, GATE_TLS, "192.0.2.8"); /* says nothing: the handshake has a deadline */
    expect_end(mute);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    fd_drop(&fds[0]);
    world_done(&w);
}
