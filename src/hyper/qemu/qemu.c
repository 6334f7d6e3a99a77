#include "hyper/qemu/qemu.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "gen/ipc_vm.h"
#include "hyper/qemu/argv.h"
#include "hyper/qemu/kvm_probe.h"
#include "hyper/qemu/private.h"
#include "hyper/qemu/record.h"
#include "hyper/qemu/stats.h"

#define VARS_MAX (1024 * 1024)
#define DATA_MAX (1024 * 1024)
#define KERNEL_MAX (1024ULL * 1024 * 1024)
#define LOG_MAX (1024 * 1024)
#define GREETING_US (30 * 1000000ULL)
#define ATTACH_US (10 * 1000000ULL)
#define QUIT_US (5 * 1000000ULL)
#define HOUSEKEEPING_US (60 * 1000000ULL)

static uint64_t in(struct qemu *q, uint64_t us)
{
    return clock_now(q->env.loop) + us;
}

/* ---- what happens by itself ---- */

void qemu_tell(struct qemu *q, enum hyper_event_kind kind, const char *device)
{
    struct hyper_event ev = { kind, device, q->memory };

    waitq_wake_all(&q->change);
    if (q->env.on_event)
        q->env.on_event(q->env.ctx, &ev);
}

static void on_qmp_event(void *ctx, const char *event, json_t *data)
{
    static const char *const state_events[] = { "SHUTDOWN", "STOP", "RESUME", "GUEST_PANICKED", "GUEST_CRASHLOADED",
        "SUSPEND", "WAKEUP" };
    struct qemu *q = ctx;

    if (cstr_eq(event, "SHUTDOWN"))
        q->wants_reboot = cstr_eq(json_string_value(json_object_get(data, "reason")), "guest-reset");
    if (cstr_eq(event, "MIGRATION"))
        waitq_wake_all(&q->change);
    if (cstr_eq(event, "RESET")) {
        q->resets++;
        if (json_is_true(json_object_get(data, "guest")))
            qemu_tell(q, HYPER_EV_RESET, NULL);
        else
            waitq_wake_all(&q->change);
    } else if (cstr_eq(event, "DEVICE_DELETED")) {
        const char *device = json_string_value(json_object_get(data, "device"));

        if (!device)
            return; /* a part of a device; the whole one follows */
        snprintf(q->unplugged[q->n_unplugged++ % N_UNPLUGGED], QEMU_ID_SIZE, "%s", device);
        qemu_tell(q, HYPER_EV_UNPLUGGED, device);
    }
    if (cstr_eq(event, "BALLOON_CHANGE") && json_integer_value(json_object_get(data, "actual")) > 0) {
        q->memory = (uint64_t)json_integer_value(json_object_get(data, "actual"));
        qemu_tell(q, HYPER_EV_MEMORY, NULL);
    }
    if (cstr_eq(event, "VSERPORT_CHANGE"))
        qemu_tell(q, HYPER_EV_AGENT, NULL);
    for (size_t i = 0; i < ARRAY_LEN(state_events); i++)
        if (cstr_eq(event, state_events[i]))
            qemu_tell(q, HYPER_EV_STATE, NULL);
}

static void on_qmp_lost(void *ctx)
{
    struct qemu *q = ctx;

    waitq_wake_all(&q->change);
}

static void on_exit_of_qemu(void *arg, uint32_t events)
{
    struct qemu *q = arg;
    siginfo_t si;

    (void)events;
    watch_drop(&q->exit_watch);
    (void)waitid(P_PIDFD, (id_t)q->pidfd, &si, WEXITED | WNOHANG); /* fails if it is not our child: init reaps it */
    q->gone = true;
    qemu_tell(q, HYPER_EV_STATE, NULL);
}

/* What a guest can make QEMU say must not fill the disk; QEMU appends, so cutting the file is safe. */
static void on_housekeeping(void *arg)
{
    struct qemu *q = arg;
    char *path = mem_printf("%s/%s" QEMU_LOG, q->env.dir, q->prefix);
    struct stat st;

    if (stat(path, &st) == 0 && st.st_size > LOG_MAX && truncate(path, 0) < 0)
        waitq_wake_all(&q->change); /* nothing else can be done; tried again next time */
    free(path);
    timer_set(q->housekeeping, in(q, HOUSEKEEPING_US));
}

/* ---- the object ---- */

void qemu_free(struct hyper_guest *g)
{
    struct qemu *q = g ? qemu_of(g) : NULL;

    if (!q)
        return;
    qmp_free(q->qmp);
    watch_free(q->exit_watch);
    qemu_tpm_unwatch(q);
    timer_free(q->housekeeping);
    fd_drop(&q->pidfd);
    free(q);
}

struct qemu *qemu_new(const struct hyper_env *env, const char *prefix)
{
    struct qemu *q = mem_new(struct qemu);

    q->base.ops = &hyper_qemu;
    q->env = *env;
    q->prefix = prefix;
    q->pidfd = -1;
    q->tpm_notify = -1;
    waitq_init(&q->change);
    q->housekeeping = timer_new(env->loop, on_housekeeping, q);
    timer_set(q->housekeeping, in(q, HOUSEKEEPING_US));
    return q;
}

static struct err *talk_to(struct qemu *q, int *fd, uint64_t us)
{
    return qmp_open(q->env.loop, fd_take(fd), in(q, us), on_qmp_event, on_qmp_lost, q, &q->qmp);
}

static struct err *reconnect(struct qemu *q)
{
    char *path = mem_printf("%s/%sqmp.sock", q->env.dir, q->prefix);
    int fd = -1;
    struct err *e;

    qmp_drop(&q->qmp);
    e = q->gone ? err_internal("QEMU has ended") : unix_connect(path, &fd);
    free(path);
    TRY(e);
    TRY(talk_to(q, &fd, ATTACH_US));
    return qemu_balloon_ask(q);
}

struct err *qemu_call(struct qemu *q, const char *command, json_t *args, int fd, json_t **ret_value)
{
    if (!q->qmp || qmp_is_lost(q->qmp)) {
        struct err *e = reconnect(q);

        if (e) {
            json_decref(args);
            return err_note(e, "%s", command);
        }
    }
    return qmp_call(q->qmp, command, args, fd, in(q, CALL_US), ret_value);
}

/* ---- start ---- */

struct err *qemu_open_dir(const struct hyper_env *env, int *ret_fd)
{
    int fd = open(env->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(errno, "open folder of the VM");
    *ret_fd = fd;
    return NULL;
}

static struct err *listen_in(const struct qemu *q, const char *name, int *ret_fd)
{
    char *path = mem_printf("%s/%s%s", q->env.dir, q->prefix, name);
    struct err *e = unix_listen(path, 0600, ret_fd);

    free(path);
    return e;
}

static struct err *connect_in(const struct qemu *q, const char *name, int *ret_fd)
{
    char *path = mem_printf("%s/%s%s", q->env.dir, q->prefix, name);
    struct err *e = unix_connect(path, ret_fd);

    free(path);
    return e;
}

/*
 * QEMU opens kernels by path, so as /proc/self/fd/N anew, and the VM's user may
 * not be allowed to. Then it gets a copy.
 */
static struct err *reopenable(const char *what, int fd, int *ret_fd)
{
    AUTO(fd_drop) int copy = -1;
    char path[64];
    struct stat st;

    if (!qemu_has_fd(fd))
        return NULL;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > KERNEL_MAX)
        return err_internal("%s is no file, or too large", what);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    copy = open(path, O_RDONLY | O_CLOEXEC);
    if (copy < 0 && errno == EACCES) {
        copy = memfd_create(what, MFD_CLOEXEC);
        for (off_t at = 0; copy >= 0 && at < st.st_size;) {
            char block[65536];
            ssize_t n = pread(fd, block, sizeof(block), at);

            if (n <= 0)
                return err_errno(n < 0 ? errno : EIO, "read %s", what);
            TRY(fd_write_all(copy, block, (size_t)n));
            at += n;
        }
    }
    if (copy < 0)
        return err_errno(errno, "open %s", what);
    *ret_fd = fd_take(&copy);
    return NULL;
}

static struct err *vars_prepare(const struct qemu *q, int dir, const struct vm_plan *plan)
{
    AUTO(buf_done) struct buf b;
    char name[QEMU_ID_SIZE];

    snprintf(name, sizeof(name), "%s" QEMU_VARS_FILE, q->prefix);
    buf_init(&b, VARS_MAX);
    if (!cstr_eq(plan->firmware, "uefi")) {
        if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
            return err_errno(errno, "remove " QEMU_VARS_FILE);
        return NULL;
    }
    TRY(file_read(AT_FDCWD, plan->secure_boot ? QEMU_VARS_SECURE : QEMU_VARS_TEMPLATE, &b));
    if (plan->nvram.len && plan->nvram.len != b.len)
        return err_internal("UEFI variables of %zu bytes, %zu expected", plan->nvram.len, b.len);
    return file_write_atomic(dir, name, plan->nvram.len ? plan->nvram.p : b.p, b.len, 0600);
}

static struct err *data_prepare(const struct vm_plan *plan, int *ret_fd)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, DATA_MAX);
    qemu_guest_data(&b, plan);
    if (b.overflow)
        return err_internal("VM.xenstore_data is too large for the guest");
    return b.len ? fd_memfd("xenstore-data", b.p, b.len, ret_fd) : NULL;
}

void qemu_adopt(struct qemu *q, pid_t pid, int pidfd)
{
    q->pid = pid;
    q->pidfd = pidfd;
    q->exit_watch = watch_new(q->env.loop, pidfd, EPOLLIN, on_exit_of_qemu, q);
}

static struct err *spawn(struct qemu *q, int dir, const struct qemu_setup *setup, const struct vm_plan *plan)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(record_done) struct record record = { -1, -1, 0, false };
    char record_name[QEMU_ID_SIZE];
    struct qemu_argv cmd = { 0 };
    struct proc_fd *fds;
    pid_t pid;
    int pidfd = -1;

    snprintf(record_name, sizeof(record_name), "%s" QEMU_RECORD, q->prefix);
    TRY(qemu_argv_build(a, setup, plan, &cmd));
    TRY(record_open(dir, record_name, q->no_reboot, &record));
    fds = arena_new_array(a, cmd.n_fds + 2, struct proc_fd);
    fds[0] = (struct proc_fd){ setup->log_fd, 1 };
    fds[1] = (struct proc_fd){ setup->log_fd, 2 };
    memcpy(fds + 2, cmd.fds, cmd.n_fds * sizeof(*fds));
    struct proc_spec spec = { .argv = cmd.argv,
        .fds = fds,
        .n_fds = cmd.n_fds + 2,
        .cwd = q->env.dir,
        .in_child = record_in_child,
        .arg = &record };
    TRY(proc_spawn(&spec, &pid, &pidfd));
    qemu_adopt(q, pid, pidfd);
    return NULL;
}

static struct err *log_open(const struct qemu *q, int dir, int *ret_fd)
{
    char name[QEMU_ID_SIZE];
    int fd;

    snprintf(name, sizeof(name), "%s" QEMU_LOG, q->prefix);
    fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(errno, "open %s", name);
    *ret_fd = fd;
    return NULL;
}

static struct err *launch(struct qemu *q, int dir, const struct vm_plan *plan, bool incoming)
{
    AUTO(fd_drop) int qmp = -1;
    AUTO(fd_drop) int tools = -1;
    AUTO(fd_drop) int serial = -1;
    AUTO(fd_drop) int agent = -1;
    AUTO(fd_drop) int client = -1;
    AUTO(fd_drop) int kernel = -1;
    AUTO(fd_drop) int initrd = -1;
    AUTO(fd_drop) int log = -1;
    AUTO(fd_drop) int tpm = -1;
    AUTO(fd_drop) int data = -1;
    char why_not[64];

    TRY(vars_prepare(q, dir, plan));
    TRY(log_open(q, dir, &log));
    if (plan->vtpm)
        TRY(qemu_tpm_start(q, dir, incoming ? STR("") : plan->tpm, log, &tpm));
    TRY(reopenable("kernel", plan->kernel, &kernel));
    TRY(reopenable("initrd", plan->initrd, &initrd));
    TRY(data_prepare(plan, &data));
    TRY(listen_in(q, "qmp.sock", &qmp));
    TRY(listen_in(q, "tools.sock", &tools));
    TRY(listen_in(q, "serial.sock", &serial));
    TRY(listen_in(q, "agent.sock", &agent));
    /* Connected before QEMU even starts: its greeting is then simply there, and its death hangs up. */
    TRY(connect_in(q, "qmp.sock", &client));
    struct qemu_setup setup = { .binary = QEMU_BINARY,
        .kvm = kvm_works(why_not, sizeof(why_not)),
        .qmp_fd = qmp,
        .tools_fd = tools,
        .serial_fd = serial,
        .agent_fd = agent,
        .tpm_fd = tpm,
        .log_fd = log,
        .kernel_fd = kernel,
        .initrd_fd = initrd,
        .data_fd = data,
        .prefix = q->prefix,
        .incoming = incoming };
    TRY(spawn(q, dir, &setup, plan));
    fd_drop(&qmp);
    fd_drop(&tools);
    fd_drop(&serial);
    fd_drop(&agent);
    return talk_to(q, &client, GREETING_US);
}

struct err *qemu_settle(struct qemu *q, const struct vm_plan *plan)
{
    for (size_t i = 0; i < plan->n_disks; i++)
        TRY(qemu_lease_pass(q, &plan->disks[i]));
    for (size_t i = 0; i < plan->n_nics; i++)
        if (!qemu_has_fd(plan->nics[i].tap))
            TRY(qemu_link_set(q, &plan->nics[i], false));
    return NULL;
}

/* The last words of a QEMU that did not come up. */
static struct err *with_last_words(const struct qemu *q, struct err *e)
{
    AUTO(mem_drop) char *path = mem_printf("%s/%s" QEMU_LOG, q->env.dir, q->prefix);
    AUTO(buf_done) struct buf b;

    buf_init(&b, LOG_MAX);
    err_ignore(file_read(AT_FDCWD, path, &b), "then there are no last words");
    size_t from = b.len > 400 ? b.len - 400 : 0;
    return b.p && b.len ? err_note(e, "QEMU said: %.*s", (int)(b.len - from), b.p + from) : e;
}

void qemu_forget_files(const struct hyper_env *env, const char *prefix)
{
    static const char *const names[] = { QEMU_RECORD, "qmp.sock", "tools.sock", "serial.sock", "agent.sock",
        QEMU_VNC_FILE };
    AUTO(fd_drop) int dir = -1;
    char name[QEMU_ID_SIZE];

    err_ignore(qemu_open_dir(env, &dir), "no folder, no files");
    for (size_t i = 0; dir >= 0 && i < ARRAY_LEN(names); i++) {
        snprintf(name, sizeof(name), "%s%s", prefix, names[i]);
        unlinkat(dir, name, 0);
    }
    if (dir >= 0)
        qemu_tpm_end(dir, prefix);
}

struct err *qemu_kill(struct qemu *q)
{
    uint64_t deadline = in(q, CALL_US);

    fiber_interrupt_clear(); /* who cancels a start wants no half of it left behind */
    if (!q->gone && q->pidfd >= 0)
        TRY(proc_kill(q->pidfd, SIGKILL));
    while (!q->gone && q->pidfd >= 0)
        if (!waitq_wait(&q->change, deadline))
            return err_internal("QEMU does not end though killed");
    return NULL;
}

static struct err *kill_and_forget(struct qemu *q)
{
    TRY(qemu_kill(q));
    qemu_forget_files(&q->env, q->prefix);
    return NULL;
}

struct err *qemu_abort(struct qemu *q, struct err *e)
{
    e = with_last_words(q, e);
    q->env.on_event = NULL;
    e = err_first(e, kill_and_forget(q));
    qemu_free(&q->base);
    return e;
}

struct err *qemu_begin(
    const struct hyper_env *env, const struct vm_plan *plan, const char *prefix, bool incoming, struct qemu **ret_qemu)
{
    AUTO(fd_drop) int dir = -1;
    struct qemu *q;
    struct err *e;

    TRY(qemu_open_dir(env, &dir));
    if (cstr_eq(plan->firmware, "direct") && !qemu_has_fd(plan->kernel))
        return err_internal("direct start without a kernel");
    q = qemu_new(env, prefix);
    q->no_reboot = cstr_eq(plan->on_reboot, "destroy");
    e = launch(q, dir, plan, incoming);
    if (e)
        return qemu_abort(q, e);
    *ret_qemu = q;
    return NULL;
}

static struct err *qemu_start(const struct hyper_env *env, const struct vm_plan *plan, struct hyper_guest **ret_guest)
{
    struct qemu *q = NULL;
    struct err *e;

    TRY(qemu_begin(env, plan, "", false, &q));
    assert(q);
    e = qemu_settle(q, plan);
    if (!e && plan->memory_target) {
        q->memory = plan->memory;
        if (plan->memory_target < plan->memory)
            e = qemu_balloon(&q->base, plan->memory_target);
    }
    if (!e && !plan->paused)
        e = qemu_call(q, "cont", NULL, -1, NULL);
    if (e)
        return qemu_abort(q, e);
    *ret_guest = &q->base;
    return NULL;
}

/* ---- attach ---- */

struct err *qemu_record_read(struct qemu *q, const char *name, bool *ret_found)
{
    AUTO(fd_drop) int dir = -1;
    struct record_found r;

    TRY(qemu_open_dir(&q->env, &dir));
    TRY(record_find(dir, name, &r));
    if (!r.found)
        return NULL;
    *ret_found = true;
    q->no_reboot = r.mark;
    if (r.pidfd < 0)
        q->gone = true;
    else
        qemu_adopt(q, r.pid, r.pidfd);
    return NULL;
}

static struct err *qemu_attach(const struct hyper_env *env, struct hyper_guest **ret_guest, const char **ret_reason)
{
    struct qemu *q = NULL;
    bool found = false, moved = false;
    struct err *e;

    TRY(qemu_move_recover(env, &moved));
    q = qemu_new(env, "");
    e = qemu_record_read(q, QEMU_RECORD, &found);

    if (e || !found || q->gone) {
        if (!e) {
            *ret_guest = NULL;
            *ret_reason = found ? "gone" : "";
        }
        if (found && q->gone)
            qemu_forget_files(env, "");
        qemu_free(&q->base);
        return e;
    }
    e = reconnect(q);
    if (e) { /* it lives but does not talk: query fails, destroy still works */
        err_ignore(err_note(e, "attach"), "tried again by the next call");
    } else if (moved) {
        e = qemu_run_on(q);
        if (e) {
            qemu_free(&q->base);
            return e;
        }
    }
    qemu_tpm_watch(q);
    *ret_guest = &q->base;
    *ret_reason = "";
    return NULL;
}

/* ---- life ---- */

static enum hyper_power power_of(const char *status)
{
    static const struct {
        const char *status;
        enum hyper_power power;
    } table[] = {
        { "running", HYPER_RUNNING },
        { "suspended", HYPER_RUNNING }, /* S3: the guest sleeps by its own will */
        { "prelaunch", HYPER_BUILT },
        { "inmigrate", HYPER_BUILT }, /* its memory is not all there */
        { "shutdown", HYPER_OFF },
        { "guest-panicked", HYPER_CRASHED },
        { "internal-error", HYPER_CRASHED },
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (cstr_eq(status, table[i].status))
            return table[i].power;
    return HYPER_PAUSED;
}

struct err *qemu_power(struct qemu *q, enum hyper_power *ret_power)
{
    AUTO(json_drop) json_t *status = NULL;
    struct err *e = q->gone ? NULL : qemu_call(q, "query-status", NULL, -1, &status);

    if (e && !qmp_refused(e) && !q->gone) /* it may just be ending: its pidfd tells within the second */
        waitq_wait(&q->change, in(q, 1000000));
    if (q->gone) {
        if (e)
            err_ignore(e, "it ended meanwhile");
        *ret_power = HYPER_GONE;
        return NULL;
    }
    TRY(e);
    *ret_power = power_of(json_string_value(json_object_get(status, "status")));
    if (*ret_power == HYPER_OFF && q->wants_reboot)
        *ret_power = HYPER_WANTS_REBOOT;
    return NULL;
}

static struct err *qemu_query(struct hyper_guest *g, struct hyper_state *ret_state)
{
    struct qemu *q = qemu_of(g);

    enum hyper_power power = HYPER_GONE;

    TRY(qemu_power(q, &power));
    *ret_state = (struct hyper_state){ .power = power, .pid = q->gone ? 0 : q->pid, .domid = -1, .memory = q->memory };
    return NULL;
}

static struct err *qemu_pause(struct hyper_guest *g)
{
    return qemu_call(qemu_of(g), "stop", NULL, -1, NULL);
}

/* It may stand still because somebody who has died since was saving it. */
static struct err *qemu_unpause(struct hyper_guest *g)
{
    TRY(qemu_call_off(qemu_of(g)));
    return qemu_call(qemu_of(g), "cont", NULL, -1, NULL);
}

/* The keys are held down together, as for a person. */
static struct err *press_sysrq(struct qemu *q, char key)
{
    char name[2] = { key, 0 };

    return qemu_call(q, "send-key",
        json_pack("{s:[{s:s, s:s}, {s:s, s:s}, {s:s, s:s}]}", "keys", "type", "qcode", "data", "alt", "type", "qcode",
            "data", "sysrq", "type", "qcode", "data", name),
        -1, NULL);
}

static struct err *qemu_press(struct hyper_guest *g, const char *what, char key)
{
    static const char *const commands[][2] = { { "power", "system_powerdown" }, { "nmi", "inject-nmi" },
        { "wakeup", "system_wakeup" } };

    if (cstr_eq(what, "sysrq"))
        return press_sysrq(qemu_of(g), key);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (cstr_eq(what, commands[i][0]))
            return qemu_call(qemu_of(g), commands[i][1], NULL, -1, NULL);
    return err_internal("nothing to press is called %s", what);
}

static struct err *qemu_request_shutdown(struct hyper_guest *g)
{
    return qemu_press(g, "power", 0);
}

static struct err *reboot_action(struct qemu *q, const char *action)
{
    return q->no_reboot ? qemu_call(q, "set-action", json_pack("{s:s}", "reboot", action), -1, NULL) : NULL;
}

/* From whatever power to running. An immediate cont after system_reset would be refused: RESET first. */
static struct err *qemu_reset(struct hyper_guest *g)
{
    struct qemu *q = qemu_of(g);
    uint64_t before = q->resets, deadline = in(q, CALL_US);
    enum hyper_power power = HYPER_GONE;
    struct err *e;

    TRY(reboot_action(q, "reset"));
    before = q->resets;
    e = qemu_call(q, "system_reset", NULL, -1, NULL);
    while (!e && q->resets == before)
        if (q->gone || !waitq_wait(&q->change, deadline))
            e = err_internal("QEMU did not reset");
    e = err_first(e, reboot_action(q, "shutdown"));
    TRY(e);
    TRY(qemu_power(q, &power));
    return power == HYPER_RUNNING ? NULL : qemu_call(q, "cont", NULL, -1, NULL);
}

/* quit lets QEMU write back what its disk formats hold in memory; one that does not listen is killed. */
static struct err *qemu_destroy(struct hyper_guest *g)
{
    struct qemu *q = qemu_of(g);
    uint64_t deadline = in(q, QUIT_US);

    if (!q->gone && q->qmp && !qmp_is_lost(q->qmp))
        err_ignore(qmp_call(q->qmp, "quit", NULL, -1, deadline, NULL), "it may end before it answers");
    while (!q->gone && q->qmp && !qmp_is_lost(q->qmp))
        if (!waitq_wait(&q->change, deadline))
            break;
    while (!q->gone && q->qmp && qmp_is_lost(q->qmp)) /* hung up: it is on its way out, still closing its disks */
        if (!waitq_wait(&q->change, deadline))
            break;
    return kill_and_forget(q);
}

static struct err *qemu_console(struct hyper_guest *g, const char *protocol, int *ret_fd)
{
    struct qemu *q = qemu_of(g);

    if (q->gone)
        return err_internal("QEMU has ended");
    if (cstr_eq(protocol, "rfb"))
        return connect_in(q, QEMU_VNC_FILE, ret_fd);
    if (cstr_eq(protocol, "vt100"))
        return connect_in(q, "serial.sock", ret_fd);
    return err_internal("no console of this kind");
}

/* The socket always connects; whether the guest has its end open, the chardev tells. */
static struct err *qemu_agent(struct hyper_guest *g, const struct vm_plan *plan UNUSED, int *ret_fd)
{
    AUTO(json_drop) json_t *all = NULL;
    struct qemu *q = qemu_of(g);
    json_t *one;
    size_t i;

    TRY(qemu_call(q, "query-chardev", NULL, -1, &all));
    json_array_foreach(all, i, one) if (cstr_eq(json_string_value(json_object_get(one, "label")), QEMU_AGENT_ID) &&
        json_is_true(json_object_get(one, "frontend-open"))) return connect_in(q, "agent.sock", ret_fd);
    return NULL;
}

static struct err *qemu_secure_vars(struct buf *b)
{
    return file_read(AT_FDCWD, QEMU_VARS_SECURE, b);
}

static struct err *qemu_nvram(const struct hyper_env *env, struct buf *b)
{
    AUTO(fd_drop) int dir = -1;
    struct err *e;

    TRY(qemu_open_dir(env, &dir));
    e = file_read(dir, QEMU_VARS_FILE, b);
    if (e && err_errno_get(e) == ENOENT) {
        err_ignore(e, "no UEFI guest");
        return NULL;
    }
    return e;
}

const struct hyper_ops hyper_qemu = {
    .name = "qemu",
    .probe = qemu_probe,
    .start = qemu_start,
    .attach = qemu_attach,
    .free = qemu_free,
    .query = qemu_query,
    .pause = qemu_pause,
    .unpause = qemu_unpause,
    .request_shutdown = qemu_request_shutdown,
    .press = qemu_press,
    .balloon = qemu_balloon,
    .vcpus_add = qemu_vcpus_add,
    .pin = qemu_pin,
    .reset = qemu_reset,
    .destroy = qemu_destroy,
    .disk_add = qemu_disk_add,
    .disk_remove = qemu_disk_remove,
    .media = qemu_media,
    .nic_add = qemu_nic_add,
    .nic_remove = qemu_nic_remove,
    .layout = qemu_layout,
    .save = qemu_save,
    .restore = qemu_restore,
    .move = qemu_move,
    .console = qemu_console,
    .agent = qemu_agent,
    .stats = qemu_stats,
    .nvram = qemu_nvram,
    .secure_vars = qemu_secure_vars,
    .tpm = qemu_tpm_memory,
};
