#include "hyper/qemu/stats.h"
#include <string.h>
#include "base/arena.h"
#include "base/str.h"
#include "gen/ipc_stats.h"
#include "gen/ipc_vm.h"
#include "hyper/qemu/argv.h"
#include "hyper/qemu/private.h"

#define VCPUS_MAX 4096

static uint64_t count(const json_t *stats, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(stats, key));

    return n > 0 ? (uint64_t)n : 0;
}

/* The counters of the device with that id: its path ends with it, or holds it before "/virtio-backend". */
static const json_t *find_stats(const json_t *all, const char *id)
{
    size_t i, len = strlen(id);
    const json_t *one;

    json_array_foreach(all, i, one)
    {
        const char *path = json_string_value(json_object_get(one, "qdev"));
        const char *at = path ? strstr(path, id) : NULL;

        if (at && (at == path || at[-1] == '/') && (at[len] == 0 || at[len] == '/'))
            return json_object_get(one, "stats");
    }
    return NULL;
}

static void fill_disks(struct arena *a, const json_t *all, const struct vm_plan *plan, struct stats_guest *ret)
{
    ret->disks = arena_new_array(a, plan->n_disks + 1, struct stats_disk);
    for (size_t i = 0; i < plan->n_disks; i++) {
        char id[QEMU_ID_SIZE];
        qemu_disk_id(id, &plan->disks[i]);
        const json_t *s = find_stats(all, id);

        if (!s)
            continue;
        ret->disks[ret->n_disks++] = (struct stats_disk){
            .device = arena_strdup(a, plan->disks[i].device),
            .sr = arena_strdup(a, plan->disks[i].sr),
            .read_bytes = count(s, "rd_bytes"),
            .write_bytes = count(s, "wr_bytes"),
            .read_ops = count(s, "rd_operations"),
            .write_ops = count(s, "wr_operations"),
            .read_ns = count(s, "rd_total_time_ns"),
            .write_ns = count(s, "wr_total_time_ns"),
        };
    }
}

static void fill_threads(struct arena *a, const json_t *cpus, struct stats_guest *ret)
{
    size_t n = json_array_size(cpus), i;
    const json_t *cpu;

    if (n > VCPUS_MAX)
        return;
    ret->threads = arena_new_array(a, n + 1, int64_t);
    json_array_foreach(cpus, i, cpu)
    {
        json_int_t index = json_integer_value(json_object_get(cpu, "cpu-index"));
        if (index >= 0 && (size_t)index < n)
            ret->threads[index] = json_integer_value(json_object_get(cpu, "thread-id"));
    }
    ret->n_threads = n;
}

/* What a guest with a balloon's driver says every ten seconds. The largest number means that it has not said. */
static struct err *ask_memory(struct qemu *q, uint64_t *ret_free)
{
    static const char *const keys[] = { "stat-available-memory", "stat-free-memory" };
    AUTO(json_drop) json_t *got = NULL;

    TRY(qemu_call(q, "qom-get",
        json_pack("{s:s, s:s}", "path", "/machine/peripheral/" QEMU_BALLOON_ID, "property", "guest-stats"), -1, &got));
    const json_t *stats = json_object_get(got, "stats");
    for (size_t i = 0; i < ARRAY_LEN(keys) && !*ret_free; i++) {
        double n = json_number_value(json_object_get(stats, keys[i]));
        if (n > 0 && n < (double)INT64_MAX)
            *ret_free = (uint64_t)n;
    }
    return NULL;
}

struct err *qemu_stats(
    struct hyper_guest *g, const struct vm_plan *plan, struct arena *a, struct stats_guest *ret_stats)
{
    struct qemu *q = qemu_of(g);
    AUTO(json_drop) json_t *blocks = NULL;
    AUTO(json_drop) json_t *cpus = NULL;

    ret_stats->pid = q->pid;
    if (plan->n_disks) {
        TRY(qemu_call(q, "query-blockstats", NULL, -1, &blocks));
        fill_disks(a, blocks, plan, ret_stats);
    }
    TRY(qemu_call(q, "query-cpus-fast", NULL, -1, &cpus));
    fill_threads(a, cpus, ret_stats);
    return q->memory ? ask_memory(q, &ret_stats->memory_free) : NULL;
}
