/* Suspend, resume and migration on real QEMU: what the guest remembers, and what is so after any death in between. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "rig.h"
#include "vm/image.h"

#define N_KILLS 24

static int scratch(const char *name, size_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    return fd;
}

/* A file, as in a repository: what is read after a crash is what was written. */
static int image_file(void)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/image", test_tmpdir_path());
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
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
        .lease = scratch("lease", 1) };
}

static struct err *suspend(struct rig *rig, int image)
{
    return vm_suspend(rig->host, rig->arena, &(struct vm_suspend_req){ .image = image, .lease = -1 });
}

static struct err *resume(struct rig *rig, int image, bool paused)
{
    struct vm_resume_rep rep;
    struct vm_plan plan = rig->plan;

    plan.paused = paused;
    return vm_resume(rig->host, rig->arena, &(struct vm_resume_req){ .plan = plan, .image = image, .lease = -1 }, &rep);
}

static struct err *migrate(struct rig *rig)
{
    struct vm_migrate_rep rep;

    return vm_migrate(rig->host, rig->arena, &(struct vm_migrate_req){ .plan = rig->plan }, &rep);
}

/* The guest counts on where it was. */
static void count(struct rig *rig, int n)
{
    char said[32];

    rig_type(rig, 'c');
    snprintf(said, sizeof(said), "count %d\r\n", n);
    rig_expect(rig, said);
}

REAL_TEST(memory_survives_suspend_and_resume)
{
    AUTO(fd_drop) int image = image_file();
    struct vm_disk hot = disk(1, scratch("hot", 1 << 20));

    rig->disks[0] = disk(0, scratch("cold", 1 << 20));
    rig->plan.n_disks = 1;
    rig_start(rig);
    CHECK_OK(vm_disk_plug(rig->host, rig->arena, &(struct vm_disk_plug_req){ .disk = hot }));
    for (int i = 1; i <= 3; i++)
        count(rig, i);
    pid_t before = rig_pid(rig);
    CHECK_OK(suspend(rig, image));
    CHECK_STR(rig_power(rig), "Suspended");
    CHECK(kill(before, 0) < 0);
    CHECK_INT(vm_image_state(image), VM_IMAGE_WHOLE);
    rig_restart_service(rig, "Suspended", "suspended");
    rig->disks[1] = hot; /* hot plugged, so elsewhere on the bus than a cold one would be */
    rig->plan.n_disks = 2;
    CHECK_OK(resume(rig, image, true));
    CHECK_STR(rig_power(rig), "Paused");
    CHECK_INT(vm_image_state(image), VM_IMAGE_USED);
    rig_console_open(rig);
    CHECK_OK(vm_unpause(rig->host, rig->arena, &(struct vm_unpause_req){ 0 }));
    count(rig, 4);
    CHECK_OK(vm_disk_unplug(
        rig->host, rig->arena, &(struct vm_disk_unplug_req){ .vbd = "OpaqueRef:vbd1", .timeout_ms = 10000 }));
    CHECK_ERR(resume(rig, image, false), "VM_BAD_POWER_STATE");
    CHECK_OK(vm_shutdown(rig->host, rig->arena, &(struct vm_shutdown_req){ .timeout_ms = 5000 }));
    struct err *e = resume(rig, image, false);
    CHECK(e && strstr(err_text(e), "no guest is in the image"));
    err_free(e);
}

REAL_TEST(guest_runs_on_when_its_image_has_no_room)
{
    AUTO(fd_drop) int full = open("/dev/full", O_RDWR | O_CLOEXEC);

    rig_start(rig);
    count(rig, 1);
    struct err *e = suspend(rig, full);
    CHECK(e);
    err_free(e);
    CHECK_STR(rig_power(rig), "Running");
    count(rig, 2);
}

REAL_TEST(migration_keeps_the_guest_and_changes_its_process)
{
    rig->disks[0] = disk(0, scratch("cold", 1 << 20));
    rig->plan.n_disks = 1;
    rig_start(rig);
    for (int i = 1; i <= 3; i++) {
        pid_t before = rig_pid(rig);

        count(rig, i);
        CHECK_OK(migrate(rig));
        CHECK_STR(rig_power(rig), "Running");
        CHECK(rig_pid(rig) != before && kill(before, 0) < 0);
        rig_console_open(rig);
    }
    CHECK_INT(rig_n_qemus(), 1);
    rig_restart_service(rig, "Running", "");
    count(rig, 4);
    rig_type(rig, 's');
    rig_wait_told(rig, "shutdown/Halted");
}

/* ---- death ---- */

/* The i-th of n moments, from the start of what takes so long to half as long after its end. */
static unsigned moment(unsigned i, unsigned n, uint64_t took_us)
{
    return (unsigned)(took_us * 3 / 2 * i / (n - 1));
}

static pid_t kill_in(unsigned us, pid_t victim)
{
    pid_t killer = fork();

    if (killer == 0) {
        usleep(us);
        kill(victim, SIGKILL);
        _exit(0);
    }
    return killer;
}

static void tolerate(struct err *e)
{
    if (e && !ipc_is_lost(e) && !err_is(e, "INTERNAL_ERROR"))
        CHECK_OK(e);
    err_free(e);
}

static const char *attach(struct rig *rig, struct process *p)
{
    static char power[16];
    struct vm_attach_rep rep;

    rig_ended(rig, p);
    *p = rig_spawn(rig);
    CHECK_OK(vm_attach(rig->host, rig->arena, &(struct vm_attach_req){ .vm = rig->plan.vm }, &rep));
    snprintf(power, sizeof(power), "%s", rep.state.power);
    return power;
}

static void expect_running(struct rig *rig, int n)
{
    if (rig_n_qemus() != 1)
        test_fail(__FILE__, __LINE__, "round %d: %d QEMUs, %s", n, rig_n_qemus(), rig_power(rig));
    CHECK_STR(rig_power(rig), "Running");
    rig_console_open(rig);
    count(rig, n);
}

REAL_TEST(guest_is_in_one_place_whenever_its_process_dies_in_suspend_or_resume)
{
    AUTO(fd_drop) int image = image_file();
    struct process p = rig_spawn(rig);
    int n = 0, suspended = 0, resumed = 0;

    rig_start(rig);
    count(rig, ++n);
    uint64_t began = clock_now(rig->loop);
    CHECK_OK(suspend(rig, image));
    uint64_t suspend_us = clock_now(rig->loop) - began;
    CHECK_OK(resume(rig, image, false));
    uint64_t resume_us = clock_now(rig->loop) - began - suspend_us;
    rig_console_open(rig);
    count(rig, ++n);
    for (unsigned i = 0; i < N_KILLS; i++) {
        pid_t killer = kill_in(moment(i, N_KILLS, suspend_us), p.pid);

        tolerate(suspend(rig, image));
        waitpid(killer, NULL, 0);
        const char *power = attach(rig, &p);
        if (strcmp(power, "Running") == 0) {
            if (vm_image_state(image) == VM_IMAGE_WHOLE) /* the host process has it open still, and does so too */
                CHECK_OK(vm_image_mark(image, VM_IMAGE_USED));
            expect_running(rig, ++n);
            continue;
        }
        CHECK_STR(power, "Suspended");
        CHECK_INT(vm_image_state(image), VM_IMAGE_WHOLE);
        CHECK_INT(rig_n_qemus(), 0);
        killer = kill_in(moment((unsigned)suspended++ * 5 % 6, 6, resume_us), p.pid); /* first, last, fifth, ... */
        tolerate(resume(rig, image, false));
        waitpid(killer, NULL, 0);
        power = attach(rig, &p);
        if (strcmp(power, "Suspended") == 0) {
            CHECK_INT(rig_n_qemus(), 0);
            CHECK_OK(resume(rig, image, false));
        } else {
            CHECK_STR(power, "Running");
            resumed++;
        }
        expect_running(rig, ++n);
    }
    CHECK(suspended > 0 && resumed > 0 && resumed < suspended);
    CHECK_OK(vm_destroy(rig->host, rig->arena, &(struct vm_destroy_req){ 0 }));
    ipc_peer_drop(&rig->host);
    rig_ended(rig, &p);
}

REAL_TEST(guest_runs_once_whenever_its_process_dies_in_migration)
{
    struct process p = rig_spawn(rig);
    int n = 0, moved = 0;

    rig_start(rig);
    count(rig, ++n);
    uint64_t began = clock_now(rig->loop);
    CHECK_OK(migrate(rig));
    uint64_t migrate_us = clock_now(rig->loop) - began;
    rig_console_open(rig);
    count(rig, ++n);
    for (unsigned i = 0; i < N_KILLS; i++) {
        pid_t before = rig_pid(rig), killer = kill_in(moment(i, N_KILLS, migrate_us), p.pid);

        tolerate(migrate(rig));
        waitpid(killer, NULL, 0);
        CHECK_STR(attach(rig, &p), "Running");
        moved += rig_pid(rig) != before;
        expect_running(rig, ++n);
    }
    CHECK(moved > 0 && moved < N_KILLS);
    CHECK_OK(vm_destroy(rig->host, rig->arena, &(struct vm_destroy_req){ 0 }));
    ipc_peer_drop(&rig->host);
    rig_ended(rig, &p);
}

REAL_TEST(killed_qemu_is_told_truly_in_suspend_and_migration)
{
    AUTO(fd_drop) int image = image_file();

    for (unsigned i = 0; i < N_KILLS; i++) {
        rig_start(rig);
        count(rig, 1);
        pid_t killer = kill_in(i * 6000, rig_pid(rig));
        tolerate(i % 2 ? migrate(rig) : suspend(rig, image));
        waitpid(killer, NULL, 0);
        fiber_sleep(50000);
        const char *power = rig_power(rig);
        if (strcmp(power, "Suspended") == 0) {
            CHECK_INT(vm_image_state(image), VM_IMAGE_WHOLE);
            CHECK_OK(resume(rig, image, false));
            rig_console_open(rig);
            count(rig, 2);
        } else if (strcmp(power, "Running") == 0) {
            rig_console_open(rig);
            count(rig, 2);
        } else {
            CHECK_STR(power, "Halted");
            CHECK(vm_image_state(image) != VM_IMAGE_WHOLE || i % 2);
        }
        CHECK_OK(vm_destroy(rig->host, rig->arena, &(struct vm_destroy_req){ 0 }));
        CHECK_INT(rig_n_qemus(), 0);
        rig_restart_service(rig, "Halted", strcmp(power, "Halted") == 0 ? "gone" : "destroyed");
        CHECK(ftruncate(image, 0) == 0);
    }
}
