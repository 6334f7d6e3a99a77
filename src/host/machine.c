#include "host/machine.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "base/run.h"
#include "gen/errors.h"
#include "gen/ipc_machine.h"

#define TOOL_US 20000000
#define SAYS_MAX (1024 * 1024)
#define TEXT_MAX 4096

/* What is harmless as an argument and as a word in a file: host names, addresses, time zones, iSCSI names. */
static bool is_plain(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/+[]");

    return n && n <= 255 && !s[n] && s[0] != '-' && !strstr(s, "..");
}

static struct err *check_plain(const char *s)
{
    return is_plain(s) ? NULL : err_invalid_value("value", s);
}

/* ---- the two ways to change a machine ---- */

static struct err *tool_end(struct machine *m, struct arena *a, const char *const *words, struct run_end *ret_end)
{
    const char *argv[12] = { NULL };
    size_t n = 0;

    if (!m->root)
        return err_internal("this host process may not change the machine");
    if (*m->root)
        argv[n++] = arena_printf(a, "%s/control", m->root);
    for (size_t i = 0; words[i] && n < ARRAY_LEN(argv) - 1; i++)
        argv[n++] = words[i];
    if (!*m->root)
        argv[0] = arena_printf(a, "/usr/bin/%s", words[0]);
    return run_program(
        m->loop, &(struct run_spec){ .argv = argv, .out_max = SAYS_MAX, .timeout_us = TOOL_US }, a, ret_end);
}

static struct err *tool(struct machine *m, struct arena *a, const char *const *words)
{
    struct run_end end;
    struct str first, rest;

    log_info("the machine is changed", F("tool", words[0]), F("what", words[1]), F("to", words[2]));
    TRY(tool_end(m, a, words, &end));
    if (!end.status)
        return NULL;
    str_cut(end.err, '\n', &first, &rest);
    return err_internal("%s ended with %d: %.*s", words[0], end.status, (int)first.len, first.p);
}
#define TOOL(m, a, ...) tool((m), (a), (const char *const[]){ __VA_ARGS__, NULL })

/* One file below etc/; no text: without it. Its folder must be there: it belongs to whoever reads the file. */
static struct err *put_file(struct machine *m, struct arena *a, const char *name, const char *text)
{
    if (!m->root)
        return err_internal("this host process may not change the machine");
    const char *path = arena_printf(a, "%s/etc/%s", m->root, name);
    log_info("the machine is changed", F("file", path));
    if (text)
        return file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644);
    return unlink(path) < 0 && errno != ENOENT ? err_errno(errno, "remove %s", path) : NULL;
}

/* ---- what is so ---- */

static const char *timezone_of(struct arena *a, const char *root)
{
    char link[512];
    ssize_t n = readlink(arena_printf(a, "%s/etc/localtime", root), link, sizeof(link) - 1);
    const char *name;

    if (n < 0)
        return "UTC";
    link[n] = 0;
    name = strstr(link, "/zoneinfo/");
    return name ? arena_strdup(a, name + 10) : "UTC";
}

static const char *hostname_of(struct arena *a, const char *root)
{
    AUTO(buf_done) struct buf b;
    struct str line, rest;
    char name[256] = "";

    buf_init(&b, TEXT_MAX);
    if (!*root) {
        gethostname(name, sizeof(name) - 1);
        return arena_strdup(a, name);
    }
    struct err *e = file_read(AT_FDCWD, arena_printf(a, "%s/etc/hostname", root), &b);
    if (e) {
        err_ignore(e, "a pretended machine has no name before it is given one");
        return "";
    }
    str_cut(buf_str(&b), '\n', &line, &rest);
    return arena_strndup(a, line.p, line.len);
}

static bool runs(struct machine *m, struct arena *a, const char *service)
{
    const char *const words[] = { "systemctl", "is-active", service, NULL };
    struct run_end end = { .status = 1 };

    if (!m->root)
        return false;
    err_ignore(tool_end(m, a, words, &end), "a machine without systemd runs no service that we could end");
    return end.status == 0;
}

static struct err *on_facts(struct ipc_call *c, struct machine_facts_req *req, struct machine_facts_rep *rep)
{
    struct machine *m = c->ctx;
    const char *root = m->root ? m->root : "";

    (void)req;
    rep->timezone = timezone_of(c->arena, root);
    rep->hostname = hostname_of(c->arena, root);
    rep->ssh = runs(m, c->arena, "ssh");
    return NULL;
}

/* ---- name and time ---- */

static struct err *on_hostname(struct ipc_call *c, struct machine_hostname_req *req)
{
    TRY(check_plain(req->name));
    return TOOL(c->ctx, c->arena, "hostnamectl", "set-hostname", req->name);
}

static struct err *on_timezone(struct ipc_call *c, struct machine_timezone_req *req)
{
    TRY(check_plain(req->name));
    return TOOL(c->ctx, c->arena, "timedatectl", "set-timezone", req->name);
}

static struct err *on_clock(struct ipc_call *c, struct machine_clock_req *req)
{
    return TOOL(
        c->ctx, c->arena, "timedatectl", "set-time", arena_printf(c->arena, "@%llu", (unsigned long long)req->time_s));
}

/* The lines that a mode takes; NULL: the distribution's own. DHCP's servers come from the network, beside any file. */
static struct err *ntp_text(struct arena *a, const struct machine_ntp_req *req, const char **ret_text)
{
    AUTO(buf_done) struct buf b;

    *ret_text = NULL;
    buf_init(&b, 64 * 1024);
    if (cstr_eq(req->mode, "DHCP")) {
        *ret_text = "# Written by Runnymede: host.set_ntp_mode\n[Time]\nNTP=\nFallbackNTP=\n";
    } else if (cstr_eq(req->mode, "Custom")) {
        buf_add_c(&b, "# Written by Runnymede: host.set_ntp_custom_servers\n[Time]\nFallbackNTP=\nNTP=");
        for (size_t i = 0; i < req->n_servers; i++) {
            TRY(check_plain(req->servers[i]));
            buf_printf(&b, "%s%s", i ? " " : "", req->servers[i]);
        }
        buf_add_c(&b, "\n");
        *ret_text = arena_strdup(a, b.p);
    }
    return NULL;
}

static struct err *on_ntp(struct ipc_call *c, struct machine_ntp_req *req)
{
    struct machine *m = c->ctx;
    const char *text;

    if (m->root && access(arena_printf(c->arena, "%s/etc/systemd/timesyncd.conf", m->root), F_OK) < 0)
        return err_invalid_ntp_config("systemd-timesyncd is not installed");
    if (cstr_eq(req->mode, "Disabled"))
        return TOOL(m, c->arena, "timedatectl", "set-ntp", "false");
    TRY(ntp_text(c->arena, req, &text));
    if (m->root)
        TRY(dir_make(arena_printf(c->arena, "%s/etc/systemd/timesyncd.conf.d", m->root), 0755));
    TRY(put_file(m, c->arena, "systemd/timesyncd.conf.d/runnymede.conf", text));
    TRY(TOOL(m, c->arena, "timedatectl", "set-ntp", "true"));
    return TOOL(m, c->arena, "systemctl", "restart", "systemd-timesyncd");
}

static struct err *on_ntp_state(
    struct ipc_call *c, struct machine_ntp_state_req *req, struct machine_ntp_state_rep *rep)
{
    const char *const clock[] = { "timedatectl", "show", NULL };
    const char *const servers[] = { "timedatectl", "show-timesync", NULL };
    struct run_end first, second;

    (void)req;
    TRY(tool_end(c->ctx, c->arena, clock, &first));
    TRY(tool_end(c->ctx, c->arena, servers, &second)); /* fails, and says nothing, while the service is off */
    char *text = arena_printf(c->arena, "%s\n%s", first.out.p, second.out.p);
    rep->text = str_of(text);
    return NULL;
}

/* ---- services ---- */

static struct err *on_syslog(struct ipc_call *c, struct machine_syslog_req *req)
{
    const char *text = NULL;

    if (*req->destination) {
        TRY(check_plain(req->destination));
        text = arena_printf(c->arena, "# Written by Runnymede: host.syslog_reconfigure\n*.* @%s\n", req->destination);
    }
    TRY(put_file(c->ctx, c->arena, "rsyslog.d/runnymede.conf", text));
    return TOOL(c->ctx, c->arena, "systemctl", "restart", "rsyslog");
}

static struct err *on_iscsi_name(struct ipc_call *c, struct machine_iscsi_name_req *req)
{
    TRY(check_plain(req->name));
    return put_file(c->ctx, c->arena, "iscsi/initiatorname.iscsi",
        arena_printf(c->arena, "# Written by Runnymede: host.set_iscsi_iqn\nInitiatorName=%s\n", req->name));
}

static struct err *on_multipath(struct ipc_call *c, struct machine_multipath_req *req)
{
    return TOOL(c->ctx, c->arena, "systemctl", req->on ? "enable" : "disable", "--now", "multipathd");
}

static struct err *on_ssh(struct ipc_call *c, struct machine_ssh_req *req)
{
    return TOOL(c->ctx, c->arena, "systemctl", req->on ? "enable" : "disable", "--now", "ssh");
}

static struct err *on_console_timeout(struct ipc_call *c, struct machine_console_timeout_req *req)
{
    const char *text = arena_printf(c->arena,
        "# Written by Runnymede: host.set_console_idle_timeout\nexport TMOUT=%llu\n", (unsigned long long)req->seconds);

    return put_file(c->ctx, c->arena, "profile.d/runnymede-console-timeout.sh", req->seconds ? text : NULL);
}

static struct err *on_kernel_log(
    struct ipc_call *c, struct machine_kernel_log_req *req, struct machine_kernel_log_rep *rep)
{
    const char *const words[] = { "journalctl", "-k", "-b", "-q", "--no-pager", "-n", "4000", NULL };
    struct run_end end;

    (void)req;
    TRY(tool_end(c->ctx, c->arena, words, &end));
    if (end.status)
        return err_internal("journalctl ended with %d", end.status);
    rep->text = end.out;
    return NULL;
}

/* ---- the front door's files: it may write none itself ---- */

static struct err *on_gate_certificate(struct ipc_call *c, struct machine_gate_certificate_req *req)
{
    const struct machine *m = c->ctx;
    const char *path = arena_printf(c->arena, "%s/gate.pem", m->state_dir);

    return file_write_atomic(AT_FDCWD, path, req->pem, strlen(req->pem), 0600);
}

static struct err *on_gate_tls_only(struct ipc_call *c, struct machine_gate_tls_only_req *req)
{
    const struct machine *m = c->ctx;
    const char *path = arena_printf(c->arena, "%s/gate.pem.only", m->state_dir);

    if (req->on)
        return file_write_atomic(AT_FDCWD, path, "", 0, 0644);
    return unlink(path) < 0 && errno != ENOENT ? err_errno(errno, "remove %s", path) : NULL;
}

/* ---- programs ---- */

static struct err *on_program(struct ipc_call *c, struct machine_program_req *req, struct machine_program_rep *rep)
{
    return machine_program_run(c->ctx, c->arena, req, rep);
}

static struct err *on_has_program(
    struct ipc_call *c, struct machine_has_program_req *req, struct machine_has_program_rep *rep)
{
    const char *path;

    TRY(machine_program_find(c->ctx, c->arena, req->kind, req->name, &path));
    rep->found = path != NULL;
    return NULL;
}

static struct err *on_report(struct ipc_call *c, struct machine_report_req *req, struct machine_report_rep *rep)
{
    return machine_report_start(c->ctx, req, &rep->stream);
}

void machine_mount(struct ipc_peer *core, struct machine *m)
{
    static const struct machine_ops ops = {
        .facts = on_facts,
        .hostname = on_hostname,
        .timezone = on_timezone,
        .clock = on_clock,
        .ntp = on_ntp,
        .ntp_state = on_ntp_state,
        .syslog = on_syslog,
        .iscsi_name = on_iscsi_name,
        .multipath = on_multipath,
        .ssh = on_ssh,
        .console_timeout = on_console_timeout,
        .kernel_log = on_kernel_log,
        .gate_certificate = on_gate_certificate,
        .gate_tls_only = on_gate_tls_only,
        .report = on_report,
        .program = on_program,
        .has_program = on_has_program,
    };

    m->loop = ipc_loop(core);
    ipc_serve(core, &machine_service, &ops, m);
}
