/* How much a guest has: what its balloon leaves it, and its vCPUs. */
#include <errno.h>
#include <sched.h>
#include "base/str.h"
#include "gen/errors.h"
#include "hyper/qemu/private.h"
#include "hyper/qemu/qemu.h"

struct err *qemu_balloon_ask(struct qemu *q)
{
    AUTO(json_drop) json_t *value = NULL;
    struct err *e = qemu_call(q, "query-balloon", NULL, -1, &value);

    if (qmp_refused(e)) {
        err_ignore(e, "this guest has none");
        q->memory = 0;
        return NULL;
    }
    TRY(e);
    json_int_t actual = json_integer_value(json_object_get(value, "actual"));
    q->memory = actual > 0 ? (uint64_t)actual : 0;
    return NULL;
}

struct err *qemu_balloon(struct hyper_guest *g, uint64_t target)
{
    return qemu_call(qemu_of(g), "balloon", json_pack("{s:I}", "value", (json_int_t)target), -1, NULL);
}

/*
 * QEMU lists the places for vCPUs from the last to the first, those taken with
 * the path of what is in them. They are filled from the first, as -smp does: a
 * QEMU that is started with so many vCPUs then has the same ones, and memory
 * from here fits in.
 */
struct err *qemu_vcpus_add(struct hyper_guest *g, uint32_t count)
{
    struct qemu *q = qemu_of(g);
    AUTO(json_drop) json_t *places = NULL;

    TRY(qemu_call(q, "query-hotpluggable-cpus", NULL, -1, &places));
    size_t n = json_array_size(places);
    if (count > n)
        return err_internal("a machine with room for %zu vCPUs", n);
    for (size_t i = 0; i < count; i++) {
        json_t *place = json_array_get(places, n - 1 - i);

        if (json_object_get(place, "qom-path"))
            continue;
        json_t *args = json_pack("{s:s*, s:o}", "driver", json_string_value(json_object_get(place, "type")), "id",
            json_sprintf("vcpu%zu", i));
        json_object_update(args, json_object_get(place, "props"));
        TRY(qemu_call(q, "device_add", args, -1, NULL));
    }
    return NULL;
}

/* All CPUs: the kernel takes away those that there are not. */
static void cpus_of(const uint32_t *cpus, size_t n, cpu_set_t *ret)
{
    CPU_ZERO(ret);
    for (size_t i = 0; i < n; i++)
        if (cpus[i] < CPU_SETSIZE)
            CPU_SET(cpus[i], ret);
    for (size_t i = 0; i < CPU_SETSIZE && !n; i++)
        CPU_SET(i, ret);
}

struct err *qemu_pin(struct hyper_guest *g, const uint32_t *cpus, size_t n)
{
    AUTO(json_drop) json_t *list = NULL;
    json_t *cpu;
    cpu_set_t set;
    size_t i;

    cpus_of(cpus, n, &set);
    TRY(qemu_call(qemu_of(g), "query-cpus-fast", NULL, -1, &list));
    json_array_foreach(list, i, cpu)
    {
        json_int_t thread = json_integer_value(json_object_get(cpu, "thread-id"));

        if (thread > 0 && sched_setaffinity((pid_t)thread, sizeof(set), &set) < 0)
            return err_errno(errno, "bind a vCPU to CPUs");
    }
    return NULL;
}
