#include "daemons/net/space.h"
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/backend.h"

#define PASTA "/usr/bin/pasta"
#define NOTE "space"

/* ---- the holder ---- */

static bool put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return ok;
}

static bool loopback_up(void)
{
    struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &r) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

/* Root within is this user without. 0, or errno. */
static int make_space(void)
{
    char uid[64], gid[64];

    snprintf(uid, sizeof(uid), "0 %u 1", (unsigned)getuid());
    snprintf(gid, sizeof(gid), "0 %u 1", (unsigned)getgid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return errno;
    prctl(PR_SET_DUMPABLE, 1); /* or our own maps would not be ours to write */
    if (!put("/proc/self/setgroups", "deny") || !put("/proc/self/uid_map", uid) || !put("/proc/self/gid_map", gid) ||
        !loopback_up())
        return errno ? errno : EPERM;
    return 0;
}

/* Standard input, output and error, and this one, which becomes 3. */
static void keep_only(int *fd)
{
    if (*fd != 3 && dup3(*fd, 3, O_CLOEXEC) == 3)
        *fd = 3;
    close_range(4, ~0U, 0);
}

static NORETURN void hold(int report)
{
    int errnum;

    keep_only(&report); /* a door that we kept open would look as if somebody served there */
    errnum = make_space();

    if (write(report, &errnum, sizeof(errnum)) < 0 || errnum)
        _exit(1);
    close(report);
    prctl(PR_SET_NAME, "runnymede-space");
    for (;;)
        pause();
}

/* Runs pasta as long as the holder lives. */
static NORETURN void uplink(pid_t holder, const char *dir)
{
    char target[32];
    AUTO(mem_drop) char *pid_file = mem_printf("%s/uplink.pid", dir);
    /* Addresses that are nobody's (RFC 7335), so that none of the host's own is missing in the world out there. */
    const char *const argv[] = { PASTA, "--foreground", "--quiet", "--stderr", "--config-net", "--no-map-gw",
        "--ns-ifname", NET_UPLINK, "--address", "192.0.0.2", "--netmask", "29", "--gateway", "192.0.0.1",
        "--dns-forward", SPACE_DNS, "--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns",
        "none", "--ipv4-only", "--pid", pid_file, target, NULL };
    int wait_s = 1;

    snprintf(target, sizeof(target), "%d", (int)holder);
    prctl(PR_SET_NAME, "runnymede-uplink");
    for (;;) {
        struct proc_spec spec = { .argv = argv, .die_with_parent = SIGTERM };
        AUTO(fd_drop) int pidfd = -1;
        pid_t pid = -1, gone;
        struct err *e = proc_spawn(&spec, &pid, &pidfd);

        if (e)
            err_ignore(e, "without pasta there is no way out; it may be installed later");
        do
            gone = e ? waitpid(holder, NULL, WNOHANG) : wait(NULL);
        while (gone > 0 && gone != holder && gone != pid);
        if (gone == holder || (gone < 0 && errno == ECHILD))
            _exit(0); /* pasta ends with us */
        nanosleep(&(struct timespec){ .tv_sec = wait_s }, NULL);
        wait_s = wait_s < 30 ? wait_s * 2 : wait_s;
    }
}

/* Two generations: neither is ours, so both outlive us. */
static struct err *holder_start(const char *dir, pid_t *ret_pid)
{
    struct {
        pid_t pid;
        int errnum;
    } report = { -1, 0 };
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(errno, "make a pipe");
    pid_t first = fork();
    if (first == 0) {
        setsid();
        pid_t middle = fork();
        if (middle != 0)
            _exit(middle < 0);
        close(fds[0]);
        int inner[2];
        if (pipe2(inner, O_CLOEXEC) < 0)
            _exit(1);
        pid_t holder = fork();
        if (holder == 0) {
            close(fds[1]);
            close(inner[0]);
            hold(inner[1]);
        }
        close(inner[1]);
        report.pid = holder;
        if (holder < 0 || read(inner[0], &report.errnum, sizeof(report.errnum)) != sizeof(report.errnum))
            report.errnum = EPERM;
        close(inner[0]);
        if (write(fds[1], &report, sizeof(report)) < 0 || report.errnum)
            _exit(1);
        close_range(3, ~0U, 0);
        uplink(holder, dir);
    }
    close(fds[1]);
    ssize_t n = first < 0 ? -1 : read(fds[0], &report, sizeof(report));
    close(fds[0]);
    if (first > 0)
        waitpid(first, NULL, 0);
    if (n != sizeof(report))
        return err_internal("the private network did not come up");
    if (report.errnum)
        return err_errno(report.errnum, "make a private network");
    *ret_pid = report.pid;
    return NULL;
}

/* ---- finding and entering ---- */

/* A machine without a way out itself has none for its guests. */
static void await_uplink(void)
{
    for (int i = 0; i < 100 && if_nametoindex(NET_UPLINK) == 0; i++)
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
}

static bool holder_find(const char *dir, pid_t *ret_pid)
{
    AUTO(mem_drop) char *path = mem_printf("%s/" NOTE, dir);
    AUTO(buf_done) struct buf b = { 0 };
    AUTO(fd_drop) int pidfd = -1;
    struct str pid_text, ticks_text;
    int64_t pid = 0;
    uint64_t ticks = 0;

    buf_init(&b, 128);
    struct err *e = file_read(AT_FDCWD, path, &b);
    if (!e && str_cut(buf_str(&b), ' ', &pid_text, &ticks_text) && str_to_i64(pid_text, &pid) &&
        str_to_u64(ticks_text, &ticks) && pid > 1)
        e = proc_open((pid_t)pid, ticks, &pidfd);
    if (e)
        err_ignore(e, "then a new one is made");
    *ret_pid = (pid_t)pid;
    return pidfd >= 0;
}

static struct err *holder_note(const char *dir, pid_t pid)
{
    AUTO(mem_drop) char *path = mem_printf("%s/" NOTE, dir);
    AUTO(mem_drop) char *text = NULL;
    uint64_t ticks;

    TRY(proc_start_time(pid, &ticks));
    text = mem_printf("%d %llu", (int)pid, (unsigned long long)ticks);
    return file_write_atomic(AT_FDCWD, path, text, strlen(text), 0644);
}

static struct err *enter(pid_t holder, const char *kind, int type)
{
    AUTO(mem_drop) char *path = mem_printf("/proc/%d/ns/%s", (int)holder, kind);
    AUTO(fd_drop) int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(errno, "open %s", path);
    return setns(fd, type) < 0 ? err_errno(errno, "enter %s", path) : NULL;
}

void space_leave(const char *dir)
{
    pid_t holder = -1;

    if (holder_find(dir, &holder))
        kill(holder, SIGKILL); /* its parent, and pasta, end with it */
}

struct err *space_enter(const char *dir)
{
    pid_t holder = -1;
    bool found;

    prctl(PR_SET_DUMPABLE, 1); /* whoever changed its user is not; the holder inherits it */
    found = holder_find(dir, &holder);
    if (!found) {
        TRY(holder_start(dir, &holder));
        TRY(holder_note(dir, holder));
    }
    TRY(enter(holder, "user", CLONE_NEWUSER));
    TRY(enter(holder, "net", CLONE_NEWNET));
    if (!found)
        await_uplink();
    return NULL;
}
