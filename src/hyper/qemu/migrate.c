/*
 * A guest's memory out of one QEMU and into another: through a file (suspend,
 * resume) or live into a second QEMU in the same folder (move).
 *
 * A move's second QEMU has files of its own, whose names begin with "next-".
 * Its record is the journal of the move: as "next-qemu.pid" it names a QEMU
 * that has not run a step, so it can be killed and the first one goes on; it is
 * renamed to "run-qemu.pid" before it runs, so from then on the first one is
 * what gets killed; and to "qemu.pid" when the other files have their names.
 * Renaming works for listening sockets too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "gen/ipc_vm.h"
#include "hyper/qemu/argv.h"
#include "hyper/qemu/private.h"
#include "ipc/ipc.h"

#define NEXT_RECORD QEMU_NEXT QEMU_RECORD
#define RUN_RECORD "run-" QEMU_RECORD
#define POLL_US 50000
#define CANCEL_US (30 * 1000000ULL)
#define BANDWIDTH (100ULL << 30) /* bytes per second: no limit, but QEMU's own is 128 MiB/s */
#define DOWNTIME_MS 300
#define PORTS_MAX 128

/* ---- where things are ---- */

/* The number in "rp12" (for prefix "rp"). */
static bool numbered(const char *name, const char *prefix, uint64_t *ret)
{
    return name && cstr_starts(name, prefix) && str_to_u64(str_of(name + strlen(prefix)), ret) && *ret < PORTS_MAX;
}

static struct err *place_of(struct qemu *q, const char *id, const char *prefix, uint32_t *ret_port)
{
    AUTO(json_drop) json_t *bus = NULL;
    const char *last;
    uint64_t n;

    TRY(qemu_call(q, "qom-get",
        json_pack("{s:o, s:s}", "path", json_sprintf("/machine/peripheral/%s", id), "property", "parent_bus"), -1,
        &bus));
    last = json_is_string(bus) ? strrchr(json_string_value(bus), '/') : NULL;
    if (!last || !numbered(last + 1, prefix, &n))
        return err_internal("%s is on an unknown bus", id);
    *ret_port = (uint32_t)n + 1;
    return NULL;
}

static struct err *count_ports(struct qemu *q, uint32_t *ret_n)
{
    AUTO(json_drop) json_t *list = NULL;
    json_t *entry;
    uint32_t n = 0;
    size_t i;

    TRY(qemu_call(q, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral"), -1, &list));
    json_array_foreach(list, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        uint64_t port;

        n += numbered(name, "rp", &port);
    }
    *ret_n = n;
    return NULL;
}

static struct err *generation_of(struct qemu *q, struct arena *a, const char **ret_id)
{
    AUTO(json_drop) json_t *value = NULL;
    struct err *e = qemu_call(q, "query-vm-generation-id", NULL, -1, &value);

    if (qmp_refused(e)) {
        err_ignore(e, "this guest has none");
        *ret_id = "";
        return NULL;
    }
    TRY(e);
    const char *id = json_string_value(json_object_get(value, "guid"));
    if (id)
        *ret_id = arena_strdup(a, id);
    return NULL;
}

struct err *qemu_layout(struct hyper_guest *g, struct arena *a, struct vm_plan *plan)
{
    struct qemu *q = qemu_of(g);
    char id[QEMU_ID_SIZE];

    for (size_t i = 0; i < plan->n_disks; i++) {
        if (qemu_disk_on_ide(&plan->disks[i]))
            continue; /* its position names its place */
        qemu_disk_id(id, &plan->disks[i]);
        TRY(place_of(q, id, plan->disks[i].cd ? "ide." : "rp", &plan->disks[i].port));
    }
    for (size_t i = 0; i < plan->n_nics; i++) {
        qemu_nic_id(id, &plan->nics[i]);
        TRY(place_of(q, id, "rp", &plan->nics[i].port));
    }
    TRY(count_ports(q, &plan->ports));
    return generation_of(q, a, &plan->generation_id);
}

/* ---- a migration's course ---- */

/* All that we ever set: they last as long as QEMU does, and a file has no return path, whatever came by before. */
static struct err *capabilities(struct qemu *q, bool return_path, bool late_activate)
{
    return qemu_call(q, "migrate-set-capabilities",
        json_pack("{s:[{s:s, s:b}, {s:s, s:b}, {s:s, s:b}]}", "capabilities", "capability", "events", "state", true,
            "capability", "return-path", "state", return_path, "capability", "late-block-activate", "state",
            late_activate),
        -1, NULL);
}

static struct err *hand_over(struct qemu *q, const char *name, int fd)
{
    return qemu_call(q, "getfd", json_pack("{s:s}", "fdname", name), fd, NULL);
}

static struct err *begin(struct qemu *q, const char *command, const char *fd_name)
{
    return qemu_call(q, command, json_pack("{s:o}", "uri", json_sprintf("fd:%s", fd_name)), -1, NULL);
}

static uint64_t number(json_t *ram, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(ram, key));

    return n > 0 ? (uint64_t)n : 0;
}

enum course { COURSE_NONE, COURSE_ON, COURSE_DONE, COURSE_FAILED };

static struct err *course_of(struct qemu *q, enum course *ret, struct err **ret_why)
{
    static const struct {
        const char *status;
        enum course course;
    } table[] = { { "", COURSE_NONE }, { "none", COURSE_NONE }, { "completed", COURSE_DONE },
        { "failed", COURSE_FAILED }, { "cancelled", COURSE_FAILED } };
    AUTO(json_drop) json_t *m = NULL;

    TRY(qemu_call(q, "query-migrate", NULL, -1, &m));
    const char *status = json_string_value(json_object_get(m, "status"));
    const char *why = json_string_value(json_object_get(m, "error-desc"));
    json_t *ram = json_object_get(m, "ram");
    enum course course = COURSE_ON;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (cstr_eq(status ? status : "", table[i].status))
            course = table[i].course;
    if (number(ram, "total") && q->base.total) {
        q->base.total = number(ram, "total");
        uint64_t left = number(ram, "remaining");

        q->base.done = left < q->base.total ? q->base.total - left : 0;
    }
    if (course == COURSE_FAILED && ret_why)
        *ret_why = err_internal("memory could not be moved: %s", why ? why : status);
    *ret = course;
    return NULL;
}

/* [waits] until it is done; fails when it failed, or when interrupted. */
static struct err *await(struct qemu *q)
{
    for (;;) {
        enum course course = COURSE_ON;
        struct err *why = NULL;

        TRY(course_of(q, &course, &why));
        if (why)
            return why;
        if (course == COURSE_DONE)
            return NULL;
        if (q->gone)
            return err_internal("QEMU has ended");
        waitq_wait(&q->change, clock_now(q->env.loop) + POLL_US);
        if (fiber_interrupted())
            return ipc_interrupted();
    }
}

/* [waits] After this nothing is being written any more. */
struct err *qemu_call_off(struct qemu *q)
{
    uint64_t deadline = clock_now(q->env.loop) + CANCEL_US;
    enum course course = COURSE_ON;

    fiber_interrupt_clear();
    TRY(course_of(q, &course, NULL));
    if (course == COURSE_ON)
        TRY(qemu_call(q, "migrate_cancel", NULL, -1, NULL));
    while (course == COURSE_ON && !q->gone) {
        if (clock_now(q->env.loop) > deadline)
            return err_internal("QEMU does not stop writing its memory");
        waitq_wait(&q->change, clock_now(q->env.loop) + POLL_US);
        TRY(course_of(q, &course, NULL));
    }
    return NULL;
}

/* ---- suspend and resume ---- */

static struct err *parameters(struct qemu *q)
{
    return qemu_call(q, "migrate-set-parameters",
        json_pack("{s:I, s:i}", "max-bandwidth", (json_int_t)BANDWIDTH, "downtime-limit", DOWNTIME_MS), -1, NULL);
}

static struct err *write_out(struct qemu *q, int fd)
{
    TRY(capabilities(q, false, false));
    TRY(parameters(q));
    TRY(hand_over(q, "image", fd));
    TRY(begin(q, "migrate", "image"));
    return await(q);
}

struct err *qemu_save(struct hyper_guest *g, int fd)
{
    struct qemu *q = qemu_of(g);
    enum hyper_power power = HYPER_GONE;
    struct err *e;

    TRY(qemu_power(q, &power));
    if (power == HYPER_RUNNING)
        TRY(qemu_call(q, "stop", NULL, -1, NULL));
    g->total = 1;
    e = write_out(q, fd);
    g->done = g->total = 0;
    if (e) {
        e = err_first(e, qemu_call_off(q));
        err_ignore(qemu_call(q, "closefd", json_pack("{s:s}", "fdname", "image"), -1, NULL), "QEMU has taken it");
        if (power == HYPER_RUNNING && !q->gone)
            e = err_first(e, qemu_call(q, "cont", NULL, -1, NULL));
    }
    return e;
}

static struct err *read_in(struct qemu *q, const struct vm_plan *plan, int fd)
{
    TRY(qemu_settle(q, plan));
    TRY(capabilities(q, false, false));
    TRY(hand_over(q, "image", fd));
    TRY(begin(q, "migrate-incoming", "image"));
    TRY(await(q));
    return qemu_balloon_ask(q);
}

struct err *qemu_restore(
    const struct hyper_env *env, const struct vm_plan *plan, int fd, struct hyper_guest **ret_guest)
{
    struct qemu *q = NULL;
    struct err *e;

    TRY(qemu_begin(env, plan, "", true, &q));
    e = read_in(q, plan, fd);
    if (e)
        return qemu_abort(q, e);
    *ret_guest = &q->base;
    return NULL;
}

/* ---- move ---- */

static struct err *rename_in(const struct hyper_env *env, const char *from, const char *to)
{
    AUTO(fd_drop) int dir = -1;

    TRY(qemu_open_dir(env, &dir));
    if (renameat(dir, from, dir, to) < 0 && errno != ENOENT)
        return err_errno(errno, "rename %s", from);
    return NULL;
}

static bool exists(const struct hyper_env *env, const char *name)
{
    AUTO(mem_drop) char *path = mem_printf("%s/%s", env->dir, name);

    return access(path, F_OK) == 0;
}

/* All but the record. The QEMU that had these names before is dead, or its end would remove our sockets. */
static struct err *take_names(const struct hyper_env *env)
{
    static const char *const names[] = { "qmp.sock", "tools.sock", "serial.sock", "agent.sock", QEMU_VNC_FILE,
        QEMU_VARS_FILE, QEMU_LOG };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char from[QEMU_ID_SIZE];

        snprintf(from, sizeof(from), QEMU_NEXT "%s", names[i]);
        TRY(rename_in(env, from, names[i]));
    }
    AUTO(fd_drop) int dir = -1;
    TRY(qemu_open_dir(env, &dir));
    return qemu_tpm_take_name(dir);
}

/* Memory flows; at the end both stand still, and the second one has everything. */
static struct err *flow(struct qemu *q, struct qemu *next, const struct vm_plan *plan)
{
    AUTO(fd_drop) int ours = -1;
    AUTO(fd_drop) int theirs = -1;
    int pair[2];

    TRY(qemu_settle(next, plan));
    TRY(socket_pair(pair));
    ours = pair[0];
    theirs = pair[1];
    TRY(capabilities(next, true, true)); /* without a return path the source cannot know whether the end arrived */
    TRY(hand_over(next, "source", theirs));
    TRY(begin(next, "migrate-incoming", "source"));
    TRY(capabilities(q, true, false));
    TRY(parameters(q));
    TRY(hand_over(q, "destination", ours));
    TRY(begin(q, "migrate", "destination"));
    fd_drop(&ours); /* the death of either one must reach the other */
    fd_drop(&theirs);
    TRY(await(q));
    return await(next);
}

static struct err *back_out(struct qemu *q, struct qemu *next, struct err *e)
{
    e = qemu_abort(next, e);
    e = err_first(e, qemu_call_off(q));
    return err_first(e, qemu_run_on(q));
}

/* The object of the first becomes the object of the second. */
static void become(struct qemu *q, struct qemu *next)
{
    watch_free(q->exit_watch);
    fd_drop(&q->pidfd);
    qmp_drop(&q->qmp);
    watch_drop(&next->exit_watch);
    q->gone = false;
    qemu_adopt(q, next->pid, fd_take(&next->pidfd));
    qemu_free(&next->base);
}

static struct err *switch_over(struct qemu *q, struct qemu *next)
{
    hyper_event_fn *on_event = q->env.on_event;
    struct err *e;

    fiber_interrupt_clear(); /* too late to turn round */
    e = rename_in(&q->env, NEXT_RECORD, RUN_RECORD);
    if (!e)
        e = qemu_call(next, "cont", NULL, -1, NULL);
    if (e && (qmp_refused(e) || exists(&q->env, NEXT_RECORD)))
        return back_out(q, next, err_first(e, rename_in(&q->env, RUN_RECORD, NEXT_RECORD)));
    /* It runs, or ran and died: the first one must never run again. */
    q->env.on_event = NULL;
    e = err_first(e, qemu_kill(q));
    q->env.on_event = on_event;
    if (!e)
        e = take_names(&q->env);
    if (!e)
        e = rename_in(&q->env, RUN_RECORD, QEMU_RECORD);
    become(q, next);
    TRY(e);
    qemu_tpm_watch(q);
    return qemu_balloon_ask(q); /* and connected, so that events arrive */
}

struct err *qemu_move(struct hyper_guest *g, const struct vm_plan *plan)
{
    struct qemu *q = qemu_of(g);
    struct hyper_env env = q->env;
    struct qemu *next = NULL;
    struct err *e;

    env.on_event = NULL;
    TRY(qemu_begin(&env, plan, QEMU_NEXT, true, &next));
    g->total = 1;
    e = flow(q, next, plan);
    g->done = g->total = 0;
    return e ? back_out(q, next, e) : switch_over(q, next);
}

/* ---- a move that nobody finished ---- */

struct err *qemu_run_on(struct qemu *q)
{
    enum hyper_power power = HYPER_GONE;

    if (!q->gone)
        TRY(qemu_call_off(q));
    TRY(qemu_power(q, &power));
    return power == HYPER_PAUSED ? qemu_call(q, "cont", NULL, -1, NULL) : NULL;
}

static struct err *whole_without_source(struct qemu *q, struct qemu *next, bool *ret)
{
    enum course course = COURSE_NONE;

    if (!q->gone || next->gone)
        return NULL;
    err_ignore(course_of(next, &course, NULL), "then it is not whole");
    *ret = course == COURSE_DONE;
    return NULL;
}

static struct err *finish_or_undo(struct qemu *q, struct qemu *next)
{
    bool found, run = exists(&q->env, RUN_RECORD);

    TRY(qemu_record_read(q, QEMU_RECORD, &found));
    TRY(qemu_record_read(next, run ? RUN_RECORD : NEXT_RECORD, &found));
    if (!run)
        TRY(whole_without_source(q, next, &run));
    if (!run) {
        TRY(qemu_kill(next));
        qemu_forget_files(&q->env, QEMU_NEXT);
        return NULL;
    }
    TRY(rename_in(&q->env, NEXT_RECORD, RUN_RECORD));
    TRY(qemu_kill(q));
    TRY(take_names(&q->env));
    next->prefix = "";
    if (!next->gone)
        TRY(qemu_run_on(next));
    return rename_in(&q->env, RUN_RECORD, QEMU_RECORD);
}

struct err *qemu_move_recover(const struct hyper_env *env, bool *ret_moved)
{
    struct hyper_env quiet = *env;
    struct qemu *q, *next;
    struct err *e;

    if (!exists(env, NEXT_RECORD) && !exists(env, RUN_RECORD))
        return NULL;
    quiet.on_event = NULL;
    q = qemu_new(&quiet, "");
    next = qemu_new(&quiet, QEMU_NEXT);
    e = finish_or_undo(q, next);
    qemu_free(&q->base);
    qemu_free(&next->base);
    *ret_moved = !e;
    return e;
}
