#include "host/inventory.h"
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "base/fd.h"
#include "test.h"

/* A tree of files as a two-socket machine shows them. */
static void tree_put(const char *root, const char *path, const char *text)
{
    char full[4300], folder[4300];

    snprintf(full, sizeof(full), "%s%s", root, path);
    snprintf(folder, sizeof(folder), "%s", full);
    *strrchr(folder, '/') = 0;
    CHECK_OK(dir_make(folder, 0755));
    CHECK_OK(file_write_atomic(AT_FDCWD, full, text, strlen(text), 0644));
}

static const char *tree_make(void)
{
    const char *real = test_tmpdir_path();

    tree_put(real, "/proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: Xeon Gold\n"
        "stepping\t: 4\ncpu MHz\t\t: 2100.400\nflags\t\t: fpu vmx sse2\n\n"
        "processor\t: 1\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon Gold\ncpu MHz\t\t: 2099.600\n\n"
        "processor\t: 2\ncpu MHz\t\t: 1000\n\nprocessor\t: 3\ncpu MHz\t\t: 1000\n");
    for (int i = 0; i < 4; i++) {
        char path[96];
        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", i);
        tree_put(real, path, i < 2 ? "0\n" : "1\n");
    }
    tree_put(real, "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,1\n");
    tree_put(real, "/proc/meminfo", "MemTotal:       1024 kB\nMemFree:         100 kB\nMemAvailable:    512 kB\n");
    tree_put(real, "/proc/stat", "cpu  1 2 3\nbtime 1700000000\nprocesses 1\n");
    tree_put(real, "/proc/sys/kernel/hostname", "meadow\n");
    tree_put(real, "/proc/sys/kernel/osrelease", "6.1.0\n");
    tree_put(real, "/etc/os-release", "PRETTY_NAME=\"x\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\n");
    tree_put(real, "/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    tree_put(real, "/sys/class/dmi/id/bios_vendor", "Acme\n");
    tree_put(real, "/sys/class/dmi/id/product_serial", "\xff\xfe broken");
    return real;
}

TEST(a_machine_is_read_from_its_files)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const char *caps[] = { "hvm-3.0-x86_64" };
    const char *walls[] = { "cell-cgroup" };
    struct inventory_hyper hyper = { "qemu", "7.2", "tcg", "no VMX", true, 64, caps, 1 };
    struct inventory_source s = { tree_make(), &hyper, walls, 1, 1700000100 };
    struct value info;

    CHECK_OK(inventory_read(a, &s, &info));
    CHECK_STR(value_map_str(&info, "hostname"), "meadow");
    CHECK_STR(value_map_str(&info, "machine_id"), "01234567-89ab-cdef-0123-456789abcdef");
    CHECK_STR(value_map_str(&info, "os_name"), "Debian GNU/Linux");
    CHECK_INT(value_map_get(&info, "memory_total")->i, 1 << 20);
    CHECK_INT(value_map_get(&info, "memory_free")->i, 1 << 19);
    CHECK_INT(value_map_get(&info, "boot_time")->i, 1700000000);
    CHECK_INT(value_map_get(&info, "cpus")->n, 4);
    CHECK_STR(value_map_str(&info, "accelerator"), "tcg");
    CHECK(value_set_has(value_map_get(&info, "capabilities"), "hvm-3.0-x86_64"));
    CHECK(value_set_has(value_map_get(&info, "capabilities_missing"), "cell-cgroup"));

    const struct value *cpu = value_map_get(&info, "cpu_info");
    CHECK_STR(value_map_str(cpu, "cpu_count"), "4");
    CHECK_STR(value_map_str(cpu, "socket_count"), "2");
    CHECK_STR(value_map_str(cpu, "threads_per_core"), "2");
    CHECK_STR(value_map_str(cpu, "speed"), "2100");
    CHECK_STR(value_map_str(cpu, "modelname"), "Xeon Gold");
    CHECK_STR(value_map_str(cpu, "flags"), "fpu vmx sse2");

    const struct value *bios = value_map_get(&info, "bios_strings");
    CHECK_STR(value_map_str(bios, "bios-vendor"), "Acme");
    CHECK_STR(value_map_str(bios, "system-serial-number"), ""); /* no UTF-8, no text */
}

TEST(an_empty_tree_gives_empty_values)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct inventory_source s = { .root = "/nonexistent" };
    struct value info;

    CHECK_OK(inventory_read(a, &s, &info));
    CHECK_STR(value_map_str(&info, "hostname"), "");
    CHECK_STR(value_map_str(value_map_get(&info, "cpu_info"), "cpu_count"), "1");
    CHECK_INT(value_map_get(&info, "memory_total")->i, 0);
}

TEST(this_machine_has_a_name_and_memory)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct inventory_source s = { .root = "" };
    struct value info;

    CHECK_OK(inventory_read(a, &s, &info));
    CHECK(*value_map_str(&info, "hostname"));
    CHECK(*value_map_str(&info, "kernel"));
    CHECK(value_map_get(&info, "memory_total")->i > 0);
}
