/* Making a backup of the host. */
#include "core/host_backup.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/uuid.h"
#include "core/core.h"
#include "core/http.h"
#include "core/pack.h"
#include "core/trust.h"
#include "core/upload.h"
#include "store/dump.h"

struct making {
    struct host_backup_place places[HOST_BACKUP_PLACES];
    const char *version;
    int64_t now_s;
    int spool, database, out;
    struct err *err;
};

void host_backup_places(const struct core *c, struct arena *a, struct host_backup_place ret_places[HOST_BACKUP_PLACES])
{
    const char *trust = c->config->trust_dir;

    ret_places[0] = (struct host_backup_place){ "blobs", c->config->blob_dir, uuid_valid };
    ret_places[1] =
        (struct host_backup_place){ "certs", trust ? arena_printf(a, "%s/certs", trust) : NULL, uuid_valid };
    ret_places[2] =
        (struct host_backup_place){ "crls", trust ? arena_printf(a, "%s/crls", trust) : NULL, trust_is_name };
}

struct err *host_backup_spool(const struct core *c, int *ret_fd)
{
    if (!c->config->spool_dir)
        return err_internal("there is no folder for backups");
    TRY(dir_make(c->config->spool_dir, 0700));
    *ret_fd = open(c->config->spool_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? err_errno(errno, "open %s", c->config->spool_dir) : NULL;
}

static struct err *add_file(struct making *m, struct pack *p, const char *name, int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(errno, "stat %s", name);
    if (!S_ISREG(st.st_mode))
        return NULL;
    if (!upload_has_room(m->spool, st.st_size))
        return err_internal("there is no room for it");
    return pack_file(p, name, fd, st.st_size, st.st_mtime);
}

static struct err *add_place(struct making *m, struct pack *p, const struct host_backup_place *place)
{
    DIR *d = place->path ? opendir(place->path) : NULL;
    struct err *e = NULL;

    for (const struct dirent *entry; !e && d && (entry = readdir(d));) {
        char name[sizeof(entry->d_name) + 16];

        if (!place->is_name(entry->d_name))
            continue;
        AUTO(fd_drop) int fd = openat(dirfd(d), entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        snprintf(name, sizeof(name), "%s/%s", place->kind, entry->d_name);
        if (fd >= 0) /* else it went meanwhile */
            e = add_file(m, p, name, fd);
    }
    if (d)
        closedir(d);
    return e;
}

static struct err *fill(struct making *m)
{
    AUTO(pack_drop) struct pack *p = pack_new(m->out);

    TRY(pack_text(p, "version", str_of(m->version), m->now_s));
    TRY(add_file(m, p, "database.xml", m->database));
    for (size_t i = 0; i < HOST_BACKUP_PLACES; i++)
        TRY(add_place(m, p, &m->places[i]));
    return pack_end(p);
}

static void fill_on_worker(void *arg)
{
    struct making *m = arg;

    m->err = fill(m);
}

/* A file without a name: it ends with whoever has it open. */
static struct err *open_out(struct making *m)
{
    char name[UUID_LEN + 1];

    uuid_make(name);
    m->out = openat(m->spool, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (m->out < 0 || unlinkat(m->spool, name, 0) < 0)
        return err_errno(errno, "make a file for a backup");
    return NULL;
}

static struct err *make(struct core *c, struct arena *a, struct making *m)
{
    TRY(store_wait_durable(c->store, store_gen(c->store)));
    TRY(dump_write(c->store, m->database));
    TRY(host_backup_spool(c, &m->spool));
    TRY(open_out(m));
    host_backup_places(c, a, m->places);
    m->version = arena_printf(a, HOST_BACKUP_VERSION "product: Runnymede %s\nhost: %s\nmade: %s\n",
        c->config->product_version, row_str(core_host_row(c), F_host_uuid), now_text(c, a));
    m->now_s = (int64_t)(clock_wall(c->loop) / 1000000);
    fiber_offload(fill_on_worker, m);
    TRY(m->err);
    return lseek(m->out, 0, SEEK_SET) < 0 ? err_errno(errno, "rewind a backup") : NULL;
}

static struct err *make_one(struct core *c, struct arena *a, int *ret_file)
{
    struct making m = { .spool = -1, .database = memfd_create("database", MFD_CLOEXEC), .out = -1 };

    c->spooling = true;
    struct err *e = m.database < 0 ? err_errno(errno, "make room for the database") : make(c, a, &m);
    c->spooling = false;
    fd_drop(&m.database);
    fd_drop(&m.spool);
    *ret_file = m.out;
    return e;
}

struct err *host_backup_download(struct core *c, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep)
{
    AUTO(fd_drop) int file = -1;

    (void)req;
    (void)who;
    if (c->spooling)
        return http_refuse(a, rep, 503, "Service Unavailable", "Another backup is under way");
    struct err *e = make_one(c, a, &file);
    if (e) {
        const char *text = arena_strdup(a, err_n_params(e) ? err_param(e, 0) : err_code(e));

        err_free(e);
        return err_backup_script_failed(text);
    }
    http_add_header(a, rep, "Content-Disposition",
        arena_printf(a, "attachment; filename=\"%s.tar.zst\"", row_str(core_host_row(c), F_host_uuid)));
    return http_hand_over(a, rep, "application/zstd", (struct str){ "", 0 }, fd_take(&file));
}
