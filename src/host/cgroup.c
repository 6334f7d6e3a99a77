#include "host/cgroup.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

/* Beyond the guest's memory: QEMU itself, TCG's code cache, page tables, the page cache of its disks. */
#define OVERHEAD ((uint64_t)1536 << 20)
#define WEIGHT_USUAL 256
#define PERIOD_US 100000U /* in which a cap holds */
#define PIDS 512          /* QEMU's pool of workers, its threads, and the vm process */

struct cgroup {
    int fd; /* owned: our branch */
    bool cpu;
};

static bool put(int dir, const char *file, const char *text)
{
    AUTO(fd_drop) int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);

    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool slurp(const char *root, const char *path, struct buf *b)
{
    AUTO(mem_drop) char *full = mem_printf("%s%s", root, path);
    struct err *e = file_read(AT_FDCWD, full, b);

    if (!e)
        return true;
    err_ignore(e, "no such file, no cgroups");
    return false;
}

/* The mount point of cgroup2: the fifth word of its line of mountinfo. */
static char *find_mount(const char *root)
{
    AUTO(buf_done) struct buf b = { 0 };
    struct str rest, line, word;

    buf_init(&b, 1 << 20);
    if (!slurp(root, "proc/self/mountinfo", &b))
        return NULL;
    for (rest = buf_str(&b); rest.len;) {
        str_cut(rest, '\n', &line, &rest);
        AUTO(mem_drop) char *text = mem_printf("%.*s", (int)line.len, line.p);
        if (!strstr(text, " - cgroup2 "))
            continue;
        for (int i = 0; i < 5; i++)
            str_cut(line, ' ', &word, &line);
        return mem_printf("%.*s", (int)word.len, word.p);
    }
    return NULL;
}

static char *find_own(const char *root)
{
    AUTO(buf_done) struct buf b = { 0 };
    struct str rest, line;

    buf_init(&b, 64 * 1024);
    if (!slurp(root, "proc/self/cgroup", &b))
        return NULL;
    for (rest = buf_str(&b); rest.len;) {
        str_cut(rest, '\n', &line, &rest);
        if (str_starts(line, STR("0::/")))
            return mem_printf("%.*s", (int)(line.len - 3), line.p + 3);
    }
    return NULL;
}

struct cgroup *cgroup_open(const char *root)
{
    AUTO(mem_drop) char *mount = find_mount(root);
    AUTO(mem_drop) char *own = find_own(root);
    AUTO(mem_drop) char *path = NULL;
    AUTO(fd_drop) int fd = -1;
    AUTO(buf_done) struct buf b = { 0 };

    if (!mount || !own)
        return NULL;
    /* A group with processes in it cannot have limited children: we move to a leaf, "self". */
    if (str_ends(str_of(own), STR("/self")))
        own[strlen(own) - 5] = 0;
    path = mem_printf("%s%s%s", cstr_eq(root, "/") ? "" : root, mount, cstr_eq(own, "/") ? "" : own);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    buf_init(&b, 4096);
    struct err *e = file_read(fd, "cgroup.controllers", &b);
    if (e || !strstr(b.p ? b.p : "", "memory")) {
        err_ignore(e, "no cgroups then");
        return NULL;
    }
    if (*own && !cstr_eq(own, "/"))
        if ((mkdirat(fd, "self", 0755) < 0 && errno != EEXIST) || !put(fd, "self/cgroup.procs", "0"))
            return NULL;
    bool cpu = put(fd, "cgroup.subtree_control", "+memory +pids +cpu");
    if (!cpu && !put(fd, "cgroup.subtree_control", "+memory +pids"))
        return NULL;
    struct cgroup *c = mem_new(struct cgroup);
    c->cpu = cpu;
    c->fd = fd_take(&fd);
    return c;
}

void cgroup_free(struct cgroup *c)
{
    if (!c)
        return;
    fd_drop(&c->fd);
    free(c);
}

static void name_of(const char *uuid, char ret[64])
{
    snprintf(ret, 64, "runnymede-vm-%s", uuid);
}

bool cgroup_has_cpu(const struct cgroup *c)
{
    return c->cpu;
}

/* Xen's usual weight is 256, the kernel's 100 of 1 to 10000. */
static bool put_cpu(int dir, const struct cgroup_limits *l)
{
    unsigned weight = (l->cpu_weight ? l->cpu_weight : WEIGHT_USUAL) * 100 / WEIGHT_USUAL;
    char text[48];

    snprintf(text, sizeof(text), "%u", weight < 1 ? 1 : weight > 10000 ? 10000 : weight);
    if (!put(dir, "cpu.weight", text))
        return false;
    if (l->cpu_cap)
        snprintf(text, sizeof(text), "%u %u", l->cpu_cap * (PERIOD_US / 100), PERIOD_US);
    else
        snprintf(text, sizeof(text), "max %u", PERIOD_US);
    return put(dir, "cpu.max", text);
}

static struct err *put_limits(const struct cgroup *c, int dir, const char *name, const struct cgroup_limits *l)
{
    char text[32];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)l->memory + l->memory / 8 + OVERHEAD);
    if (!put(dir, "memory.max", text))
        return err_errno(errno, "limit memory of %s", name);
    snprintf(text, sizeof(text), "%u", PIDS + l->vcpus);
    if (!put(dir, "pids.max", text))
        return err_errno(errno, "limit processes of %s", name);
    if (c->cpu && !put_cpu(dir, l))
        return err_errno(errno, "limit CPUs of %s", name);
    return NULL;
}

struct err *cgroup_make(struct cgroup *c, const char *uuid, const struct cgroup_limits *l, int *ret_fd)
{
    char name[64];
    AUTO(fd_drop) int dir = -1;

    name_of(uuid, name);
    if (mkdirat(c->fd, name, 0755) < 0 && errno != EEXIST)
        return err_errno(errno, "make cgroup %s", name);
    dir = openat(c->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_errno(errno, "open cgroup %s", name);
    if (l->memory)
        TRY(put_limits(c, dir, name, l));
    int fd = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(errno, "enter cgroup %s", name);
    *ret_fd = fd;
    return NULL;
}

void cgroup_clear(struct cgroup *c, const char *uuid)
{
    char name[64], kill_file[80];

    name_of(uuid, name);
    snprintf(kill_file, sizeof(kill_file), "%s/cgroup.kill", name);
    put(c->fd, kill_file, "1");
    unlinkat(c->fd, name, AT_REMOVEDIR); /* fails while the last process is dying: removed at the next start */
}
