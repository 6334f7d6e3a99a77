#include "storage/iso/iso.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/uuid.h"
#include "base/vec.h"

#define FILES_MAX 100000

struct iso {
    int fd;   /* owned */
    char *sr; /* owned: uuid */
    uint64_t virtual;
};

static bool is_image(const char *name)
{
    struct str s = str_of(name);

    return s.len > 4 && *name != '.' && str_is_utf8(s) &&
        (strcasecmp(name + s.len - 4, ".iso") == 0 || strcasecmp(name + s.len - 4, ".img") == 0);
}

/* FNV-1a over both names, as a uuid of the kind that RFC 9562 leaves to the maker (version 8). Not a secret, only
 * stable. */
static void uuid_of(const char *sr, const char *name, char ret[UUID_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    const unsigned __int128 prime = ((unsigned __int128)1 << 88) + 0x13b;
    unsigned __int128 h = ((unsigned __int128)0x6c62272e07bb0142 << 64) + 0x62b821756295c58d;
    const char *const parts[] = { sr, "/", name };
    unsigned n = 0;

    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        for (const char *p = parts[i]; *p; p++)
            h = (h ^ (unsigned char)*p) * prime;
    for (unsigned i = 0; i < UUID_LEN; i++) {
        unsigned digit = (unsigned)(h >> (124 - 4 * n)) & 15;

        if (i == 8 || i == 13 || i == 18 || i == 23) {
            ret[i] = '-';
            continue;
        }
        ret[i] = hex[i == 14 ? 8 : i == 19 ? 8 | (digit & 3) : digit];
        n++;
    }
    ret[UUID_LEN] = 0;
}

static void closedir_drop(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

struct walk {
    struct iso *iso;
    struct arena *a;
    const char *wanted; /* uuid; NULL: all */
    VEC(struct storage_vdi) vdis;
    struct err *error;
};

static void add_file(struct walk *w, const char *name)
{
    char uuid[UUID_LEN + 1];
    struct stat st;

    uuid_of(w->iso->sr, name, uuid);
    if (w->wanted && !cstr_eq(w->wanted, uuid))
        return;
    if (fstatat(w->iso->fd, name, &st, 0) < 0 || !S_ISREG(st.st_mode))
        return;
    struct storage_vdi v = { .uuid = arena_strdup(w->a, uuid),
        .location = arena_strdup(w->a, name),
        .size = (uint64_t)st.st_size,
        .used = (uint64_t)st.st_blocks * 512,
        .read_only = true,
        .type = "user",
        .format = "raw" };
    v.name = v.location;
    vec_push(&w->vdis, v);
}

static struct err *walk_folder(struct walk *w)
{
    AUTO(fd_drop) int fd = openat(w->iso->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO(closedir_drop) DIR *dir = NULL;
    struct dirent *entry;

    if (fd < 0 || !(dir = fdopendir(fd)))
        return sr_failure_errno(SR_UNAVAILABLE, errno, "Cannot read the folder");
    fd_take(&fd);
    for (errno = 0; (entry = readdir(dir)); errno = 0) {
        if (is_image(entry->d_name))
            add_file(w, entry->d_name);
        if (w->vdis.len > FILES_MAX)
            return sr_failure(SR_UNAVAILABLE, "The folder holds more than %d images", FILES_MAX);
    }
    return errno ? sr_failure_errno(SR_UNAVAILABLE, errno, "Cannot read the folder") : NULL;
}

static void walk_run(void *arg)
{
    struct walk *w = arg;

    w->error = walk_folder(w);
}

static struct err *iso_scan(void *sr, struct arena *a, struct storage_vdi **ret_vdis, size_t *ret_n)
{
    struct iso *iso = sr;
    struct walk w = { .iso = iso, .a = a };

    fiber_offload(walk_run, &w);
    if (!w.error) {
        uint64_t virtual = 0;
        for (size_t i = 0; i < w.vdis.len; i++)
            virtual += w.vdis.p[i].size;
        iso->virtual = virtual;
        *ret_vdis = arena_dup(a, w.vdis.p, w.vdis.len * sizeof(*w.vdis.p));
        *ret_n = w.vdis.len;
    }
    vec_done(&w.vdis);
    return w.error;
}

static struct err *iso_vdi_stat(void *sr, struct arena *a, const char *uuid, struct storage_vdi *ret)
{
    struct walk w = { .iso = sr, .a = a, .wanted = uuid };

    fiber_offload(walk_run, &w);
    if (!w.error && !w.vdis.len)
        w.error = sr_failure(SR_VDI_UNAVAILABLE, "The VDI is not available: %s", uuid);
    if (!w.error)
        *ret = w.vdis.p[0];
    vec_done(&w.vdis);
    return w.error;
}

static struct err *iso_stat(void *sr, struct storage_stat *ret)
{
    struct iso *iso = sr;
    struct statvfs st;

    if (fstatvfs(iso->fd, &st) < 0)
        return sr_failure_errno(SR_UNAVAILABLE, errno, "Cannot read the file system");
    *ret = (struct storage_stat){
        .size = st.f_blocks * st.f_frsize, .used = (st.f_blocks - st.f_bfree) * st.f_frsize, .virtual = iso->virtual
    };
    return NULL;
}

static struct err *iso_create(const char *sr, const struct value *config, uint64_t size)
{
    AUTO(fd_drop) int fd = -1;

    (void)sr;
    (void)size;
    return sr_folder_open(config, false, &fd);
}

static struct err *iso_probe(struct arena *a, const struct value *config, struct value *ret_found)
{
    AUTO(fd_drop) int fd = -1;

    (void)a;
    TRY(sr_folder_open(config, false, &fd));
    *ret_found = value_set(NULL, 0); /* an ISO folder does not know whose it is */
    return NULL;
}

static void iso_detach(void *sr)
{
    struct iso *iso = sr;

    fd_drop(&iso->fd);
    free(iso->sr);
    free(iso);
}

static struct err *iso_attach(const char *sr, const struct value *config, int state_fd, void **ret_sr)
{
    bool seen = state_fd >= 0 && faccessat(state_fd, sr, F_OK, 0) == 0;
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(fd_drop) int fd = -1;
    struct storage_vdi *vdis;
    size_t n;

    TRY(sr_folder_open(config, !seen, &fd));
    if (!seen && state_fd >= 0)
        TRY(file_write_atomic(state_fd, sr, "", 0, 0600));
    struct iso *iso = mem_new(struct iso);
    iso->fd = fd_take(&fd);
    iso->sr = mem_strdup(sr);
    struct err *e = iso_scan(iso, a, &vdis, &n);
    if (e)
        iso_detach(iso);
    else
        *ret_sr = iso;
    return e;
}

/* Nobody writes these files through us, so their readers need no lease. */
static struct err *iso_vdi_open(void *sr, const char *uuid, bool read_only, const char *op, struct sr_image *ret)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct iso *iso = sr;
    struct storage_vdi v;

    (void)op;
    if (!read_only)
        return sr_failure(SR_VDI_UNAVAILABLE, "Images of an ISO library are read-only");
    TRY(iso_vdi_stat(sr, a, uuid, &v));
    int fd = openat(iso->fd, v.location, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return sr_failure_errno(SR_VDI_UNAVAILABLE, errno, "Cannot open %s", v.location);
    *ret = (struct sr_image){ .fd = fd, .lease = -1, .format = "raw", .size = v.size };
    return NULL;
}

static const char *const features[] = { "SR_CREATE", "SR_ATTACH", "SR_DETACH", "SR_SCAN", "SR_PROBE", "SR_UPDATE",
    "VDI_ATTACH", "VDI_DETACH", "VDI_UPDATE", "VDI_INTRODUCE", NULL };
static const struct sr_key keys[] = { { "location", "absolute path of the folder" },
    { "legacy_mode", "accepted for compatibility: a folder is always taken as it is" }, { 0 } };

const struct sr_driver iso_driver = {
    .type = "iso",
    .name = "ISO library",
    .description = "CD images as files in a folder of the host",
    .vendor = "Runnymede",
    .version = "1.0",
    .content_type = "iso",
    .features = features,
    .device_keys = keys,
    .create = iso_create,
    .probe = iso_probe,
    .attach = iso_attach,
    .detach = iso_detach,
    .scan = iso_scan,
    .stat = iso_stat,
    .vdi_stat = iso_vdi_stat,
    .vdi_open = iso_vdi_open,
};
