#include "base/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "test.h"

/* Runs fn in a child: a sandbox has no way out. 0 is success, else the line that failed. */
static int in_child(int (*fn)(void))
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0)
        _exit(fn());
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int enter(const struct sandbox *s)
{
    const char *missing = NULL;
    struct err *e = sandbox_enter(s, &missing);

    if (e && write(2, err_text(e), strlen(err_text(e))) < 0)
        return 1;
    return e != NULL;
}

#define EXPECT(cond)                   \
    do {                               \
        if (!(cond))                   \
            return __LINE__ % 250 + 1; \
    } while (0)

static int denied(long r)
{
    return r < 0 && errno == EPERM;
}

static void *thread_main(void *arg)
{
    return arg;
}

static int plain(void)
{
    EXPECT(enter(&(struct sandbox){ 0 }) == 0);
    EXPECT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    EXPECT(denied(ptrace(PTRACE_TRACEME, 0, 0, 0)));
    EXPECT(denied(syscall(SYS_mount, "a", "b", "c", 0, NULL)));
    EXPECT(denied(syscall(SYS_bpf, 0, NULL, 0)));
    EXPECT(denied(syscall(SYS_keyctl, 0, 0, 0, 0, 0)));
    EXPECT(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 0 || geteuid() != 0);
    EXPECT(open("/dev/null", O_RDONLY) >= 0);
    EXPECT(socket(AF_INET, SOCK_STREAM, 0) >= 0);
    return 0;
}

static int closed(void)
{
    struct sandbox s = { .no_new_files = true,
        .no_exec = true,
        .no_network = true,
        .syscalls = (const char *const[]){ "setitimer" },
        .n_syscalls = 1 };
    pthread_t id;

    EXPECT(enter(&s) == 0);
    EXPECT(denied(open("/dev/null", O_RDONLY)));
    EXPECT(denied(mkdirat(AT_FDCWD, "/tmp/x", 0700)));
    EXPECT(denied(syscall(SYS_io_uring_setup, 1, NULL)));
    EXPECT(denied(socket(AF_INET, SOCK_STREAM, 0)));
    EXPECT(denied(socket(AF_NETLINK, SOCK_RAW, 0)));
    EXPECT(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
    EXPECT(denied(fork()));
    EXPECT(denied(execve("/bin/true", (char *[]){ NULL }, (char *[]){ NULL })));
    EXPECT(pthread_create(&id, NULL, thread_main, NULL) == 0 && pthread_join(id, NULL) == 0);
    EXPECT(denied(syscall(SYS_setitimer, 0, NULL, NULL)));
    return 0;
}

static int as_user(void)
{
    static const int keep[] = { CAP_NET_ADMIN };
    struct sandbox s = { .uid = 54321, .root = "/tmp", .keep_caps = keep, .n_keep_caps = 1 };
    struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct d[2] = { { 0 } };
    const char *missing = "unset";
    struct err *e = sandbox_enter(&s, &missing);

    EXPECT(!e);
    EXPECT(!missing);
    EXPECT(getuid() == 54321 && geteuid() == 54321 && getgid() == 54321);
    EXPECT(getgroups(0, NULL) == 0);
    EXPECT(access("/usr", F_OK) < 0);
    EXPECT(syscall(SYS_capget, &h, d) == 0);
    EXPECT(d[0].effective == 1u << CAP_NET_ADMIN && d[1].effective == 0);
    EXPECT(d[0].permitted == 1u << CAP_NET_ADMIN);
    EXPECT(setuid(0) < 0);
    return 0;
}

static int without_root(void)
{
    struct sandbox s = { .uid = 54321, .root = "/tmp" };
    const char *missing = NULL;
    struct err *e;

    if (geteuid() == 0)
        EXPECT(setresgid(12345, 12345, 12345) == 0 && setresuid(12345, 12345, 12345) == 0);
    e = sandbox_enter(&s, &missing);
    EXPECT(!e);
    EXPECT(missing && strcmp(missing, "user, chroot") == 0);
    EXPECT(denied(ptrace(PTRACE_TRACEME, 0, 0, 0)));
    return 0;
}

static int bad_names(void)
{
    struct sandbox user = { .user = "no-such-user-here" };
    struct sandbox call = { .syscalls = (const char *const[]){ "no_such_call" }, .n_syscalls = 1 };
    const char *missing = NULL;

    EXPECT(err_is(sandbox_enter(&user, &missing), "INTERNAL_ERROR"));
    EXPECT(err_is(sandbox_enter(&call, &missing), "INTERNAL_ERROR"));
    return 0;
}

TEST(dangerous_calls_are_always_denied)
{
    CHECK_INT(in_child(plain), 0);
}

TEST(closed_sandbox_opens_starts_and_connects_nothing)
{
    CHECK_INT(in_child(closed), 0);
}

TEST(root_becomes_the_user_with_only_the_kept_capability)
{
    if (geteuid() != 0)
        return; /* the next test shows what happens then */
    CHECK_INT(in_child(as_user), 0);
}

TEST(missing_walls_are_named_without_root)
{
    CHECK_INT(in_child(without_root), 0);
}

TEST(unknown_names_are_errors)
{
    CHECK_INT(in_child(bad_names), 0);
}
