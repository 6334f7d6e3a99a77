#include "gate/gate.h"
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "gate/conn.h"

#define ACCEPTS_AT_ONCE 64
#define REFUSALS_AT_ONCE 64 /* connections over the limit that still get a word */
#define ACCEPT_PAUSE_US 100000

const struct gate_config gate_defaults = {
    .max_conns = 12000,
    .max_per_address = 8000, /* one console server may hold thousands */
    .handshake_s = 15,
    .head_s = 30,
    .body_s = 60,
    .idle_s = 300,
    .stall_s = 60,
    .core_s = 10,
};

struct address {
    unsigned n_conns;
    char *name;
};

struct listener {
    struct gate *gate;
    struct watch *watch;
    struct timer *timer; /* resumes after a pause */
    int fd;
    enum gate_door door;
    struct link link;
};

struct gate {
    struct loop *loop;
    struct gate_config config;
    struct tls_server *own_tls; /* in place of the one of the beginning; owned */
    bool tls_only;
    struct link listeners, conns;
    struct map *addresses;
    unsigned n_conns, n_refused;
    struct ipc_listener *core_listener;
    uid_t core_uid;
    struct ipc_peer *core; /* a reference; NULL: none is connected */
    struct waitq core_came;
    struct gate_count counts[ACTIONS_MAX];
    bool closing;
};

struct gate *gate_new(struct loop *l, const struct gate_config *config)
{
    struct gate *g = mem_new(struct gate);

    signal(SIGPIPE, SIG_IGN);
    g->loop = l;
    g->config = *config;
    g->addresses = map_new();
    list_init(&g->listeners);
    list_init(&g->conns);
    waitq_init(&g->core_came);
    return g;
}

struct gate_count *gate_counts(struct gate *g)
{
    return g->counts;
}

struct loop *gate_loop(const struct gate *g)
{
    return g->loop;
}

const struct gate_config *gate_config(const struct gate *g)
{
    return &g->config;
}

unsigned gate_n_conns(const struct gate *g)
{
    return g->n_conns + g->n_refused;
}

static void listener_free(struct listener *li)
{
    list_remove(&li->link);
    watch_free(li->watch);
    timer_free(li->timer);
    fd_drop(&li->fd);
    free(li);
}

void gate_close(struct gate *g)
{
    g->closing = true;
    LIST_EACH (at, &g->listeners)
        listener_free(CONTAINER_OF(at, struct listener, link));
    ipc_listener_drop(&g->core_listener);
    LIST_EACH (at, &g->conns)
        shutdown(CONTAINER_OF(at, struct conn, link)->stream.fd, SHUT_RDWR);
    LIST_EACH (at, &g->conns) {
        struct conn *c = CONTAINER_OF(at, struct conn, link);

        if (c->relay)
            relay_stop(c->relay);
    }
    waitq_wake_all(&g->core_came);
}

void gate_free(struct gate *g)
{
    if (!g)
        return;
    gate_close(g);
    assert(gate_n_conns(g) == 0);
    if (g->core)
        ipc_unref(g->core);
    map_free(g->addresses);
    tls_server_free(g->own_tls);
    free(g);
}

void gate_take_tls(struct gate *g, struct tls_server *tls)
{
    tls_server_free(g->own_tls);
    g->own_tls = tls;
    g->config.tls = tls;
    log_info("new connections see another certificate");
}

void gate_set_tls_only(struct gate *g, bool on)
{
    g->tls_only = on;
}

bool gate_tls_only(const struct gate *g)
{
    return g->tls_only;
}

/* Connections */

static bool admit(struct gate *g, struct conn *c)
{
    if (c->door != GATE_LOCAL) {
        c->from = map_get(g->addresses, c->client);
        if (!c->from) {
            c->from = mem_new(struct address);
            c->from->name = mem_strdup(c->client);
            map_put(g->addresses, c->from->name, c->from);
        }
        c->from->n_conns++;
    }
    return g->n_conns < g->config.max_conns && (!c->from || c->from->n_conns <= g->config.max_per_address);
}

static void leave(struct gate *g, struct conn *c)
{
    if (!c->from || --c->from->n_conns)
        return;
    map_remove(g->addresses, c->from->name);
    free(c->from->name);
    free(c->from);
}

struct conn *conn_new(struct gate *g, int fd, enum gate_door door, const char *client)
{
    struct conn *c = mem_new(struct conn);

    c->gate = g;
    c->door = door;
    c->client = mem_strdup(client);
    c->stream.fd = fd;
    buf_init(&c->in, HTTP_HEAD_MAX + RPC_BODY_MAX);
    c->refused = !admit(g, c);
    if (c->refused)
        g->n_refused++;
    else
        g->n_conns++;
    list_append(&g->conns, &c->link);
    return c;
}

void conn_free(struct conn *c)
{
    list_remove(&c->link);
    if (c->refused)
        c->gate->n_refused--;
    else
        c->gate->n_conns--;
    leave(c->gate, c);
    stream_done(&c->stream);
    buf_done(&c->in);
    free(c->client);
    free(c);
}

void gate_accept(struct gate *g, int fd, enum gate_door door, const char *client)
{
    struct conn *c = conn_new(g, fd, door, client);

    if (g->closing || g->n_refused > REFUSALS_AT_ONCE) {
        conn_free(c);
        return;
    }
    err_ignore(fd_set_nonblock(fd, true), "accepted sockets can");
    if (door == GATE_TLS)
        c->stream.tls = tls_new(g->config.tls, fd);
    fiber_start(g->loop, "conn", conn_main, c);
}

static void address_text(const struct sockaddr_storage *sa, char *text, size_t size)
{
    snprintf(text, size, "local");
    if (sa->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, text, (socklen_t)size);
    if (sa->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, text, (socklen_t)size);
}

/* Answers go out at once; a viewer whose machine vanished is noticed within minutes. */
static void tune(int fd)
{
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &(int){ 60 }, sizeof(int));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &(int){ 20 }, sizeof(int));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &(int){ 4 }, sizeof(int));
}

static void on_incoming(void *arg, uint32_t events)
{
    struct listener *li = arg;

    (void)events;
    for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
        struct sockaddr_storage sa = { 0 };
        socklen_t len = sizeof(sa);
        char text[INET6_ADDRSTRLEN];
        int fd = accept4(li->fd, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
            log_warn("no descriptors left, accepting pauses", FI("connections", gate_n_conns(li->gate)));
            watch_set(li->watch, 0);
            timer_set(li->timer, clock_now(li->gate->loop) + ACCEPT_PAUSE_US);
            return;
        }
        if (fd < 0 && errno == EAGAIN)
            return;
        if (fd < 0)
            continue; /* that client has gone again */
        if (li->door == GATE_PLAIN && li->gate->tls_only) {
            close(fd);
            continue;
        }
        if (li->door != GATE_LOCAL)
            tune(fd);
        address_text(&sa, text, sizeof(text));
        gate_accept(li->gate, fd, li->door, text);
    }
}

static void on_pause_over(void *arg)
{
    struct listener *li = arg;

    watch_set(li->watch, EPOLLIN);
}

void gate_listen(struct gate *g, int fd, enum gate_door door)
{
    struct listener *li = mem_new(struct listener);

    li->gate = g;
    li->fd = fd;
    li->door = door;
    li->watch = watch_new(g->loop, fd, EPOLLIN, on_incoming, li);
    li->timer = timer_new(g->loop, on_pause_over, li);
    list_append(&g->listeners, &li->link);
}

/* The core */

static void on_core_gone(void *ctx, struct ipc_peer *p)
{
    struct gate *g = ctx;

    if (g->core != p)
        return;
    ipc_unref(g->core);
    g->core = NULL;
    log_warn("the core is gone, requests wait for it");
}

void gate_add_core(struct gate *g, struct ipc_peer *core)
{
    struct ipc_peer *old = g->core;

    g->core = ipc_ref(core);
    ipc_on_close(core, on_core_gone, g);
    door_mount(g, core);
    if (old)
        ipc_unref(old);
    waitq_wake_all(&g->core_came);
}

static void on_core_arrives(void *ctx, struct ipc_peer *p)
{
    struct gate *g = ctx;
    uid_t uid = (uid_t)-1;
    pid_t pid = 0;
    struct err *e = ipc_peer_creds(p, &uid, &pid);

    if (!e && uid != 0 && uid != g->core_uid)
        e = err_internal("a process of uid %u wants to be the core", (unsigned)uid);
    if (e) {
        log_err(LOG_WARN_, "refused a peer at the core's socket", e);
        ipc_close(p);
        return;
    }
    log_info("the core is here", FI("pid", pid));
    gate_add_core(g, p);
}

void gate_listen_core(struct gate *g, int fd, uid_t uid)
{
    g->core_uid = uid;
    g->core_listener = ipc_listen(g->loop, fd, on_core_arrives, g);
}

struct ipc_peer *gate_core(struct gate *g)
{
    uint64_t deadline_us = clock_now(g->loop) + (uint64_t)g->config.core_s * 1000000;

    while (!g->core && !g->closing)
        if (!waitq_wait(&g->core_came, deadline_us))
            break;
    return g->core ? ipc_ref(g->core) : NULL;
}
