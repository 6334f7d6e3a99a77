#include "storage/dir/dir.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/fd.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/uuid.h"
#include "base/vec.h"
#include "gen/errors.h"
#include "storage/dir/meta.h"
#include "storage/lease.h"
#include "storage/tool.h"

#define MARKER ".runnymede-sr"
#define NEW ".new-"
#define TRASH ".trash-"
#define NAME_SIZE 80
#define SECTOR 512UL
#define SIZE_MAX_ (64UL << 40) /* what qcow2 with 64 KiB clusters holds comfortably */
#define VDIS_MAX (1024UL * 1024)

struct dir {
    int fd;           /* owned */
    char *sr;         /* owned: uuid */
    uint64_t virtual; /* sum of the disks' sizes as of the last scan and what we did since */
    int state_fd;     /* borrowed */
    char *location;   /* owned */
};

static const char *const formats[] = { "qcow2", "raw" };

static void image_name(const char *prefix, const char *uuid, const char *format, char ret[NAME_SIZE])
{
    snprintf(ret, NAME_SIZE, "%s%s.%s", prefix, uuid, format);
}

/* Of a name like <uuid>.qcow2 the parts; false for other names. */
static bool image_parse(const char *name, char ret_uuid[UUID_LEN + 1], const char **ret_format)
{
    if (strlen(name) < UUID_LEN + 2 || name[UUID_LEN] != '.')
        return false;
    memcpy(ret_uuid, name, UUID_LEN);
    ret_uuid[UUID_LEN] = 0;
    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (cstr_eq(name + UUID_LEN + 1, formats[i])) {
            *ret_format = formats[i];
            return uuid_valid(ret_uuid);
        }
    return false;
}

/* Images */

/*
 * The size in a qcow2 header. Images that name other files are refused: we make
 * none, and the programs that read them would open whatever is named there.
 */
static struct err *qcow2_size(int fd, const char *uuid, uint64_t *ret_size)
{
    unsigned char h[80];
    ssize_t n = pread(fd, h, sizeof(h), 0);

    if (n < 72 || memcmp(h, "QFI\xfb", 4) != 0)
        return sr_failure(SR_VDI_UNAVAILABLE, "The image of %s is no qcow2 image", uuid);
    if (be64_get(h + 8) != 0 || (be32_get(h + 4) >= 3 && (n < 80 || (be64_get(h + 72) & 4))))
        return sr_failure(SR_VDI_UNAVAILABLE, "The image of %s depends on another file", uuid);
    *ret_size = be64_get(h + 24);
    return NULL;
}

static struct err *image_size(int fd, const char *format, const char *uuid, uint64_t *ret_size, uint64_t *ret_used)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return sr_failure_errno(SR_VDI_UNAVAILABLE, errno, "Cannot read the image of %s", uuid);
    if (!S_ISREG(st.st_mode))
        return sr_failure(SR_VDI_UNAVAILABLE, "The image of %s is no file", uuid);
    *ret_used = (uint64_t)st.st_blocks * 512;
    *ret_size = (uint64_t)st.st_size;
    return cstr_eq(format, "qcow2") ? qcow2_size(fd, uuid, ret_size) : NULL;
}

static struct err *image_open(struct dir *d, const char *uuid, int flags, int *ret_fd, const char **ret_format)
{
    if (!uuid_valid(uuid))
        return sr_failure(SR_VDI_UNAVAILABLE, "The VDI is not available: %s", uuid);
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        char name[NAME_SIZE];

        image_name("", uuid, formats[i], name);
        int fd = openat(d->fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd >= 0) {
            *ret_fd = fd;
            *ret_format = formats[i];
            return NULL;
        }
        if (errno != ENOENT)
            return sr_failure_errno(SR_VDI_UNAVAILABLE, errno, "Cannot open the image of %s", uuid);
    }
    return sr_failure(SR_VDI_UNAVAILABLE, "The VDI is not available: %s", uuid);
}

static struct err *describe(
    struct dir *d, struct arena *a, int fd, const char *uuid, const char *format, struct storage_vdi *ret)
{
    struct meta m;
    uint64_t size = 0, used = 0;

    TRY(image_size(fd, format, uuid, &size, &used));
    meta_read(a, d->fd, uuid, &m);
    *ret = (struct storage_vdi){ .uuid = arena_strdup(a, uuid),
        .location = arena_strdup(a, uuid),
        .name = m.name,
        .size = size,
        .used = used,
        .type = m.type,
        .format = format };
    return NULL;
}

static struct err *dir_vdi_stat(void *sr, struct arena *a, const char *uuid, struct storage_vdi *ret)
{
    AUTO(fd_drop) int fd = -1;
    const char *format = NULL;

    TRY(image_open(sr, uuid, O_RDONLY, &fd, &format));
    return describe(sr, a, fd, uuid, format, ret);
}

/* Walking the folder; on a worker thread, for it may be large or far away. */

struct walk {
    struct dir *d;
    struct arena *a;
    VEC(struct storage_vdi) vdis;
    struct err *error;
};

static void drop_unless_image(struct dir *d, const char *name)
{
    char uuid[UUID_LEN + 1];
    char image[NAME_SIZE];
    bool is_meta = str_ends(str_of(name), STR(".meta")), is_lease = str_ends(str_of(name), STR(".lease"));

    if (strlen(name) < UUID_LEN || (!is_meta && !is_lease))
        return;
    memcpy(uuid, name, UUID_LEN);
    uuid[UUID_LEN] = 0;
    if (!uuid_valid(uuid))
        return;
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        image_name("", uuid, formats[i], image);
        if (faccessat(d->fd, image, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return;
    }
    unlinkat(d->fd, name, 0);
}

static void closedir_drop(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

static struct err *each_name(struct dir *d, struct err *(*fn)(struct walk *w, const char *name), struct walk *w)
{
    AUTO(fd_drop) int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO(closedir_drop) DIR *dir = NULL;
    struct dirent *entry;

    if (fd < 0 || !(dir = fdopendir(fd)))
        return sr_failure_errno(SR_UNAVAILABLE, errno, "Cannot read the folder");
    fd_take(&fd);
    for (errno = 0; (entry = readdir(dir)); errno = 0)
        TRY(fn(w, entry->d_name));
    return errno ? sr_failure_errno(SR_UNAVAILABLE, errno, "Cannot read the folder") : NULL;
}

static struct err *sweep_one(struct walk *w, const char *name)
{
    if (cstr_starts(name, NEW) || cstr_starts(name, TRASH))
        unlinkat(w->d->fd, name, 0);
    else
        drop_unless_image(w->d, name);
    return NULL;
}

static void sweep(void *arg)
{
    struct walk *w = arg;

    w->error = each_name(w->d, sweep_one, w);
}

static struct err *scan_one(struct walk *w, const char *name)
{
    char uuid[UUID_LEN + 1];
    const char *format = NULL;
    struct storage_vdi v;

    if (!image_parse(name, uuid, &format))
        return NULL;
    AUTO(fd_drop) int fd = openat(w->d->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ELOOP ? NULL
                                                 : sr_failure_errno(SR_VDI_UNAVAILABLE, errno, "Cannot open %s", name);
    struct err *e = describe(w->d, w->a, fd, uuid, format, &v);
    if (e) {
        err_ignore(e, "a file that is no image of ours is not shown");
        return NULL;
    }
    if (w->vdis.len >= VDIS_MAX)
        return sr_failure(SR_UNAVAILABLE, "The folder holds more than %lu images", VDIS_MAX);
    vec_push(&w->vdis, v);
    return NULL;
}

static void scan(void *arg)
{
    struct walk *w = arg;

    w->error = each_name(w->d, scan_one, w);
}

static struct err *marker_read(int dir_fd, char ret_uuid[UUID_LEN + 1]);

static struct err *dir_scan(void *sr, struct arena *a, struct storage_vdi **ret_vdis, size_t *ret_n)
{
    struct dir *d = sr;
    struct walk w = { .d = d, .a = a };
    char uuid[UUID_LEN + 1];

    TRY(marker_read(d->fd, uuid));
    if (!cstr_eq(uuid, d->sr))
        return sr_failure(SR_UNAVAILABLE, "The folder does not hold this SR any more: is it mounted?");
    fiber_offload(scan, &w);
    if (!w.error) {
        uint64_t virtual = 0;
        for (size_t i = 0; i < w.vdis.len; i++)
            virtual += w.vdis.p[i].size;
        d->virtual = virtual;
        *ret_vdis = arena_dup(a, w.vdis.p, w.vdis.len * sizeof(*w.vdis.p));
        *ret_n = w.vdis.len;
    }
    vec_done(&w.vdis);
    return w.error;
}

static struct err *dir_stat(void *sr, struct storage_stat *ret)
{
    struct dir *d = sr;
    struct statvfs st;

    if (fstatvfs(d->fd, &st) < 0)
        return sr_failure_errno(SR_UNAVAILABLE, errno, "Cannot read the file system");
    *ret = (struct storage_stat){
        .size = st.f_blocks * st.f_frsize, .used = (st.f_blocks - st.f_bfree) * st.f_frsize, .virtual = d->virtual
    };
    return NULL;
}

/* Whose folder it is */

/* "" in ret_uuid: nobody's. */
static struct err *marker_read(int dir_fd, char ret_uuid[UUID_LEN + 1])
{
    AUTO(buf_done) struct buf b;
    struct str head, rest;

    buf_init(&b, 4096);
    *ret_uuid = 0;
    struct err *e = file_read(dir_fd, MARKER, &b);
    if (e) {
        int errnum = err_errno_get(e);
        err_ignore(e, "told below");
        return errnum == ENOENT ? NULL : sr_failure_errno(SR_UNAVAILABLE, errnum, "Cannot read " MARKER);
    }
    str_cut(buf_str(&b), '\n', &head, &rest);
    if (head.len != UUID_LEN)
        return sr_failure(SR_UNAVAILABLE, "Nonsense in " MARKER);
    memcpy(ret_uuid, head.p, UUID_LEN);
    ret_uuid[UUID_LEN] = 0;
    return NULL;
}

static struct err *marker_write(int dir_fd, const char *sr)
{
    AUTO(mem_drop) char *text = mem_printf("%s\n", sr);
    struct err *e = file_write_atomic(dir_fd, MARKER, text, strlen(text), 0644);

    if (!e)
        return NULL;
    int errnum = err_errno_get(e);
    err_ignore(e, "told as a storage error");
    return sr_failure_errno(SR_UNAVAILABLE, errnum, "Cannot write " MARKER);
}

static struct err *find_image(struct walk *w, const char *name)
{
    char uuid[UUID_LEN + 1];
    const char *format;

    (void)w;
    return image_parse(name, uuid, &format) ? err_sr_device_in_use() : NULL;
}

static struct err *dir_create(const char *sr, const struct value *config, uint64_t size)
{
    AUTO(fd_drop) int fd = -1;
    char owner[UUID_LEN + 1];

    (void)size; /* a folder is as large as its file system */
    TRY(sr_folder_open(config, true, &fd));
    TRY(marker_read(fd, owner));
    if (*owner && !cstr_eq(owner, sr)) { /* an empty SR may be made anew; one with disks may not */
        struct dir other = { .fd = fd };
        TRY(each_name(&other, find_image, NULL));
    }
    return marker_write(fd, sr);
}

static struct err *dir_probe(struct arena *a, const struct value *config, struct value *ret_found)
{
    AUTO(fd_drop) int fd = -1;
    char owner[UUID_LEN + 1];
    struct value *pair = arena_new_array(a, 2, struct value), *map = arena_new_of(a, struct value);

    TRY(sr_folder_open(config, false, &fd));
    TRY(marker_read(fd, owner));
    pair[0] = value_str("uuid");
    pair[1] = value_str(arena_strdup(a, owner));
    *map = value_map(pair, 1);
    *ret_found = value_set(map, *owner ? 1 : 0);
    return NULL;
}

static void dir_detach(void *sr)
{
    struct dir *d = sr;

    if (!d)
        return;
    fd_drop(&d->fd);
    free(d->sr);
    free(d->location);
    free(d);
}

static void dir_drop(struct dir **d)
{
    dir_detach(*d);
}

/* Takes an SR's folder; a new SR's may be missing, or have no marker yet. */
static struct err *claim(const char *sr, const struct value *config, int state_fd, int *ret_fd)
{
    bool seen = state_fd >= 0 && faccessat(state_fd, sr, F_OK, 0) == 0;
    AUTO(fd_drop) int fd = -1;
    char owner[UUID_LEN + 1];

    TRY(sr_folder_open(config, !seen, &fd));
    TRY(marker_read(fd, owner));
    if (*owner && !cstr_eq(owner, sr))
        return err_sr_device_in_use();
    if (!*owner && seen)
        return sr_failure(SR_UNAVAILABLE, "The folder does not hold this SR any more: is it mounted?");
    if (!*owner)
        TRY(marker_write(fd, sr));
    if (!seen && state_fd >= 0)
        TRY(file_write_atomic(state_fd, sr, "", 0, 0600));
    *ret_fd = fd_take(&fd);
    return NULL;
}

static struct err *dir_attach(const char *sr, const struct value *config, int state_fd, void **ret_sr)
{
    AUTO(dir_drop) struct dir *d = mem_new(struct dir);
    AUTO(arena_drop) struct arena *a = arena_new();
    struct walk w = { .d = d };
    struct storage_vdi *vdis;
    size_t n;

    d->fd = -1;
    d->state_fd = state_fd;
    d->sr = mem_strdup(sr);
    d->location = mem_strdup(value_map_str(config, "location"));
    TRY(claim(sr, config, state_fd, &d->fd));
    fiber_offload(sweep, &w);
    TRY(w.error);
    TRY(dir_scan(d, a, &vdis, &n)); /* for the sum of sizes */
    *ret_sr = MOVE(d);
    return NULL;
}

/* Disks */

struct commit {
    struct dir *d;
    const char *uuid, *from, *to;
    struct meta meta;
    int fd;
    struct err *error;
};

/* The image and its description are safe before the name makes them a disk. */
static struct err *commit_image(struct commit *c)
{
    if (fsync(c->fd) < 0)
        return sr_failure_errno(SR_VDI_CREATE, errno, "Cannot write the image of %s", c->uuid);
    TRY(meta_write(c->d->fd, c->uuid, &c->meta));
    if (renameat2(c->d->fd, c->from, c->d->fd, c->to, RENAME_NOREPLACE) < 0 || fsync(c->d->fd) < 0)
        return sr_failure_errno(SR_VDI_CREATE, errno, "Cannot name the image of %s", c->uuid);
    return NULL;
}

static void commit(void *arg)
{
    struct commit *c = arg;

    c->error = commit_image(c);
    if (c->error) {
        meta_remove(c->d->fd, c->uuid);
        unlinkat(c->d->fd, c->from, 0);
    }
}

static struct err *qcow2_make(int fd, uint64_t size)
{
    char digits[24];
    const char *argv[] = { "/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", "-o", "compat=1.1", "/proc/self/fd/10",
        digits, NULL };

    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)size);
    return tool_run(argv, &(struct proc_fd){ fd, TOOL_IMAGE }, 1);
}

static const char *format_of(const struct value *sm_config)
{
    bool raw = sm_config && sm_config->kind == V_MAP &&
        (cstr_eq(value_map_str(sm_config, "type"), "raw") || cstr_eq(value_map_str(sm_config, "image-format"), "raw"));

    return raw ? "raw" : "qcow2";
}

static struct err *round_size(uint64_t size, uint64_t *ret)
{
    if (size == 0 || size > SIZE_MAX_)
        return sr_failure(SR_SIZE, "VDI size must be between 1 byte and %lu bytes", SIZE_MAX_);
    *ret = (size + SECTOR - 1) / SECTOR * SECTOR;
    return NULL;
}

static struct err *dir_vdi_create(void *sr, struct arena *a, const struct sr_new_vdi *v, struct storage_vdi *ret)
{
    struct dir *d = sr;
    const char *format = format_of(v->sm_config);
    AUTO(fd_drop) int fd = -1;
    uint64_t size = 0;
    char from[NAME_SIZE], to[NAME_SIZE];
    struct err *e = NULL;

    if (!uuid_valid(v->uuid))
        return sr_failure(SR_VDI_CREATE, "%s is no uuid", v->uuid);
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        image_name("", v->uuid, formats[i], to);
        if (faccessat(d->fd, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return sr_failure(SR_VDI_CREATE, "The VDI exists already: %s", v->uuid);
    }
    TRY(round_size(v->size, &size));
    image_name(NEW, v->uuid, format, from);
    image_name("", v->uuid, format, to);
    unlinkat(d->fd, from, 0);
    fd = openat(d->fd, from, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return sr_failure_errno(SR_VDI_CREATE, errno, "Cannot make an image");
    if (cstr_eq(format, "qcow2"))
        e = qcow2_make(fd, size);
    else if (ftruncate(fd, (off_t)size) < 0)
        e = sr_failure_errno(SR_VDI_CREATE, errno, "Cannot make an image");
    if (e) {
        unlinkat(d->fd, from, 0);
        return e;
    }
    struct commit c = {
        .d = d, .uuid = v->uuid, .from = from, .to = to, .meta = { .name = v->name, .type = v->type }, .fd = fd
    };
    fiber_offload(commit, &c);
    TRY(c.error);
    d->virtual += size;
    return describe(d, a, fd, v->uuid, format, ret);
}

static void unlink_trash(void *arg)
{
    struct commit *c = arg;

    unlinkat(c->d->fd, c->from, 0); /* gigabytes take their time; what is left the next attach removes */
}

static struct err *dir_vdi_destroy(void *sr, const char *uuid)
{
    struct dir *d = sr;
    AUTO(fd_drop) int fd = -1;
    AUTO(fd_drop) int lease = -1;
    const char *format = NULL;
    char name[NAME_SIZE], trash[NAME_SIZE];
    uint64_t size = 0, used = 0;

    TRY(image_open(d, uuid, O_RDONLY, &fd, &format));
    TRY(lease_take(d->fd, uuid, true, "destroy", &lease));
    err_ignore(image_size(fd, format, uuid, &size, &used), "a broken image can be removed too");
    fd_drop(&fd);
    image_name("", uuid, format, name);
    image_name(TRASH, uuid, format, trash);
    if (renameat(d->fd, name, d->fd, trash) < 0)
        return sr_failure_errno(SR_VDI_UNAVAILABLE, errno, "Cannot remove the image of %s", uuid);
    meta_remove(d->fd, uuid);
    lease_remove(d->fd, uuid);
    struct commit c = { .d = d, .from = trash };
    fiber_offload(unlink_trash, &c);
    d->virtual -= size < d->virtual ? size : d->virtual;
    return NULL;
}

static struct err *dir_vdi_resize(void *sr, struct arena *a, const char *uuid, uint64_t size, struct storage_vdi *ret)
{
    struct dir *d = sr;
    AUTO(fd_drop) int fd = -1;
    AUTO(fd_drop) int lease = -1;
    const char *format = NULL;
    uint64_t old = 0, used = 0;
    char digits[24];

    TRY(round_size(size, &size));
    TRY(image_open(d, uuid, O_RDWR, &fd, &format));
    TRY(lease_take(d->fd, uuid, true, "resize", &lease));
    TRY(image_size(fd, format, uuid, &old, &used));
    if (size < old)
        return sr_failure(SR_SIZE, "VDI Invalid size [opterr=shrinking from %llu to %llu bytes is not possible]",
            (unsigned long long)old, (unsigned long long)size);
    snprintf(digits, sizeof(digits), "%llu", (unsigned long long)size);
    const char *argv[] = { "/usr/bin/qemu-img", "resize", "-q", "-f", format, "/proc/self/fd/10", digits, NULL };
    const struct proc_fd fds[] = { { fd, TOOL_IMAGE }, { lease, TOOL_IMAGE + 1 } };
    if (size > old)
        TRY(tool_run(argv, fds, ARRAY_LEN(fds)));
    d->virtual += size - old;
    return describe(d, a, fd, uuid, format, ret);
}

static struct err *dir_vdi_open(void *sr, const char *uuid, bool read_only, const char *op, struct sr_image *ret)
{
    struct dir *d = sr;
    AUTO(sr_image_done) struct sr_image i = SR_IMAGE_NONE;
    uint64_t used = 0;

    TRY(image_open(d, uuid, O_RDONLY, &i.fd, &i.format));
    fd_drop(&i.fd); /* only to know that it exists before a lease is made for it */
    if (!read_only && cstr_eq(op, SR_OP_BESIDE))
        TRY(lease_take_beside(d->fd, uuid, op, &i.lease));
    else
        TRY(lease_take(d->fd, uuid, !read_only, op, &i.lease));
    TRY(image_open(d, uuid, read_only ? O_RDONLY : O_RDWR, &i.fd, &i.format));
    TRY(image_size(i.fd, i.format, uuid, &i.size, &used));
    *ret = i;
    i = SR_IMAGE_NONE;
    return NULL;
}

struct remark {
    struct dir *d;
    const char *uuid, *name; /* name NULL: as it was */
    bool partial, keep_partial;
    struct err *error;
};

static void rewrite(void *arg)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct remark *r = arg;
    struct meta m;

    meta_read(a, r->d->fd, r->uuid, &m);
    if (r->name)
        m.name = r->name;
    if (!r->keep_partial)
        m.partial = r->partial;
    r->error = meta_write(r->d->fd, r->uuid, &m);
}

static struct err *dir_vdi_rename(void *sr, const char *uuid, const char *name)
{
    AUTO(fd_drop) int fd = -1;
    const char *format = NULL;
    struct remark r = { .d = sr, .uuid = uuid, .name = name, .keep_partial = true };

    TRY(image_open(sr, uuid, O_RDONLY, &fd, &format));
    fiber_offload(rewrite, &r);
    return r.error;
}

static struct err *dir_vdi_mark(void *sr, const char *uuid, bool partial)
{
    struct remark r = { .d = sr, .uuid = uuid, .partial = partial };

    fiber_offload(rewrite, &r);
    return r.error;
}

static struct err *dir_destroy(void *sr)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct dir *d = sr;
    struct storage_vdi *vdis = NULL;
    size_t n = 0;

    TRY(dir_scan(d, a, &vdis, &n));
    for (size_t i = 0; i < n; i++)
        TRY(dir_vdi_destroy(d, vdis[i].uuid));
    if (unlinkat(d->fd, MARKER, 0) < 0)
        return sr_failure_errno(SR_UNAVAILABLE, errno, "Cannot give up the folder");
    if (d->state_fd >= 0)
        unlinkat(d->state_fd, d->sr, 0);
    rmdir(d->location); /* only if nothing of others is in it */
    return NULL;
}

static const char *const features[] = { "SR_CREATE", "SR_DELETE", "SR_ATTACH", "SR_DETACH", "SR_SCAN", "SR_PROBE",
    "SR_UPDATE", "VDI_CREATE", "VDI_DELETE", "VDI_ATTACH", "VDI_DETACH", "VDI_RESIZE", "VDI_UPDATE", "VDI_INTRODUCE",
    NULL };
static const struct sr_key keys[] = { { "location", "absolute path of the folder" }, { 0 } };

const struct sr_driver dir_driver = {
    .type = "dir",
    .name = "Folder",
    .description = "Disks as files in a folder of the host",
    .vendor = "Runnymede",
    .version = "1.0",
    .content_type = "user",
    .features = features,
    .device_keys = keys,
    .create = dir_create,
    .probe = dir_probe,
    .attach = dir_attach,
    .detach = dir_detach,
    .destroy = dir_destroy,
    .scan = dir_scan,
    .stat = dir_stat,
    .vdi_create = dir_vdi_create,
    .vdi_destroy = dir_vdi_destroy,
    .vdi_resize = dir_vdi_resize,
    .vdi_stat = dir_vdi_stat,
    .vdi_rename = dir_vdi_rename,
    .vdi_open = dir_vdi_open,
    .vdi_mark = dir_vdi_mark,
};
