/*
 * A guest's TPM: a swtpm beside its QEMU, in the same cell, which serves until
 * QEMU hangs up. It keeps its memory in the folder "tpm", replaced as a whole
 * at every change; the folder is its working directory, so a move can rename it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "hyper/qemu/private.h"
#include "hyper/qemu/record.h"

#define SWTPM "/usr/bin/swtpm"
#define FOLDER "tpm"
#define MEMORY "tpm2-00.permall"
#define RECORD "tpm.pid"
#define CONTROL_FD 3

/* Room for both. */
struct names {
    char folder[QEMU_ID_SIZE], record[QEMU_ID_SIZE];
};

static struct names names_of(const char *prefix)
{
    struct names n;

    snprintf(n.folder, sizeof(n.folder), "%s" FOLDER, prefix);
    snprintf(n.record, sizeof(n.record), "%s" RECORD, prefix);
    return n;
}

static struct err *forget_memory(int dir, const char *folder, bool folder_too)
{
    static const char *const files[] = { MEMORY, ".lock", "tpm2-00.volatilestate", "tpm2-00.savestate" };
    AUTO(fd_drop) int at = openat(dir, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (at < 0)
        return errno == ENOENT ? NULL : err_errno(errno, "open %s", folder);
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (unlinkat(at, files[i], 0) < 0 && errno != ENOENT)
            return err_errno(errno, "remove %s", files[i]);
    if (folder_too && unlinkat(dir, folder, AT_REMOVEDIR) < 0)
        return err_errno(errno, "remove %s", folder);
    return NULL;
}

static struct err *put_memory(int dir, const char *folder, struct str memory)
{
    AUTO(fd_drop) int at = -1;

    TRY(forget_memory(dir, folder, false));
    if (mkdirat(dir, folder, 0700) < 0 && errno != EEXIST)
        return err_errno(errno, "make %s", folder);
    at = openat(dir, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (at < 0)
        return err_errno(errno, "open %s", folder);
    return memory.len ? file_write_atomic(at, MEMORY, memory.p, memory.len, 0600) : NULL;
}

struct err *qemu_tpm_start(struct qemu *q, int dir, struct str memory, int log, int *ret_fd)
{
    static const char *const argv[] = { SWTPM, "socket", "--tpm2", "--tpmstate", "dir=.,mode=0600", "--ctrl",
        "type=unixio,clientfd=3", "--terminate", "--seccomp", "action=kill", NULL };
    AUTO(record_done) struct record record = { -1, -1, 0, false };
    struct names n = names_of(q->prefix);
    AUTO(mem_drop) char *cwd = mem_printf("%s/%s", q->env.dir, n.folder);
    AUTO(fd_drop) int ours = -1;
    AUTO(fd_drop) int theirs = -1;
    AUTO(fd_drop) int pidfd = -1;
    int pair[2];
    pid_t pid;

    if (access(SWTPM, X_OK) < 0)
        return err_internal("a guest's TPM needs " SWTPM ", which is not installed");
    TRY(put_memory(dir, n.folder, memory));
    TRY(record_open(dir, n.record, false, &record));
    TRY(socket_pair(pair));
    ours = pair[0];
    theirs = pair[1];
    struct proc_fd fds[] = { { theirs, CONTROL_FD }, { log, 1 }, { log, 2 } };
    struct proc_spec spec = {
        .argv = argv, .fds = fds, .n_fds = ARRAY_LEN(fds), .cwd = cwd, .in_child = record_in_child, .arg = &record
    };
    TRY(proc_spawn(&spec, &pid, &pidfd));
    qemu_tpm_watch(q);
    *ret_fd = fd_take(&ours);
    return NULL;
}

/* One that never had its QEMU does not see it go. */
void qemu_tpm_end(int dir, const char *prefix)
{
    struct names n = names_of(prefix);
    struct record_found r = { .pidfd = -1 };

    err_ignore(record_find(dir, n.record, &r), "then it is found by its user when the cell goes");
    if (r.pidfd >= 0)
        err_ignore(proc_kill(r.pidfd, SIGKILL), "it has ended");
    fd_drop(&r.pidfd);
    unlinkat(dir, n.record, 0);
}

static void on_notify(void *arg, uint32_t events UNUSED)
{
    struct qemu *q = arg;
    char some[4096];
    bool any = false;

    while (read(q->tpm_notify, some, sizeof(some)) > 0)
        any = true;
    if (any)
        qemu_tell(q, HYPER_EV_TPM, NULL);
}

void qemu_tpm_watch(struct qemu *q)
{
    AUTO(mem_drop) char *path = mem_printf("%s/%s", q->env.dir, names_of(q->prefix).folder);

    qemu_tpm_unwatch(q);
    q->tpm_notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (q->tpm_notify < 0 || inotify_add_watch(q->tpm_notify, path, IN_MOVED_TO | IN_CLOSE_WRITE) < 0)
        qemu_tpm_unwatch(q); /* no TPM; or out of watches, and its memory is read when the guest ends */
    else
        q->tpm_watch = watch_new(q->env.loop, q->tpm_notify, EPOLLIN, on_notify, q);
}

void qemu_tpm_unwatch(struct qemu *q)
{
    watch_drop(&q->tpm_watch);
    fd_drop(&q->tpm_notify);
}

/* The one before has ended with its QEMU. */
struct err *qemu_tpm_take_name(int dir)
{
    if (faccessat(dir, QEMU_NEXT FOLDER, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        qemu_tpm_end(dir, "");
        TRY(forget_memory(dir, FOLDER, true));
        if (renameat(dir, QEMU_NEXT FOLDER, dir, FOLDER) < 0)
            return err_errno(errno, "rename " QEMU_NEXT FOLDER);
    }
    if (renameat(dir, QEMU_NEXT RECORD, dir, RECORD) < 0 && errno != ENOENT)
        return err_errno(errno, "rename " QEMU_NEXT RECORD);
    return NULL;
}

struct err *qemu_tpm_memory(const struct hyper_env *env, struct buf *b)
{
    AUTO(fd_drop) int dir = -1;
    struct err *e;

    TRY(qemu_open_dir(env, &dir));
    e = file_read(dir, FOLDER "/" MEMORY, b);
    if (e && err_errno_get(e) == ENOENT) {
        err_ignore(e, "it has none yet");
        return NULL;
    }
    return e;
}
