#include "metric/proc.h"
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "test.h"

/* A machine of a few files. */
static void put(const char *path, const char *text)
{
    AUTO(mem_drop) char *full = mem_printf("%s%s", test_tmpdir_path(), path);
    AUTO(mem_drop) char *dir = mem_strdup(full);

    *strrchr(dir, '/') = 0;
    CHECK_OK(dir_make(dir, 0755));
    CHECK_OK(file_write_atomic(AT_FDCWD, full, text, strlen(text), 0644));
}

static double raw(const struct readings *r, const char *name)
{
    char own[RRD_NAME_MAX + 1];

    for (size_t i = 0; i < r->len; i++) {
        reading_name(&r->p[i], own);
        if (strcmp(own, name) == 0)
            return r->p[i].raw;
    }
    return -1;
}

TEST(cpu_load_and_memory_are_read)
{
    AUTO(fd_drop) int dir UNUSED = test_tmpdir();
    struct readings r = { 0 };
    uint64_t kib[2];

    put("/proc/stat",
        "cpu  30 0 30 940 0 0 0 0 0 0\ncpu0 100 0 50 700 50 10 40 0 0 0\ncpu1 200 0 0 800 0 0 0 0 0 0\nintr 5\n");
    put("/proc/loadavg", "1.50 0.18 0.12 5/80 11206\n");
    put("/proc/meminfo", "MemTotal:       2048 kB\nMemFree:  7 kB\nMemAvailable:     1024 kB\n");
    proc_read_cpus(test_tmpdir_path(), &r);
    proc_read_load(test_tmpdir_path(), &r);
    proc_read_memory(kib, test_tmpdir_path());
    CHECK(raw(&r, "cpu0") == 2.0 && raw(&r, "cpu1") == 2.0 && raw(&r, "cpu_avg") == 2.0);
    CHECK(raw(&r, "loadavg") == 1.5 && raw(&r, "hostload") > 0);
    CHECK(kib[0] == 2048 && kib[1] == 1024);
    vec_done(&r);
}

TEST(interfaces_and_taps_are_read)
{
    AUTO(fd_drop) int dir UNUSED = test_tmpdir();
    struct readings r = { 0 };
    double sums[2] = { 1, 1 };

    put("/sys/class/net/eth0/statistics/rx_bytes", "1000\n");
    put("/sys/class/net/eth0/statistics/tx_bytes", "500\n");
    put("/sys/class/net/eth0/statistics/rx_errors", "3\n");
    proc_read_pif(test_tmpdir_path(), "eth0", &r, sums);
    proc_read_pif(test_tmpdir_path(), "eth9", &r, sums);
    proc_read_pif(test_tmpdir_path(), "../net/eth0", &r, sums);
    CHECK_INT(r.len, 3);
    CHECK(raw(&r, "pif_eth0_rx") == 1000 && raw(&r, "pif_eth0_rx_errors") == 3);
    CHECK(sums[0] == 1001 && sums[1] == 501);
    vec_done(&r);
}

static void see_tap(void *ctx, const char *vm, int64_t position, const char *device)
{
    unsigned *n = ctx;

    CHECK_STR(vm, "2b0e3c6e-0f0b-4d7a-8f5e-111111111111");
    CHECK_INT(position, 2);
    CHECK_STR(device, "rnytap7");
    ++*n;
}

TEST(a_tap_is_its_guests_by_its_alias)
{
    AUTO(fd_drop) int dir UNUSED = test_tmpdir();
    unsigned n = 0;

    put("/sys/class/net/rnytap7/ifalias", "2b0e3c6e-0f0b-4d7a-8f5e-111111111111/2\n");
    put("/sys/class/net/rnytap8/ifalias", "nonsense\n");
    put("/sys/class/net/rnytap9/ifalias", "\n");
    put("/sys/class/net/eth0/ifalias", "2b0e3c6e-0f0b-4d7a-8f5e-111111111111/3\n");
    proc_each_tap(test_tmpdir_path(), see_tap, &n);
    CHECK_INT(n, 1);
}

TEST(threads_and_processes_are_read_whatever_their_name)
{
    AUTO(fd_drop) int dir UNUSED = test_tmpdir();

    put("/proc/42/task/43/schedstat", "2500000000 77 9\n");
    put("/proc/42/stat", "42 (x) y) 9 (z) S 1 2 3 4 5 6 7 8 9 10 100 50 0 0\n");
    CHECK(proc_thread_s(test_tmpdir_path(), 42, 43) == 2.5);
    CHECK(proc_process_s(test_tmpdir_path(), 42) * (double)sysconf(_SC_CLK_TCK) == 150);
    CHECK(isnan(proc_thread_s(test_tmpdir_path(), 42, 44)));
    CHECK(isnan(proc_process_s(test_tmpdir_path(), 44)));
}
