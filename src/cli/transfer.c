#include "cli/transfer.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"

#define PIECE (1 << 20)
#define ZERO_BLOCK 4096
#define TARGET_PAIRS_MAX 8
#define AFTERMATH_ROUNDS 6
#define AFTERMATH_ROUND_S 0.5

struct transfer {
    struct xe *x;
    struct web web;
    int fd;
    bool bar, sparse;
    bool file_failed;    /* nothing that the server could explain */
    int64_t total, done; /* total -1: unknown */
    const char *task, *target;
    char *piece;
};

static struct err *prepare(struct transfer *t, const char *path, const char *const *pairs, size_t n, const char *label)
{
    const char *all[2 * TARGET_PAIRS_MAX];
    struct value task;

    TRY(CALL(t->x, &task, "task.create", S(label), S("by xe")));
    t->task = task.s;
    for (size_t i = 0; i < 2 * n && i < 2 * (TARGET_PAIRS_MAX - 1); i++)
        all[i] = pairs[i];
    all[2 * n] = "task_id";
    all[2 * n + 1] = t->task;
    t->target = xe_query(t->x, path, all, n + 1);
    t->bar = xe_wants_bar(t->x);
    t->piece = mem_alloc(PIECE);
    return xe_open(t->x, &t->web);
}

static void end(struct transfer *t)
{
    free(t->piece);
    if (t->web.link)
        web_done(&t->web);
}

static void show(const struct transfer *t)
{
    if (t->bar && t->total > 0)
        progress_show("", (double)t->done / (double)t->total);
}

/* Our side broke: the server notices it a little later, and often knows why. */
static struct err *server_side(struct transfer *t)
{
    struct value class = S(arena_printf(t->x->arena, "task/%s", t->task)), batch, status = S("pending");
    const char *token = "", *result;

    for (int i = 0; i < AFTERMATH_ROUNDS && strcmp(status.s, "pending") == 0; i++) {
        TRY(CALL(t->x, &batch, "event.from", value_set(&class, 1), S(token), value_float(AFTERMATH_ROUND_S)));
        token = value_map_str(&batch, "token");
        TRY(CALL(t->x, &status, "task.get_status", S(t->task)));
    }
    if (strcmp(status.s, "pending") != 0)
        return xe_task_wait(t->x, t->task, false, &result);
    return CALL(t->x, NULL, "task.destroy", S(t->task));
}

/* The server's own account, where its task has one. */
static struct err *outcome(struct transfer *t, struct err *ours)
{
    const char *result;
    struct err *theirs;

    if (!ours)
        return xe_task_wait(t->x, t->task, false, &result);
    web_done(&t->web); /* it is not to wait for more */
    theirs = server_side(t);
    if (theirs && !err_is(theirs, XE_USAGE) && !t->file_failed) {
        err_ignore(ours, "the server knows better");
        return theirs;
    }
    return err_first(ours, theirs);
}

static struct err *file_error(struct transfer *t, const char *what)
{
    t->file_failed = true;
    return usage("cannot %s the file: %s", what, strerror(errno));
}

static struct err *check_status(const struct transfer *t)
{
    return t->web.status == 200 ? NULL : usage("the server answers %d %s", t->web.status, t->web.reason);
}

/* Up */

static struct err *open_input(struct transfer *t, const char *file)
{
    struct stat st;

    t->fd = strcmp(file, "-") == 0 ? dup(STDIN_FILENO) : open(file, O_RDONLY | O_CLOEXEC);
    if (t->fd < 0)
        return usage("cannot open %s: %s", file, strerror(errno));
    if (fstat(t->fd, &st) < 0 || S_ISDIR(st.st_mode))
        return usage("%s is no file", file);
    t->total = S_ISREG(st.st_mode) ? st.st_size : -1;
    if (S_ISBLK(st.st_mode)) {
        t->total = lseek(t->fd, 0, SEEK_END);
        lseek(t->fd, 0, SEEK_SET);
    }
    return NULL;
}

static struct err *send_file(struct transfer *t)
{
    ssize_t n;

    TRY(web_send(
        &t->web, "PUT", t->target, "Content-Type: application/octet-stream\r\nConnection: close\r\n", NULL, t->total));
    TRY(web_answer(&t->web)); /* comes before the body is read */
    TRY(check_status(t));
    while ((n = read(t->fd, t->piece, PIECE)) != 0) {
        if (n < 0)
            return file_error(t, "read");
        if (t->total >= 0 && n > t->total - t->done)
            n = t->total - t->done; /* it grew meanwhile */
        if (!n)
            break;
        TRY(link_write(t->web.link, t->piece, (size_t)n));
        t->done += n;
        show(t);
    }
    t->file_failed = t->total >= 0 && t->done < t->total;
    if (t->file_failed)
        return usage("the file became shorter while it was read");
    link_end_write(t->web.link);
    return NULL;
}

struct err *transfer_upload(
    struct xe *x, const char *path, const char *const *pairs, size_t n_pairs, const char *file, const char *label)
{
    struct transfer t = { .x = x, .fd = -1 };
    struct err *e = open_input(&t, file);

    if (!e)
        e = prepare(&t, path, pairs, n_pairs, label);
    if (!e)
        e = outcome(&t, send_file(&t));
    if (t.bar && t.total > 0)
        progress_end();
    end(&t);
    fd_drop(&t.fd);
    return e;
}

/* Down */

static struct err *open_output(struct transfer *t, const char *file)
{
    struct stat st;

    t->fd = strcmp(file, "-") == 0 ? dup(STDOUT_FILENO) : open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (t->fd < 0)
        return usage("cannot make the file %s: %s", file, strerror(errno));
    t->sparse = fstat(t->fd, &st) == 0 && S_ISREG(st.st_mode) && lseek(t->fd, 0, SEEK_CUR) == 0 &&
        !(fcntl(t->fd, F_GETFL) & O_APPEND) && st.st_size == 0;
    return NULL;
}

static bool all_zero(const char *p, size_t len)
{
    return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

/* Blocks of zeros become holes. */
static struct err *store(struct transfer *t, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t n = len - at < ZERO_BLOCK ? len - at : ZERO_BLOCK;

        if (!t->sparse) {
            n = len;
            struct err *e = fd_write_all(t->fd, t->piece, n);
            if (e) {
                errno = err_errno_get(e);
                err_ignore(e, "told in our words");
                return file_error(t, "write");
            }
        } else if (!all_zero(t->piece + at, n)) {
            for (size_t left = n, from = at; left;) {
                ssize_t put = pwrite(t->fd, t->piece + from, left, t->done + (off_t)from);

                if (put < 0)
                    return file_error(t, "write");
                left -= (size_t)put;
                from += (size_t)put;
            }
        }
        at += n;
    }
    return NULL;
}

static struct err *receive_file(struct transfer *t)
{
    TRY(web_send(&t->web, "GET", t->target, "Connection: close\r\n", NULL, -1));
    TRY(web_answer(&t->web));
    TRY(check_status(t));
    if (t->web.left >= 0)
        t->total = t->web.left;
    for (size_t n = 1, filled; n;) {
        for (filled = 0; filled < PIECE && n; filled += n)
            TRY(web_read(&t->web, t->piece + filled, PIECE - filled, &n));
        TRY(store(t, filled));
        t->done += (int64_t)filled;
        show(t);
    }
    if (t->sparse && ftruncate(t->fd, t->done) < 0)
        return file_error(t, "write");
    return fsync(t->fd) < 0 && errno != EINVAL && errno != EROFS ? file_error(t, "write") : NULL;
}

struct err *transfer_download(struct xe *x, const char *path, const char *const *pairs, size_t n_pairs,
    const char *file, int64_t size, const char *label)
{
    struct transfer t = { .x = x, .fd = -1, .total = size };
    struct err *e = open_output(&t, file);
    bool ours = !e && strcmp(file, "-") != 0;

    if (!e)
        e = prepare(&t, path, pairs, n_pairs, label);
    if (!e)
        e = outcome(&t, receive_file(&t));
    if (t.bar && t.total > 0)
        progress_end();
    end(&t);
    fd_drop(&t.fd);
    if (e && ours)
        unlink(file);
    return e;
}
