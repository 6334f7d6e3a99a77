#include "core/backup.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "core/agent.h"
#include "core/core.h"
#include "core/http.h"
#include "core/upload.h"

#define READ_SIZE 65536

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

static struct err *read_text(struct upload *u, struct dump *d)
{
    AUTO(mem_drop) char *block = mem_alloc(READ_SIZE);
    size_t n = 1;

    while (n) {
        TRY(upload_read(u, block, READ_SIZE, &n));
        TRY(dump_feed(d, (struct str){ block, n }, n == 0));
    }
    return NULL;
}

struct err *backup_check(const struct dump *d)
{
    if (dump_count(d, C_pool) != 1 || dump_count(d, C_host) < 1)
        return err_internal("no dump of a database: it has no pool, or no host");
    return NULL;
}

/* The host and the pool may be called otherwise in it. */
void backup_adopt(struct core *c)
{
    const struct row *pool = store_first(c->store, C_pool);
    const char *master = pool ? row_str(pool, F_pool_master) : "";

    free(c->pool_ref);
    free(c->host_ref);
    c->pool_ref = mem_strdup(pool ? row_ref(pool) : "");
    c->host_ref = mem_strdup(master);
}

struct restore {
    bool dry_run;
};

static struct err *restore(struct upload *u, void *arg)
{
    const struct restore *r = arg;
    AUTO(dump_drop) struct dump *d = dump_new();

    TRY(read_text(u, d));
    TRY(backup_check(d));
    if (r->dry_run)
        return NULL;
    TRY(dump_restore(d, u->core->store));
    backup_adopt(u->core);
    agent_restart(u->core);
    return NULL;
}

struct err *backup_restore(struct core *core, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep)
{
    struct call c = { .core = core, .arena = a, .who = *who, .task = "", .client = req->client };
    struct arena *own = arena_new();
    struct restore *r = arena_new_of(own, struct restore);

    r->dry_run = strcmp(value_map_str(&req->query, "dry_run"), "true") == 0;
    return upload_start(&c, req, rep, "Restoring the database", restore, r, own);
}
