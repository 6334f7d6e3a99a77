#include "hyper/sim/sim.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/value.h"
#include "gen/errors.h"
#include "gen/ipc_vm.h"
#include "hyper/sim/agent.h"
#include "hyper/sim/screen.h"
#include "hyper/sim/stats.h"
#include "hyper/sim/tpm.h"
#include "proto/efivars.h"

#define BOOT_MIN_US 30000
#define BOOT_SPREAD_US 50000
#define SHUTDOWN_US 50000
#define DEVICE_US 5000
#define BALLOON_US 20000
#define MEMORY_STEP_US 5000 /* a save or a move takes so many of these */
#define MEMORY_STEPS 10
#define STATE_FILE "sim"
#define NVRAM_FILE "nvram"
#define VARS_SIZE 8192

/* Above AGENT_SHIFT: enum sim_agent_kind. */
enum {
    DEAF_TO_BUTTON = 1,
    HOLDS_DEVICES = 2,
    FAILS_TO_SAVE = 4,
    MISSES_A_PRESS = 8,
    NO_BALLOON_DRIVER = 16,
    AGENT_SHIFT = 5
};

struct sim {
    struct hyper_guest base;
    struct hyper_env env;
    char uuid[40];
    char name[64];
    enum hyper_power power;
    unsigned flags;
    enum sim_act act;     /* what it is about to do by itself */
    uint64_t act_wall_us; /* and when; by the wall clock, since that outlives the process */
    struct timer *timer;  /* owned; only while an act is ahead */
    uint64_t memory;      /* what its balloon leaves it; 0: it has none */
    uint64_t target;
    struct timer *balloon; /* owned; only while it moves */
};

static struct map *guests; /* uuid -> struct sim; made at the first start, NULL when empty */

static const char *const powers[] = { [HYPER_GONE] = "gone",
    [HYPER_BUILT] = "built",
    [HYPER_RUNNING] = "running",
    [HYPER_PAUSED] = "paused",
    [HYPER_OFF] = "off",
    [HYPER_WANTS_REBOOT] = "wants-reboot",
    [HYPER_CRASHED] = "crashed" };

static struct sim *sim_of(struct hyper_guest *g)
{
    return CONTAINER_OF(g, struct sim, base);
}

/* ---- the file that is the guest ---- */

static int state_line(const struct sim *s, char *line, size_t size)
{
    return snprintf(line, size, "%s %u %d %" PRIu64 " %" PRIu64 " %s %s\n", powers[s->power], s->flags, (int)s->act,
        s->act_wall_us, s->memory, s->uuid, s->name);
}

/* Replaced as a whole, but not forced to the disk: a pretended guest does not outlive its machine either. */
static struct err *save(struct sim *s)
{
    char *path = mem_printf("%s/" STATE_FILE, s->env.dir), *tmp = mem_printf("%s.new", path);
    char line[256];
    int n = state_line(s, line, sizeof(line));
    int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct err *e = NULL;

    if (fd < 0 || write(fd, line, (size_t)n) != n || rename(tmp, path) < 0)
        e = err_errno(errno, "write state of a simulated guest");
    fd_drop(&fd);
    free(path);
    free(tmp);
    return e;
}

static struct err *forget(const struct hyper_env *env)
{
    char *path = mem_printf("%s/" STATE_FILE, env->dir);
    int rc = unlink(path);
    struct err *e = rc < 0 && errno != ENOENT ? err_errno(errno, "remove %s", path) : NULL;

    free(path);
    return e;
}

static bool load(struct sim *s, struct str text)
{
    struct str field[6], line, rest;
    uint64_t flags, act;

    if (!str_cut(text, '\n', &line, &rest))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(field); i++)
        if (!str_cut(line, ' ', &field[i], &line))
            return false;
    if (!str_to_u64(field[1], &flags) || !str_to_u64(field[2], &act) || act > SIM_GONE)
        return false;
    if (!str_to_u64(field[3], &s->act_wall_us) || !str_to_u64(field[4], &s->memory) ||
        field[5].len >= sizeof(s->uuid) || line.len >= sizeof(s->name))
        return false;
    s->flags = (unsigned)flags;
    if (flags >> AGENT_SHIFT >= SIM_AGENT_N_KINDS)
        return false;
    s->act = (enum sim_act)act;
    s->target = s->memory;
    memcpy(s->uuid, field[5].p, field[5].len);
    memcpy(s->name, line.p, line.len);
    for (size_t i = 0; i < ARRAY_LEN(powers); i++) {
        if (str_eq_c(field[0], powers[i])) {
            s->power = (enum hyper_power)i;
            return true;
        }
    }
    return false;
}

/* ---- what it does by itself ---- */

static void tell(struct sim *s, enum hyper_event_kind kind, const char *device)
{
    struct hyper_event ev = { kind, device, s->memory };

    if (s->env.on_event)
        s->env.on_event(s->env.ctx, &ev);
}

static void do_act(struct sim *s, enum sim_act act)
{
    static const enum hyper_power after[] = {
        [SIM_OFF] = HYPER_OFF, [SIM_CRASH] = HYPER_CRASHED, [SIM_REBOOT] = HYPER_WANTS_REBOOT, [SIM_GONE] = HYPER_GONE
    };

    s->act = SIM_NOTHING;
    if (act != SIM_NOTHING)
        s->power = after[act];
    err_ignore(save(s), "whoever attaches later sees the state before, as after a crash of the machine");
    tell(s, HYPER_EV_STATE, NULL);
}

static void on_timer(void *arg)
{
    struct sim *s = arg;

    timer_drop(&s->timer);
    if (s->power == HYPER_RUNNING)
        do_act(s, s->act); /* else it waits until the guest runs on */
}

static void arm(struct sim *s)
{
    uint64_t wall = clock_wall(s->env.loop), left = s->act_wall_us > wall ? s->act_wall_us - wall : 0;

    if (s->act == SIM_NOTHING || s->timer)
        return;
    s->timer = timer_new(s->env.loop, on_timer, s);
    timer_set(s->timer, clock_now(s->env.loop) + left);
}

static void plan_act(struct sim *s, enum sim_act act, uint64_t in_us)
{
    timer_drop(&s->timer);
    s->act = act;
    s->act_wall_us = clock_wall(s->env.loop) + in_us;
    arm(s);
}

static void on_balloon(void *arg)
{
    struct sim *s = arg;

    timer_drop(&s->balloon);
    s->memory = s->target;
    err_ignore(save(s), "whoever attaches says the target again");
    tell(s, HYPER_EV_MEMORY, NULL);
}

/* A guest moves its balloon while it runs; one that is paused does when it runs on. */
static void move_balloon(struct sim *s)
{
    if (s->power != HYPER_RUNNING || s->target == s->memory || (s->flags & NO_BALLOON_DRIVER) || s->balloon)
        return;
    s->balloon = timer_new(s->env.loop, on_balloon, s);
    timer_set(s->balloon, clock_now(s->env.loop) + BALLOON_US);
}

bool hyper_sim_act(const char *uuid, enum sim_act act)
{
    struct sim *s = guests ? map_get(guests, uuid) : NULL;

    if (!s)
        return false;
    plan_act(s, act, 0);
    return true;
}

/* ---- start and attach ---- */

static void sim_free(struct hyper_guest *g)
{
    struct sim *s = g ? sim_of(g) : NULL;

    if (!s)
        return;
    if (guests && map_get(guests, s->uuid) == s)
        map_remove(guests, s->uuid);
    if (guests && map_len(guests) == 0)
        map_drop(&guests);
    timer_free(s->timer);
    timer_free(s->balloon);
    free(s);
}

static void enlist(struct sim *s)
{
    if (!guests)
        guests = map_new();
    map_put(guests, s->uuid, s);
    arm(s);
}

/* True if the start shall fail. */
static bool apply_wishes(struct sim *s, const struct vm_plan *plan)
{
    static const struct {
        const char *word;
        enum sim_act act;
    } acts[] = { { "crash-after", SIM_CRASH }, { "off-after", SIM_OFF }, { "reboot-after", SIM_REBOOT },
        { "gone-after", SIM_GONE } };
    struct str rest = str_of(plan->platform.kind == V_MAP ? value_map_str(&plan->platform, "sim-fail") : "");
    bool fail_start = false;

    while (rest.len) {
        struct str word, name, number;
        uint64_t ms;

        str_cut(rest, ',', &word, &rest);
        fail_start |= str_eq_c(word, "start");
        s->flags |= str_eq_c(word, "shutdown") ? DEAF_TO_BUTTON : 0;
        s->flags |= str_eq_c(word, "press") ? MISSES_A_PRESS : 0;
        s->flags |= str_eq_c(word, "balloon") ? NO_BALLOON_DRIVER : 0;
        s->flags |= str_eq_c(word, "unplug") ? HOLDS_DEVICES : 0;
        s->flags |= str_eq_c(word, "save") ? FAILS_TO_SAVE : 0;
        if (str_starts(word, STR("agent-"))) {
            enum sim_agent_kind kind = sim_agent_kind_find(word.p + 6, word.len - 6);
            s->flags |= kind < SIM_AGENT_N_KINDS ? (unsigned)kind << AGENT_SHIFT : 0;
        }
        if (!str_cut(word, ':', &name, &number) || !str_to_u64(number, &ms) || ms > UINT32_MAX)
            continue;
        for (size_t i = 0; i < ARRAY_LEN(acts); i++) {
            if (str_eq_c(name, acts[i].word)) {
                s->act = acts[i].act;
                s->act_wall_us = clock_wall(s->env.loop) + ms * 1000;
            }
        }
    }
    return fail_start;
}

/* The same VM always takes as long. */
static uint64_t boot_time(const char *uuid)
{
    uint32_t h = 2166136261u;

    for (; *uuid; uuid++)
        h = (h ^ (uint8_t)*uuid) * 16777619u;
    return BOOT_MIN_US + h % BOOT_SPREAD_US;
}

/* A small store of variables with keys that are only pretended. */
static struct err *sim_secure_vars(struct buf *b)
{
    char *store = buf_reserve(b, VARS_SIZE);

    if (!store)
        return err_internal("no room for UEFI variables");
    efivars_make(store, VARS_SIZE);
    buf_commit(b, VARS_SIZE);
    for (int key = EFI_PK; key <= EFI_DB; key++)
        TRY(efivars_add_key(store, VARS_SIZE, (enum efi_key)key, STR("a key")));
    return NULL;
}

static struct err *nvram_first(int dir)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, VARS_SIZE + 1);
    TRY(sim_secure_vars(&b));
    return file_write_atomic(dir, NVRAM_FILE, b.p, b.len, 0600);
}

static struct err *nvram_keep(const struct hyper_env *env, const struct vm_plan *plan)
{
    AUTO(fd_drop) int dir = open(env->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return err_errno(errno, "open folder of the VM");
    if (!plan->nvram.len && plan->secure_boot)
        return nvram_first(dir);
    if (!plan->nvram.len) {
        unlinkat(dir, NVRAM_FILE, 0);
        return NULL;
    }
    return file_write_atomic(dir, NVRAM_FILE, plan->nvram.p, plan->nvram.len, 0600);
}

static struct err *sleep_as_work(uint64_t us)
{
    fiber_sleep(us);
    return fiber_interrupted() ? ipc_interrupted() : NULL;
}

static struct err *sim_start(const struct hyper_env *env, const struct vm_plan *plan, struct hyper_guest **ret_guest)
{
    struct sim *s;
    struct err *e;

    TRY(nvram_keep(env, plan));
    TRY(sim_tpm_put(env, plan->vtpm, plan->tpm));
    TRY(sleep_as_work(boot_time(plan->vm)));
    TRY(sim_tpm_boot(env));
    s = mem_new(struct sim);
    s->base.ops = &hyper_sim;
    s->env = *env;
    s->power = plan->paused ? HYPER_BUILT : HYPER_RUNNING;
    s->memory = plan->memory_target ? plan->memory : 0;
    s->target = plan->memory_target;
    snprintf(s->uuid, sizeof(s->uuid), "%s", plan->vm);
    snprintf(s->name, sizeof(s->name), "%.60s", plan->name);
    for (char *p = s->name; *p; p++)
        if (*p == '\n')
            *p = ' ';
    e = apply_wishes(s, plan) ? err_internal("simulated failure of the start") : save(s);
    if (e) {
        free(s);
        return e;
    }
    enlist(s);
    move_balloon(s);
    *ret_guest = &s->base;
    return NULL;
}

static struct err *sim_attach(const struct hyper_env *env, struct hyper_guest **ret_guest, const char **ret_reason)
{
    AUTO(fd_drop) int dir = open(env->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO(buf_done) struct buf b;
    struct sim *s;
    struct err *e;

    buf_init(&b, 512);
    if (dir < 0)
        return err_errno(errno, "open folder of the VM");
    e = file_read(dir, STATE_FILE, &b);
    if (e && err_errno_get(e) == ENOENT) {
        err_ignore(e, "there is none");
        *ret_guest = NULL;
        *ret_reason = "";
        return NULL;
    }
    TRY(e);
    s = mem_new(struct sim);
    s->base.ops = &hyper_sim;
    s->env = *env;
    if (!load(s, buf_str(&b))) {
        free(s);
        return err_internal("malformed state of a simulated guest");
    }
    if (s->power == HYPER_RUNNING && s->act != SIM_NOTHING && s->act_wall_us <= clock_wall(env->loop)) {
        s->env.on_event = NULL; /* it happened while nobody looked */
        do_act(s, s->act);
        s->env.on_event = env->on_event;
    }
    if (s->power == HYPER_GONE) {
        free(s);
        *ret_guest = NULL;
        *ret_reason = "gone";
        return forget(env);
    }
    enlist(s);
    *ret_guest = &s->base;
    *ret_reason = "";
    return NULL;
}

/* ---- life ---- */

static struct err *sim_query(struct hyper_guest *g, struct hyper_state *ret_state)
{
    *ret_state = (struct hyper_state){ .power = sim_of(g)->power, .domid = -1, .memory = sim_of(g)->memory };
    return NULL;
}

static struct err *set_power(struct sim *s, enum hyper_power power)
{
    if (s->power == HYPER_GONE)
        return err_internal("the simulated guest is gone");
    s->power = power;
    return save(s);
}

static struct err *sim_pause(struct hyper_guest *g)
{
    return set_power(sim_of(g), HYPER_PAUSED);
}

static struct err *sim_unpause(struct hyper_guest *g)
{
    TRY(set_power(sim_of(g), HYPER_RUNNING));
    arm(sim_of(g));
    move_balloon(sim_of(g));
    return NULL;
}

static struct err *sim_request_shutdown(struct hyper_guest *g)
{
    struct sim *s = sim_of(g);

    if (s->flags & MISSES_A_PRESS)
        s->flags &= ~(unsigned)MISSES_A_PRESS;
    else if (!(s->flags & DEAF_TO_BUTTON))
        plan_act(s, SIM_OFF, SHUTDOWN_US);
    return NULL;
}

static void power_off(const char *vm)
{
    struct sim *s = guests ? map_get(guests, vm) : NULL;

    if (s)
        err_ignore(sim_request_shutdown(&s->base), "it only presses the button");
}

static struct err *sim_agent(struct hyper_guest *g, const struct vm_plan *plan, int *ret_fd)
{
    struct sim *s = sim_of(g);

    return sim_agent_open(s->env.loop, plan, (enum sim_agent_kind)(s->flags >> AGENT_SHIFT), power_off, ret_fd);
}

/* As Linux does, which panics at an NMI when told so. */
static struct err *sim_press(struct hyper_guest *g, const char *what, char key)
{
    static const struct {
        const char *what;
        char key;
        enum sim_act act;
    } acts[] = { { "nmi", 0, SIM_CRASH }, { "sysrq", 'b', SIM_REBOOT }, { "sysrq", 'c', SIM_CRASH },
        { "sysrq", 'o', SIM_OFF } };

    if (cstr_eq(what, "power"))
        return sim_request_shutdown(g);
    for (size_t i = 0; i < ARRAY_LEN(acts); i++)
        if (cstr_eq(what, acts[i].what) && key == acts[i].key)
            plan_act(sim_of(g), acts[i].act, DEVICE_US);
    return NULL;
}

static struct err *sim_balloon(struct hyper_guest *g, uint64_t target)
{
    struct sim *s = sim_of(g);

    if (!s->memory)
        return err_internal("this guest has no balloon");
    s->target = target;
    move_balloon(s);
    return NULL;
}

static struct err *sim_vcpus_add(struct hyper_guest *g UNUSED, uint32_t count UNUSED)
{
    return sleep_as_work(DEVICE_US);
}

static struct err *sim_pin(struct hyper_guest *g UNUSED, const uint32_t *cpus UNUSED, size_t n UNUSED)
{
    return sleep_as_work(DEVICE_US);
}

static struct err *sim_reset(struct hyper_guest *g)
{
    struct sim *s = sim_of(g);

    timer_drop(&s->timer);
    s->act = SIM_NOTHING;
    TRY(sleep_as_work(boot_time(s->uuid)));
    TRY(sim_tpm_boot(&s->env));
    return set_power(s, HYPER_RUNNING);
}

static struct err *sim_destroy(struct hyper_guest *g)
{
    struct sim *s = sim_of(g);

    timer_drop(&s->timer);
    timer_drop(&s->balloon);
    s->power = HYPER_GONE;
    return forget(&s->env);
}

/* ---- devices ---- */

static struct err *sim_disk_add(struct hyper_guest *g UNUSED, const struct vm_disk *d UNUSED)
{
    return sleep_as_work(DEVICE_US);
}

static struct err *let_go(struct sim *s, bool force, uint64_t deadline_us, const char *kind, const char *ref)
{
    if (!(s->flags & HOLDS_DEVICES) || s->power != HYPER_RUNNING)
        return sleep_as_work(DEVICE_US);
    fiber_sleep_until(deadline_us);
    if (fiber_interrupted())
        return ipc_interrupted();
    return force ? NULL : err_device_detach_timeout(kind, ref);
}

static struct err *sim_disk_remove(struct hyper_guest *g, const struct vm_disk *d, bool force, uint64_t deadline_us)
{
    return let_go(sim_of(g), force, deadline_us, "VBD", d->vbd);
}

static struct err *sim_media(struct hyper_guest *g UNUSED, const struct vm_disk *cd)
{
    if (!cd->cd)
        return err_operation_not_allowed("only CD drives have removable media");
    return sleep_as_work(DEVICE_US);
}

static struct err *sim_nic_add(struct hyper_guest *g UNUSED, const struct vm_nic *n UNUSED)
{
    return sleep_as_work(DEVICE_US);
}

static struct err *sim_nic_remove(struct hyper_guest *g, const struct vm_nic *n, bool force, uint64_t deadline_us)
{
    return let_go(sim_of(g), force, deadline_us, "VIF", n->vif);
}

static struct err *sim_console(struct hyper_guest *g, const char *protocol, int *ret_fd)
{
    struct sim *s = sim_of(g);

    if (cstr_eq(protocol, "rfb"))
        return sim_screen_open(s->env.loop, s->name, ret_fd);
    if (cstr_eq(protocol, "vt100"))
        return sim_line_open(s->env.loop, s->name, ret_fd);
    return err_internal("no console of this kind");
}

static struct err *sim_stats(
    struct hyper_guest *g, const struct vm_plan *plan, struct arena *a, struct stats_guest *ret_stats)
{
    struct sim *s = sim_of(g);

    if (s->power == HYPER_RUNNING)
        sim_stats_at(clock_wall(s->env.loop), plan, a, ret_stats);
    return NULL;
}

static struct err *sim_nvram(const struct hyper_env *env, struct buf *b)
{
    AUTO(fd_drop) int dir = open(env->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err *e;

    if (dir < 0)
        return err_errno(errno, "open folder of the VM");
    e = file_read(dir, NVRAM_FILE, b);
    if (e && err_errno_get(e) == ENOENT) {
        err_ignore(e, "none were given");
        return NULL;
    }
    return e;
}

/* ---- memory: one line, as in the file ---- */

static struct err *sim_layout(struct hyper_guest *g UNUSED, struct arena *a UNUSED, struct vm_plan *plan UNUSED)
{
    return NULL;
}

/* The bytes that a real guest would have, written in steps of as many milliseconds. */
static struct err *pretend_copy(struct hyper_guest *g)
{
    struct err *e = NULL;

    g->total = MEMORY_STEPS;
    for (g->done = 0; g->done < g->total && !e; g->done++)
        e = sleep_as_work(MEMORY_STEP_US);
    g->done = g->total = 0;
    return e;
}

static struct err *sim_save(struct hyper_guest *g, int fd)
{
    struct sim *s = sim_of(g);
    enum hyper_power power = s->power;
    char line[256];
    struct err *e;
    int n;

    if (power == HYPER_GONE)
        return err_internal("the simulated guest is gone");
    TRY(set_power(s, HYPER_PAUSED));
    n = state_line(s, line, sizeof(line));
    e = pretend_copy(g);
    if (!e)
        e = fd_write_all(fd, line, (size_t)n);
    if (!e && s->flags & FAILS_TO_SAVE)
        e = err_internal("simulated failure of the save");
    if (!e && s->power == HYPER_GONE)
        e = err_internal("the simulated guest is gone");
    if (e && s->power == HYPER_PAUSED) {
        e = err_first(e, set_power(s, power));
        arm(s);
    }
    return e;
}

static struct err *sim_restore(
    const struct hyper_env *env, const struct vm_plan *plan, int fd, struct hyper_guest **ret_guest)
{
    char line[256];
    ssize_t n = read(fd, line, sizeof(line));
    struct sim *s;
    struct err *e;

    if (n <= 0)
        return err_errno(n < 0 ? errno : EIO, "read a simulated guest");
    TRY(nvram_keep(env, plan));
    TRY(sim_tpm_put(env, plan->vtpm, plan->tpm));
    TRY(sleep_as_work(boot_time(plan->vm)));
    s = mem_new(struct sim);
    s->base.ops = &hyper_sim;
    s->env = *env;
    e = load(s, (struct str){ line, (size_t)n }) ? NULL : err_internal("malformed image of a simulated guest");
    if (!e)
        e = save(s);
    if (e) {
        free(s);
        return e;
    }
    enlist(s);
    *ret_guest = &s->base;
    return NULL;
}

static struct err *sim_move(struct hyper_guest *g, const struct vm_plan *plan UNUSED)
{
    TRY(pretend_copy(g));
    return sim_of(g)->power == HYPER_GONE ? err_internal("the simulated guest is gone") : NULL;
}

static struct err *sim_probe(struct hyper_info *ret_info)
{
    *ret_info = (struct hyper_info){ .name = "sim",
        .version = "1",
        .accelerator = "sim",
        .detail = "guests are only pretended",
        .uefi = true,
        .vcpus_max = 254 };
    return NULL;
}

const struct hyper_ops hyper_sim = {
    .name = "sim",
    .probe = sim_probe,
    .start = sim_start,
    .attach = sim_attach,
    .free = sim_free,
    .query = sim_query,
    .pause = sim_pause,
    .unpause = sim_unpause,
    .request_shutdown = sim_request_shutdown,
    .press = sim_press,
    .balloon = sim_balloon,
    .vcpus_add = sim_vcpus_add,
    .pin = sim_pin,
    .reset = sim_reset,
    .destroy = sim_destroy,
    .disk_add = sim_disk_add,
    .disk_remove = sim_disk_remove,
    .media = sim_media,
    .nic_add = sim_nic_add,
    .nic_remove = sim_nic_remove,
    .layout = sim_layout,
    .save = sim_save,
    .restore = sim_restore,
    .move = sim_move,
    .console = sim_console,
    .agent = sim_agent,
    .agent_tells = true,
    .stats = sim_stats,
    .nvram = sim_nvram,
    .secure_vars = sim_secure_vars,
    .tpm = sim_tpm_memory,
};
