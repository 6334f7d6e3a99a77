#include "storage/job.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "gen/errors.h"
#include "storage/nbd.h"
#include "storage/tool.h"

#define JOBS_MAX 1024
#define KEEP_US (3600UL * 1000 * 1000)
#define PIECE (1024UL * 1024)

struct jobs {
    struct loop *loop;
    int state_fd; /* borrowed */
    struct map *by_id;
};

struct job {
    struct jobs *owner;
    char *id;              /* owned */
    struct sr *sr;         /* of `uuid`; a reference */
    char *uuid;            /* owned: the disk that is written, or exported */
    struct sr_image image; /* of it */
    struct tool tool;
    struct tool server; /* of the image, for nbdcopy */
    int stream, pipe;   /* our ends; -1: none */
    uint64_t total, moved;
    bool cancelled, finished;
    struct err *error; /* owned */
    uint64_t finished_at;
    unsigned waiting;
    struct waitq ended;
};

static void job_free(struct job *job)
{
    if (!job)
        return;
    tool_done(&job->tool);
    tool_done(&job->server);
    sr_image_done(&job->image);
    fd_drop(&job->stream);
    fd_drop(&job->pipe);
    sr_unref(job->sr);
    err_free(job->error);
    free(job->uuid);
    free(job->id);
    free(job);
}

struct jobs *jobs_new(struct loop *l, int state_fd)
{
    struct jobs *j = mem_new(struct jobs);

    j->loop = l;
    j->state_fd = state_fd;
    j->by_id = map_new();
    return j;
}

static void forget(struct jobs *j, struct job *job)
{
    map_remove(j->by_id, job->id);
    job_free(job);
}

/* Removes jobs that ended before `before` and nobody waits for. */
static void prune(struct jobs *j, uint64_t before)
{
    const char *id;
    void *p;
    size_t it = 0;

    while (map_next(j->by_id, &it, &id, &p)) {
        struct job *job = p;
        if (job->finished && !job->waiting && job->finished_at <= before)
            forget(j, job);
    }
}

void jobs_free(struct jobs *j)
{
    if (!j)
        return;
    prune(j, UINT64_MAX);
    map_free(j->by_id);
    free(j);
}

static struct err *job_new(struct jobs *j, const char *id, struct disk disk, struct job **ret)
{
    uint64_t now = clock_now(j->loop);

    prune(j, now > KEEP_US ? now - KEEP_US : 0);
    if (cstr_empty(id) || map_get(j->by_id, id))
        return err_internal("a job needs an id of its own");
    if (map_len(j->by_id) >= JOBS_MAX)
        return err_internal("too many copies of disks at once");
    struct job *job = mem_new(struct job);
    job->owner = j;
    job->id = mem_strdup(id);
    job->sr = sr_ref(disk.sr);
    job->uuid = mem_strdup(disk.uuid);
    job->image = SR_IMAGE_NONE;
    job->tool = TOOL_NONE;
    job->server = TOOL_NONE;
    job->stream = job->pipe = -1;
    waitq_init(&job->ended);
    map_put(j->by_id, id, job);
    *ret = job;
    return NULL;
}

static void finish(struct job *job, struct err *e)
{
    if (e && job->cancelled) {
        err_ignore(e, "that it was cancelled explains it");
        e = err_task_cancelled("");
    }
    sr_image_done(&job->image);
    job->image = SR_IMAGE_NONE;
    fd_drop(&job->pipe);
    job->error = e;
    job->finished = true;
    job->finished_at = clock_now(job->owner->loop);
    fd_drop(&job->stream); /* last: its end says that the outcome is known */
    waitq_wake_all(&job->ended);
}

static struct err *open_disk(struct disk d, bool read_only, const char *op, struct sr_image *ret)
{
    if (!d.sr->driver->vdi_open)
        return err_sr_operation_not_supported(d.sr->uuid);
    return d.sr->driver->vdi_open(d.sr->state, d.uuid, read_only, op, ret);
}

static struct err *mark(struct job *job, bool partial)
{
    const struct sr_driver *driver = job->sr->driver;

    return driver->vdi_mark ? driver->vdi_mark(job->sr->state, job->uuid, partial) : NULL;
}

struct sync_job {
    int fd;
    int errnum;
};

static void sync_run(void *arg)
{
    struct sync_job *s = arg;

    s->errnum = fsync(s->fd) < 0 ? errno : 0;
}

/* All bytes are written: makes them safe and the disk whole. */
static struct err *seal(struct job *job)
{
    struct sync_job s = { .fd = job->image.fd };

    fiber_offload(sync_run, &s);
    if (s.errnum)
        return sr_failure_errno(SR_VDI_UNAVAILABLE, s.errnum, "The image could not be written");
    return mark(job, false);
}

/* Copy */

static struct err *copy(struct job *job, struct disk from)
{
    AUTO(sr_image_done) struct sr_image source = SR_IMAGE_NONE;
    struct disk to = { job->sr, job->uuid };
    struct proc_fd fds[4];
    size_t n = 0;

    TRY(open_disk(from, true, "copy", &source));
    TRY(open_disk(to, false, "copy", &job->image));
    if (job->image.size < source.size) {
        char least[24];
        snprintf(least, sizeof(least), "%llu", (unsigned long long)source.size);
        return err_vdi_too_small(to.uuid, least);
    }
    job->total = source.size;
    TRY(mark(job, true));
    fds[n++] = (struct proc_fd){ source.fd, TOOL_IMAGE };
    fds[n++] = (struct proc_fd){ job->image.fd, TOOL_IMAGE + 1 };
    fds[n++] = (struct proc_fd){ job->image.lease, TOOL_IMAGE + 2 };
    if (source.lease >= 0)
        fds[n++] = (struct proc_fd){ source.lease, TOOL_IMAGE + 3 };
    const char *argv[] = { "/usr/bin/qemu-img", "convert", "-p", "-n", "-t", "writeback", "-f", source.format, "-O",
        job->image.format, "/proc/self/fd/10", "/proc/self/fd/11", NULL };
    TRY(tool_start(&job->tool, argv, fds, n));
    TRY(tool_wait(&job->tool));
    return seal(job);
}

struct err *job_copy(struct jobs *j, const char *id, struct disk from, struct disk to, uint64_t *ret_bytes)
{
    struct job *job = NULL;

    TRY(job_new(j, id, to, &job));
    finish(job, copy(job, from));
    struct err *e = MOVE(job->error);
    if (!e)
        *ret_bytes = job->total;
    if (!job->waiting)
        forget(j, job);
    return e;
}

/* Streams */

/* Moves up to `limit` bytes without looking at them. */
static struct err *relay(struct job *job, int from, int to, uint64_t limit)
{
    while (job->moved < limit) {
        uint64_t left = limit - job->moved;

        fiber_wait_fd(from, EPOLLIN, FOREVER);
        fiber_wait_fd(to, EPOLLOUT, FOREVER);
        ssize_t n = splice(from, NULL, to, NULL, left < PIECE ? left : PIECE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n == 0)
            return NULL;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_errno(errno, "the other side of the stream went away");
        if (n > 0)
            job->moved += (uint64_t)n;
    }
    return NULL;
}

/* A stream for the caller: ours is nonblocking, his is not. */
static struct err *stream_open(struct job *job, int *ret_stream)
{
    int fds[2];

    TRY(socket_pair(fds));
    job->stream = fds[0];
    *ret_stream = fds[1];
    return fd_set_nonblock(job->stream, true);
}

/* A pipe between us and the program; the program's end blocks. */
static struct err *pipe_open(struct job *job, bool program_writes, int *ret_program)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(errno, "pipe");
    job->pipe = fds[program_writes ? 0 : 1];
    *ret_program = fds[program_writes ? 1 : 0];
    if (fcntl(job->pipe, F_SETPIPE_SZ, (int)PIECE) < 0) /* over the user's share: the default works as well */
        log_debug("pipe stays small", FI("errno", errno));
    return fd_set_nonblock(job->pipe, true);
}

/* The end of both programs; the one without its client would wait for ever. */
static struct err *wait_tools(struct job *job)
{
    struct err *e = tool_wait(&job->tool);

    if (job->server.pid <= 0)
        return e;
    if (e)
        tool_kill(&job->server);
    return err_first(e, tool_wait(&job->server));
}

/* nbdcopy between the image and `stdio`, its standard input or output. */
static struct err *nbdcopy_start(struct job *job, bool export, int stdio)
{
    AUTO(fd_drop) int socket = -1;
    const char *const uri = "nbd+unix:///?socket=/proc/self/fd/10";
    const char *const argv[] = { "/usr/bin/nbdcopy", "--flush", "--", export ? uri : "-", export ? "-" : uri, NULL };

    if (job->owner->state_fd < 0)
        return err_internal("no folder for the sockets of copies");
    TRY(nbd_start(&job->server, &job->image, export, job->owner->state_fd, &socket));
    const struct proc_fd fds[] = { { stdio, export ? STDOUT_FILENO : STDIN_FILENO }, { socket, TOOL_IMAGE } };
    return tool_start(&job->tool, argv, fds, ARRAY_LEN(fds));
}

/* A raw image is its own bytes. */
static struct err *cat_start(struct job *job, int out)
{
    const char *const argv[] = { "/usr/bin/cat", NULL };
    struct proc_fd fds[3] = { { out, STDOUT_FILENO }, { job->image.fd, STDIN_FILENO } };
    size_t n = 2;

    if (job->image.lease >= 0)
        fds[n++] = (struct proc_fd){ job->image.lease, TOOL_IMAGE };
    return tool_start(&job->tool, argv, fds, n);
}

static struct err *export_stream(struct job *job)
{
    struct err *e = relay(job, job->pipe, job->stream, job->total);

    fd_drop(&job->pipe); /* what is beyond the disk's size nobody wants */
    struct err *tool_err = wait_tools(job);
    if (job->moved == job->total) {
        err_ignore(tool_err, "all there is to tell went out");
        return e;
    }
    if (!tool_err && !e)
        e = err_vdi_io_error();
    return err_first(e, tool_err);
}

static void export_fiber(void *arg)
{
    struct job *job = arg;

    finish(job, export_stream(job));
}

static struct err *export_start(struct job *job, int *ret_stream)
{
    struct disk from = { job->sr, job->uuid };
    AUTO(fd_drop) int program = -1;

    TRY(open_disk(from, true, "copy", &job->image));
    job->total = job->image.size;
    TRY(pipe_open(job, true, &program));
    if (cstr_eq(job->image.format, "raw"))
        TRY(cat_start(job, program));
    else
        TRY(nbdcopy_start(job, true, program));
    return stream_open(job, ret_stream);
}

struct err *job_export(struct jobs *j, const char *id, struct disk from, int *ret_stream, uint64_t *ret_size)
{
    AUTO(fd_drop) int stream = -1;
    struct job *job = NULL;

    TRY(job_new(j, id, from, &job));
    struct err *e = export_start(job, &stream);
    if (e) {
        forget(j, job);
        return e;
    }
    fiber_start(j->loop, "export", export_fiber, job);
    *ret_size = job->total;
    *ret_stream = fd_take(&stream);
    return NULL;
}

/* Whether bytes come that the disk has no room for. */
static struct err *expect_end(struct job *job)
{
    char c, least[24];
    ssize_t n;

    do {
        fiber_wait_fd(job->stream, EPOLLIN, FOREVER);
        n = recv(job->stream, &c, 1, MSG_PEEK | MSG_DONTWAIT);
    } while (n < 0 && (errno == EAGAIN || errno == EINTR));
    if (n <= 0)
        return NULL;
    snprintf(least, sizeof(least), "%llu", (unsigned long long)job->total + 1);
    return err_vdi_too_small(job->uuid, least);
}

static struct err *import_stream(struct job *job)
{
    struct err *e = relay(job, job->stream, job->pipe, job->total);

    if (!e && job->moved == job->total)
        e = expect_end(job);
    fd_drop(&job->pipe);
    struct err *tool_err = wait_tools(job);
    if (tool_err && e && err_errno_get(e) == EPIPE) { /* the program's end, of which it tells the reason itself */
        err_ignore(e, "a consequence");
        e = NULL;
    }
    e = err_first(e, tool_err);
    return e ? e : job->cancelled ? err_task_cancelled("") : seal(job);
}

static void import_fiber(void *arg)
{
    struct job *job = arg;
    struct err *e = import_stream(job);

    if (e && !job->cancelled)
        log_warn("disk is half written", F("vdi", job->uuid), F("error", err_text(e)));
    finish(job, e);
}

static struct err *import_start(struct job *job, int *ret_stream)
{
    struct disk to = { job->sr, job->uuid };
    AUTO(fd_drop) int program = -1;

    TRY(open_disk(to, false, "import", &job->image));
    job->total = job->image.size;
    TRY(mark(job, true));
    TRY(pipe_open(job, false, &program));
    TRY(nbdcopy_start(job, false, program));
    return stream_open(job, ret_stream);
}

struct err *job_import(struct jobs *j, const char *id, struct disk to, int *ret_stream)
{
    AUTO(fd_drop) int stream = -1;
    struct job *job = NULL;

    TRY(job_new(j, id, to, &job));
    struct err *e = import_start(job, &stream);
    if (e) {
        forget(j, job);
        return e;
    }
    fiber_start(j->loop, "import", import_fiber, job);
    *ret_stream = fd_take(&stream);
    return NULL;
}

/* Asking about jobs */

static struct err *find(struct jobs *j, const char *id, struct job **ret)
{
    struct job *job = map_get(j->by_id, id);

    if (!job)
        return err_internal("no job has the id %s", id);
    *ret = job;
    return NULL;
}

struct err *job_wait(struct jobs *j, const char *id, uint64_t *ret_bytes)
{
    struct job *job = NULL;

    TRY(find(j, id, &job));
    job->waiting++;
    while (!job->finished && waitq_wait(&job->ended, FOREVER))
        ;
    job->waiting--;
    if (!job->finished)
        return err_task_cancelled("");
    struct err *e = MOVE(job->error);
    if (!e)
        *ret_bytes = job->moved;
    if (!job->waiting)
        forget(j, job);
    return e;
}

struct err *job_progress(struct jobs *j, const char *id, uint64_t *ret_done, uint64_t *ret_total)
{
    struct job *job = NULL;

    TRY(find(j, id, &job));
    *ret_total = job->total;
    *ret_done = job->stream >= 0 || job->moved ? job->moved : job->total / 1000 * tool_progress(&job->tool);
    return NULL;
}

void job_cancel(struct jobs *j, const char *id)
{
    struct job *job = map_get(j->by_id, id);

    if (!job || job->finished)
        return;
    job->cancelled = true;
    tool_kill(&job->tool);
    tool_kill(&job->server);
    if (job->stream >= 0)
        shutdown(job->stream, SHUT_RDWR); /* wakes the relay */
}
