#include "host/numa.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "gen/ipc_vm.h"
#include "test.h"

#define MIB (1024ULL * 1024)

static void put(const char *root, unsigned node, const char *file, const char *text)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/sys/devices/system/node/node%u/%s", root, node, file);
    for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
        *p = 0;
        mkdir(path, 0700);
    }
    CHECK_OK(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600));
}

/* Two nodes of 1000 and 800 MiB with two CPUs each; the second one has no number 1. */
static const char *machine(void)
{
    const char *root = test_tmpdir_path();

    put(root, 0, "meminfo",
        "Node 0 MemTotal:       1024000 kB\nNode 0 MemFree:         512000 kB\n"
        "Node 0 Inactive(file):  102400 kB\n");
    put(root, 0, "cpulist", "0,2\n");
    put(root, 4, "meminfo", "Node 4 MemTotal:        819200 kB\nNode 4 MemFree:         716800 kB\n");
    put(root, 4, "cpulist", "1,3\n");
    return root;
}

TEST(nodes_are_read)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct numa_node nodes[NUMA_MAX];

    CHECK_INT(numa_read(a, machine(), nodes), 2);
    CHECK_INT(nodes[0].free, 600 * MIB);
    CHECK_INT(nodes[1].number, 4);
    CHECK_INT(nodes[1].total, 800 * MIB);
    CHECK_INT(nodes[1].n_cpus, 2);
    CHECK_INT(nodes[1].cpus[1], 3);
    CHECK_INT(numa_read(a, "/nowhere", nodes), 0);
}

static struct vm_plan placed(struct arena *a, uint64_t memory, uint32_t vcpus, const uint64_t promised[NUMA_MAX])
{
    struct vm_plan p = { .numa = true, .memory = memory, .vcpus = vcpus };

    numa_place(a, machine(), promised, &p);
    return p;
}

TEST(a_guest_gets_the_emptiest_node_that_holds_it)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    uint64_t promised[NUMA_MAX] = { 0 };
    struct vm_plan p = placed(a, 500 * MIB, 2, promised);

    CHECK_INT(p.n_host_nodes, 1);
    CHECK_INT(p.host_nodes[0], 4);
    CHECK_INT(p.n_node_cpus, 2);
    CHECK_INT(p.node_cpus[0], 1);

    promised[4] = 400 * MIB; /* to guests that have not touched it yet */
    p = placed(a, 500 * MIB, 2, promised);
    CHECK_INT(p.host_nodes[0], 0);
}

TEST(a_guest_that_needs_all_nodes_is_not_placed)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const uint64_t promised[NUMA_MAX] = { 0 };

    CHECK_INT(placed(a, 900 * MIB, 2, promised).n_host_nodes, 0);
    CHECK_INT(placed(a, 64 * MIB, 3, promised).n_host_nodes, 0);
    CHECK_INT(placed(a, 64 * MIB, 2, promised).n_host_nodes, 1);
}

TEST(a_mask_says_which_nodes)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const uint64_t promised[NUMA_MAX] = { 0 };
    uint32_t mask[] = { 2 };
    struct vm_plan p = { .numa = true, .memory = 900 * MIB, .vcpus = 1, .cpu = { .mask = mask, .n_mask = 1 } };

    numa_place(a, machine(), promised, &p);
    CHECK_INT(p.n_host_nodes, 1);
    CHECK_INT(p.host_nodes[0], 0);
    p.numa = false;
    numa_place(a, machine(), promised, &p);
    CHECK_INT(p.n_host_nodes, 0);
}

TEST(promises_are_counted_and_taken_back)
{
    uint64_t promised[NUMA_MAX] = { 0 };
    struct numa_share share = { 0 };
    uint32_t nodes[] = { 0, 4 };
    struct vm_plan p = { .memory = 100 * MIB, .host_nodes = nodes, .n_host_nodes = 2 };

    numa_promise(promised, &share, &p);
    CHECK_INT(promised[0], 50 * MIB);
    p.n_host_nodes = 1;
    numa_promise(promised, &share, &p);
    CHECK_INT(promised[0], 100 * MIB);
    CHECK_INT(promised[4], 0);
    numa_promise(promised, &share, NULL);
    CHECK_INT(promised[0], 0);
}
