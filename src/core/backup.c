#include "core/backup.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/agent.h"
#include "core/core.h"
#include "core/http.h"
#include "core/task.h"
#include "store/dump.h"

#define READ_SIZE 65536
#define SILENCE_US (600UL * 1000 * 1000)

struct err *backup_dump(struct core *c, struct arena *a, const struct core_http_req *req, const struct principal *who,
    struct core_http_rep *rep)
{
    AUTO(fd_drop) int fd = memfd_create("database", MFD_CLOEXEC);

    (void)req;
    (void)who;
    if (fd < 0)
        return err_errno(errno, "make room for the database");
    TRY(store_wait_durable(c->store, store_gen(c->store)));
    TRY(dump_write(c->store, fd));
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_errno(errno, "rewind the database");
    return http_hand_over(a, rep, "text/xml", (struct str){ "", 0 }, fd_take(&fd));
}

struct restore {
    struct core *core;
    char *task; /* owned */
    int fd;     /* owned: where the text comes from */
    bool dry_run;
};

/* *ret_n 0: there is no more. */
static struct err *read_some(struct restore *r, char *block, size_t *ret_n)
{
    for (;;) {
        ssize_t n = recv(r->fd, block, READ_SIZE, MSG_DONTWAIT);

        if (n >= 0) {
            *ret_n = (size_t)n;
            return NULL;
        }
        if (errno != EAGAIN && errno != EINTR)
            return err_errno(errno, "read a dump of the database");
        if (!fiber_wait_fd(r->fd, EPOLLIN, clock_now(r->core->loop) + SILENCE_US))
            return err_internal("the dump does not come to its end");
    }
}

/* To its end even when it is no good: a client that is cut off while it sends never hears why. */
static struct err *read_text(struct restore *r, struct dump *d)
{
    AUTO(mem_drop) char *block = mem_alloc(READ_SIZE);
    struct err *e = NULL;
    size_t n = 1;

    while (n) {
        struct err *lost = read_some(r, block, &n);

        if (lost)
            return err_first(e, lost);
        if (!e)
            e = dump_feed(d, (struct str){ block, n }, n == 0);
    }
    return e;
}

/* The host and the pool may be called otherwise in it. */
static void adopt(struct core *c)
{
    const struct row *pool = store_first(c->store, C_pool);
    const char *master = pool ? row_str(pool, F_pool_master) : "";

    free(c->pool_ref);
    free(c->host_ref);
    c->pool_ref = mem_strdup(pool ? row_ref(pool) : "");
    c->host_ref = mem_strdup(master);
}

static struct err *restore(struct restore *r)
{
    AUTO(dump_drop) struct dump *d = dump_new();

    TRY(read_text(r, d));
    if (dump_count(d, C_pool) != 1 || dump_count(d, C_host) < 1)
        return err_internal("no dump of a database: it has no pool, or no host");
    if (r->dry_run)
        return NULL;
    TRY(dump_restore(d, r->core->store));
    adopt(r->core);
    return NULL;
}

static void restore_main(void *arg)
{
    struct restore *r = arg;

    task_run_begin(r->core, r->task, fiber_self());
    struct err *e = restore(r);
    bool anew = !e && !r->dry_run;
    task_run_end(r->core, r->task);
    log_info("restore of the database ended", F("task", r->task), F("error", e ? err_text(e) : ""));
    task_finish(r->core, r->task, "", e);
    if (anew)
        agent_restart(r->core);
    fd_drop(&r->fd);
    free(r->task);
    free(r);
}

struct err *backup_restore(struct core *core, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep)
{
    struct call c = { .core = core, .arena = a, .who = *who, .task = "", .client = req->client };
    int pair[2];

    if (req->content_length < 0)
        return http_refuse(a, rep, 411, "Length Required", "Say how long it is");
    struct err *e = http_take_task(&c, req, "Restoring the database");
    if (!e)
        e = socket_pair(pair);
    if (e) {
        http_refuse_task(&c, rep, 400, "Bad Request", e);
        return NULL;
    }
    struct restore *r = mem_new(struct restore);
    *r = (struct restore){ core, mem_strdup(c.task), pair[0],
        strcmp(value_map_str(&req->query, "dry_run"), "true") == 0 };
    http_stream(&c, rep, pair[1], 2);
    fiber_start(core->loop, "restore", restore_main, r);
    return NULL;
}
