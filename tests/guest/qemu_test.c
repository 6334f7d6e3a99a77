/* The vm service on real QEMU with the test guest: TCG is enough. */
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "hyper/qemu/qemu.h"
#include "rig.h"

REAL_TEST(guest_starts_and_is_ended)
{
    rig_start(rig);
    CHECK_STR(rig_power(rig), "Running");
    pid_t pid = rig_pid(rig);
    CHECK(pid > 1 && kill(pid, 0) == 0);
    CHECK_OK(vm_destroy(rig->host, rig->arena, &(struct vm_destroy_req){ 0 }));
    CHECK_STR(rig_power(rig), "Halted");
    CHECK(kill(pid, 0) < 0);
    CHECK_STR(rig->told, "");
}

REAL_TEST(guest_stands_still_while_paused)
{
    rig_start(rig);
    CHECK_OK(vm_pause(rig->host, rig->arena, &(struct vm_pause_req){ 0 }));
    CHECK_STR(rig_power(rig), "Paused");
    CHECK_ERR(vm_pause(rig->host, rig->arena, &(struct vm_pause_req){ 0 }), "VM_BAD_POWER_STATE");
    rig_type(rig, 'x');
    CHECK(!fiber_wait_fd(rig->serial, EPOLLIN, clock_now(rig->loop) + 200000));
    CHECK_OK(vm_unpause(rig->host, rig->arena, &(struct vm_unpause_req){ 0 }));
    rig_expect(rig, "x");
}

REAL_TEST(guest_shuts_down_when_asked)
{
    rig_start(rig);
    CHECK_OK(vm_shutdown(rig->host, rig->arena, &(struct vm_shutdown_req){ .timeout_ms = 5000 }));
    CHECK_STR(rig_power(rig), "Halted");
    CHECK_STR(rig->told, "");
    rig_restart_service(rig, "Halted", "shutdown");
}

REAL_TEST(deaf_guest_runs_into_the_timeout_and_stays)
{
    rig_start(rig);
    rig_type(rig, 'h');
    rig_expect(rig, "deaf\r\n");
    CHECK_ERR(
        vm_shutdown(rig->host, rig->arena, &(struct vm_shutdown_req){ .timeout_ms = 300 }), "VM_SHUTDOWN_TIMEOUT");
    CHECK_STR(rig_power(rig), "Running");
}

static void deaf_shutdown(void *arg)
{
    struct rig *rig = arg;

    CHECK_ERR(vm_shutdown(rig->host, rig->arena, &(struct vm_shutdown_req){ .timeout_ms = 60000 }), "TASK_CANCELLED");
    snprintf(rig->told, sizeof(rig->told), "cancelled ");
}

REAL_TEST(destroy_overtakes_a_shutdown_that_waits)
{
    rig_start(rig);
    rig_type(rig, 'h');
    rig_expect(rig, "deaf\r\n");
    fiber_start(rig->loop, "shutdown", deaf_shutdown, rig);
    fiber_sleep(50000);
    CHECK_OK(vm_destroy(rig->host, rig->arena, &(struct vm_destroy_req){ 0 }));
    rig_wait_told(rig, "cancelled");
    CHECK_STR(rig_power(rig), "Halted");
}

REAL_TEST(clean_reboot_keeps_the_process)
{
    rig_start(rig);
    pid_t pid = rig_pid(rig);
    CHECK_OK(vm_reboot(rig->host, rig->arena, &(struct vm_reboot_req){ .timeout_ms = 5000 }));
    rig_expect(rig, "powers off");
    rig_expect(rig, "guest up");
    CHECK_STR(rig_power(rig), "Running");
    CHECK_INT(rig_pid(rig), pid);
    CHECK_OK(vm_hard_reboot(rig->host, rig->arena, &(struct vm_hard_reboot_req){ 0 }));
    rig_expect(rig, "guest up");
}

REAL_TEST(guests_own_end_is_told)
{
    rig_start(rig);
    rig_type(rig, 's');
    rig_wait_told(rig, "shutdown/Halted");
    CHECK_STR(rig_power(rig), "Halted");
}

REAL_TEST(guests_own_reboot_is_told)
{
    rig_start(rig);
    rig_type(rig, 'r');
    rig_expect(rig, "guest up");
    rig_wait_told(rig, "reboot/Running");
}

REAL_TEST(guests_own_reboot_ends_it_where_that_is_wished)
{
    rig->plan.on_reboot = "destroy";
    rig->plan.on_shutdown = "restart"; /* another policy */
    rig_start(rig);
    CHECK_OK(vm_hard_reboot(rig->host, rig->arena, &(struct vm_hard_reboot_req){ 0 })); /* ours does not */
    rig_expect(rig, "guest up");
    rig_type(rig, 'r');
    rig_wait_told(rig, "shutdown/Halted");
}

REAL_TEST(shutdown_starts_over_where_that_is_wished)
{
    rig->plan.on_shutdown = "restart";
    rig_start(rig);
    rig_type(rig, 's');
    rig_expect(rig, "guest up");
    rig_wait_told(rig, "reboot/Running");
}

REAL_TEST(panic_ends_the_guest)
{
    rig_start(rig);
    rig_type(rig, 'p');
    rig_wait_told(rig, "crash/Halted");
}

REAL_TEST(panic_preserves_the_guest_where_that_is_wished)
{
    rig->plan.on_crash = "preserve";
    rig_start(rig);
    rig_type(rig, 'p');
    rig_wait_told(rig, "crash/Paused");
    CHECK_STR(rig_power(rig), "Paused");
    rig_restart_service(rig, "Paused", "");
    CHECK_OK(vm_hard_reboot(rig->host, rig->arena, &(struct vm_hard_reboot_req){ 0 }));
    CHECK_STR(rig_power(rig), "Running");
}

REAL_TEST(killed_qemu_is_told)
{
    rig_start(rig);
    kill(rig_pid(rig), SIGKILL);
    rig_wait_told(rig, "gone/Halted");
}

REAL_TEST(guest_outlives_the_service)
{
    rig_start(rig);
    pid_t pid = rig_pid(rig);
    rig_restart_service(rig, "Running", "");
    CHECK_INT(rig_pid(rig), pid);
    rig_type(rig, '?');
    rig_expect(rig, "ticks");
    CHECK_OK(vm_shutdown(rig->host, rig->arena, &(struct vm_shutdown_req){ .timeout_ms = 5000 }));
    CHECK_STR(rig_power(rig), "Halted");
}

static void settle(struct rig *rig, const char *said)
{
    rig_expect(rig, said);
    fiber_sleep(100000); /* it says so before it does it */
}

REAL_TEST(power_off_that_nobody_saw_is_found)
{
    rig_start(rig);
    pid_t pid = rig_pid(rig);
    int serial = fcntl(rig->serial, F_DUPFD_CLOEXEC, 3);
    rig_forget_service(rig);
    rig->serial = serial;
    rig_type(rig, 's');
    settle(rig, "powers off");
    rig_restart_service(rig, "Halted", "shutdown");
    CHECK(kill(pid, 0) < 0);
}

REAL_TEST(death_that_nobody_saw_is_found)
{
    rig_start(rig);
    pid_t pid = rig_pid(rig);
    rig_forget_service(rig);
    kill(pid, SIGKILL);
    fiber_sleep(200000);
    rig_restart_service(rig, "Halted", "gone");
}

static void read_some(int fd, char *p, size_t n)
{
    CHECK_OK(fd_set_nonblock(fd, true));
    for (size_t at = 0; at < n;) {
        CHECK(fiber_wait_fd(fd, EPOLLIN, clock_now(fiber_loop()) + 5000000));
        ssize_t got = read(fd, p + at, n - at);
        CHECK(got > 0);
        at += (size_t)got;
    }
}

REAL_TEST(screen_greets_as_rfb)
{
    struct vm_console_rep rep;
    char greeting[13] = { 0 };

    rig_start(rig);
    CHECK_OK(vm_console(rig->host, rig->arena, &(struct vm_console_req){ .protocol = "rfb" }, &rep));
    read_some(rep.stream, greeting, 12);
    CHECK_STR(greeting, "RFB 003.008\n");
    close(rep.stream);
}

static int scratch(size_t size)
{
    int fd = memfd_create("disk", MFD_CLOEXEC);

    CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    return fd;
}

static struct vm_disk disk(int position, int image)
{
    return (struct vm_disk){ .vbd = position == 1 ? "OpaqueRef:vbd1" : "OpaqueRef:vbd0",
        .position = position,
        .device = "xvda",
        .sr = "sr",
        .vdi = "0cb6f5e0-0000-4000-8000-000000000001",
        .format = "raw",
        .size = 1 << 20,
        .image = image,
        .lease = scratch(1) };
}

REAL_TEST(failed_start_leaves_nothing)
{
    struct vm_start_rep rep;

    rig->disks[0] = rig->disks[1] = disk(0, scratch(1 << 20)); /* two at one position: QEMU refuses */
    rig->plan.n_disks = 2;
    struct err *e = vm_start(rig->host, rig->arena, &(struct vm_start_req){ .plan = rig->plan }, &rep);
    CHECK(e && strstr(err_text(e), "QEMU said"));
    err_free(e);
    CHECK_STR(rig_power(rig), "Halted");
    rig_restart_service(rig, "Halted", "start failed");
    rig->plan.n_disks = 1;
    rig_start(rig);
}

REAL_TEST(disks_come_and_go)
{
    int image = scratch(1 << 20);
    struct vm_disk hot = disk(1, image);

    rig->disks[0] = disk(0, scratch(1 << 20));
    rig->plan.n_disks = 1;
    rig_start(rig);
    CHECK_OK(vm_disk_plug(rig->host, rig->arena, &(struct vm_disk_plug_req){ .disk = hot }));
    CHECK_ERR(
        vm_disk_plug(rig->host, rig->arena, &(struct vm_disk_plug_req){ .disk = hot }), "DEVICE_ALREADY_ATTACHED");
    for (int round = 0; round < 3; round++) {
        CHECK_OK(vm_disk_unplug(
            rig->host, rig->arena, &(struct vm_disk_unplug_req){ .vbd = "OpaqueRef:vbd1", .timeout_ms = 10000 }));
        CHECK_OK(vm_disk_plug(rig->host, rig->arena, &(struct vm_disk_plug_req){ .disk = hot }));
    }
    rig_restart_service(rig, "Running", "");
    CHECK_OK(vm_disk_unplug(
        rig->host, rig->arena, &(struct vm_disk_unplug_req){ .vbd = "OpaqueRef:vbd1", .timeout_ms = 10000 }));
    CHECK_OK(vm_disk_unplug(rig->host, rig->arena,
        &(struct vm_disk_unplug_req){ .vbd = "OpaqueRef:vbd0", .timeout_ms = 10000 })); /* there since the start */
    CHECK_ERR(vm_disk_unplug(
                  rig->host, rig->arena, &(struct vm_disk_unplug_req){ .vbd = "OpaqueRef:vbd0", .timeout_ms = 10000 }),
        "DEVICE_ALREADY_DETACHED");
}

static bool lease_is_free(int other)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    return fcntl(other, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}

REAL_TEST(leases_live_as_long_as_the_guest_has_the_disk)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    struct vm_disk hot = disk(1, scratch(1 << 20));
    char path[64];
    int other;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", hot.lease);
    other = open(path, O_RDWR | O_CLOEXEC);
    CHECK(other >= 0 && fcntl(hot.lease, F_OFD_SETLK, &lock) == 0);
    rig_start(rig);
    CHECK_OK(vm_disk_plug(rig->host, rig->arena, &(struct vm_disk_plug_req){ .disk = hot }));
    close(hot.lease);
    CHECK(!lease_is_free(other));
    rig_forget_service(rig);
    fiber_sleep(50000);
    CHECK(!lease_is_free(other)); /* nobody but QEMU has it */
    rig_restart_service(rig, "Running", "");
    CHECK_OK(vm_disk_unplug(
        rig->host, rig->arena, &(struct vm_disk_unplug_req){ .vbd = "OpaqueRef:vbd1", .timeout_ms = 5000 }));
    CHECK(lease_is_free(other));
    close(other);
}

REAL_TEST(guest_that_holds_a_disk_can_be_forced)
{
    rig->disks[0] = disk(0, scratch(1 << 20));
    rig->plan.n_disks = 1;
    rig_start(rig);
    rig_type(rig, 'h');
    rig_expect(rig, "deaf\r\n");
    CHECK_ERR(vm_disk_unplug(
                  rig->host, rig->arena, &(struct vm_disk_unplug_req){ .vbd = "OpaqueRef:vbd0", .timeout_ms = 100 }),
        "DEVICE_DETACH_TIMEOUT");
    CHECK_OK(vm_disk_unplug(rig->host, rig->arena,
        &(struct vm_disk_unplug_req){ .vbd = "OpaqueRef:vbd0", .timeout_ms = 100, .force = true }));
    rig_type(rig, 'x');
    rig_expect(rig, "x");
}

REAL_TEST(nics_come_and_go)
{
    struct vm_nic nic = { .vif = "OpaqueRef:vif1",
        .position = 1,
        .mac = "52:54:00:00:00:02",
        .network = { .bridge = "xapi0" },
        .mtu = 1500,
        .model = "virtio",
        .tap = -1 };

    rig->nics[0] = nic;
    rig->nics[0].vif = "OpaqueRef:vif0";
    rig->nics[0].position = 0;
    rig->nics[0].mac = "52:54:00:00:00:01";
    rig->nics[0].model = "e1000";
    rig->plan.n_nics = 1;
    rig_start(rig);
    CHECK_OK(vm_nic_plug(rig->host, rig->arena, &(struct vm_nic_plug_req){ .nic = nic }));
    CHECK_OK(vm_nic_unplug(
        rig->host, rig->arena, &(struct vm_nic_unplug_req){ .vif = "OpaqueRef:vif1", .timeout_ms = 10000 }));
    CHECK_OK(vm_nic_plug(rig->host, rig->arena, &(struct vm_nic_plug_req){ .nic = nic }));
    CHECK_OK(vm_nic_unplug(
        rig->host, rig->arena, &(struct vm_nic_unplug_req){ .vif = "OpaqueRef:vif0", .timeout_ms = 10000 }));
}

/* A tap without a bridge; -1 where that is not allowed. */
static int tap(void)
{
    struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd >= 0 && ioctl(fd, TUNSETIFF, &ifr) < 0)
        fd_drop(&fd);
    return fd;
}

REAL_TEST(taps_are_passed_and_let_go)
{
    struct vm_nic nic = { .vif = "OpaqueRef:vif1",
        .position = 1,
        .mac = "52:54:00:00:00:02",
        .network = { .bridge = "xapi0" },
        .mtu = 1500,
        .model = "virtio",
        .tap = tap() };

    if (nic.tap < 0)
        return;
    rig->nics[0] = nic;
    rig->nics[0].vif = "OpaqueRef:vif0";
    rig->nics[0].position = 0;
    rig->nics[0].tap = tap();
    rig->plan.n_nics = 1;
    rig_start(rig);
    for (int round = 0; round < 2; round++) {
        CHECK_OK(vm_nic_plug(rig->host, rig->arena, &(struct vm_nic_plug_req){ .nic = nic }));
        CHECK_OK(vm_nic_unplug(
            rig->host, rig->arena, &(struct vm_nic_unplug_req){ .vif = "OpaqueRef:vif1", .timeout_ms = 5000 }));
    }
    CHECK_OK(vm_nic_unplug(
        rig->host, rig->arena, &(struct vm_nic_unplug_req){ .vif = "OpaqueRef:vif0", .timeout_ms = 5000 }));
    close(nic.tap);
    close(rig->nics[0].tap);
}

static struct vm_disk cd(int image)
{
    return (struct vm_disk){ .vbd = "OpaqueRef:cd",
        .position = 3,
        .device = "xvdd",
        .cd = true,
        .read_only = true,
        .bootable = true,
        .sr = "",
        .vdi = image > 0 ? "iso" : "",
        .format = "raw",
        .image = image,
        .lease = -1 };
}

REAL_TEST(media_change_in_a_drive)
{
    int iso = rig_open_guest("guest.iso", O_RDONLY);
    struct vm_media_req in = { .disk = cd(iso) }, out = { .disk = cd(-1) };

    rig->disks[0] = cd(-1);
    rig->plan.n_disks = 1;
    rig_start(rig);
    for (int round = 0; round < 3; round++) {
        CHECK_OK(vm_media(rig->host, rig->arena, &in));
        CHECK_OK(vm_media(rig->host, rig->arena, &out));
    }
    CHECK_OK(vm_media(rig->host, rig->arena, &in));
    CHECK_OK(vm_media(rig->host, rig->arena, &in)); /* replaced without taking out */
    close(iso);
}

REAL_TEST(bios_boots_from_disk)
{
    rig->disks[0] = disk(0, rig_open_guest("guest.img", O_RDONLY));
    rig->disks[0].read_only = true;
    rig->disks[1] = cd(-1);
    rig->plan.n_disks = 2;
    rig->plan.firmware = "bios";
    rig->plan.boot_order = "dc";
    rig_start_quiet(rig);
    rig_expect(rig, "guest up (disk)");
    CHECK_OK(vm_shutdown(rig->host, rig->arena, &(struct vm_shutdown_req){ .timeout_ms = 5000 }));
}

REAL_TEST(bios_boots_from_cd)
{
    rig->disks[0] = disk(0, scratch(1 << 20));
    rig->disks[1] = cd(rig_open_guest("guest.iso", O_RDONLY));
    rig->plan.n_disks = 2;
    rig->plan.firmware = "bios";
    rig->plan.boot_order = "dc";
    rig_start_quiet(rig);
    rig_expect(rig, "guest up (cd)");
}

REAL_TEST(uefi_starts_and_keeps_its_variables)
{
    struct vm_nvram_rep rep;

    rig->plan.firmware = "uefi";
    rig->plan.memory = 256 << 20;
    rig_start_quiet(rig);
    rig_expect(rig, "Bds");
    CHECK_OK(vm_nvram(rig->host, rig->arena, &(struct vm_nvram_req){ 0 }, &rep));
    CHECK_INT(rep.nvram.len, 540672);
    CHECK_OK(vm_destroy(rig->host, rig->arena, &(struct vm_destroy_req){ 0 }));
    rig->plan.nvram = rep.nvram;
    rig_start_quiet(rig);
    rig_expect(rig, "Bds");
    kill(rig_pid(rig), SIGKILL);
    rig_wait_told(rig, "gone/Halted");
    CHECK(rig->has_nvram);
}
