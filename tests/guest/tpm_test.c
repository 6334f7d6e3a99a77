/* A guest's TPM on real QEMU: what it keeps survives everything but its end. */
#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "rig.h"

static void ask(struct rig *rig, const char *want)
{
    rig_type(rig, 't');
    rig_expect(rig, want);
}

static void start_with_tpm(struct rig *rig)
{
    rig->plan.vtpm = true;
    rig_start(rig);
    ask(rig, "tpm is new\r\n");
}

/* Processes with this test's folder, or one in it, as theirs. */
static int n_in_folder(void)
{
    DIR *proc = opendir("/proc");
    int n = 0;

    for (struct dirent *d; proc && (d = readdir(proc));) {
        char path[64], cwd[512] = { 0 };

        snprintf(path, sizeof(path), "/proc/%.20s/cwd", d->d_name);
        n += readlink(path, cwd, sizeof(cwd) - 1) > 0 && !strncmp(cwd, test_tmpdir_path(), strlen(test_tmpdir_path()));
    }
    CHECK(proc && closedir(proc) == 0);
    return n;
}

/* Who was told to end, or lost its guest, does so in a moment. */
static void expect_nobody_in_folder(void)
{
    for (int i = 0; i < 150 && n_in_folder(); i++)
        fiber_sleep(20000);
    CHECK_INT(n_in_folder(), 0);
}

REAL_TEST(what_the_tpm_keeps_is_told_and_given_back_at_the_next_start)
{
    rig_start(rig);
    ask(rig, "tpm is missing\r\n");
    CHECK_OK(vm_destroy(rig->host, rig->arena, &(struct vm_destroy_req){ 0 }));
    CHECK_INT(rig->n_tpm, 0);
    start_with_tpm(rig);
    ask(rig, "tpm remembers\r\n");
    CHECK_OK(vm_destroy(rig->host, rig->arena, &(struct vm_destroy_req){ 0 }));
    CHECK(rig->n_tpm > 1000);
    rig->plan.tpm = (struct str){ rig->tpm, rig->n_tpm };
    rig_start(rig);
    ask(rig, "tpm remembers\r\n");
    CHECK_OK(vm_hard_reboot(rig->host, rig->arena, &(struct vm_hard_reboot_req){ 0 }));
    rig_expect(rig, "guest up");
    ask(rig, "tpm remembers\r\n");
    CHECK_OK(vm_destroy(rig->host, rig->arena, &(struct vm_destroy_req){ 0 }));
    rig->plan.tpm = STR("");
    rig_start(rig);
    ask(rig, "tpm is new\r\n");
}

REAL_TEST(memory_that_is_none_keeps_the_guest_from_starting)
{
    struct vm_start_rep rep;

    rig->plan.vtpm = true;
    rig->plan.tpm = STR("?");
    CHECK_ERR(vm_start(rig->host, rig->arena, &(struct vm_start_req){ .plan = rig->plan }, &rep), "INTERNAL_ERROR");
    expect_nobody_in_folder();
}

REAL_TEST(a_move_takes_the_tpm_along)
{
    struct vm_migrate_rep moved;

    start_with_tpm(rig);
    CHECK_OK(vm_migrate(rig->host, rig->arena, &(struct vm_migrate_req){ .plan = rig->plan }, &moved));
    rig_console_open(rig);
    ask(rig, "tpm remembers\r\n");
    CHECK_INT(n_in_folder(), 2);
    CHECK_OK(vm_migrate(rig->host, rig->arena, &(struct vm_migrate_req){ .plan = rig->plan }, &moved));
    rig_console_open(rig);
    ask(rig, "tpm remembers\r\n");
    CHECK_OK(vm_destroy(rig->host, rig->arena, &(struct vm_destroy_req){ 0 }));
    expect_nobody_in_folder();
    rig->plan.tpm = (struct str){ rig->tpm, rig->n_tpm };
    rig_start(rig);
    ask(rig, "tpm remembers\r\n");
}

REAL_TEST(a_suspended_guest_finds_its_tpm_again)
{
    AUTO(fd_drop) int image = memfd_create("image", MFD_CLOEXEC);
    AUTO(fd_drop) int lease = memfd_create("lease", MFD_CLOEXEC);
    struct vm_resume_rep rep;

    start_with_tpm(rig);
    CHECK_OK(vm_suspend(rig->host, rig->arena, &(struct vm_suspend_req){ .image = image, .lease = lease }));
    expect_nobody_in_folder();
    rig->plan.paused = false;
    rig->plan.tpm = (struct str){ rig->tpm, rig->n_tpm };
    CHECK_OK(vm_resume(
        rig->host, rig->arena, &(struct vm_resume_req){ .plan = rig->plan, .image = image, .lease = lease }, &rep));
    rig_console_open(rig);
    ask(rig, "tpm remembers\r\n");
}

REAL_TEST(the_next_service_tells_what_nobody_heard)
{
    start_with_tpm(rig);
    rig->n_tpm = 0;
    rig_restart_service(rig, "Running", "");
    CHECK(rig->n_tpm > 1000);
    ask(rig, "tpm remembers\r\n");
    CHECK(kill(rig_pid(rig), SIGKILL) == 0);
    rig_wait_told(rig, "gone/Halted");
    expect_nobody_in_folder();
    rig->plan.tpm = (struct str){ rig->tpm, rig->n_tpm };
    rig_start(rig);
    ask(rig, "tpm remembers\r\n");
}
