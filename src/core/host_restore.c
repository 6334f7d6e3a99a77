/* Restoring a backup of the host: read all, decide, do. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "core/agent.h"
#include "core/backup.h"
#include "core/core.h"
#include "core/host_backup.h"
#include "core/http.h"
#include "core/pack.h"
#include "core/upload.h"

#define NEW "new"     /* being read */
#define READY "ready" /* decided */
#define OLD "old"     /* done */
#define DATABASE "database.xml"
#define VERSION_MAX 4096
#define PIECE (256 * 1024)

static struct err *wrong(const char *what, const char *name)
{
    AUTO(mem_drop) char *text = mem_printf("this is no backup of a host: %s %s", what, name);

    return err_restore_script_failed(text);
}

/* ---- folders ---- */

/* Two levels are all there is; deeper ones stay, and are complained about. */
static void drop_tree(int dir, const char *name, unsigned depth)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    for (const struct dirent *e; depth && d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && unlinkat(dirfd(d), e->d_name, 0) < 0)
            drop_tree(dirfd(d), e->d_name, depth - 1);
    if (d)
        closedir(d);
    if (unlinkat(dir, name, d ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT)
        log_warn("what is left of a restore stays", F("name", name), FI("errno", errno));
}

static struct err *sync_dir(int dir, const char *name)
{
    AUTO(fd_drop) int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 || fsync(fd) < 0 ? err_errno(errno, "fsync the folder %s", name) : NULL;
}

/* ---- reading, on a worker ---- */

struct stage {
    struct host_backup_place places[HOST_BACKUP_PLACES];
    int spool, stream;
    int dir, fd;       /* the new folder, and the file that is being read into it */
    struct dump *dump; /* of what was read; NULL before */
    struct buf version;
    bool in_dump;
    int64_t mtime_s;
    struct err *err;
};

static void stage_done(struct stage *s)
{
    fd_drop(&s->fd);
    fd_drop(&s->dir);
    fd_drop(&s->stream);
    if (s->spool >= 0)
        drop_tree(s->spool, NEW, 2);
    fd_drop(&s->spool);
    dump_drop(&s->dump);
    buf_done(&s->version);
}

static bool belongs(const struct stage *s, const char *name)
{
    struct str kind, file;

    if (!str_cut(str_of(name), '/', &kind, &file))
        return strcmp(name, DATABASE) == 0;
    for (size_t i = 0; i < HOST_BACKUP_PLACES; i++)
        if (s->places[i].path && str_eq_c(kind, s->places[i].kind))
            return s->places[i].is_name(file.p);
    return false;
}

static struct err *take_begin(void *arg, const char *name, int64_t size, int64_t mtime_s)
{
    struct stage *s = arg;
    bool first = !s->version.len;

    if (first)
        return strcmp(name, "version") == 0 && size > 0 && size <= VERSION_MAX ? NULL : wrong("it begins with", name);
    if (!belongs(s, name))
        return wrong("it has a file", name);
    if (!upload_has_room(s->spool, size))
        return err_restore_script_failed("there is no room for what is in it");
    s->fd = openat(s->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->fd < 0)
        return errno == EEXIST ? wrong("it has twice", name) : err_errno(errno, "make %s", name);
    s->mtime_s = mtime_s < 0 ? 0 : mtime_s;
    s->in_dump = strcmp(name, DATABASE) == 0;
    if (s->in_dump)
        s->dump = dump_new();
    return NULL;
}

static struct err *take_data(void *arg, struct str bytes)
{
    struct stage *s = arg;

    if (s->fd < 0) {
        buf_add_str(&s->version, bytes);
        return NULL;
    }
    if (s->in_dump)
        TRY(dump_feed(s->dump, bytes, false));
    return fd_write_all(s->fd, bytes.p, bytes.len);
}

static struct err *take_end(void *arg)
{
    struct stage *s = arg;
    const struct timespec times[2] = { { .tv_sec = s->mtime_s }, { .tv_sec = s->mtime_s } };

    if (s->fd < 0) {
        if (str_starts(buf_str(&s->version), STR(HOST_BACKUP_VERSION)))
            return NULL;
        return str_starts(buf_str(&s->version), STR(HOST_BACKUP_FAMILY)) ? err_restore_incompatible_version()
                                                                         : wrong("it is of another kind", "");
    }
    if (s->in_dump)
        TRY(dump_feed(s->dump, (struct str){ "", 0 }, true));
    s->in_dump = false;
    if (futimens(s->fd, times) < 0 || fsync(s->fd) < 0)
        return err_errno(errno, "finish a file of a restore");
    fd_drop(&s->fd);
    return NULL;
}

static struct err *read_stream(struct stage *s)
{
    const struct unpack u = { take_begin, take_data, take_end, s };

    if (mkdirat(s->spool, NEW, 0700) < 0)
        return err_errno(errno, "make a folder for a restore");
    s->dir = openat(s->spool, NEW, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir < 0 || lseek(s->stream, 0, SEEK_SET) < 0)
        return err_errno(errno, "open a folder for a restore");
    for (size_t i = 0; i < HOST_BACKUP_PLACES; i++)
        if (mkdirat(s->dir, s->places[i].kind, 0700) < 0)
            return err_errno(errno, "make a folder for a restore");
    TRY(unpack(s->stream, &u));
    if (!s->dump)
        return wrong("it has no", DATABASE);
    for (size_t i = 0; i < HOST_BACKUP_PLACES; i++)
        TRY(sync_dir(s->dir, s->places[i].kind));
    return sync_dir(s->spool, NEW);
}

static void read_on_worker(void *arg)
{
    struct stage *s = arg;

    s->err = read_stream(s);
}

/* ---- doing ---- */

/* A folder gets exactly the files that another one has, which keeps them: it may have to be done again. */
struct placing {
    const char *from, *to;
    bool (*is_name)(const char *name);
    struct err *err;
};

static struct err *place_file(int from, int to, const char *name)
{
    char temp[UUID_LEN + 2] = ".";

    uuid_make(temp + 1);
    if (linkat(from, name, to, temp, 0) == 0 && renameat(to, temp, to, name) == 0) {
        unlinkat(to, temp, 0); /* a rename of one file to itself leaves both names */
        return NULL;
    }
    return err_errno(errno, "put %s into its place", name);
}

static struct err *place_all(DIR *from, DIR *to, const struct placing *p)
{
    for (const struct dirent *e; (e = readdir(to));)
        if (p->is_name(e->d_name) && faccessat(dirfd(from), e->d_name, F_OK, 0) < 0 &&
            unlinkat(dirfd(to), e->d_name, 0) < 0)
            return err_errno(errno, "remove %s", e->d_name);
    for (const struct dirent *e; (e = readdir(from));)
        if (p->is_name(e->d_name))
            TRY(place_file(dirfd(from), dirfd(to), e->d_name));
    return fsync(dirfd(to)) < 0 ? err_errno(errno, "fsync %s", p->to) : NULL;
}

static void place_on_worker(void *arg)
{
    struct placing *p = arg;

    p->err = dir_make(p->to, 0700);
    if (p->err)
        return;
    DIR *from = opendir(p->from), *to = opendir(p->to);
    p->err = from && to ? place_all(from, to, p) : err_errno(errno, "open %s and %s", p->from, p->to);
    if (from)
        closedir(from);
    if (to)
        closedir(to);
}

static struct err *place_files(struct core *c)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct host_backup_place places[HOST_BACKUP_PLACES];

    host_backup_places(c, a, places);
    for (size_t i = 0; i < HOST_BACKUP_PLACES; i++) {
        struct placing p = { arena_printf(a, "%s/" READY "/%s", c->config->spool_dir, places[i].kind), places[i].path,
            places[i].is_name, NULL };

        if (!p.to)
            continue;
        fiber_offload(place_on_worker, &p);
        TRY(p.err);
    }
    return NULL;
}

/* Removing a folder takes many steps: it must not look decided between them. */
static struct err *set_aside(int spool)
{
    drop_tree(spool, OLD, 2);
    if (renameat(spool, READY, spool, OLD) < 0 || fsync(spool) < 0)
        return err_errno(errno, "end a restore");
    drop_tree(spool, OLD, 2);
    return NULL;
}

/* What fails here is not tried again by the next start: it would undo what was done since. */
static struct err *finish(struct core *c, const struct dump *d, int spool)
{
    struct err *e = dump_restore(d, c->store);

    if (!e)
        e = place_files(c);
    return err_first(e, set_aside(spool));
}

static struct err *decide(struct stage *s)
{
    if (renameat(s->spool, NEW, s->spool, READY) < 0 || fsync(s->spool) < 0)
        return err_errno(errno, "decide on a restore");
    return NULL;
}

/* ---- a request ---- */

struct restore {
    bool dry_run;
};

static struct err *restore(struct upload *u, const struct restore *r, struct stage *s)
{
    char name[UUID_LEN + 1];

    uuid_make(name);
    TRY(host_backup_spool(u->core, &s->spool));
    host_backup_places(u->core, u->arena, s->places);
    struct err *e = upload_save(u, s->spool, name, &s->stream);
    unlinkat(s->spool, name, 0);
    TRY(e);
    fiber_offload(read_on_worker, s);
    TRY(MOVE(s->err));
    TRY(backup_check(s->dump));
    if (fiber_interrupted())
        return err_task_cancelled(u->task);
    if (r->dry_run)
        return NULL;
    TRY(decide(s));
    e = finish(u->core, s->dump, s->spool);
    backup_adopt(u->core);
    agent_restart(u->core);
    return e;
}

static struct err *as_declared(struct err *e)
{
    if (!err_is(e, "INTERNAL_ERROR"))
        return e;
    AUTO(mem_drop) char *text = mem_strdup(err_n_params(e) ? err_param(e, 0) : "");
    err_free(e);
    return err_restore_script_failed(text);
}

static struct err *take_upload(struct upload *u, void *arg)
{
    struct stage s = { .spool = -1, .stream = -1, .dir = -1, .fd = -1 };

    if (u->core->spooling)
        return err_restore_script_failed("another backup is under way");
    u->core->spooling = true;
    buf_init(&s.version, VERSION_MAX);
    struct err *e = restore(u, arg, &s);
    stage_done(&s);
    u->core->spooling = false;
    return as_declared(e);
}

struct err *host_backup_restore(struct core *core, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep)
{
    struct call c = { .core = core, .arena = a, .who = *who, .task = "", .client = req->client };
    struct arena *own = arena_new();
    struct restore *r = arena_new_of(own, struct restore);

    r->dry_run = strcmp(value_map_str(&req->query, "dry_run"), "true") == 0;
    return upload_start(&c, req, rep, "Restoring the host", take_upload, r, own);
}

/* ---- a start ---- */

struct loading {
    const char *path;
    struct dump *dump;
    struct err *err;
};

static struct err *load(struct loading *l)
{
    AUTO(fd_drop) int fd = open(l->path, O_RDONLY | O_CLOEXEC);
    AUTO(mem_drop) char *block = mem_alloc(PIECE);
    ssize_t n = 1;

    if (fd < 0)
        return err_errno(errno, "open %s", l->path);
    while (n) {
        n = read(fd, block, PIECE);
        if (n < 0)
            return err_errno(errno, "read %s", l->path);
        TRY(dump_feed(l->dump, (struct str){ block, (size_t)n }, n == 0));
    }
    return NULL;
}

static void load_on_worker(void *arg)
{
    struct loading *l = arg;

    l->err = load(l);
}

static struct err *finish_decided(struct core *c, int spool)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(dump_drop) struct dump *d = dump_new();
    struct loading l = { .path = arena_printf(a, "%s/" READY "/" DATABASE, c->config->spool_dir), .dump = d };

    fiber_offload(load_on_worker, &l);
    return l.err ? err_first(l.err, set_aside(spool)) : finish(c, d, spool);
}

struct err *host_backup_catch_up(struct core *c)
{
    AUTO(fd_drop) int spool = -1;

    if (!c->config->spool_dir)
        return NULL;
    TRY(host_backup_spool(c, &spool));
    if (faccessat(spool, READY, F_OK, 0) == 0) {
        log_info("a restore of the host that was decided is finished");
        log_err(LOG_ERROR_, "it is not whole", finish_decided(c, spool));
    }
    int again = openat(spool, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = again < 0 ? NULL : fdopendir(again);
    for (const struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            drop_tree(spool, e->d_name, 2);
    if (d)
        closedir(d);
    return NULL;
}
