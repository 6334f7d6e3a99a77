#include "base/sandbox.h"
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/mem.h"

/* What no process of ours does after its start. Unknown names of an older libseccomp are skipped: see deny(). */
static const char *const denied_always[] = {
    "ptrace", "process_vm_readv", "process_vm_writev", "kcmp", /* other processes */
    "init_module", "finit_module", "delete_module",            /* the kernel's code */
    "kexec_load", "kexec_file_load", "reboot", "bpf", "perf_event_open", "userfaultfd", "lookup_dcookie", "mount",
    "umount", "umount2", "pivot_root", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick",
    "mount_setattr", "swapon", "swapoff", "quotactl", "quotactl_fd", "acct", "open_by_handle_at", /* file systems */
    "keyctl", "add_key", "request_key", "syslog", "vhangup", "iopl", "ioperm", "nfsservctl", "settimeofday",
    "clock_settime", "clock_adjtime", "adjtimex", /* everybody's clock */
};

static const char *const denied_files[] = {
    "open",
    "openat",
    "openat2",
    "creat",
    "mknod",
    "mknodat",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "truncate",
    "chmod",
    "fchmodat",
    "chown",
    "lchown",
    "fchownat",
    "execve",
    "execveat",
    "chroot",
};

static const char *const denied_exec[] = { "execve", "execveat", "fork", "vfork" };

#define DENY SCMP_ACT_ERRNO(EPERM)

static void filter_drop(scmp_filter_ctx *f)
{
    if (*f)
        seccomp_release(*f);
    *f = NULL;
}

static struct err *deny(scmp_filter_ctx f, const char *name, bool must_exist)
{
    int nr = seccomp_syscall_resolve_name(name);
    int r;

    if (nr == __NR_SCMP_ERROR)
        return must_exist ? err_internal("no system call is named %s", name) : NULL;
    r = seccomp_rule_add(f, DENY, nr, 0);
    return r < 0 && r != -EEXIST ? err_errno(-r, "deny %s", name) : NULL;
}

static struct err *deny_all(scmp_filter_ctx f, const char *const *names, size_t n, bool must_exist)
{
    for (size_t i = 0; i < n; i++)
        TRY(deny(f, names[i], must_exist));
    return NULL;
}

static struct err *deny_processes(scmp_filter_ctx f)
{
    int r;

    TRY(deny_all(f, denied_exec, ARRAY_LEN(denied_exec), false));
    r = seccomp_rule_add(f, DENY, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    if (!r) /* its flags lie in memory that a filter cannot read; ENOSYS sends libc back to clone() */
        r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    return r < 0 ? err_errno(-r, "deny processes") : NULL;
}

/* Where one cannot make a socket of another family, bind() and connect() reach no other family either. */
static struct err *deny_network(scmp_filter_ctx f)
{
    int r = seccomp_rule_add(f, DENY, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX));

    return r < 0 ? err_errno(-r, "deny sockets") : NULL;
}

static struct err *filter_load(const struct sandbox *s)
{
    AUTO(filter_drop) scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    int r;

    if (!f)
        return err_internal("no seccomp filter");
    TRY(deny_all(f, denied_always, ARRAY_LEN(denied_always), false));
    TRY(deny_all(f, s->syscalls, s->n_syscalls, true));
    if (s->no_new_files)
        TRY(deny_all(f, denied_files, ARRAY_LEN(denied_files), false));
    if (s->no_exec)
        TRY(deny_processes(f));
    if (s->no_network)
        TRY(deny_network(f));
    if (s->no_new_files || s->no_network) /* a ring opens files and sockets past this filter */
        TRY(deny(f, "io_uring_setup", false));
    r = seccomp_load(f);
    return r < 0 ? err_errno(-r, "load seccomp filter") : NULL;
}

static struct err *find_user(const struct sandbox *s, uid_t *ret_uid, gid_t *ret_gid)
{
    struct passwd pw, *found = NULL;
    char buf[4096];
    int errnum;

    *ret_uid = geteuid();
    *ret_gid = getegid();
    if (!s->user) {
        if (s->uid)
            *ret_uid = *ret_gid = s->uid; /* a uid made for one guest has a group of the same number */
        return NULL;
    }
    errnum = getpwnam_r(s->user, &pw, buf, sizeof(buf), &found);
    if (!found)
        return err_errno(errnum ? errnum : ENOENT, "user %s", s->user);
    *ret_uid = pw.pw_uid;
    *ret_gid = pw.pw_gid;
    return NULL;
}

/* Becomes the user and keeps only keep_caps, of those that we have. */
static struct err *drop_rights(const struct sandbox *s, uid_t uid, gid_t gid, bool change_user)
{
    bool bounding = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
    bool had[CAP_LAST_CAP + 1] = { false };
    int r;

    for (size_t i = 0; i < s->n_keep_caps; i++) {
        if (s->keep_caps[i] < 0 || s->keep_caps[i] > CAP_LAST_CAP)
            return err_internal("no capability has the number %d", s->keep_caps[i]);
        had[s->keep_caps[i]] = capng_have_capability(CAPNG_PERMITTED, (unsigned)s->keep_caps[i]);
    }
    capng_clear(CAPNG_SELECT_BOTH);
    for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (had[cap])
            capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, cap);
    if (change_user)
        r = capng_change_id((int)uid, (int)gid, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING);
    else
        r = capng_apply(bounding ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS);
    return r < 0 ? err_internal("drop capabilities: step %d failed", -r) : NULL;
}

/* The kernel forgets who wants to die with its parent when it changes its user. */
static struct err *remember_parent(int signo, pid_t parent)
{
    if (!signo)
        return NULL;
    if (prctl(PR_SET_PDEATHSIG, signo) < 0)
        return err_errno(errno, "end with the parent");
    if (getppid() != parent)
        raise(signo);
    return NULL;
}

struct err *sandbox_enter(const struct sandbox *s, const char **ret_missing)
{
    static const char *const missing[] = { NULL, "user", "chroot", "user, chroot" };
    unsigned lacks = 0;
    uid_t uid;
    gid_t gid;
    bool change_user;
    int death_signo = 0;
    pid_t parent = getppid();

    if (prctl(PR_GET_PDEATHSIG, &death_signo) < 0)
        return err_errno(errno, "read the parent's death signal");
    if (capng_get_caps_process() < 0)
        return err_errno(errno, "read capabilities");
    TRY(find_user(s, &uid, &gid));
    change_user = uid != geteuid();
    if (change_user &&
        !(capng_have_capability(CAPNG_EFFECTIVE, CAP_SETUID) && capng_have_capability(CAPNG_EFFECTIVE, CAP_SETGID))) {
        change_user = false;
        lacks |= 1;
    }
    if (s->root && !capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_CHROOT))
        lacks |= 2;
    else if (s->root && (chroot(s->root) < 0 || chdir("/") < 0))
        return err_errno(errno, "chroot to %s", s->root);
    TRY(drop_rights(s, uid, gid, change_user));
    TRY(remember_parent(death_signo, parent));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_errno(errno, "no_new_privs");
    TRY(filter_load(s));
    *ret_missing = missing[lacks];
    return NULL;
}
