#include "host/wall.h"
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "host/cgroup.h"

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET)
#define HIDE_MAX 2

/* What glibc 2.36's <sys/mount.h> and <linux/mount.h> do not let one include together. */
struct attr_change {
    uint64_t set, clear, propagation, userns_fd;
};

struct walls {
    bool uid, namespaces;
    struct cgroup *cgroup; /* owned; NULL: none */
    char *hide[HIDE_MAX];  /* owned; parents of programs are left out */
    size_t n_hide;
    gid_t kvm_group; /* 0: none needed */
    const char *missing[3];
    size_t n_missing;
};

static bool above(const char *folder, const char *path)
{
    size_t n;

    assert(folder && path);
    n = strlen(folder);
    return strncmp(folder, path, n) == 0 && (path[n] == '/' || !path[n]);
}

static void hide_add(struct walls *w, const struct walls_config *c, const char *folder)
{
    if (!folder || access(folder, F_OK) < 0 || w->n_hide == HIDE_MAX)
        return; /* what does not exist needs no hiding */
    for (size_t i = 0; i < c->n_programs; i++)
        if (above(folder, c->programs[i]))
            return;
    for (size_t i = 0; i < w->n_hide; i++) {
        if (above(w->hide[i], folder))
            return;
        if (above(folder, w->hide[i])) {
            free(w->hide[i]);
            w->hide[i] = mem_strdup(folder);
            return;
        }
    }
    w->hide[w->n_hide++] = mem_strdup(folder);
}

/* The folders down to the cell's, in the empty file systems that hide ours. */
static void make_parents(const char *dir)
{
    char path[4096];
    size_t n = strlen(dir);

    if (n >= sizeof(path))
        return;
    memcpy(path, dir, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i])
            continue;
        path[i] = 0;
        mkdir(path, 0711); /* most exist; what is missing is told by the move */
        path[i] = i < n ? '/' : 0;
    }
}

static int attr(int fd, const char *path, unsigned flags, uint64_t set, uint64_t clear)
{
    struct attr_change change = { .set = set, .clear = clear };

    return (int)syscall(SYS_mount_setattr, fd, path, flags, &change, sizeof(change));
}

static int enter_namespaces(const struct wall *wall)
{
    const struct walls *w = wall->walls;
    int tree;

    if (unshare(NAMESPACES) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    tree = (int)syscall(SYS_open_tree, AT_FDCWD, wall->dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return -1;
    for (size_t i = 0; i < w->n_hide; i++)
        if (mount("none", w->hide[i], "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=711,size=64k") < 0)
            return -1;
    make_parents(wall->dir);
    if (syscall(SYS_move_mount, tree, "", AT_FDCWD, wall->dir, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return -1;
    close(tree);
    if (attr(AT_FDCWD, "/", AT_RECURSIVE, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0) < 0)
        return -1;
    return attr(AT_FDCWD, wall->dir, 0, 0, MOUNT_ATTR_RDONLY);
}

/* Only async-signal-safe calls: runs between fork and exec. */
int wall_enter(void *arg)
{
    const struct wall *wall = arg;
    const struct walls *w = wall->walls;
    struct rlimit no_core = { 0, 0 }; /* a guest's memory does not belong on a disk */

    setrlimit(RLIMIT_CORE, &no_core);
    if (wall->cgroup_fd >= 0 && write(wall->cgroup_fd, "0", 1) < 0)
        return -1;
    if (w->namespaces && enter_namespaces(wall) < 0)
        return -1;
    if (!wall->uid)
        return 0;
    if (syscall(SYS_setgroups, w->kvm_group ? 1 : 0, &w->kvm_group) < 0 ||
        syscall(SYS_setresgid, wall->uid, wall->uid, wall->uid) < 0 ||
        syscall(SYS_setresuid, wall->uid, wall->uid, wall->uid) < 0)
        return -1;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static bool works(const struct walls *w, uid_t uid, const char *dir)
{
    struct wall wall = { .walls = w, .uid = uid, .dir = dir, .cgroup_fd = -1 };
    int status = -1;
    pid_t pid = fork();

    if (pid == 0)
        _exit(wall_enter(&wall) == 0 ? 0 : 1);
    if (pid < 0)
        return false;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The device's group, if it is what gives access: guests get it as their only supplementary group. */
static gid_t kvm_group(void)
{
    struct stat st;

    if (stat("/dev/kvm", &st) < 0 || (st.st_mode & 0006) == 0006 || (st.st_mode & 0060) != 0060)
        return 0;
    return st.st_gid;
}

struct walls *walls_new(const struct walls_config *c)
{
    struct walls *w = mem_new(struct walls);

    if (!c->none) {
        w->kvm_group = kvm_group();
        hide_add(w, c, c->state_dir);
        hide_add(w, c, c->run_dir);
        w->uid = geteuid() == 0 && works(w, 65534, c->self_dir);
        w->namespaces = true;
        w->namespaces = works(w, 0, c->self_dir);
        w->cgroup = cgroup_open("/");
    }
    if (!w->uid)
        w->missing[w->n_missing++] = "cell-uid";
    if (!w->namespaces)
        w->missing[w->n_missing++] = "cell-namespaces";
    if (!w->cgroup)
        w->missing[w->n_missing++] = "cell-cgroup";
    return w;
}

void walls_free(struct walls *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n_hide; i++)
        free(w->hide[i]);
    cgroup_free(w->cgroup);
    free(w);
}

const char *const *walls_missing(const struct walls *w, size_t *ret_n)
{
    *ret_n = w->n_missing;
    return w->missing;
}

bool walls_have_uid(const struct walls *w)
{
    return w->uid;
}

bool walls_weigh(const struct walls *w)
{
    return w->cgroup && cgroup_has_cpu(w->cgroup);
}

struct err *wall_prepare(const struct walls *w, const char *uuid, uid_t uid, const char *dir,
    const struct cgroup_limits *limits, struct wall *ret)
{
    struct wall wall = { .walls = w, .uid = uid, .dir = dir, .cgroup_fd = -1 };

    if (w->cgroup)
        TRY(cgroup_make(w->cgroup, uuid, limits, &wall.cgroup_fd));
    *ret = wall;
    return NULL;
}

void wall_done(struct wall *w)
{
    fd_drop(&w->cgroup_fd);
}

/* Is this one of the cell's? By its uid if it has one of its own, else by its working directory. */
static bool belongs(pid_t pid, uid_t uid, const char *dir)
{
    char path[64], cwd[4096];
    struct stat st;
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    if (stat(path, &st) < 0)
        return false;
    if (uid)
        return st.st_uid == uid;
    if (st.st_uid != geteuid())
        return false;
    snprintf(path, sizeof(path), "/proc/%d/cwd", (int)pid);
    n = readlink(path, cwd, sizeof(cwd) - 1);
    if (n <= 0)
        return false;
    cwd[n] = 0;
    return cstr_eq(cwd, dir);
}

static void kill_scan(uid_t uid, const char *dir)
{
    DIR *d = opendir("/proc");

    for (struct dirent *de; d && (de = readdir(d));) {
        AUTO(fd_drop) int pidfd = -1;
        uint64_t ticks;
        int64_t pid;
        if (!str_to_i64(str_of(de->d_name), &pid) || pid <= 1 || pid == getpid() || !belongs((pid_t)pid, uid, dir))
            continue;
        struct err *e = proc_start_time((pid_t)pid, &ticks);
        if (!e)
            e = proc_open((pid_t)pid, ticks, &pidfd);
        if (!e && belongs((pid_t)pid, uid, dir)) /* still the same one, now that we hold it */
            e = proc_kill(pidfd, SIGKILL);
        err_ignore(e, "it is gone");
    }
    if (d)
        closedir(d);
}

void wall_clear(const struct walls *w, const char *uuid, uid_t uid, const char *dir, bool by_scan)
{
    if (w->cgroup)
        cgroup_clear(w->cgroup, uuid);
    if (by_scan)
        kill_scan(w->uid ? uid : 0, dir);
}
