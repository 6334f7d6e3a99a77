/* Against a tree that looks like /proc and the unified hierarchy. */
#include "host/cgroup.h"
#include <fcntl.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "test.h"

#define GROUP "sys/fs/cgroup/ours/runnymede-vm-1"

static void put(const char *path, const char *text)
{
    AUTO(mem_drop) char *full = mem_printf("%s/%s", test_tmpdir_path(), path);

    CHECK_OK(file_write_atomic(AT_FDCWD, full, text, strlen(text), 0644));
}

static void folder(const char *path)
{
    AUTO(mem_drop) char *full = mem_printf("%s/%s", test_tmpdir_path(), path);

    CHECK_OK(dir_make(full, 0755));
}

static void holds(const char *file, const char *want)
{
    AUTO(mem_drop) char *full = mem_printf("%s/" GROUP "/%s", test_tmpdir_path(), file);
    AUTO(buf_done) struct buf b;

    buf_init(&b, 4096);
    CHECK_OK(file_read(AT_FDCWD, full, &b));
    CHECK_STR(b.p, want);
}

static void apply(struct cgroup *c, unsigned weight, unsigned cap)
{
    static const char *const files[] = { "memory.max", "pids.max", "cpu.weight", "cpu.max", "cgroup.procs" };
    int fd = -1;

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        AUTO(mem_drop) char *path = mem_printf(GROUP "/%s", files[i]);
        put(path, "");
    }
    CHECK_OK(cgroup_make(c, "1", &(struct cgroup_limits){ 64ULL << 20, 2, weight, cap }, &fd));
    fd_drop(&fd);
}

TEST(limits_are_written_in_the_kernels_units)
{
    AUTO(mem_drop) char *root = mem_printf("%s/", test_tmpdir_path());

    folder("proc/self");
    folder(GROUP);
    folder("sys/fs/cgroup/ours/self");
    put("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n");
    put("proc/self/cgroup", "0::/ours\n");
    put("sys/fs/cgroup/ours/cgroup.controllers", "cpu memory pids\n");
    put("sys/fs/cgroup/ours/cgroup.subtree_control", "");
    put("sys/fs/cgroup/ours/self/cgroup.procs", "");
    struct cgroup *c = cgroup_open(root);
    CHECK(c && cgroup_has_cpu(c));
    apply(c, 0, 0);
    holds("cpu.weight", "100");
    holds("cpu.max", "max 100000");
    holds("pids.max", "514");
    apply(c, 512, 150);
    holds("cpu.weight", "200");
    holds("cpu.max", "150000 100000");
    apply(c, 1, 1);
    holds("cpu.weight", "1");
    holds("cpu.max", "1000 100000");
    apply(c, 65535, 0);
    holds("cpu.weight", "10000");
    cgroup_free(c);
}
