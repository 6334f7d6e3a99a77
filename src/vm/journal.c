#include "vm/journal.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include "base/fd.h"
#include "base/mem.h"
#include "gen/ipc_vm.h"

#define PLAN_MAX (1024 * 1024)

static const char *const phases[] = {
    [VM_PHASE_NONE] = "none",
    [VM_PHASE_STARTING] = "starting",
    [VM_PHASE_LIVE] = "live",
    [VM_PHASE_REBOOTING] = "rebooting",
    [VM_PHASE_SUSPENDING] = "suspending",
    [VM_PHASE_SAVED] = "saved",
    [VM_PHASE_SUSPENDED] = "suspended",
    [VM_PHASE_RESUMING] = "resuming",
    [VM_PHASE_ENDED] = "ended",
};

static struct err *open_dir(const char *path, int *ret_fd)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(errno, "open folder of the VM");
    *ret_fd = fd;
    return NULL;
}

struct err *vm_journal_write(const char *dir, const struct vm_journal *j)
{
    AUTO(fd_drop) int fd = -1;
    char line[128];
    int n = snprintf(line, sizeof(line), "%s %" PRIu64 " %s\n", phases[j->phase], j->started_us, j->reason);

    TRY(open_dir(dir, &fd));
    return file_write_atomic(fd, "journal", line, (size_t)n, 0600);
}

static bool parse(struct str text, struct vm_journal *ret)
{
    struct vm_journal j = { 0 };
    struct str phase, started, line, rest;

    if (!str_cut(text, '\n', &line, &rest) || !str_cut(line, ' ', &phase, &rest) ||
        !str_cut(rest, ' ', &started, &rest))
        return false;
    if (!str_to_u64(started, &j.started_us) || rest.len >= sizeof(j.reason))
        return false;
    memcpy(j.reason, rest.p, rest.len);
    for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
        if (str_eq_c(phase, phases[i])) {
            j.phase = (enum vm_phase)i;
            *ret = j;
            return true;
        }
    }
    return false;
}

struct err *vm_journal_read(const char *dir, struct vm_journal *ret_journal)
{
    AUTO(fd_drop) int fd = -1;
    AUTO(buf_done) struct buf b;
    struct err *e;

    buf_init(&b, 256);
    TRY(open_dir(dir, &fd));
    e = file_read(fd, "journal", &b);
    if (e && err_errno_get(e) == ENOENT) {
        err_ignore(e, "never started here");
        *ret_journal = (struct vm_journal){ 0 };
        return NULL;
    }
    TRY(e);
    return parse(buf_str(&b), ret_journal) ? NULL : err_internal("malformed journal of the VM");
}

struct err *vm_plan_save(const char *dir, const struct vm_plan *plan)
{
    AUTO(fd_drop) int fd = -1;
    AUTO(buf_done) struct buf b;
    struct vm_plan kept = *plan;

    kept.nvram = kept.tpm = STR(""); /* the hypervisor keeps those in files of its own */
    buf_init(&b, PLAN_MAX);
    TRY(open_dir(dir, &fd));
    TRY(vm_plan_encode(&b, &kept));
    return file_write_atomic(fd, "plan", b.p, b.len, 0600);
}

struct err *vm_plan_load(const char *dir, struct arena *a, struct vm_plan *ret_plan)
{
    AUTO(fd_drop) int fd = -1;
    AUTO(buf_done) struct buf b;

    buf_init(&b, PLAN_MAX);
    TRY(open_dir(dir, &fd));
    TRY(file_read(fd, "plan", &b));
    return vm_plan_decode(a, buf_str(&b), ret_plan);
}
