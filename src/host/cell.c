#include "host/cell.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/uuid.h"
#include "base/vec.h"
#include "gen/errors.h"
#include "gen/ipc_vmevents.h"
#include "host/folder.h"

#define BACKOFF_MIN_US 50000
#define BACKOFF_MAX_US 2000000
#define DEATH_US 5000000
#define REVIVAL_US 20000000 /* a list of guests waits that long for vm processes that do not start */
#define REVIVING_MAX 32 /* vm processes started at the same time: 10,000 at once would only be in each other's way */

struct cells {
    struct loop *loop;
    struct cells_config config;
    char *dir;
    struct map *by_uuid;
    uint64_t *uids; /* a bit per uid of the range */
    unsigned n_uids;
    unsigned n_reviving;
    struct waitq room;
    uint64_t promised[NUMA_MAX]; /* bytes of each NUMA node */
};

/* ---- uids ---- */

static uid_t uid_take(struct cells *c)
{
    for (unsigned i = 0; c->config.own_uids && i < c->n_uids; i++) {
        if (c->uids[i / 64] == UINT64_MAX) {
            i |= 63;
            continue;
        }
        if (!(c->uids[i / 64] >> (i % 64) & 1)) {
            c->uids[i / 64] |= 1ULL << (i % 64);
            return c->config.uid_base + i;
        }
    }
    return 0;
}

static bool uid_ours(const struct cells *c, uid_t uid)
{
    return uid >= c->config.uid_base && uid - c->config.uid_base < c->n_uids;
}

static void uid_mark(struct cells *c, uid_t uid, bool used)
{
    unsigned i = uid - c->config.uid_base;

    if (!uid_ours(c, uid))
        return;
    if (used)
        c->uids[i / 64] |= 1ULL << (i % 64);
    else
        c->uids[i / 64] &= ~(1ULL << (i % 64));
}

/* ---- memory and lock ---- */

static struct cell *cell_new(struct cells *c, const char *uuid, uid_t uid)
{
    struct cell *cell = mem_new(struct cell);

    cell->cells = c;
    cell->uuid = mem_strdup(uuid);
    cell->dir = mem_printf("%s/%s", c->dir, uuid);
    cell->uid = uid;
    cell->pidfd = -1;
    cell_heard(cell, &(struct vm_state){ .vm = "", .ref = "", .power = "Halted" });
    cell->busy = true; /* whoever makes one holds it */
    cell->users = 1;
    waitq_init(&cell->idle);
    map_put(c->by_uuid, uuid, cell);
    return cell;
}

static void cell_free(struct cell *cell)
{
    struct ipc_peer *peer = MOVE(cell->peer);

    ipc_close(peer);
    fd_drop(&cell->pidfd);
    free(cell->uuid);
    free(cell->dir);
    arena_free(cell->heard);
    free(cell);
}

static void release(struct cell *cell)
{
    if (--cell->users == 0 && cell->gone)
        cell_free(cell);
}

/* Locks unless the cell goes first; false when interrupted. The caller has a use of it, which is kept. */
static bool acquire(struct cell *cell)
{
    while (cell->busy && !cell->gone)
        if (!waitq_wait(&cell->idle, FOREVER) && fiber_interrupted())
            return false;
    if (!cell->gone)
        cell->busy = true;
    return true;
}

void cell_unlock(struct cell *cell)
{
    if (!cell)
        return;
    cell->busy = false;
    waitq_wake_all(&cell->idle);
    release(cell);
}

struct cell *cells_find(struct cells *c, const char *uuid)
{
    return map_get(c->by_uuid, uuid);
}

struct err *cells_lock(struct cells *c, const char *uuid, struct cell **ret_cell)
{
    for (;;) {
        struct cell *cell = map_get(c->by_uuid, uuid);
        if (!cell) {
            *ret_cell = NULL;
            return NULL;
        }
        cell->users++;
        if (!acquire(cell)) {
            release(cell);
            return ipc_interrupted();
        }
        if (!cell->gone) {
            *ret_cell = cell;
            return NULL;
        }
        release(cell); /* it went while we waited; perhaps there is another by now */
    }
}

/* ---- what is heard ---- */

struct vm_state cell_state_copy(struct arena *a, const struct vm_state *s)
{
    struct vm_state copy = *s;

    copy.vm = arena_strdup(a, s->vm);
    copy.ref = arena_strdup(a, s->ref);
    copy.power = arena_strdup(a, s->power);
    copy.devices = arena_dup(a, s->devices, s->n_devices * sizeof(*s->devices));
    for (size_t i = 0; i < s->n_devices; i++)
        copy.devices[i] = (struct vm_device){ arena_strdup(a, s->devices[i].ref), arena_strdup(a, s->devices[i].name) };
    return copy;
}

void cell_heard(struct cell *cell, const struct vm_state *s)
{
    struct arena *a = arena_new();
    struct vm_state now = *s;

    if (cstr_empty(s->power))
        now.power = "Halted";
    if (cstr_empty(s->ref) && cell->state.ref)
        now.ref = cell->state.ref;
    cell->state = cell_state_copy(a, &now);
    arena_free(cell->heard);
    cell->heard = a;
}

struct vm_state cell_state(const struct cell *cell)
{
    struct vm_state s = cell->state;

    s.vm = cell->uuid;
    s.busy = cell->busy;
    return s;
}

void cell_overtakable(struct cell *cell, bool on)
{
    cell->overtakable = on;
    waitq_wake_all(&cell->idle); /* a list of guests need not wait any more */
}

bool cell_is_ended(const struct cell *cell)
{
    return cstr_eq(cell->state.power, "Halted") || cstr_eq(cell->state.power, "Suspended");
}

struct err *cell_limit(struct cell *cell, unsigned times)
{
    const struct launcher *l = cell->cells->config.launcher;

    return l->limit ? l->limit(l->ctx, cell, times) : NULL;
}

bool cell_weighs(const struct cell *cell)
{
    return cell->cells->config.launcher->weighs;
}

static void tell(
    struct cells *c, const char *uuid, const char *what, const char *detail, const struct vm_state *s, struct str nvram)
{
    if (c->config.on_change)
        c->config.on_change(c->config.ctx, uuid, what, detail, s, nvram);
}

/* The vm process may only speak of its own guest, so its connection must be the one of the cell that it names. */
static struct err *on_changed(struct ipc_call *call, struct vmevents_changed_req *req)
{
    struct cells *c = call->ctx;
    struct cell *cell = map_get(c->by_uuid, req->vm);

    if (!cell || cell->peer != call->peer)
        return NULL;
    req->state.vm = req->vm;
    cell_heard(cell, &req->state);
    if (!cell_is_ended(cell)) {
        struct vm_state s = cell_state(cell);
        tell(c, req->vm, req->what, req->detail, &s, req->nvram);
        return NULL;
    }
    TRY(cells_lock(c, req->vm, &cell));
    if (!cell)
        return NULL; /* an operation of ours ended it, and tells */
    if (cell->peer == call->peer && cell_is_ended(cell)) {
        struct vm_state s = cell_state(cell);
        cell_remove(cell);
        tell(c, req->vm, req->what, req->detail, &s, req->nvram);
    }
    cell_unlock(cell);
    return NULL;
}

static struct err *on_reported(struct ipc_call *call, struct vmevents_reported_req *req)
{
    struct cells *c = call->ctx;
    struct cell *cell = map_get(c->by_uuid, req->vm);

    if (cell && cell->peer == call->peer && c->config.on_report)
        c->config.on_report(c->config.ctx, req->vm, &req->report);
    return NULL;
}

static struct err *on_tpm(struct ipc_call *call, struct vmevents_tpm_req *req)
{
    struct cells *c = call->ctx;
    struct cell *cell = map_get(c->by_uuid, req->vm);

    if (cell && cell->peer == call->peer && c->config.on_tpm)
        c->config.on_tpm(c->config.ctx, req->vm, req->memory);
    return NULL;
}

static const struct vmevents_ops events_ops = { .changed = on_changed, .reported = on_reported, .tpm = on_tpm };

/* ---- the vm process ---- */

/* [waits] Ends the vm process for certain and takes its status off the kernel's hands. */
static void process_end(struct cell *cell)
{
    AUTO(fd_drop) int pidfd = fd_take(&cell->pidfd);
    int status;

    if (pidfd < 0)
        return;
    err_ignore(proc_kill(pidfd, SIGKILL), "already gone is what we want");
    if (!proc_wait(pidfd, clock_now(cell->cells->loop) + DEATH_US, &status))
        log_warn("a vm process does not die", F("vm", cell->uuid));
}

static void keep(void *arg);

static void on_lost(void *ctx, struct ipc_peer *p)
{
    struct cell *cell = ctx;

    if (cell->peer != p)
        return; /* we closed it */
    cell->peer = NULL;
    ipc_close(p);
    if (cell->reviving || cell->gone)
        return;
    log_warn("vm process died; starting it again", F("vm", cell->uuid));
    cell->reviving = true;
    cell->users++;
    fiber_start(cell->cells->loop, "keeper", keep, cell);
}

static struct err *connect_vm(struct cell *cell)
{
    struct cells *c = cell->cells;
    struct ipc_peer *peer = NULL;
    int pidfd = -1;

    process_end(cell); /* what is left of the one before */
    TRY(c->config.launcher->launch(c->config.launcher->ctx, cell, &peer, &pidfd));
    cell->peer = peer;
    cell->pidfd = pidfd;
    ipc_serve(peer, &vmevents_service, &events_ops, c);
    ipc_on_close(peer, on_lost, cell);
    return NULL;
}

static const char *what_of(const char *reason)
{
    return cstr_eq(reason, "shutdown") || cstr_eq(reason, "crash") || cstr_eq(reason, "suspended") ? reason : "gone";
}

/* A fresh vm process that takes over the guest; a guest that is gone takes the cell with it. */
static struct err *attach(struct cell *cell)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct vm_attach_rep rep;

    TRY(connect_vm(cell));
    cell->unclean = true; /* until it has told */
    TRY(vm_attach(cell->peer, a, &(struct vm_attach_req){ .vm = cell->uuid }, &rep));
    vm_plan_close(&rep.plan);
    cell->memory = rep.plan.memory;
    cell->vcpus = rep.plan.vcpus_max > rep.plan.vcpus ? rep.plan.vcpus_max : rep.plan.vcpus;
    cell->cpu_weight = rep.plan.cpu.weight;
    cell->cpu_cap = rep.plan.cpu.cap;
    numa_promise(cell->cells->promised, &cell->share, &rep.plan);
    if (cstr_empty(rep.state.ref))
        rep.state.ref = rep.plan.ref;
    cell_heard(cell, &rep.state);
    if (!cell_is_ended(cell)) {
        cell->unclean = false;
        return NULL;
    }
    log_info("guest had ended", F("vm", cell->uuid), F("why", rep.reason));
    struct vm_state s = cell_state(cell);
    cell_remove(cell);
    tell(cell->cells, cell->uuid, what_of(rep.reason), rep.reason, &s, STR(""));
    return NULL;
}

static struct err *revive(struct cell *cell)
{
    struct cells *c = cell->cells;
    struct err *e;

    while (c->n_reviving >= REVIVING_MAX)
        if (!waitq_wait(&c->room, FOREVER) && fiber_interrupted())
            return ipc_interrupted();
    c->n_reviving++;
    e = attach(cell);
    c->n_reviving--;
    waitq_wake_all(&c->room);
    if (e) {
        struct ipc_peer *peer = MOVE(cell->peer);
        ipc_close(peer);
    }
    return e;
}

/* Brings the vm process of a cell back, however long it takes. */
static void keep(void *arg)
{
    struct cell *cell = arg;
    uint64_t backoff = BACKOFF_MIN_US;
    bool done = false;

    while (!done) {
        struct err *e = NULL;
        if (!acquire(cell))
            fiber_interrupt_clear();
        if (!cell->gone && !cell->peer)
            e = revive(cell);
        done = !e;
        cell->reviving = !done;
        if (e) {
            log_err(LOG_ERROR_, "vm process does not take over its guest; trying again", e);
            cell->busy = false;
            waitq_wake_all(&cell->idle);
            fiber_sleep(backoff);
            backoff = backoff * 2 > BACKOFF_MAX_US ? BACKOFF_MAX_US : backoff * 2;
        }
    }
    cell_unlock(cell);
}

struct err *cell_peer(struct cell *cell, struct ipc_peer **ret_peer)
{
    if (!cell->gone && !cell->peer)
        TRY(revive(cell));
    *ret_peer = cell->gone ? NULL : cell->peer;
    return NULL;
}

/* ---- coming and going ---- */

struct err *cells_make(struct cells *c, const struct vm_plan *plan, struct cell **ret_cell)
{
    struct cell *cell = NULL;
    struct err *e;

    if (!uuid_valid(plan->vm))
        return err_uuid_invalid("VM", plan->vm);
    TRY(cells_lock(c, plan->vm, &cell));
    if (cell) {
        e = err_vm_bad_power_state(plan->ref, "halted", cstr_eq(cell->state.power, "Paused") ? "paused" : "running");
        cell_unlock(cell);
        return e;
    }
    uid_t uid = uid_take(c);
    if (c->config.own_uids && !uid)
        return err_internal("all %u uids for VMs are taken", c->n_uids);
    cell = cell_new(c, plan->vm, uid);
    cell->memory = plan->memory;
    cell->vcpus = plan->vcpus_max > plan->vcpus ? plan->vcpus_max : plan->vcpus;
    cell->cpu_weight = plan->cpu.weight;
    cell->cpu_cap = plan->cpu.cap;
    cell_heard(cell, &(struct vm_state){ .vm = "", .ref = plan->ref, .power = "Halted" });
    e = folder_make(cell->dir, uid);
    if (!e)
        e = connect_vm(cell);
    if (e) {
        cell_remove(cell);
        cell_unlock(cell);
        return e;
    }
    *ret_cell = cell;
    return NULL;
}

void cell_remove(struct cell *cell)
{
    struct cells *c = cell->cells;
    struct ipc_peer *peer = MOVE(cell->peer);

    if (cell->gone)
        return;
    ipc_close(peer);
    process_end(cell);
    if (c->config.launcher->clear)
        c->config.launcher->clear(c->config.launcher->ctx, cell);
    log_err(LOG_WARN_, "a VM's folder stays behind", folder_remove(cell->dir));
    uid_mark(c, cell->uid, false);
    map_remove(c->by_uuid, cell->uuid);
    numa_promise(c->promised, &cell->share, NULL);
    cell->gone = true;
}

void cell_place(struct cell *cell, struct arena *a, const char *root, struct vm_plan *plan)
{
    numa_place(a, root, cell->cells->promised, plan);
    numa_promise(cell->cells->promised, &cell->share, plan);
}

static void adopt(void *arg)
{
    struct cell *cell = arg;
    struct err *e = revive(cell);

    if (e) {
        log_err(LOG_ERROR_, "vm process does not take over its guest; trying again", e);
        cell->reviving = true;
        cell->users++;
        fiber_start(cell->cells->loop, "keeper", keep, cell);
    }
    cell_unlock(cell);
}

struct err *cells_adopt(struct cells *c)
{
    DIR *d = opendir(c->dir);

    if (!d)
        return err_errno(errno, "open %s", c->dir);
    for (struct dirent *de; (de = readdir(d));) {
        struct stat st;
        if (!uuid_valid(de->d_name) || map_get(c->by_uuid, de->d_name))
            continue;
        if (fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
            continue;
        uid_mark(c, st.st_uid, true);
        struct cell *cell = cell_new(c, de->d_name, uid_ours(c, st.st_uid) ? st.st_uid : 0);
        cell->state.power = "Running"; /* until we know: taken for halted, it might be started twice */
        fiber_start(c->loop, "adopt", adopt, cell);
    }
    closedir(d);
    return NULL;
}

/* False when interrupted. */
static bool wait_idle(struct cells *c, struct cell *cell, uint64_t patience)
{
    while (cell->busy && (!cell->overtakable || cell->saving || cell_is_ended(cell)) && !cell->gone)
        if (!waitq_wait(&cell->idle, FOREVER) && fiber_interrupted())
            return false;
    while (cell->reviving && !cell->gone && clock_now(c->loop) < patience)
        if (!waitq_wait(&cell->idle, patience) && fiber_interrupted())
            return false;
    return true;
}

/* First all waits, then all states at one moment: what was true before a wait may be over after it. */
struct err *cells_list(struct cells *c, struct arena *a, struct vm_state **ret_states, size_t *ret_n)
{
    VEC(struct cell *) all = { 0 };
    size_t n = 0;
    const char *uuid;
    void *value;
    bool interrupted = false;
    uint64_t patience = clock_now(c->loop) + REVIVAL_US;

    for (size_t it = 0; map_next(c->by_uuid, &it, &uuid, &value);) {
        ((struct cell *)value)->users++;
        vec_push(&all, value);
    }
    for (size_t i = 0; i < all.len; i++) {
        interrupted = interrupted || !wait_idle(c, all.p[i], patience);
        release(all.p[i]);
    }
    vec_done(&all);
    if (interrupted)
        return ipc_interrupted();
    *ret_states = arena_new_array(a, map_len(c->by_uuid) + 1, struct vm_state);
    for (size_t it = 0; map_next(c->by_uuid, &it, &uuid, &value);) {
        struct vm_state s = cell_state(value);

        (*ret_states)[n++] = cell_state_copy(a, &s);
    }
    *ret_n = n;
    return NULL;
}

struct cell *cells_next(const struct cells *c, size_t *it)
{
    const char *uuid;
    void *cell = NULL;

    return map_next(c->by_uuid, it, &uuid, &cell) ? cell : NULL;
}

size_t cells_count(const struct cells *c)
{
    return map_len(c->by_uuid);
}

struct err *cells_new(struct loop *l, const struct cells_config *config, struct cells **ret_cells)
{
    TRY(dir_make(config->dir, 0711));
    struct cells *c = mem_new(struct cells);

    c->loop = l;
    c->config = *config;
    c->dir = mem_strdup(config->dir);
    c->n_uids = config->n_uids ? config->n_uids : 65536;
    c->uids = mem_alloc_array(c->n_uids / 64 + 1, sizeof(uint64_t));
    c->by_uuid = map_new();
    waitq_init(&c->room);
    *ret_cells = c;
    return NULL;
}

void cells_free(struct cells *c)
{
    size_t it = 0;
    const char *uuid;
    void *value;

    if (!c)
        return;
    while (map_next(c->by_uuid, &it, &uuid, &value))
        cell_free(value);
    map_free(c->by_uuid);
    free(c->uids);
    free(c->dir);
    free(c);
}
