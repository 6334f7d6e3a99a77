#include "host/numa.h"
#include <fcntl.h>
#include <stdio.h>
#include "base/fd.h"
#include "base/str.h"
#include "gen/ipc_vm.h"

#define FILE_MAX 16384
#define CPUS_MAX 4096

static struct str slurp(struct arena *a, const char *root, uint32_t node, const char *file)
{
    AUTO(buf_done) struct buf b;
    char path[512];
    struct err *e;

    snprintf(path, sizeof(path), "%s/sys/devices/system/node/node%u/%s", root, node, file);
    buf_init(&b, FILE_MAX);
    e = file_read(AT_FDCWD, path, &b);
    if (e) {
        err_ignore(e, "there is no such node");
        return STR("");
    }
    return str_of(arena_strndup(a, b.p ? b.p : "", b.len));
}

/* "Node 0 MemFree:  123 kB" */
static uint64_t bytes_of(struct str meminfo, const char *key)
{
    struct str line, head, value, number, unit;
    uint64_t n = 0;

    while (meminfo.len) {
        str_cut(meminfo, '\n', &line, &meminfo);
        if (!str_cut(line, ':', &head, &value) || head.len < strlen(key) + 1)
            continue;
        size_t at = head.len - strlen(key);
        if (head.p[at - 1] != ' ' || !str_eq_c((struct str){ head.p + at, strlen(key) }, key))
            continue;
        str_cut(str_trim(value), ' ', &number, &unit);
        str_to_u64(number, &n);
        return n * 1024;
    }
    return 0;
}

/* "0-3,8" */
static const uint32_t *cpus_of(struct arena *a, struct str list, size_t *ret_n)
{
    uint32_t *cpus = arena_new_array(a, CPUS_MAX, uint32_t);
    struct str item, from, to, rest, more;

    *ret_n = 0;
    str_cut(list, '\n', &rest, &more);
    while (rest.len) {
        uint64_t first, last;

        str_cut(rest, ',', &item, &rest);
        bool range = str_cut(item, '-', &from, &to);
        if (!str_to_u64(from, &first) || !str_to_u64(range ? to : from, &last) || last >= CPUS_MAX)
            continue;
        for (; first <= last && *ret_n < CPUS_MAX; first++)
            cpus[(*ret_n)++] = (uint32_t)first;
    }
    return cpus;
}

size_t numa_read(struct arena *a, const char *root, struct numa_node ret_nodes[NUMA_MAX])
{
    size_t n = 0;

    for (uint32_t i = 0; i < NUMA_MAX; i++) {
        struct str meminfo = slurp(a, root, i, "meminfo");
        struct numa_node *node = &ret_nodes[n];

        if (!meminfo.len)
            continue; /* their numbers may have gaps */
        *node = (struct numa_node){ .number = i, .total = bytes_of(meminfo, "MemTotal") };
        node->free = bytes_of(meminfo, "MemFree") + bytes_of(meminfo, "Inactive(file)");
        node->cpus = cpus_of(a, slurp(a, root, i, "cpulist"), &node->n_cpus);
        n++;
    }
    return n;
}

/* What is still to be had. */
static uint64_t room(const struct numa_node *n, const uint64_t promised[NUMA_MAX])
{
    uint64_t unpromised = n->total > promised[n->number] ? n->total - promised[n->number] : 0;

    return unpromised < n->free ? unpromised : n->free;
}

static void sort(struct numa_node *nodes, size_t n, const uint64_t promised[NUMA_MAX])
{
    for (size_t i = 1; i < n; i++)
        for (size_t k = i; k > 0 && room(&nodes[k], promised) > room(&nodes[k - 1], promised); k--) {
            struct numa_node swap = nodes[k];

            nodes[k] = nodes[k - 1];
            nodes[k - 1] = swap;
        }
}

/* How many of the first nodes hold it; 0: not all of them do. */
static size_t fewest(
    const struct numa_node *nodes, size_t n, const uint64_t promised[NUMA_MAX], uint64_t memory, size_t vcpus)
{
    uint64_t have = 0;
    size_t cpus = 0;

    for (size_t i = 0; i < n; i++) {
        have += room(&nodes[i], promised);
        cpus += nodes[i].n_cpus;
        if (have >= memory && cpus >= vcpus)
            return i + 1;
    }
    return 0;
}

static bool touches(const struct numa_node *node, const struct vm_cpu *cpu)
{
    for (size_t i = 0; i < node->n_cpus; i++)
        for (size_t k = 0; k < cpu->n_mask; k++)
            if (node->cpus[i] == cpu->mask[k])
                return true;
    return false;
}

/* Those with CPUs of the mask, moved to the front. */
static size_t touched_first(struct numa_node *nodes, size_t n, const struct vm_cpu *cpu)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (touches(&nodes[i], cpu))
            nodes[kept++] = nodes[i];
    return kept;
}

static void take(struct arena *a, const struct numa_node *nodes, size_t n, struct vm_plan *plan)
{
    size_t cpus = 0;

    for (size_t i = 0; i < n; i++)
        cpus += nodes[i].n_cpus;
    plan->host_nodes = arena_new_array(a, n, uint32_t);
    plan->node_cpus = arena_new_array(a, cpus + 1, uint32_t);
    for (size_t i = 0; i < n; i++) {
        plan->host_nodes[plan->n_host_nodes++] = nodes[i].number;
        for (size_t k = 0; k < nodes[i].n_cpus; k++)
            plan->node_cpus[plan->n_node_cpus++] = nodes[i].cpus[k];
    }
}

void numa_place(struct arena *a, const char *root, const uint64_t promised[NUMA_MAX], struct vm_plan *plan)
{
    struct numa_node nodes[NUMA_MAX];
    size_t n, chosen;

    plan->n_host_nodes = plan->n_node_cpus = 0;
    if (!plan->numa)
        return;
    n = numa_read(a, root, nodes);
    if (plan->cpu.n_mask) {
        chosen = touched_first(nodes, n, &plan->cpu);
    } else {
        sort(nodes, n, promised);
        chosen =
            fewest(nodes, n, promised, plan->memory, plan->vcpus_max > plan->vcpus ? plan->vcpus_max : plan->vcpus);
    }
    if (chosen && chosen < n)
        take(a, nodes, chosen, plan);
}

static void count(uint64_t promised[NUMA_MAX], const struct numa_share *share, bool more)
{
    for (unsigned i = 0; i < NUMA_MAX; i++)
        if (share->nodes >> i & 1)
            promised[i] += more ? share->bytes : -share->bytes;
}

void numa_promise(uint64_t promised[NUMA_MAX], struct numa_share *share, const struct vm_plan *plan)
{
    size_t n = plan ? plan->n_host_nodes : 0;

    count(promised, share, false);
    *share = (struct numa_share){ .bytes = n ? plan->memory / n : 0 };
    for (size_t i = 0; i < n; i++)
        share->nodes |= plan->host_nodes[i] < NUMA_MAX ? 1ULL << plan->host_nodes[i] : 0;
    count(promised, share, true);
}
