/*
 * Command lines against golden files. To accept a change, run with
 * RUNNYMEDE_GOLDEN_WRITE=1 and read the diff.
 */
#include "hyper/qemu/argv.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/value.h"
#include "gen/ipc_vm.h"
#include "test.h"

static int any_fd;

static struct vm_plan small_plan(void)
{
    return (struct vm_plan){ .vm = "11111111-2222-4333-8444-555555555555",
        .ref = "OpaqueRef:1",
        .name = "web",
        .memory = (64 << 20) - 5,
        .vcpus = 1,
        .firmware = "direct",
        .kernel = any_fd,
        .boot_order = "",
        .generation_id = "04030201-0605-0807-1112-131415161718",
        .cmdline = "console=ttyS0 a,b",
        .platform = value_map(NULL, 0),
        .bios_strings = value_map(NULL, 0),
        .on_shutdown = "destroy",
        .on_reboot = "restart",
        .on_crash = "restart" };
}

static void check_golden(const char *name, const struct vm_plan *plan)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf got, want;
    struct qemu_setup setup = { .binary = "/usr/bin/qemu-system-x86_64",
        .qmp_fd = any_fd,
        .tools_fd = any_fd,
        .serial_fd = any_fd,
        .agent_fd = any_fd,
        .tpm_fd = plan->vtpm ? any_fd : -1,
        .kernel_fd = any_fd,
        .initrd_fd = -1,
        .data_fd = -1 };
    struct qemu_argv cmd;
    const char *dir = getenv("RUNNYMEDE_GOLDEN");
    char path[512];

    buf_init(&got, 65536);
    buf_init(&want, 65536);
    CHECK_OK(qemu_argv_build(a, &setup, plan, &cmd));
    for (size_t i = 0; cmd.argv[i]; i++)
        buf_printf(&got, cmd.argv[i][0] == '-' && i > 0 ? "\n%s" : i ? " %s" : "%s", cmd.argv[i]);
    buf_printf(&got, "\n(%zu descriptors)\n", cmd.n_fds);
    snprintf(path, sizeof(path), "%s/%s.args", dir ? dir : "src/hyper/qemu/golden", name);
    if (getenv("RUNNYMEDE_GOLDEN_WRITE"))
        CHECK_OK(file_write_atomic(AT_FDCWD, path, got.p, got.len, 0644));
    CHECK_OK(file_read(AT_FDCWD, path, &want));
    CHECK_STR(got.p, want.p);
}

TEST(direct_kernel)
{
    struct vm_plan p = small_plan();

    any_fd = p.kernel = open("/dev/null", O_RDWR | O_CLOEXEC);
    check_golden("direct", &p);
    fd_drop(&any_fd);
}

TEST(bios_with_disks_and_nics)
{
    struct value strings[] = { value_str("bios-vendor"), value_str("Ex, Inc."), value_str("system-manufacturer"),
        value_str("M"), value_str("system-serial-number"), value_str("4711\n-drive") };
    struct vm_plan p = small_plan();

    any_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct vm_disk disks[] = {
        { .vbd = "v0",
            .position = 0,
            .vdi = "0cb6f5e0-1111-4000-8000-000000000001",
            .format = "qcow2",
            .image = any_fd },
        { .vbd = "v1",
            .position = 1,
            .vdi = "0cb6f5e0-2222-4000-8000-000000000001",
            .format = "raw",
            .image = any_fd,
            .bootable = true,
            .read_only = true },
        { .vbd = "v3", .position = 3, .vdi = "iso", .format = "raw", .image = any_fd, .cd = true, .read_only = true },
        { .vbd = "v4", .position = 4, .vdi = "", .format = "raw", .cd = true, .read_only = true },
    };
    struct vm_nic nics[] = {
        { .vif = "n0", .position = 0, .mac = "52:54:00:00:00:01", .model = "virtio", .mtu = 9000, .tap = any_fd },
        { .vif = "n1", .position = 1, .mac = "52:54:00:00:00:02", .model = "e1000", .mtu = 1500 },
    };
    p.firmware = "bios";
    p.name = "x,-S\nweb";
    p.boot_order = "ndc";
    p.vcpus = 2;
    p.vcpus_max = 8;
    p.memory_target = 32 << 20;
    p.cores_per_socket = 4;
    p.on_reboot = "destroy";
    p.bios_strings = value_map(strings, 3);
    p.disks = disks;
    p.n_disks = 4;
    p.nics = nics;
    p.n_nics = 2;
    check_golden("bios", &p);
    fd_drop(&any_fd);
}

TEST(a_guest_without_virtio_on_two_nodes)
{
    struct vm_plan p = small_plan();
    uint32_t host_nodes[] = { 1 };

    any_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct vm_disk disks[] = {
        { .vbd = "v0", .vdi = "", .format = "raw", .image = any_fd, .bus = "ide", .bootable = true },
        { .vbd = "v3", .position = 3, .vdi = "", .format = "raw", .cd = true, .read_only = true, .bus = "ide" },
        { .vbd = "v4", .position = 4, .vdi = "", .format = "raw", .image = any_fd, .bus = "virtio" },
    };
    struct vm_nic nics[] = { { .vif = "n0", .mac = "52:54:00:00:00:01", .model = "rtl8139", .tap = any_fd } };
    p.firmware = "bios";
    p.boot_order = "cd";
    p.vcpus_max = 6;
    p.cores_per_socket = 2;
    p.memory = 33 << 20;
    p.nodes = 2;
    p.host_nodes = host_nodes;
    p.n_host_nodes = 1;
    p.disks = disks;
    p.n_disks = 3;
    p.nics = nics;
    p.n_nics = 1;
    check_golden("emulated", &p);
    disks[0].position = 4;
    struct qemu_setup setup = { .binary = "q",
        .qmp_fd = 3,
        .tools_fd = 3,
        .serial_fd = 3,
        .agent_fd = 3,
        .tpm_fd = -1,
        .kernel_fd = -1,
        .initrd_fd = -1,
        .data_fd = -1 };
    AUTO(arena_drop) struct arena *a = arena_new();
    struct qemu_argv cmd;
    CHECK_ERR(qemu_argv_build(a, &setup, &p, &cmd), "INTERNAL_ERROR");
    fd_drop(&any_fd);
}

TEST(secure_boot_needs_system_management_mode)
{
    struct vm_plan p = small_plan();

    any_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    p.firmware = "uefi";
    p.secure_boot = true;
    check_golden("secure", &p);
    fd_drop(&any_fd);
}

TEST(uefi_with_tpm_without_screen)
{
    struct value platform[] = { value_str("vga"), value_str("none"), value_str("usb"), value_str("false") };
    struct vm_plan p = small_plan();

    any_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    p.firmware = "uefi";
    p.vtpm = true;
    p.platform = value_map(platform, 2);
    check_golden("uefi", &p);
    fd_drop(&any_fd);
}

TEST(what_does_not_fit_is_refused)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct qemu_setup setup = { .binary = "qemu",
        .qmp_fd = 3,
        .tools_fd = 3,
        .serial_fd = 3,
        .agent_fd = 3,
        .tpm_fd = -1,
        .kernel_fd = 3,
        .initrd_fd = -1 };
    struct vm_disk d = { .position = 1000, .format = "raw", .image = 3, .vdi = "" };
    struct vm_disk no_image = { .position = 1, .format = "raw", .image = -1, .vdi = "" };
    struct vm_nic n = { .position = -1, .mac = "", .model = "" };
    struct vm_plan p = small_plan();
    struct qemu_argv cmd;

    p.disks = &d;
    p.n_disks = 1;
    CHECK_ERR(qemu_argv_build(a, &setup, &p, &cmd), "INTERNAL_ERROR");
    p.disks = &no_image;
    CHECK_ERR(qemu_argv_build(a, &setup, &p, &cmd), "INTERNAL_ERROR");
    p.n_disks = 0;
    p.nics = &n;
    p.n_nics = 1;
    CHECK_ERR(qemu_argv_build(a, &setup, &p, &cmd), "INTERNAL_ERROR");
}

TEST(guest_data_is_lines)
{
    AUTO(buf_done) struct buf b;
    struct vm_plan p = small_plan();
    struct value pairs[] = { value_str("vm-data/a"), value_str("1=2"), value_str("vm-data/b"),
        value_str("two\\\nlines") };

    buf_init(&b, 1024);
    p.guest_data = value_map(pairs, 2);
    qemu_guest_data(&b, &p);
    CHECK_STR(b.p, "vm-data/a=1=2\nvm-data/b=two\\\\\\nlines\n");
}
