#include "hyper/sim/agent.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "gen/ipc_vm.h"
#include "proto/base64.h"

#define COMMAND_MAX (256 * 1024)
#define ANSWER_MAX (64 * 1024)
#define FLOOD_BYTES (3 * 1024 * 1024)
#define MAC_LEN 17

struct sim_agent {
    int fd;   /* owned */
    char *vm; /* owned: uuid */
    enum sim_agent_kind kind;
    sim_power_off_fn *on_power_off;
    char host_name[64];
    char (*macs)[MAC_LEN + 1]; /* owned */
    size_t n_macs;
    int64_t pid;         /* of what it ran last */
    char ran[1024 + 64]; /* the answer about that */
};

enum sim_agent_kind sim_agent_kind_find(const char *word, size_t len)
{
    static const char *const words[SIM_AGENT_N_KINDS] = { [SIM_AGENT_GOOD] = "good",
        [SIM_AGENT_NONE] = "none",
        [SIM_AGENT_STALLS] = "stalls",
        [SIM_AGENT_FLOODS] = "floods",
        [SIM_AGENT_DIES] = "dies",
        [SIM_AGENT_LIES] = "lies" };

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq_c((struct str){ word, len }, words[i]))
            return (enum sim_agent_kind)i;
    return SIM_AGENT_N_KINDS;
}

/* ---- the stream ---- */

static bool write_all(int fd, const char *p, size_t len)
{
    while (len) {
        ssize_t n = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n >= 0) {
            p += n;
            len -= (size_t)n;
        } else if (errno != EAGAIN || !fiber_wait_fd(fd, EPOLLOUT, FOREVER)) {
            return false;
        }
    }
    return true;
}

/* The next line into b, without its end; false when the other side is gone. What follows it stays in `rest`. */
static bool read_line(int fd, struct buf *rest, struct buf *b)
{
    for (;;) {
        char *end = rest->len ? memchr(rest->p, '\n', rest->len) : NULL;
        char *room;
        ssize_t n;

        if (end) {
            buf_clear(b);
            buf_add(b, rest->p, (size_t)(end - rest->p));
            buf_consume(rest, (size_t)(end - rest->p) + 1);
            return true;
        }
        room = buf_reserve(rest, 4096);
        if (!room)
            return false;
        n = recv(fd, room, 4096, MSG_DONTWAIT);
        if (n > 0)
            buf_commit(rest, (size_t)n);
        else if (n == 0 || errno != EAGAIN || !fiber_wait_fd(fd, EPOLLIN, FOREVER))
            return false;
    }
}

/* ---- what it says ---- */

/* Addresses follow from the MAC, so a NIC keeps its own. */
static void say_networks(const struct sim_agent *g, struct buf *b)
{
    buf_add_c(b,
        "[{\"name\":\"lo\",\"ip-addresses\":[{\"ip-address-type\":\"ipv4\",\"ip-address\":\"127.0.0.1\","
        "\"prefix\":8}],\"hardware-address\":\"00:00:00:00:00:00\"}");
    for (size_t i = 0; i < g->n_macs; i++) {
        unsigned m[6] = { 0 };

        if (sscanf(g->macs[i], "%2x:%2x:%2x:%2x:%2x:%2x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]) != 6)
            continue;
        buf_printf(b,
            ",{\"name\":\"eth%zu\",\"hardware-address\":\"%s\",\"ip-addresses\":["
            "{\"ip-address-type\":\"ipv4\",\"ip-address\":\"10.%u.%u.%u\",\"prefix\":8},"
            "{\"ip-address-type\":\"ipv6\",\"ip-address\":\"fe80::%x:%02xff:fe%02x:%x\",\"prefix\":64}]}",
            i, g->macs[i], m[3], m[4], m[5], (m[0] ^ 2) << 8 | m[1], m[2], m[3], m[4] << 8 | m[5]);
    }
    buf_add_char(b, ']');
}

static void say(const struct sim_agent *g, const char *command, struct buf *b)
{
    bool lies = g->kind == SIM_AGENT_LIES;

    buf_add_c(b, "{\"return\":");
    if (cstr_eq(command, "guest-info"))
        buf_printf(b,
            "{\"version\":%s,\"supported_commands\":[{\"name\":\"guest-shutdown\",\"enabled\":true,"
            "\"success-response\":false},{\"name\":\"guest-get-osinfo\",\"enabled\":true},"
            "{\"name\":\"guest-get-host-name\",\"enabled\":true},{\"name\":\"guest-network-get-interfaces\","
            "\"enabled\":true},{\"name\":\"guest-exec\",\"enabled\":%s},7,{\"name\":[]}]}",
            lies ? "[[7.2]]" : "\"7.2.22\"", lies ? "\"yes\"" : "true");
    else if (cstr_eq(command, "guest-get-osinfo") && lies)
        buf_add_c(b,
            "{\"pretty-name\":\"\\u0007bell\\ntwo\",\"id\":{},\"version-id\":\"99999999999.1\",\"kernel-release\":5}");
    else if (cstr_eq(command, "guest-get-osinfo"))
        buf_add_c(b,
            "{\"id\":\"sim\",\"pretty-name\":\"Simulated guest 1.0\",\"name\":\"Simulated guest\","
            "\"version-id\":\"1.0\",\"kernel-release\":\"1.0.0-sim\",\"machine\":\"x86_64\"}");
    else if (cstr_eq(command, "guest-get-host-name"))
        buf_printf(b, "{\"host-name\":\"%s\"}", g->host_name);
    else if (cstr_eq(command, "guest-network-get-interfaces") && lies)
        buf_printf(b,
            "[[],{\"hardware-address\":\"%s\",\"ip-addresses\":[{\"ip-address-type\":\"ipv4\",\"ip-address\":"
            "\"10.0.0.1; reboot\"},{\"ip-address-type\":\"ipv9\",\"ip-address\":\"10.0.0.1\"},9]}]",
            g->n_macs ? g->macs[0] : "");
    else if (cstr_eq(command, "guest-network-get-interfaces"))
        say_networks(g, b);
    else {
        buf_clear(b);
        buf_printf(
            b, "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"The command %.60s has not been found\"}", command);
    }
    buf_add_c(b, "}\n");
}

/* Its shell knows "echo WORDS" and "exit NUMBER"; what else it is fed, it complains of. */
static void run(struct sim_agent *g, const char *input)
{
    AUTO(buf_done) struct buf script, out, err, text;
    struct base64 s = { 0 };
    int64_t code = 0;

    buf_init(&script, COMMAND_MAX);
    buf_init(&out, 512);
    buf_init(&err, 128);
    buf_init(&text, sizeof(g->ran));
    base64_decode(&s, &script, str_of(input));
    for (struct str line, rest = buf_str(&script); rest.len;) {
        str_cut(rest, '\n', &line, &rest);
        if (str_starts(line, STR("echo ")))
            buf_printf(&out, "%.*s\n", (int)(line.len - 5), line.p + 5);
        else if (str_starts(line, STR("exit ")))
            str_to_i64((struct str){ line.p + 5, line.len - 5 }, &code);
        else if (line.len)
            buf_printf(&err, "sh: %.*s: not found\n", line.len > 40 ? 40 : (int)line.len, line.p);
    }
    buf_printf(&text, "{\"exited\":true,\"exitcode\":%" PRId64 ",\"out-data\":\"", code);
    base64_encode(&text, buf_str(&out));
    buf_add_c(&text, "\",\"err-data\":\"");
    base64_encode(&text, buf_str(&err));
    buf_add_c(&text, "\"}");
    snprintf(g->ran, sizeof(g->ran), "%s", text.p);
    g->pid++;
}

/* The text after `key` up to the next quote or brace, as far as this side needs it. */
static void word_after(const char *line, const char *key, char *ret, size_t size)
{
    const char *at = strstr(line, key);
    size_t len = 0;

    if (at) {
        at += strlen(key);
        len = strcspn(at, "\"}");
    }
    snprintf(ret, size, "%.*s", (int)(len < size ? len : size - 1), at ? at : "");
}

static bool flood(int fd)
{
    char noise[4096];

    memset(noise, 'x', sizeof(noise));
    for (size_t sent = 0; sent < FLOOD_BYTES; sent += sizeof(noise))
        if (!write_all(fd, noise, sizeof(noise)))
            return false;
    return true;
}

/* False when it is over. */
static bool answer(struct sim_agent *g, const char *line, struct buf *b)
{
    char command[64], id[32];

    buf_clear(b);
    word_after(line, "\"execute\":\"", command, sizeof(command));
    word_after(line, "\"id\":", id, sizeof(id));
    if (g->kind == SIM_AGENT_STALLS)
        return true;
    if (g->kind == SIM_AGENT_FLOODS && !flood(g->fd))
        return false;
    if (cstr_eq(command, "guest-sync-delimited")) {
        buf_printf(b, "\xff{\"return\":%.20s}\n", id);
    } else if (cstr_eq(command, "guest-shutdown")) {
        g->on_power_off(g->vm);
        return true; /* has no answer when it succeeds */
    } else if (cstr_eq(command, "guest-exec") && g->kind != SIM_AGENT_LIES) {
        char input[2048];

        word_after(line, "\"input-data\":\"", input, sizeof(input));
        run(g, input);
        buf_printf(b, "{\"return\":{\"pid\":%" PRId64 "}}\n", g->pid);
    } else if (cstr_eq(command, "guest-exec-status") && g->pid) {
        buf_printf(b, "{\"return\":%s}\n", g->ran);
    } else {
        say(g, command, b);
        if (g->kind == SIM_AGENT_DIES) {
            write_all(g->fd, b->p, b->len / 2);
            return false;
        }
    }
    return write_all(g->fd, b->p, b->len);
}

static void serve(void *arg)
{
    struct sim_agent *g = arg;
    AUTO(buf_done) struct buf in, line, out;

    buf_init(&in, COMMAND_MAX);
    buf_init(&line, COMMAND_MAX);
    buf_init(&out, ANSWER_MAX);
    while (read_line(g->fd, &in, &line) && answer(g, line.p, &out))
        ;
    fd_drop(&g->fd);
    free(g->macs);
    free(g->vm);
    free(g);
}

/* A host name out of whatever the VM is called. */
static void name_guest(struct sim_agent *g, const char *name)
{
    size_t n = 0;

    for (; *name && n < sizeof(g->host_name) - 1; name++) {
        char c = (char)tolower((unsigned char)*name);

        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
            g->host_name[n++] = c;
        else if (n && g->host_name[n - 1] != '-')
            g->host_name[n++] = '-';
    }
    if (n == 0)
        snprintf(g->host_name, sizeof(g->host_name), "guest");
}

struct err *sim_agent_open(
    struct loop *l, const struct vm_plan *plan, enum sim_agent_kind kind, sim_power_off_fn *on_power_off, int *ret_fd)
{
    struct sim_agent *g;
    int fds[2];

    if (kind == SIM_AGENT_NONE)
        return NULL;
    TRY(socket_pair(fds));
    g = mem_new(struct sim_agent);
    *g = (struct sim_agent){ .fd = fds[0], .vm = mem_strdup(plan->vm), .kind = kind, .on_power_off = on_power_off };
    name_guest(g, plan->name);
    g->macs = mem_alloc_array(plan->n_nics + 1, sizeof(*g->macs));
    for (; g->n_macs < plan->n_nics; g->n_macs++)
        snprintf(g->macs[g->n_macs], sizeof(*g->macs), "%s", plan->nics[g->n_macs].mac);
    fiber_start(l, "sim-agent", serve, g);
    *ret_fd = fds[1];
    return NULL;
}
