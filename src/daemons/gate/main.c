/*
 * runnymede-gate: the front door (gate/gate.h).
 *
 * It opens its doors, reads certificate and pages, becomes its own user in an
 * empty root without a capability, and can then neither open files, nor run
 * programs, nor make sockets.
 *
 * A taken-over gate could still: read and answer as it likes what clients send
 * through it, passwords and sessions included, and use those sessions until
 * they end; claim to the core that a call came over the local socket, which
 * means root for API calls (not for the host: the core has no such right); use
 * the private key of the certificate; keep others out. It could not touch a
 * disk, a guest's memory, the database or the network beyond the connections
 * that it was given.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "daemons/lib/daemon.h"
#include "gate/gate.h"
#include "proto/json.h"

#define LISTEN_MAX 16
#define NO_PORT (-1)
#define FILES_WANTED 65536
#define CERT_MAX (1 << 20)
#define GOODBYE_TURNS 1000 /* rounds of the loop in which connections may end by themselves */

static const char usage[] =
    "usage: runnymede-gate [--http PORT|-] [--https PORT|-] [--listen ADDRESS]... [--unix PATH]\n"
    "                      [--core-socket PATH] [--core-user NAME] [--cert FILE] [--novnc DIR] [--web DIR]\n"
    "                      [--user NAME] [--ready-fd N]\n"
    "Port 0 takes any free one, - opens none.\n";

struct options {
    int http, https;
    const char *addresses[LISTEN_MAX];
    unsigned n_addresses;
    const char *unix_path, *core_path, *core_user, *cert, *novnc, *web, *user;
    int ready_fd;
};

static bool port_parse(const char *text, int *ret_port)
{
    uint64_t n;

    if (cstr_eq(text, "-"))
        *ret_port = NO_PORT;
    else if (str_to_u64(str_of(text), &n) && n <= 65535)
        *ret_port = (int)n;
    else
        return false;
    return true;
}

static bool option_take(struct options *o, int which, const char *value)
{
    uint64_t n;

    switch (which) {
    case 'h':
        return port_parse(value, &o->http);
    case 's':
        return port_parse(value, &o->https);
    case 'l':
        if (o->n_addresses == LISTEN_MAX)
            return false;
        o->addresses[o->n_addresses++] = value;
        return true;
    case 'x':
        o->unix_path = value;
        return true;
    case 'c':
        o->core_path = value;
        return true;
    case 'C':
        o->core_user = value;
        return true;
    case 't':
        o->cert = value;
        return true;
    case 'n':
        o->novnc = value;
        return true;
    case 'w':
        o->web = value;
        return true;
    case 'u':
        o->user = value;
        return true;
    case 'r':
        if (!str_to_u64(str_of(value), &n) || n > 1024)
            return false;
        o->ready_fd = (int)n;
        return true;
    default:
        return false;
    }
}

static bool options_parse(int argc, char **argv, struct options *o)
{
    static const struct option known[] = {
        { "http", required_argument, NULL, 'h' },
        { "https", required_argument, NULL, 's' },
        { "listen", required_argument, NULL, 'l' },
        { "unix", required_argument, NULL, 'x' },
        { "core-socket", required_argument, NULL, 'c' },
        { "core-user", required_argument, NULL, 'C' },
        { "cert", required_argument, NULL, 't' },
        { "novnc", required_argument, NULL, 'n' },
        { "web", required_argument, NULL, 'w' },
        { "user", required_argument, NULL, 'u' },
        { "ready-fd", required_argument, NULL, 'r' },
        { 0 },
    };
    int which;

    *o = (struct options){ .http = 80, .https = 443, .ready_fd = -1 };
    while ((which = getopt_long(argc, argv, "", known, NULL)) != -1)
        if (!option_take(o, which, optarg))
            return false;
    if (!o->n_addresses) {
        o->addresses[o->n_addresses++] = "0.0.0.0";
        o->addresses[o->n_addresses++] = "[::]";
    }
    return optind == argc && o->core_path && (o->https == NO_PORT || o->cert);
}

/* Doors */

static struct err *address_parse(const char *text, int port, struct sockaddr_storage *ret, socklen_t *ret_len)
{
    char plain[INET6_ADDRSTRLEN + 2];
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)ret;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)ret;
    size_t len = strlen(text);

    memset(ret, 0, sizeof(*ret));
    snprintf(plain, sizeof(plain), "%s", text);
    if (len > 2 && len < sizeof(plain) && text[0] == '[' && text[len - 1] == ']')
        snprintf(plain, sizeof(plain), "%.*s", (int)len - 2, text + 1);
    if (inet_pton(AF_INET, plain, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        *ret_len = sizeof(*v4);
        return NULL;
    }
    if (inet_pton(AF_INET6, plain, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        *ret_len = sizeof(*v6);
        return NULL;
    }
    return err_internal("%s is no address", text);
}

/* *port: 0 becomes the one that was free. *ret_fd stays -1 if this machine lacks the address family. */
static struct err *tcp_listen(const char *address, int *port, int *ret_fd)
{
    struct sockaddr_storage sa;
    socklen_t len;
    AUTO(fd_drop) int fd = -1;

    TRY(address_parse(address, *port, &sa, &len));
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 && errno == EAFNOSUPPORT)
        return NULL;
    if (fd < 0)
        return err_errno(errno, "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (sa.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 1 }, sizeof(int));
    if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 4096) < 0)
        return errno == EADDRNOTAVAIL && sa.ss_family == AF_INET6 && cstr_eq(address, "[::]")
            ? NULL
            : err_errno(errno, "listen on %s port %d", address, *port);
    if (!*port && getsockname(fd, (struct sockaddr *)&sa, &len) == 0)
        *port = ntohs(sa.ss_family == AF_INET ? ((struct sockaddr_in *)(void *)&sa)->sin_port
                                              : ((struct sockaddr_in6 *)(void *)&sa)->sin6_port);
    *ret_fd = fd_take(&fd);
    return NULL;
}

static struct err *open_port(struct gate *g, const struct options *o, int *port, enum gate_door door)
{
    unsigned n_open = 0;

    if (*port == NO_PORT)
        return NULL;
    for (unsigned i = 0; i < o->n_addresses; i++) {
        int fd = -1;

        TRY(tcp_listen(o->addresses[i], port, &fd));
        if (fd < 0) {
            log_warn("this address family is not to be had", F("address", o->addresses[i]));
            continue;
        }
        gate_listen(g, fd, door);
        n_open++;
    }
    return n_open ? NULL : err_internal("no address could be opened");
}

static struct err *open_local(struct gate *g, const char *path)
{
    int fd;

    if (!path)
        return NULL;
    TRY(unix_listen(path, 0600, &fd)); /* root's alone: whoever opens it is root to us */
    gate_listen(g, fd, GATE_LOCAL);
    return NULL;
}

static struct err *open_core(struct gate *g, const struct options *o)
{
    const char *name = o->core_user ? o->core_user : o->user ? "runnymede-core" : NULL;
    unsigned uid = geteuid(), gid;
    int fd;

    if (o->core_user)
        TRY(daemon_user(name, &uid, &gid));
    else if (name)
        err_ignore(daemon_user(name, &uid, &gid), "without a user of its own the core runs as we do");
    TRY(unix_listen(o->core_path, 0600, &fd));
    if (uid != geteuid() && lchown(o->core_path, uid, (gid_t)-1) < 0) {
        struct err *e = err_errno(errno, "give %s to the core", o->core_path);

        fd_drop(&fd);
        return e;
    }
    gate_listen_core(g, fd, uid);
    return NULL;
}

/* Certificate and pages */

static struct err *cert_make(const char *path, struct buf *pem)
{
    char hostname[256] = "", text[32][INET6_ADDRSTRLEN];
    const char *addresses[ARRAY_LEN(text)];
    size_t n = 0;
    struct ifaddrs *all = NULL;

    gethostname(hostname, sizeof(hostname) - 1);
    if (getifaddrs(&all) < 0)
        all = NULL;
    for (struct ifaddrs *i = all; i && n < ARRAY_LEN(text); i = i->ifa_next) {
        const void *bin = NULL;

        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET)
            bin = &((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr;
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET6)
            bin = &((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr;
        if (!bin || !inet_ntop(i->ifa_addr->sa_family, bin, text[n], INET6_ADDRSTRLEN))
            continue;
        addresses[n] = text[n];
        n++;
    }
    if (all)
        freeifaddrs(all);
    TRY(tls_make_self_signed(hostname, addresses, n, pem));
    log_info("made a self-signed certificate", F("file", path), FI("addresses", n));
    return file_write_atomic(AT_FDCWD, path, pem->p, pem->len, 0600);
}

static struct err *cert_load(const char *path, struct tls_server **ret_tls)
{
    AUTO(buf_done) struct buf pem, thumbprint;
    struct err *e;

    buf_init(&pem, CERT_MAX);
    buf_init(&thumbprint, 256);
    if (access(path, F_OK) == 0)
        TRY(file_read(AT_FDCWD, path, &pem));
    else
        TRY(cert_make(path, &pem));
    e = tls_server_new(buf_str(&pem), ret_tls);
    if (e)
        return err_note(e, "certificate %s", path);
    TRY(tls_thumbprint(buf_str(&pem), "sha256", &thumbprint));
    log_info("certificate", F("file", path), F("sha256", thumbprint.p));
    mem_wipe(pem.p, pem.len);
    return NULL;
}

/* Left there by the host process: the core, who knows as well, comes later than the first client. */
static bool is_tls_only(const struct options *o)
{
    AUTO(mem_drop) char *mark = mem_printf("%s.only", o->cert ? o->cert : "");

    return o->https != NO_PORT && access(mark, F_OK) == 0;
}

static void pages_load(struct site *s, const struct options *o)
{
    if (o->web)
        log_err(LOG_WARN_, "the web interface is not whole", site_load(s, o->web, ""));
    if (o->novnc && access(o->novnc, R_OK) == 0)
        log_err(LOG_WARN_, "noVNC is not whole", site_load(s, o->novnc, "/novnc"));
    site_finish(s);
}

/* Giving up rights */

static void files_allow(void)
{
    struct rlimit r = { 0 };

    getrlimit(RLIMIT_NOFILE, &r);
    if (r.rlim_max < FILES_WANTED && setrlimit(RLIMIT_NOFILE, &(struct rlimit){ FILES_WANTED, FILES_WANTED }) == 0)
        return;
    r.rlim_cur = r.rlim_max < FILES_WANTED ? r.rlim_max : FILES_WANTED;
    setrlimit(RLIMIT_NOFILE, &r);
}

/* Stands in a folder that no longer exists: as a root it is empty and stays so. */
static struct err *enter_nowhere(void)
{
    char path[] = "/tmp/runnymede-gate.XXXXXX";

    if (!mkdtemp(path) || chdir(path) < 0 || rmdir(path) < 0)
        return err_errno(errno, "make an empty root");
    return NULL;
}

static struct err *give_up_rights(const struct options *o)
{
    static const char *const never[] = { "socket", "socketpair", "bind", "connect", "listen", "kill", "prlimit64" };
    struct sandbox s = {
        .user = o->user,
        .root = ".",
        .syscalls = never,
        .n_syscalls = ARRAY_LEN(never),
        .no_new_files = true,
        .no_exec = true,
        .no_network = true,
    };
    const char *missing = NULL;

    TRY(enter_nowhere());
    TRY(sandbox_enter(&s, &missing));
    if (missing)
        log_warn("running without some walls", F("missing", missing));
    return NULL;
}

static void tell_ready(const struct options *o)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "ready http=%d https=%d\n", o->http == NO_PORT ? 0 : o->http,
        o->https == NO_PORT ? 0 : o->https);

    log_info("the gate is open", FI("http", o->http), FI("https", o->https));
    if (o->ready_fd < 0)
        return;
    if (write(o->ready_fd, text, (size_t)n) != n)
        log_warn("nobody hears that we are ready");
    close(o->ready_fd);
}

static struct err *run(struct loop *l, struct options *o)
{
    struct gate_config config = gate_defaults;
    AUTO(tls_server_drop) struct tls_server *tls = NULL;
    AUTO(site_drop) struct site *site = site_new();
    struct gate *g;

    files_allow();
    json_init();
    if (o->https != NO_PORT)
        TRY(cert_load(o->cert, &tls));
    pages_load(site, o);
    config.tls = tls;
    config.site = site;
    g = gate_new(l, &config);
    gate_set_tls_only(g, is_tls_only(o));
    TRY(open_port(g, o, &o->http, GATE_PLAIN));
    TRY(open_port(g, o, &o->https, GATE_TLS));
    TRY(open_local(g, o->unix_path));
    TRY(open_core(g, o));
    TRY(give_up_rights(o));
    tell_ready(o);
    loop_run(l);
    gate_close(g);
    for (int i = 0; i < GOODBYE_TURNS && gate_n_conns(g); i++)
        loop_turn(l, false);
    if (!gate_n_conns(g))
        gate_free(g);
    return NULL;
}

int main(int argc, char **argv)
{
    AUTO(loop_drop) struct loop *l = NULL;
    struct options o;
    struct err *e;

    if (!options_parse(argc, argv, &o)) {
        fputs(usage, stderr);
        return 2;
    }
    daemon_keep_memory();
    e = daemon_start("gate", &l);
    if (!e)
        e = run(l, &o);
    if (!e)
        return 0;
    return daemon_fail("runnymede-gate", e);
}
