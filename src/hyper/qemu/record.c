#include "hyper/qemu/record.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/proc.h"
#include "base/str.h"

#define RECORD_MAX 1024

struct err *record_open(int dir, const char *name, bool mark, struct record *ret_record)
{
    AUTO(fd_drop) int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || proc < 0) {
        int saved = errno;

        fd_drop(&proc);
        return err_errno(saved, "open %s", name);
    }
    *ret_record = (struct record){ proc, fd_take(&fd), getpid(), mark };
    return NULL;
}

void record_done(struct record *r)
{
    fd_drop(&r->proc_dir);
    fd_drop(&r->fd);
}

/* A flag and the process's own line in /proc, copied with plain system calls. */
int record_in_child(void *arg)
{
    const struct record *r = arg;
    char line[RECORD_MAX];
    int fd = openat(r->proc_dir, "self/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, line + 2, sizeof(line) - 2) : -1;

    line[0] = r->mark ? '1' : '0';
    line[1] = ' ';
    if (n <= 0 || write(r->fd, line, (size_t)n + 2) != n + 2)
        return -1;
    errno = EOWNERDEAD;
    return getppid() == r->parent ? 0 : -1;
}

/* proc(5): "pid (name) state ..."; the name may hold anything, field 22 is the start time. */
static bool parse(const char *text, struct record_found *ret, uint64_t *ret_started)
{
    struct str pid, field = { 0 }, rest = str_of(text);
    const char *end = strrchr(text, ')');
    uint64_t p;

    if ((text[0] != '0' && text[0] != '1') || text[1] != ' ' || !end)
        return false;
    rest = str_of(text + 2);
    if (!str_cut(rest, ' ', &pid, &rest) || !str_to_u64(pid, &p) || p == 0 || p > INT32_MAX)
        return false;
    rest = str_trim(str_of(end + 1));
    for (int i = 3; i <= 22; i++)
        str_cut(rest, ' ', &field, &rest);
    if (!str_to_u64(field, ret_started))
        return false;
    ret->pid = (pid_t)p;
    ret->mark = text[0] == '1';
    return true;
}

struct err *record_find(int dir, const char *name, struct record_found *ret_found)
{
    struct record_found f = { .pidfd = -1 };
    AUTO(buf_done) struct buf b;
    uint64_t started = 0;
    struct err *e;

    buf_init(&b, RECORD_MAX + 1);
    e = file_read(dir, name, &b);
    if (e && err_errno_get(e) == ENOENT) {
        err_ignore(e, "it was never started, or ended properly");
        *ret_found = f;
        return NULL;
    }
    TRY(e);
    if (b.len) { /* else the start got no further than that */
        f.found = true;
        if (!parse(buf_str(&b).p, &f, &started))
            return err_internal("malformed %s", name);
        e = proc_open(f.pid, started, &f.pidfd);
        if (e && err_errno_get(e) != ESRCH)
            return e;
        if (e)
            err_ignore(e, "it has ended");
    }
    *ret_found = f;
    return NULL;
}
