#include "crash_vfs.h"
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "base/vec.h"

#define N_FILES 8 /* the database, its WAL, a journal, temporaries */
#define VFS_NAME "crash"

struct bytes {
    unsigned char *p;
    size_t len, size;
};

/* A change that the disk has not promised to keep. */
struct change {
    bool truncate;
    size_t at, len; /* truncate: at is the new length */
    unsigned char *p;
};

struct disk_file {
    char name[64];     /* "": free */
    struct bytes now;  /* what the program sees */
    struct bytes safe; /* what survives for certain */
    bool exists, safely_exists;
    VEC(struct change) changes;
};

struct crash_disk {
    struct disk_file files[N_FILES];
    uint64_t rng;
    size_t sector;
    bool powersafe; /* a torn write spoils nothing beside it */
    unsigned calls, crash_at, fail_at;
    int fail_rc;
    bool fail_for_good, crashed, failed;
};

struct handle {
    sqlite3_file base;
    struct disk_file *file;
    bool temporary;
};

static struct crash_disk *mounted;

uint32_t crash_random(uint64_t *state, uint32_t below)
{
    *state += 0x9e3779b97f4a7c15; /* splitmix64 */
    uint64_t z = *state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (uint32_t)((z ^ z >> 31) >> 32) % below;
}

static void bytes_resize(struct bytes *b, size_t len)
{
    if (len > b->size) {
        b->size = len * 2;
        b->p = mem_realloc(b->p, b->size);
    }
    if (len > b->len)
        memset(b->p + b->len, 0, len - b->len);
    b->len = len;
}

static void bytes_write(struct bytes *b, size_t at, const void *p, size_t len)
{
    if (at + len > b->len)
        bytes_resize(b, at + len);
    if (len)
        memcpy(b->p + at, p, len);
}

static void bytes_copy(struct bytes *to, const struct bytes *from)
{
    bytes_resize(to, 0);
    bytes_write(to, 0, from->p, from->len);
}

static void changes_drop(struct disk_file *f)
{
    for (size_t i = 0; i < f->changes.len; i++)
        free(f->changes.p[i].p);
    f->changes.len = 0;
}

static void change_apply(struct bytes *b, const struct change *c)
{
    if (c->truncate) {
        if (c->at < b->len)
            bytes_resize(b, c->at);
    } else {
        bytes_write(b, c->at, c->p, c->len);
    }
}

static void file_forget(struct disk_file *f)
{
    changes_drop(f);
    vec_done(&f->changes);
    free(f->now.p);
    free(f->safe.p);
    *f = (struct disk_file){ 0 };
}

/* Faults and crashes */

static int step(struct crash_disk *d)
{
    d->calls++;
    if (d->crash_at && d->calls >= d->crash_at)
        d->crashed = true;
    if (d->fail_at && (d->calls == d->fail_at || (d->fail_for_good && d->calls > d->fail_at))) {
        d->failed = true;
        return d->fail_rc;
    }
    return SQLITE_OK;
}

static void spoil(struct crash_disk *d, struct bytes *b, size_t at, size_t len)
{
    for (size_t i = at; i < at + len && i < b->len; i++)
        b->p[i] = (unsigned char)crash_random(&d->rng, 256);
}

/* One sector's worth of a write that was on its way. */
static void survive_sector(struct crash_disk *d, struct bytes *b, const struct change *c, size_t at, size_t len)
{
    size_t start = at / d->sector * d->sector;

    switch (crash_random(&d->rng, 10)) {
    case 0: /* torn */
        bytes_write(b, at, c->p + (at - c->at), crash_random(&d->rng, (uint32_t)len + 1));
        return;
    case 1: /* spoilt */
        bytes_write(b, at, c->p + (at - c->at), len);
        if (d->powersafe)
            spoil(d, b, at, len);
        else
            spoil(d, b, start, d->sector);
        return;
    case 2:
    case 3:
    case 4:
    case 5: /* lost */
        return;
    default:
        bytes_write(b, at, c->p + (at - c->at), len);
    }
}

static void survive_change(struct crash_disk *d, struct bytes *b, const struct change *c)
{
    size_t end = c->at + c->len;

    if (c->truncate) {
        if (crash_random(&d->rng, 2))
            change_apply(b, c);
        return;
    }
    for (size_t at = c->at; at < end;) {
        size_t next = (at / d->sector + 1) * d->sector;
        size_t len = (next < end ? next : end) - at;
        survive_sector(d, b, c, at, len);
        at += len;
    }
}

static void shuffle(struct crash_disk *d, struct change *c, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = crash_random(&d->rng, (uint32_t)i);
        struct change t = c[i - 1];
        c[i - 1] = c[k];
        c[k] = t;
    }
}

static void survive_file(struct crash_disk *d, struct disk_file *f)
{
    bool exists = f->exists == f->safely_exists ? f->exists : crash_random(&d->rng, 2);
    uint32_t mood = crash_random(&d->rng, 4);

    if (mood == 0) /* a disk that loses everything; one that loses nothing is the common case without a crash */
        changes_drop(f);
    else if (mood > 1)
        shuffle(d, f->changes.p, f->changes.len);
    for (size_t i = 0; i < f->changes.len; i++)
        survive_change(d, &f->safe, &f->changes.p[i]);
    changes_drop(f);
    if (!exists) {
        file_forget(f);
        return;
    }
    bytes_copy(&f->now, &f->safe);
    f->exists = f->safely_exists = true;
}

void crash_disk_restart(struct crash_disk *d)
{
    for (int i = 0; i < N_FILES; i++)
        if (d->files[i].name[0])
            survive_file(d, &d->files[i]);
    d->calls = d->crash_at = d->fail_at = 0;
    d->crashed = d->failed = d->fail_for_good = false;
}

/* Files */

static struct handle *handle_of(sqlite3_file *f)
{
    return CONTAINER_OF(f, struct handle, base);
}

static int on_close(sqlite3_file *base)
{
    struct handle *h = handle_of(base);

    if (h->temporary)
        file_forget(h->file);
    return SQLITE_OK;
}

static int on_read(sqlite3_file *base, void *p, int len, sqlite3_int64 at)
{
    const struct bytes *b = &handle_of(base)->file->now;
    size_t have = (size_t)at < b->len ? b->len - (size_t)at : 0;

    if (mounted->crashed)
        return SQLITE_IOERR_READ;
    if (have >= (size_t)len) {
        memcpy(p, b->p + at, (size_t)len);
        return SQLITE_OK;
    }
    memset(p, 0, (size_t)len);
    if (have)
        memcpy(p, b->p + at, have);
    return SQLITE_IOERR_SHORT_READ;
}

/* Also when the power goes: the disk may have got some of it. */
static int change(struct disk_file *f, const struct change *c)
{
    int rc;

    if (mounted->crashed)
        return SQLITE_IOERR_WRITE;
    rc = step(mounted);
    if (rc != SQLITE_OK)
        return rc;
    vec_push(&f->changes, *c);
    f->changes.p[f->changes.len - 1].p = c->p ? mem_dup(c->p, c->len) : NULL;
    change_apply(&f->now, c);
    return mounted->crashed ? SQLITE_IOERR_WRITE : SQLITE_OK;
}

static int on_write(sqlite3_file *base, const void *p, int len, sqlite3_int64 at)
{
    struct change c = { .at = (size_t)at, .len = (size_t)len, .p = (unsigned char *)(uintptr_t)p };

    return change(handle_of(base)->file, &c);
}

static int on_truncate(sqlite3_file *base, sqlite3_int64 len)
{
    return change(handle_of(base)->file, &(struct change){ .truncate = true, .at = (size_t)len });
}

static int on_sync(sqlite3_file *base, int flags)
{
    struct disk_file *f = handle_of(base)->file;
    int rc;

    (void)flags;
    if (mounted->crashed)
        return SQLITE_IOERR_FSYNC;
    rc = step(mounted);
    if (rc != SQLITE_OK)
        return rc;
    if (mounted->crashed)
        return SQLITE_IOERR_FSYNC;
    for (size_t i = 0; i < f->changes.len; i++)
        change_apply(&f->safe, &f->changes.p[i]);
    changes_drop(f);
    f->safely_exists = f->exists;
    return SQLITE_OK;
}

static int on_size(sqlite3_file *base, sqlite3_int64 *ret)
{
    *ret = (sqlite3_int64)handle_of(base)->file->now.len;
    return SQLITE_OK;
}

static int on_lock(sqlite3_file *base, int level)
{
    (void)base;
    (void)level;
    return SQLITE_OK;
}

static int on_check_lock(sqlite3_file *base, int *ret)
{
    (void)base;
    *ret = 0;
    return SQLITE_OK;
}

static int on_control(sqlite3_file *base, int op, void *arg)
{
    (void)base;
    (void)op;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int on_sector(sqlite3_file *base)
{
    (void)base;
    return (int)mounted->sector;
}

static int on_traits(sqlite3_file *base)
{
    (void)base;
    return mounted->powersafe ? SQLITE_IOCAP_POWERSAFE_OVERWRITE : 0;
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = on_close,
    .xRead = on_read,
    .xWrite = on_write,
    .xTruncate = on_truncate,
    .xSync = on_sync,
    .xFileSize = on_size,
    .xLock = on_lock,
    .xUnlock = on_lock,
    .xCheckReservedLock = on_check_lock,
    .xFileControl = on_control,
    .xSectorSize = on_sector,
    .xDeviceCharacteristics = on_traits,
};

/* The VFS */

static struct disk_file *find(struct crash_disk *d, const char *name)
{
    for (int i = 0; i < N_FILES; i++)
        if (strcmp(d->files[i].name, name) == 0)
            return &d->files[i];
    return NULL;
}

static int make_file(struct crash_disk *d, const char *name, struct disk_file **ret)
{
    static unsigned n_temporaries;
    struct disk_file *f = find(d, "");
    int rc = step(d);

    if (rc != SQLITE_OK || d->crashed || !f)
        return rc != SQLITE_OK ? rc : SQLITE_CANTOPEN;
    if (name)
        snprintf(f->name, sizeof(f->name), "%s", name);
    else
        snprintf(f->name, sizeof(f->name), "(temporary %u)", n_temporaries++);
    f->exists = true;
    *ret = f;
    return SQLITE_OK;
}

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *ret_flags)
{
    struct handle *h = handle_of(base);
    struct disk_file *f = name ? find(mounted, name) : NULL;
    int rc;

    (void)vfs;
    *h = (struct handle){ 0 };
    if (mounted->crashed)
        return SQLITE_CANTOPEN;
    if (!f || !f->exists) {
        if (!(flags & SQLITE_OPEN_CREATE))
            return SQLITE_CANTOPEN;
        if (f) /* deleted, not yet for certain: the old one is given up */
            file_forget(f);
        rc = make_file(mounted, name, &f);
        if (rc != SQLITE_OK)
            return rc;
    }
    *h = (struct handle){ { &methods }, f, !name };
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int on_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    struct disk_file *f = find(mounted, name);
    int rc;

    (void)vfs;
    if (mounted->crashed)
        return SQLITE_IOERR_DELETE;
    if (!f || !f->exists)
        return SQLITE_IOERR_DELETE_NOENT;
    rc = step(mounted);
    if (rc != SQLITE_OK)
        return rc;
    f->exists = false;
    if (mounted->crashed)
        return SQLITE_IOERR_DELETE;
    if (sync_dir || !f->safely_exists)
        file_forget(f);
    return SQLITE_OK;
}

static int on_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
    const struct disk_file *f = find(mounted, name);

    (void)vfs;
    *ret = f && f->exists && (flags != SQLITE_ACCESS_EXISTS || f->now.len > 0);
    return SQLITE_OK;
}

static int on_full_path(sqlite3_vfs *vfs, const char *name, int size, char *ret)
{
    (void)vfs;
    snprintf(ret, (size_t)size, "%s", name);
    return SQLITE_OK;
}

static int on_randomness(sqlite3_vfs *vfs, int len, char *ret)
{
    (void)vfs;
    for (int i = 0; i < len; i++)
        ret[i] = (char)crash_random(&mounted->rng, 256);
    return len;
}

static int on_sleep(sqlite3_vfs *vfs, int us)
{
    (void)vfs;
    return us;
}

static int on_time(sqlite3_vfs *vfs, double *ret)
{
    (void)vfs;
    *ret = 2461041.5; /* 2026-01-01 */
    return SQLITE_OK;
}

static int on_last_error(sqlite3_vfs *vfs, int size, char *ret)
{
    (void)vfs;
    (void)size;
    (void)ret;
    return 0;
}

static sqlite3_vfs vfs = {
    .iVersion = 1,
    .szOsFile = sizeof(struct handle),
    .mxPathname = 60,
    .zName = VFS_NAME,
    .xOpen = on_open,
    .xDelete = on_delete,
    .xAccess = on_access,
    .xFullPathname = on_full_path,
    .xRandomness = on_randomness,
    .xSleep = on_sleep,
    .xCurrentTime = on_time,
    .xGetLastError = on_last_error,
};

void crash_disk_mount(struct crash_disk *d)
{
    mounted = d;
    if (d)
        sqlite3_vfs_register(&vfs, 0);
    else
        sqlite3_vfs_unregister(&vfs);
}

struct crash_disk *crash_disk_new(uint64_t seed)
{
    struct crash_disk *d = mem_new(struct crash_disk);

    d->rng = seed;
    d->sector = crash_random(&d->rng, 2) ? 512 : 4096;
    d->powersafe = crash_random(&d->rng, 2);
    return d;
}

void crash_disk_free(struct crash_disk *d)
{
    if (!d)
        return;
    for (int i = 0; i < N_FILES; i++)
        file_forget(&d->files[i]);
    free(d);
}

void crash_disk_crash_at(struct crash_disk *d, unsigned n)
{
    d->crash_at = n ? d->calls + n : 0;
}

void crash_disk_crash_now(struct crash_disk *d)
{
    d->crashed = true;
}

void crash_disk_fail_at(struct crash_disk *d, unsigned n, int rc, bool for_good)
{
    d->fail_at = n ? d->calls + n : 0;
    d->fail_rc = rc;
    d->fail_for_good = for_good;
    d->failed = false;
}

unsigned crash_disk_calls(const struct crash_disk *d)
{
    return d->calls;
}

bool crash_disk_crashed(const struct crash_disk *d)
{
    return d->crashed;
}

bool crash_disk_failed(const struct crash_disk *d)
{
    return d->failed;
}
