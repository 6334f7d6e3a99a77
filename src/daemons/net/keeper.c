#include "daemons/net/keeper.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/sandbox.h"
#include "base/str.h"
#include "daemons/lib/daemon.h"
#include "gen/ipc_dhcp.h"
#include "net/backend.h"

#define PROGRAM "/usr/sbin/dnsmasq"
#define BACKOFF_MIN_US 100000
#define BACKOFF_MAX_US 5000000
#define DIE_US 2000000

struct keeper {
    struct loop *loop;
    struct keeper_config config;
    struct map *servers; /* bridge -> struct server, which lives as long as its fiber */
};

struct server {
    struct keeper *keeper;
    char *bridge, *gateway, *first, *last, *mask, *net6; /* owned */
    bool stop;
    int pidfd; /* -1: none runs */
    struct waitq wake;
};

static void server_free(struct server *s)
{
    free(s->bridge);
    free(s->gateway);
    free(s->first);
    free(s->last);
    free(s->mask);
    free(s->net6);
    fd_drop(&s->pidfd);
    free(s);
}

/* ---- one life of dnsmasq ---- */

static char *pid_path(const struct server *s)
{
    return mem_printf("%s/%s.pid", s->keeper->config.dir, s->bridge);
}

static void end_process(int pidfd)
{
    int status;

    err_ignore(proc_kill(pidfd, SIGTERM), "it may be gone");
    if (!proc_wait(pidfd, clock_now(fiber_loop()) + DIE_US, &status)) {
        err_ignore(proc_kill(pidfd, SIGKILL), "it may be gone");
        proc_wait(pidfd, clock_now(fiber_loop()) + DIE_US, &status);
    }
}

/* A dnsmasq that changed its user is not told of the death of a keeper. */
static void end_leftover(const struct server *s)
{
    AUTO(mem_drop) char *path = pid_path(s);
    AUTO(buf_done) struct buf b = { 0 };
    AUTO(fd_drop) int pidfd = -1;
    struct str pid_text, ticks_text;
    int64_t pid = 0;
    uint64_t ticks = 0;

    buf_init(&b, 128);
    struct err *e = file_read(AT_FDCWD, path, &b);
    if (!e && str_cut(str_trim(buf_str(&b)), ' ', &pid_text, &ticks_text) && str_to_i64(pid_text, &pid) &&
        str_to_u64(ticks_text, &ticks) && pid > 1)
        e = proc_open((pid_t)pid, ticks, &pidfd);
    if (e)
        err_ignore(e, "nobody is left");
    else if (pidfd >= 0)
        end_process(pidfd);
    unlink(path);
}

static void note_pid(const struct server *s, pid_t pid)
{
    AUTO(mem_drop) char *path = pid_path(s);
    AUTO(mem_drop) char *text = NULL;
    uint64_t ticks = 0;
    struct err *e = proc_start_time(pid, &ticks);

    text = mem_printf("%d %llu", (int)pid, (unsigned long long)ticks);
    if (!e)
        e = file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644);
    log_err(LOG_WARN_, "a next keeper will not know this DHCP server", e);
}

static struct err *start(struct server *s)
{
    const struct keeper_config *c = &s->keeper->config;
    AUTO(mem_drop) char *interface = mem_printf("--interface=%s", s->bridge);
    AUTO(mem_drop) char *range = mem_printf("--dhcp-range=%s,%s,%s,12h", s->first, s->last, s->mask);
    /* Guests make their addresses by themselves, and hear of the way out and the resolver (RFC 4862, RFC 8106). */
    AUTO(mem_drop) char *range6 = mem_printf("--dhcp-range=%s,ra-stateless,64", s->net6);
    AUTO(mem_drop) char *leases = mem_printf("--dhcp-leasefile=%s/%s.leases", c->dir, s->bridge);
    AUTO(mem_drop) char *forwarder = mem_printf("--server=%s", c->forwarder ? c->forwarder : "");
    /* Within a private namespace there is one user, and nothing to change to. */
    const char *mode = c->private_space ? "--no-daemon" : "--keep-in-foreground";
    const char *user = getpwnam("dnsmasq") ? "--user=dnsmasq" : "--user=nobody";
    const char *argv[] = { PROGRAM, mode, c->private_space ? "--quiet-dhcp" : user,
        "--conf-file=", "--pid-file=", "--log-facility=-", "--no-hosts", "--bind-dynamic", "--except-interface=lo",
        "--dhcp-authoritative", "--dhcp-no-override", "--dhcp-lease-max=65536", "--domain-needed", "--bogus-priv",
        "--quiet-dhcp", "--quiet-dhcp6", "--quiet-ra", interface, leases, NULL, NULL, NULL, NULL, NULL, NULL };
    size_t n = ARRAY_LEN(argv) - 6; /* where there is room left, and an end */

    if (*s->first)
        argv[n++] = range;
    if (*s->net6) {
        argv[n++] = "--enable-ra";
        argv[n++] = range6;
    }
    if (c->forwarder) {
        argv[n++] = "--no-resolv";
        argv[n++] = forwarder;
    }
    struct proc_fd fds[] = { { STDERR_FILENO, STDOUT_FILENO }, { STDERR_FILENO, STDERR_FILENO } };
    struct proc_spec spec = { .argv = argv, .fds = fds, .n_fds = 2, .die_with_parent = SIGTERM };
    pid_t pid;

    end_leftover(s);
    TRY(proc_spawn(&spec, &pid, &s->pidfd));
    note_pid(s, pid);
    return NULL;
}

static void serve(void *arg)
{
    struct server *s = arg;
    uint64_t backoff = BACKOFF_MIN_US;
    int status;

    while (!s->stop) {
        uint64_t began = clock_now(s->keeper->loop);
        struct err *e = start(s);

        if (e)
            log_err(LOG_ERROR_, "no DHCP server; guests of the network get no address", e);
        else
            proc_wait(s->pidfd, FOREVER, &status);
        fd_drop(&s->pidfd);
        if (s->stop)
            break;
        log_warn("DHCP server ended; starting it again", F("bridge", s->bridge));
        if (clock_now(s->keeper->loop) - began > BACKOFF_MAX_US)
            backoff = BACKOFF_MIN_US;
        waitq_wait(&s->wake, clock_now(s->keeper->loop) + backoff);
        backoff = backoff * 2 > BACKOFF_MAX_US ? BACKOFF_MAX_US : backoff * 2;
    }
    AUTO(mem_drop) char *path = pid_path(s);
    unlink(path);
    server_free(s);
}

static void stop(struct server *s)
{
    s->stop = true;
    if (s->pidfd >= 0)
        err_ignore(proc_kill(s->pidfd, SIGTERM), "it may be gone");
    waitq_wake_all(&s->wake);
}

/* ---- what the net process asks ---- */

static bool is_range(const struct dhcp_serve_req *r)
{
    const char *const texts[] = { r->gateway, r->first, r->last, r->mask };
    struct in_addr a;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (inet_pton(AF_INET, texts[i], &a) != 1)
            return false;
    return true;
}

static bool is_request(const struct dhcp_serve_req *r)
{
    bool none = !*r->gateway && !*r->first && !*r->last && !*r->mask;
    struct in6_addr a;

    return net_name_valid(r->bridge) && (none ? *r->net6 != 0 : is_range(r)) &&
        (!*r->net6 || inet_pton(AF_INET6, r->net6, &a) == 1);
}

static bool same(const struct server *s, const struct dhcp_serve_req *r)
{
    return cstr_eq(s->gateway, r->gateway) && cstr_eq(s->first, r->first) && cstr_eq(s->last, r->last) &&
        cstr_eq(s->mask, r->mask) && cstr_eq(s->net6, r->net6);
}

static struct err *on_serve(struct ipc_call *call, struct dhcp_serve_req *r)
{
    struct keeper *k = call->ctx;
    struct server *s = map_get(k->servers, r->bridge);

    if (!is_request(r))
        return ipc_refused("dhcp.serve");
    if (s && same(s, r))
        return NULL;
    if (s)
        stop(map_remove(k->servers, r->bridge));
    s = mem_new(struct server);
    *s = (struct server){ k, mem_strdup(r->bridge), mem_strdup(r->gateway), mem_strdup(r->first), mem_strdup(r->last),
        mem_strdup(r->mask), mem_strdup(r->net6), false, -1, { { 0 } } };
    waitq_init(&s->wake);
    map_put(k->servers, s->bridge, s);
    fiber_start(k->loop, "dhcp", serve, s);
    return NULL;
}

static struct err *on_end(struct ipc_call *call, struct dhcp_end_req *r)
{
    struct keeper *k = call->ctx;
    struct server *s = map_remove(k->servers, r->bridge);

    if (s)
        stop(s);
    return NULL;
}

static void on_lost(void *ctx, struct ipc_peer *p UNUSED)
{
    loop_stop(((struct keeper *)ctx)->loop); /* the servers end with us */
}

static struct err *limit(void)
{
    static const int keep[] = { CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE, CAP_SETUID, CAP_SETGID, CAP_KILL,
        CAP_CHOWN, CAP_DAC_OVERRIDE };
    struct sandbox box = { .keep_caps = keep, .n_keep_caps = ARRAY_LEN(keep) };
    const char *missing = NULL;

    return sandbox_enter(&box, &missing);
}

static int keeper_main(const struct keeper_config *config, int fd)
{
    static const struct dhcp_ops ops = { .serve = on_serve, .end = on_end };
    struct keeper k = { .config = *config, .servers = map_new() };
    struct ipc_peer *peer = NULL;
    struct err *e = daemon_start("net-keeper", &k.loop);

    if (!e)
        e = limit();
    if (!e)
        e = ipc_peer_new(k.loop, fd, &peer);
    if (e)
        return daemon_fail("runnymede-net (keeper)", e);
    ipc_serve(peer, &dhcp_service, &ops, &k);
    ipc_on_close(peer, on_lost, &k);
    loop_run(k.loop);
    return 0; /* crash only: what it started ends with it, or is found by the next one */
}

struct err *keeper_fork(const struct keeper_config *config, int *ret_fd)
{
    int fds[2];

    TRY(socket_pair(fds));
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        fd_drop(&fds[0]);
        fd_drop(&fds[1]);
        return err_errno(errno, "fork the keeper");
    }
    if (pid == 0) {
        if (fds[1] != 3 && dup3(fds[1], 3, O_CLOEXEC) == 3)
            fds[1] = 3;
        close_range(4, ~0U, 0); /* above all the door: kept open, it would look as if somebody served there */
        prctl(PR_SET_NAME, "runnymede-dhcp");
        if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
            _exit(1);
        _exit(keeper_main(config, fds[1]));
    }
    fd_drop(&fds[1]);
    *ret_fd = fds[0];
    return NULL;
}

/* ---- the net process's side ---- */

/* "" for the one that is none. */
static const char *text_of(struct arena *a, struct in_addr ip)
{
    char text[INET_ADDRSTRLEN];

    return ip.s_addr ? arena_strdup(a, inet_ntop(AF_INET, &ip, text, sizeof(text))) : "";
}

static struct err *ask_serve(void *ctx, const struct net_range *r)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    char net6[INET6_ADDRSTRLEN] = "";

    if (!IN6_IS_ADDR_UNSPECIFIED(&r->net6))
        inet_ntop(AF_INET6, &r->net6, net6, sizeof(net6));
    return dhcp_serve(ctx, a,
        &(struct dhcp_serve_req){ .bridge = r->bridge,
            .gateway = text_of(a, r->gateway),
            .first = text_of(a, r->first),
            .last = text_of(a, r->last),
            .mask = text_of(a, r->mask),
            .net6 = net6 });
}

static struct err *ask_end(void *ctx, const char *bridge)
{
    AUTO(arena_drop) struct arena *a = arena_new();

    return dhcp_end(ctx, a, &(struct dhcp_end_req){ .bridge = bridge });
}

struct net_dhcp keeper_dhcp(struct ipc_peer *peer)
{
    return (struct net_dhcp){ peer, ask_serve, ask_end };
}
