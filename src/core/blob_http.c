#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "core/blob.h"
#include "core/http.h"

#define SIZE_MAX_BYTES (256LL << 20)

static bool is_named(const struct core_http_req *req)
{
    return value_map_get(&req->query, "ref") || value_map_get(&req->query, "uuid");
}

static const struct row *find(struct core *c, const struct core_http_req *req)
{
    const struct value *ref = value_map_get(&req->query, "ref");

    return ref ? store_find_of(c->store, C_blob, ref->s)
               : store_by_uuid(c->store, C_blob, value_map_str(&req->query, "uuid"));
}

bool blob_is_open(struct core *c, const struct core_http_req *req)
{
    const struct row *r = strcmp(req->action, "get_blob") == 0 ? find(c, req) : NULL;

    return r && row_bool(r, F_blob_public);
}

/* *ret NULL: it was refused. */
static struct err *need(
    struct core *c, struct arena *a, const struct core_http_req *req, struct core_http_rep *rep, const struct row **ret)
{
    if (!is_named(req))
        return http_refuse(a, rep, 400, "Bad Request", "Name the blob by ref or uuid");
    const struct row *r = find(c, req);
    if (!r || !uuid_valid(row_str(r, F_blob_uuid)))
        return http_refuse(a, rep, 404, "Not Found", "There is no such blob");
    if (blob_folder(c) < 0)
        return http_refuse(a, rep, 404, "Not Found", "Blobs have no content here: pool.enable_binary_storage");
    *ret = r;
    return NULL;
}

struct err *blob_download(struct core *c, struct arena *a, const struct core_http_req *req, const struct principal *who,
    struct core_http_rep *rep)
{
    const struct row *r = NULL;

    (void)who;
    TRY(need(c, a, req, rep, &r));
    if (!r)
        return NULL;
    AUTO(fd_drop) int fd = openat(blob_folder(c), row_str(r, F_blob_uuid), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return http_refuse(a, rep, 404, "Not Found", "Nothing was put into this blob yet");
    /* Whoever may put one could else put a page that acts for whoever looks at it. */
    http_add_header(a, rep, "Content-Security-Policy", "sandbox");
    http_add_header(a, rep, "X-Content-Type-Options", "nosniff");
    return http_hand_over(a, rep, arena_strdup(a, row_str(r, F_blob_mime_type)), (struct str){ "", 0 }, fd_take(&fd));
}

/* ---- up ---- */

struct put {
    const char *blob; /* ref */
    int dir, fd;      /* dir: the folder's, borrowed */
    char name[UUID_LEN + 2];
    int64_t size;
    time_t now;
    struct err *err;
};

/* On a worker. Its time is what the row says, which a start reads from it. */
static void finish_file(void *arg)
{
    struct put *p = arg;
    const struct timespec times[2] = { { .tv_sec = p->now }, { .tv_sec = p->now } };

    if (futimens(p->fd, times) < 0 || fsync(p->fd) < 0)
        p->err = err_errno(errno, "finish the file of a blob");
}

static void sync_folder(void *arg)
{
    struct put *p = arg;

    if (fsync(p->dir) < 0)
        p->err = err_errno(errno, "fsync the folder of blobs");
}

static struct err *on_worker(loop_fn *fn, struct put *p)
{
    fiber_offload(fn, p);
    return MOVE(p->err);
}

static struct err *receive(struct upload *u, struct put *p)
{
    TRY(upload_save(u, p->dir, p->name, &p->fd));
    p->now = (time_t)(clock_wall(u->core->loop) / 1000000);
    return on_worker(finish_file, p);
}

/* File and row in one breath: of two that end together, both are of the later one. */
static struct err *publish(struct upload *u, struct put *p)
{
    const struct row *r = store_find_of(u->core->store, C_blob, p->blob);
    uint64_t gen = 0;

    if (!r)
        return err_handle_invalid("blob", p->blob);
    if (blob_folder(u->core) < 0)
        return err_internal("blobs have no content here any more");
    if (renameat(p->dir, p->name, p->dir, row_str(r, F_blob_uuid)) < 0)
        return err_errno(errno, "name the file of a blob");
    struct tx *t = tx_begin(u->core->store);
    tx_set(t, p->blob, F_blob_size, value_int(p->size));
    tx_set(t, p->blob, F_blob_last_updated, value_datetime(datetime_text(u->arena, (uint64_t)p->now * 1000000)));
    TRY(tx_apply(t, &gen));
    TRY(on_worker(sync_folder, p));
    return store_wait_durable(u->core->store, gen);
}

static struct err *take(struct upload *u, void *arg)
{
    struct put *p = arg;
    struct err *e = receive(u, p);

    if (!e)
        e = publish(u, p);
    if (e && unlinkat(p->dir, p->name, 0) < 0 && errno != ENOENT)
        e = err_note(e, "and its file stays until the next start");
    fd_drop(&p->fd);
    return e;
}

struct err *blob_upload(struct core *core, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep)
{
    struct call c = { .core = core, .arena = a, .who = *who, .task = "", .client = req->client };
    const struct row *r = NULL;

    TRY(need(core, a, req, rep, &r));
    if (!r)
        return NULL;
    if (req->content_length > SIZE_MAX_BYTES)
        return http_refuse(a, rep, 413, "Payload Too Large", "A blob may have 256 MiB");
    if (!upload_has_room(blob_folder(core), req->content_length))
        return http_refuse(a, rep, 507, "Insufficient Storage", "There is no room for it");
    struct arena *own = arena_new();
    struct put *p = arena_new_of(own, struct put);
    *p = (struct put){ .blob = arena_strdup(own, row_ref(r)), .dir = blob_folder(core), .fd = -1 };
    p->name[0] = '.'; /* no uuid: what is left of it after a kill goes at the next start */
    uuid_make(p->name + 1);
    p->size = req->content_length;
    return upload_start(&c, req, rep, "Putting a blob", take, p, own);
}
