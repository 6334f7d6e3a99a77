#include "core/memory.h"
#include <string.h>
#include "base/log.h"
#include "base/map.h"
#include "core/core.h"
#include "core/vm.h"
#include "gen/ipc_host.h"

#define MIB (1024LL * 1024)
#define PAGE_TABLES 512 /* the host's take 8 bytes for each 4 KiB */

#define BOOT_US (180 * 1000000ULL) /* in which a guest comes to its balloon's driver */
#define STUCK_US (10 * 1000000ULL) /* without any progress, and guests do not have a driver */
#define LOOK_US 200000
#define SETTLE_US 200000 /* VMs often end in numbers, and what ends is committed first */

/* ---- what a VM costs ---- */

int64_t memory_overhead(const struct core *c, const struct memory_size *of)
{
    const struct memory_costs *m = &c->memory_costs;

    return m->machine + of->vcpus_max * m->vcpu + (of->screen ? m->screen : 0) + of->static_max / PAGE_TABLES;
}

struct memory_size memory_size_of(const struct row *vm)
{
    return (struct memory_size){ row_int(vm, F_VM_memory_static_max), row_int(vm, F_VM_VCPUs_max),
        strcmp(row_map_str(vm, F_VM_platform, "vga"), "none") != 0 };
}

int64_t memory_overhead_of(const struct core *c, const struct row *vm)
{
    struct memory_size size = memory_size_of(vm);

    return memory_overhead(c, &size);
}

int64_t memory_max_within(const struct core *c, const struct row *vm, int64_t total)
{
    struct memory_size size = memory_size_of(vm);

    size.static_max = 0;
    int64_t left = total - memory_overhead(c, &size);
    return left <= 0 ? 0 : left / (PAGE_TABLES + 1) * PAGE_TABLES / MIB * MIB;
}

/* ---- what it counts for ---- */

static bool just_started(struct core *c, const struct row *metrics)
{
    uint64_t at = 0;

    return datetime_parse(row_str(metrics, F_VM_metrics_start_time), &at) && clock_wall(c->loop) - at < BOOT_US;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Of its memory alone. */
static int64_t held(struct core *c, const struct row *vm)
{
    int64_t max = row_int(vm, F_VM_memory_static_max), target = row_int(vm, F_VM_memory_target);

    if (row_int(vm, F_VM_memory_dynamic_min) == max || row_bool(vm, F_VM_is_control_domain))
        return row_int(vm, F_VM_memory_dynamic_max);
    const struct row *metrics = row_follow(c->store, vm, F_VM_metrics);
    return !metrics || just_started(c, metrics) ? target : larger(target, row_int(metrics, F_VM_metrics_memory_actual));
}

/* Negative while a promise waits to be kept. */
static int64_t left_over(struct core *c)
{
    const struct row *host = core_host_row(c);
    const struct row *metrics = host ? row_follow(c->store, host, F_host_metrics) : NULL;
    int64_t left = metrics ? row_int(metrics, F_host_metrics_memory_total) : 0;

    for (size_t i = 0; host && i < row_n_related(host, F_host_resident_VMs); i++) {
        const struct row *vm = row_related(host, F_host_resident_VMs, i);
        left -= held(c, vm) + row_int(vm, F_VM_memory_overhead);
    }
    return left - c->memory_promised;
}

int64_t memory_free(struct core *c)
{
    return larger(left_over(c), 0);
}

/* ---- shares ---- */

/* Whoever has a range and stands still enough to be told another target. */
struct sharer {
    const char *ref, *uuid;
    int64_t min, max, target, held;
};

struct sharers {
    struct sharer *item;
    size_t n;
    int64_t free; /* without what they have */
    int64_t min, range;
};

static bool may_share(const struct row *vm, const struct map *stuck)
{
    return !row_bool(vm, F_VM_is_control_domain) && strcmp(row_str(vm, F_VM_power_state), "Running") == 0 &&
        row_int(vm, F_VM_memory_dynamic_min) < row_int(vm, F_VM_memory_static_max) &&
        row_get(vm, F_VM_current_operations)->n == 0 && !(stuck && map_get(stuck, row_ref(vm)));
}

static void sharers_add(struct sharers *s, const struct sharer *one)
{
    s->item[s->n++] = *one;
    s->free += one->held;
    s->min += one->min;
    s->range += one->max - one->min;
}

/* but: a VM that is not looked at. */
static void sharers_find(struct core *c, struct arena *a, const char *but, const struct map *stuck, struct sharers *ret)
{
    const struct row *host = core_host_row(c);
    size_t n = host ? row_n_related(host, F_host_resident_VMs) : 0;

    *ret = (struct sharers){ .item = arena_new_array(a, n + 1, struct sharer), .free = left_over(c) };
    for (size_t i = 0; i < n; i++) {
        const struct row *vm = row_related(host, F_host_resident_VMs, i);

        if (strcmp(row_ref(vm), but) == 0 || !may_share(vm, stuck))
            continue;
        sharers_add(ret,
            &(struct sharer){ arena_strdup(a, row_ref(vm)), arena_strdup(a, row_str(vm, F_VM_uuid)),
                row_int(vm, F_VM_memory_dynamic_min), row_int(vm, F_VM_memory_dynamic_max),
                row_int(vm, F_VM_memory_target), held(c, vm) });
    }
}

/* The same part of everybody's range, in whole MiB; without a range of anybody's it does not matter. */
static int64_t share_of(const struct sharers *s, const struct sharer *one)
{
    int64_t room = s->free - s->min;

    if (room <= 0)
        return one->min;
    if (room >= s->range)
        return one->max;
    return one->min + (int64_t)((double)(one->max - one->min) * ((double)room / (double)s->range)) / MIB * MIB;
}

static struct err *tell_target(struct core *c, struct arena *a, const char *ref, const char *uuid, int64_t target)
{
    struct ipc_peer *host = NULL;

    TRY(core_need_host(c, &host));
    TRY(host_vm_memory(host, a, &(struct host_vm_memory_req){ .vm = uuid, .target = (uint64_t)target }));
    return core_set(c, ref, F_VM_memory_target, value_int(target));
}

/* [waits] One that cannot be told keeps what it has; lowering comes before raising. */
static void tell_shares(struct core *c, struct arena *a, const struct sharers *s)
{
    for (int raise = 0; raise < 2; raise++)
        for (size_t i = 0; i < s->n; i++) {
            const struct sharer *one = &s->item[i];
            int64_t share = share_of(s, one);

            if (share == one->target || (share > one->target) != raise)
                continue;
            if (share < one->max)
                c->memory_squeezed = true;
            log_err(LOG_INFO_, "a guest keeps its memory", tell_target(c, a, one->ref, one->uuid, share));
        }
}

/* ---- getting it back ---- */

static void share_out_main(void *arg)
{
    struct core *c = arg;
    AUTO(arena_drop) struct arena *a = arena_new();
    struct sharers s;

    c->memory_squeezed = false;
    sharers_find(c, a, "", NULL, &s);
    for (size_t i = 0; i < s.n; i++)
        c->memory_squeezed |= share_of(&s, &s.item[i]) < s.item[i].max;
    tell_shares(c, a, &s);
}

static void on_timer(void *arg)
{
    struct core *c = arg;

    fiber_start(c->loop, "share memory", share_out_main, c);
}

void memory_share_out(struct core *c)
{
    if (!c->memory_squeezed || !c->ready)
        return;
    if (!c->memory_timer)
        c->memory_timer = timer_new(c->loop, on_timer, c);
    timer_set(c->memory_timer, clock_now(c->loop) + SETTLE_US);
}

/* ---- making room ---- */

static struct err *not_enough(struct call *c, int64_t needed, int64_t available)
{
    return err_host_not_enough_free_memory(arena_printf(c->arena, "%lld", (long long)needed),
        arena_printf(c->arena, "%lld", (long long)larger(available, 0)));
}

/* A suspended guest comes back as it was, whatever it may have later. */
static void wanted(const struct row *vm, int64_t *ret_min, int64_t *ret_max)
{
    bool suspended = strcmp(row_str(vm, F_VM_power_state), "Suspended") == 0;

    *ret_min = row_int(vm, suspended ? F_VM_memory_target : F_VM_memory_dynamic_min);
    *ret_max = suspended ? *ret_min : row_int(vm, F_VM_memory_dynamic_max);
}

struct err *memory_check(struct call *c, const struct row *vm)
{
    int64_t overhead = memory_overhead_of(c->core, vm), left = left_over(c->core), min, max;
    struct sharers s;

    wanted(vm, &min, &max);
    if (max + overhead <= left)
        return NULL;
    sharers_find(c->core, c->arena, row_ref(vm), NULL, &s);
    return s.free - s.min < min + overhead ? not_enough(c, min + overhead, s.free - s.min) : NULL;
}

static void promise(struct memory_grant *g, int64_t target, int64_t overhead)
{
    g->core->memory_promised += target + overhead - g->bytes;
    g->target = target;
    g->bytes = target + overhead;
}

void memory_grant_end(struct memory_grant *g)
{
    if (!g->core)
        return;
    g->core->memory_promised -= g->bytes;
    memory_share_out(g->core); /* of a start that came to nothing */
    g->core = NULL;
}

/* Asks all for their shares, and waits until they have given them; stuck gets those who do not within the time. */
static struct err *squeeze(struct call *c, struct memory_grant *g, int64_t min, int64_t max, int64_t overhead,
    struct map *stuck, bool *ret_done)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct core *core = c->core;
    struct sharers s;

    promise(g, 0, 0);
    sharers_find(core, a, "", stuck, &s);
    s.free -= overhead;
    if (s.free < s.min + min)
        return not_enough(c, min + overhead, s.free + overhead - s.min);
    const struct sharer self = { "", "", min, max, 0, 0 };
    sharers_add(&s, &self);
    promise(g, share_of(&s, &self), overhead);
    core->memory_squeezed = true;
    s.n--; /* it is not to be told */
    tell_shares(core, a, &s);
    int64_t left = left_over(core);
    for (uint64_t moved = clock_now(core->loop); left < 0;) {
        if (clock_now(core->loop) - moved > STUCK_US)
            break;
        waitq_wait(&core->changed, clock_now(core->loop) + LOOK_US);
        if (fiber_interrupted())
            return ipc_interrupted();
        int64_t now = left_over(core);
        moved = now > left ? clock_now(core->loop) : moved;
        left = now;
    }
    *ret_done = left >= 0;
    size_t before = map_len(stuck);
    for (size_t i = 0; i < s.n && !*ret_done; i++) {
        const struct row *vm = store_find_of(core->store, C_VM, s.item[i].ref);
        if (vm && held(core, vm) > share_of(&s, &s.item[i]))
            map_put(stuck, s.item[i].ref, stuck);
    }
    return *ret_done || map_len(stuck) > before ? NULL : not_enough(c, g->bytes, left + g->bytes);
}

struct err *memory_reserve(struct call *c, const char *vm_ref, struct memory_grant *ret)
{
    AUTO(map_drop) struct map *stuck = map_new();
    const struct row *vm = NULL;
    struct err *e = NULL;
    bool done = false;
    int64_t min, max;

    TRY(call_row(c, C_VM, vm_ref, &vm));
    wanted(vm, &min, &max);
    int64_t overhead = memory_overhead_of(c->core, vm);
    *ret = (struct memory_grant){ .core = c->core };
    if (max + overhead <= left_over(c->core)) {
        promise(ret, max, overhead);
        return NULL;
    }
    while (!e && !done) /* each round has fewer who share */
        e = squeeze(c, ret, min, max, overhead, stuck, &done);
    if (e)
        memory_grant_end(ret);
    return e;
}

/* ---- a new range ---- */

struct err *memory_set_range(struct call *c, const char *vm_ref, int64_t min, int64_t max)
{
    struct core *core = c->core;
    const struct row *vm = NULL;
    struct sharers s;

    TRY(call_row(c, C_VM, vm_ref, &vm));
    sharers_find(core, c->arena, vm_ref, NULL, &s);
    const struct sharer self = { vm_ref, arena_strdup(c->arena, row_str(vm, F_VM_uuid)), min, max,
        row_int(vm, F_VM_memory_target), held(core, vm) };
    sharers_add(&s, &self);
    if (s.free < s.min)
        return not_enough(c, min, s.free - s.min + min);
    int64_t share = share_of(&s, &self);
    TRY(tell_target(core, c->arena, vm_ref, self.uuid, share));
    struct tx *t = tx_begin(core->store);
    tx_set(t, vm_ref, F_VM_memory_dynamic_min, value_int(min));
    tx_set(t, vm_ref, F_VM_memory_dynamic_max, value_int(max));
    TRY(tx_commit(t));
    core->memory_squeezed |= share < max;
    s.n--;
    tell_shares(core, c->arena, &s);
    return NULL;
}
