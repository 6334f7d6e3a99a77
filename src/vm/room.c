/* How much the guest has: what its balloon leaves it, and its vCPUs. */
#include "base/arena.h"
#include "base/log.h"
#include "gen/errors.h"
#include "vm/private.h"

#define ONLINE_TRIES 10 /* a guest finds a new vCPU when it comes to it */
#define ONLINE_PAUSE_US 500000
#define ONLINE_MAX 64 /* of what one guest says */

/* ---- memory ---- */

struct err *vm_balloon_again(struct vm_service *s)
{
    if (!s->guest || !s->plan.memory_target || !s->ops->balloon)
        return NULL;
    return s->ops->balloon(s->guest, s->plan.memory_target);
}

/* In the plan first: whoever attaches says it again. */
static struct err *set_target(struct vm_service *s, uint64_t target)
{
    struct vm_plan p = s->plan;

    TRY(vm_expect(s, VM_IN(VM_RUNNING) | VM_IN(VM_PAUSED), "running"));
    if (!p.memory_target || !s->ops->balloon)
        return err_vm_lacks_feature(p.ref);
    if (target < 1 || target > p.memory)
        return err_internal("a balloon cannot leave a guest %llu bytes", (unsigned long long)target);
    p.memory_target = target;
    TRY(vm_plan_keep(s, &p));
    return vm_balloon_again(s);
}

struct err *vm_on_memory(struct ipc_call *c, struct vm_memory_req *req)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, false, false));
    e = set_target(s, req->target);
    vm_leave(s);
    return e;
}

/* ---- vCPUs ---- */

static bool flag(const struct value *map, const char *key)
{
    const struct value *v = map->kind == V_MAP ? value_map_get(map, key) : NULL;

    return v && v->kind == V_BOOL && v->b;
}

/* Asks the guest which vCPUs it does not use yet, and to use them; false: it does not see as many as there are. */
static struct err *use_all(struct vm_service *s, struct arena *a, bool *ret_all)
{
    struct value seen = VALUE_NIL;
    struct buf args;
    size_t off = 0;

    TRY(vm_survey_talk(s, a, "guest-get-vcpus", NULL, &seen));
    buf_init(&args, 64 * ONLINE_MAX + 64);
    buf_add_c(&args, "{\"vcpus\":[");
    for (size_t i = 0; seen.kind == V_SET && i < seen.n; i++) {
        const struct value *id = seen.items[i].kind == V_MAP ? value_map_get(&seen.items[i], "logical-id") : NULL;

        if (!id || id->kind != V_INT || flag(&seen.items[i], "online") || off == ONLINE_MAX)
            continue;
        buf_printf(&args, "%s{\"logical-id\":%lld,\"online\":true}", off++ ? "," : "", (long long)id->i);
    }
    buf_add_c(&args, "]}");
    *ret_all = seen.kind == V_SET && seen.n >= s->plan.vcpus;
    struct err *e = off ? vm_survey_talk(s, a, "guest-set-vcpus", args.p, NULL) : NULL;
    buf_done(&args);
    return e;
}

static void use_main(void *arg)
{
    struct vm_service *s = arg;
    struct err *e = NULL;
    bool all = false;

    s->survey.talks++;
    for (int i = 0; i < ONLINE_TRIES && s->life == VM_RUNNING && !s->closed && !all && !e; i++) {
        AUTO(arena_drop) struct arena *a = arena_new();

        e = use_all(s, a, &all);
        if (!e && !all)
            fiber_sleep(ONLINE_PAUSE_US);
    }
    s->survey.talks--;
    if (e)
        log_err(LOG_INFO_, "the guest's agent was not heard on new vCPUs, the guest decides by itself", e);
    vm_release(s);
}

/* Where the mask says, else on its NUMA nodes; neither: anywhere. */
static struct err *pin(struct vm_service *s, const struct vm_cpu *cpu)
{
    if (cpu->n_mask)
        return s->ops->pin(s->guest, cpu->mask, cpu->n_mask);
    return s->ops->pin(s->guest, s->plan.node_cpus, s->plan.n_node_cpus);
}

/* A guest that runs on other CPUs than it should is better than none. */
void vm_pin(struct vm_service *s)
{
    if (s->guest && s->ops->pin && (s->plan.cpu.n_mask || s->plan.n_node_cpus))
        log_err(LOG_WARN_, "vCPUs are not bound to CPUs", pin(s, &s->plan.cpu));
}

static struct err *set_cpu(struct vm_service *s, const struct vm_cpu *cpu)
{
    struct vm_plan p = s->plan;

    TRY(vm_expect(s, VM_IN(VM_RUNNING) | VM_IN(VM_PAUSED), "running"));
    if (!s->ops->pin)
        return err_not_implemented("binding vCPUs to CPUs on this hypervisor");
    TRY(pin(s, cpu));
    p.cpu = *cpu;
    return vm_plan_keep(s, &p);
}

struct err *vm_on_cpu(struct ipc_call *c, struct vm_cpu_req *req)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, false, false));
    e = set_cpu(s, &req->cpu);
    vm_leave(s);
    return e;
}

static struct err *add_vcpus(struct vm_service *s, uint32_t count)
{
    struct vm_plan p = s->plan;

    TRY(vm_expect(s, VM_IN(VM_RUNNING), "running"));
    if (!s->ops->vcpus_add)
        return err_not_implemented("vCPUs for a running guest on this hypervisor");
    if (count < p.vcpus)
        return err_operation_not_allowed("vCPUs cannot be taken from a running guest");
    if (count > p.vcpus_max)
        return err_internal("%u vCPUs of at most %u", count, p.vcpus_max);
    TRY(s->ops->vcpus_add(s->guest, count));
    p.vcpus = count;
    TRY(vm_plan_keep(s, &p));
    vm_pin(s);
    if (s->survey.report.live && s->survey.can_use_vcpus) {
        vm_hold(s);
        fiber_start(s->loop, "use vCPUs", use_main, s);
    }
    return NULL;
}

struct err *vm_on_vcpus(struct ipc_call *c, struct vm_vcpus_req *req)
{
    struct vm_service *s = c->ctx;
    struct err *e;

    TRY(vm_enter(s, false, false));
    e = add_vcpus(s, req->count);
    vm_leave(s);
    return e;
}
