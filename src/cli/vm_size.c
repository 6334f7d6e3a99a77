/* The size of VMs: memory and virtual CPUs. */
#include <string.h>
#include "cli/verb.h"

#define SELECT_NOTE "VMs are named by vm=UUID|NAME, uuid= or filters such as power-state=; several need --multiple."

static struct err *set_limits(struct xe *x, const struct rec *r)
{
    int64_t v[4];

    TRY(need_int(x, "static-min", &v[0]));
    TRY(need_int(x, "static-max", &v[1]));
    TRY(need_int(x, "dynamic-min", &v[2]));
    TRY(need_int(x, "dynamic-max", &v[3]));
    return CALL(x, NULL, "VM.set_memory_limits", S(r->ref), N(v[0]), N(v[1]), N(v[2]), N(v[3]));
}

static struct err *set_memory(struct xe *x, const struct rec *r)
{
    int64_t memory;

    TRY(need_int(x, "memory", &memory));
    return CALL(x, NULL, "VM.set_memory", S(r->ref), N(memory));
}

static struct err *set_range(struct xe *x, const struct rec *r)
{
    bool fixed = strstr(x->args.verb, "static") != NULL;
    int64_t min, max;

    TRY(need_int(x, "min", &min));
    TRY(need_int(x, "max", &max));
    return CALL(
        x, NULL, fixed ? "VM.set_memory_static_range" : "VM.set_memory_dynamic_range", S(r->ref), N(min), N(max));
}

/* Both bounds of ballooning at once: where it should be. */
static struct err *set_target(struct xe *x, const struct rec *r)
{
    int64_t target;

    TRY(need_int(x, "target", &target));
    return CALL(x, NULL, "VM.set_memory_dynamic_range", S(r->ref), N(target), N(target));
}

static struct err *hotplug_vcpus(struct xe *x, const struct rec *r)
{
    int64_t n;

    TRY(need_int(x, "new-vcpus", &n));
    return CALL(x, NULL, "VM.set_VCPUs_number_live", S(r->ref), N(n));
}

static struct err *vm_memory_limits(struct xe *x)
{
    return each(x, "vm", set_limits);
}

static struct err *vm_memory_set(struct xe *x)
{
    return each(x, "vm", set_memory);
}

static struct err *vm_memory_range(struct xe *x)
{
    return each(x, "vm", set_range);
}

static struct err *vm_memory_target(struct xe *x)
{
    return each(x, "vm", set_target);
}

static struct err *vm_vcpu_hotplug(struct xe *x)
{
    return each(x, "vm", hotplug_vcpus);
}

const struct verb size_verbs[] = {
    { "vm-memory-limits-set", vm_memory_limits, "static-min,dynamic-min,dynamic-max,static-max", "", "vm",
        "Sets the four limits of memory; numbers take MiB and GiB. " SELECT_NOTE },
    { "vm-memory-set", vm_memory_set, "memory", "", "vm", "Gives VMs a fixed amount of memory. " SELECT_NOTE },
    { "vm-memory-dynamic-range-set", vm_memory_range, "min,max", "", "vm",
        "Sets both bounds of ballooning. " SELECT_NOTE },
    { "vm-memory-static-range-set", vm_memory_range, "min,max", "", "vm",
        "Sets the least and the most memory. " SELECT_NOTE },
    { "vm-memory-target-set", vm_memory_target, "target", "", "vm",
        "Gives running VMs this much memory, within what they have been allowed. " SELECT_NOTE },
    { "vm-memory-balloon", vm_memory_target, "target", "", "vm", "The same as vm-memory-target-set. " SELECT_NOTE },
    { "vm-vcpu-hotplug", vm_vcpu_hotplug, "new-vcpus", "", "vm",
        "Changes the number of virtual CPUs of running VMs. " SELECT_NOTE },
    { 0 },
};
