#include "core/blob.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "core/core.h"

#define MIME_MAX 127
#define NO_STORAGE "no_local_storage" /* key of host.other_config, as clients know it */

struct blobs {
    int dir;            /* owned; -1: none are kept */
    struct map *owners; /* ref of a blob -> ref of the object whose map names it (owned) */
};

/* Whose maps name blobs. */
static const struct owner_class {
    const struct model_class *cls;
    const struct field *blobs;
} owner_classes[] = { { C_VM, F_VM_blobs }, { C_host, F_host_blobs }, { C_pool, F_pool_blobs }, { C_SR, F_SR_blobs },
    { C_network, F_network_blobs } };

struct blobs *blobs_new(const char *dir)
{
    struct blobs *b = mem_new(struct blobs);

    b->owners = map_new();
    b->dir = -1;
    if (!dir)
        return b;
    log_err(LOG_WARN_, "there is no folder for blobs", dir_make(dir, 0700));
    b->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return b;
}

void blobs_free(struct blobs *b)
{
    const char *ref;
    void *owner;

    if (!b)
        return;
    for (size_t it = 0; map_next(b->owners, &it, &ref, &owner);)
        free(owner);
    map_free(b->owners);
    fd_drop(&b->dir);
    free(b);
}

int blob_folder(const struct core *c)
{
    bool off = *row_map_str(core_host_row(c), F_host_other_config, NO_STORAGE);

    return off ? -1 : c->blobs->dir;
}

/* ---- making ---- */

/* It becomes a header of HTTP. */
static struct err *check_mime_type(const char **mime_type)
{
    const char *s = *mime_type;
    size_t n = 0;

    if (!*s)
        *mime_type = "application/octet-stream";
    while (s[n] >= ' ' && s[n] <= '~')
        n++;
    return s[n] || n > MIME_MAX ? err_invalid_value("mime_type", s) : NULL;
}

static const char *make(struct tx *t, struct arena *a, const char *mime_type, bool public)
{
    const struct tx_field fields[] = {
        { F_blob_mime_type, value_str(mime_type) },
        { F_blob_public, value_bool(public) },
        { F_blob_last_updated, value_datetime(DATETIME_EPOCH) },
    };

    return arena_strdup(a, tx_create(t, C_blob, NULL, fields, ARRAY_LEN(fields)));
}

static struct err *create(struct call *c, const struct blob_create_args *a, struct value *ret)
{
    const char *mime_type = a->mime_type;

    TRY(check_mime_type(&mime_type));
    struct tx *t = tx_begin(c->core->store);
    *ret = value_str(make(t, c->arena, mime_type, a->public));
    return tx_commit(t);
}

static struct err *attach(struct call *c, const struct owner_class *oc, const char *owner, const char *name,
    const char *mime_type, bool public, struct value *ret)
{
    const struct row *r = NULL;

    TRY(call_row(c, oc->cls, owner, &r));
    if (value_map_get(row_get(r, oc->blobs), name))
        return err_map_duplicate_key(oc->cls->name, oc->blobs->name, row_str(r, oc->cls->uuid), name);
    TRY(check_mime_type(&mime_type));
    struct tx *t = tx_begin(c->core->store);
    const char *ref = make(t, c->arena, mime_type, public);
    tx_set(t, owner, oc->blobs, value_map_with(c->arena, row_get(r, oc->blobs), value_str(name), value_str(ref)));
    map_put(c->core->blobs->owners, ref, mem_strdup(owner));
    *ret = value_str(ref);
    struct err *e = tx_commit(t);
    if (e)
        free(map_remove(c->core->blobs->owners, ref));
    return e;
}

#define CREATE_NEW_BLOB(cls, arg, place)                                                                           \
    static struct err *cls##_attach(struct call *c, const struct cls##_create_new_blob_args *a, struct value *ret) \
    {                                                                                                              \
        return attach(c, &owner_classes[place], a->arg, a->name, a->mime_type, a->public, ret);                    \
    }

CREATE_NEW_BLOB(VM, vm, 0)
CREATE_NEW_BLOB(host, host, 1)
CREATE_NEW_BLOB(pool, pool, 2)
CREATE_NEW_BLOB(SR, sr, 3)
CREATE_NEW_BLOB(network, network, 4)

/* ---- removing ---- */

static const struct owner_class *class_of_owner(const struct row *owner)
{
    for (size_t i = 0; i < ARRAY_LEN(owner_classes); i++)
        if (row_class(owner) == owner_classes[i].cls)
            return &owner_classes[i];
    return NULL;
}

/* The map without that blob. */
static struct value without(struct arena *a, const struct value *map, const char *ref)
{
    struct value *pairs = arena_new_array(a, 2 * (size_t)map->n + 1, struct value);
    size_t n = 0;

    for (size_t i = 0; i < map->n; i++)
        if (strcmp(map->items[2 * i + 1].s, ref) != 0)
            memcpy(&pairs[2 * n++], &map->items[2 * i], 2 * sizeof(*pairs));
    return value_map(pairs, n);
}

static void remove_file(struct core *c, const char *uuid)
{
    if (c->blobs->dir < 0 || !uuid_valid(uuid))
        return;
    if (unlinkat(c->blobs->dir, uuid, 0) < 0 && errno != ENOENT)
        log_warn("the content of a blob stays until the next start", F("uuid", uuid), FI("errno", errno));
}

void blob_forget(struct core *c, const struct value *gone)
{
    for (size_t i = 0; i < gone->n; i++) {
        free(map_remove(c->blobs->owners, gone->items[2 * i].s));
        remove_file(c, gone->items[2 * i + 1].s);
    }
}

struct value blob_drop(
    struct core *c, struct tx *t, struct arena *a, const struct row *owner, const struct field *blobs)
{
    const struct value *map = row_get(owner, blobs);
    struct value *gone = arena_new_array(a, 2 * (size_t)map->n + 1, struct value);
    size_t n = 0;

    for (size_t i = 0; i < map->n; i++) {
        const struct row *r = store_find_of(c->store, C_blob, map->items[2 * i + 1].s);

        if (!r)
            continue;
        gone[2 * n] = value_str(arena_strdup(a, row_ref(r)));
        gone[2 * n++ + 1] = value_str(arena_strdup(a, row_str(r, F_blob_uuid)));
        tx_destroy(t, row_ref(r));
    }
    return value_map(gone, n);
}

static struct err *destroy(struct call *c, const struct blob_destroy_args *a, struct value *ret)
{
    const struct row *r = NULL;

    (void)ret;
    TRY(call_row(c, C_blob, a->self, &r));
    const struct value gone[2] = { value_str(a->self), value_str(arena_strdup(c->arena, row_str(r, F_blob_uuid))) };
    const struct value pairs = value_map(gone, 1);
    const char *owner_ref = map_get(c->core->blobs->owners, a->self);
    const struct row *owner = owner_ref ? core_row(c->core, owner_ref) : NULL;
    const struct owner_class *oc = owner ? class_of_owner(owner) : NULL;
    struct tx *t = tx_begin(c->core->store);
    if (oc)
        tx_set(t, owner_ref, oc->blobs, without(c->arena, row_get(owner, oc->blobs), a->self));
    tx_destroy(t, a->self);
    TRY(tx_commit(t));
    blob_forget(c->core, &pairs);
    return NULL;
}

/* ---- whether there is a place for them ---- */

static struct err *set_storage(struct call *c, bool on)
{
    const struct value *old = row_get(core_host_row(c->core), F_host_other_config);
    struct value config = on ? value_map_without(c->arena, old, NO_STORAGE)
                             : value_map_with(c->arena, old, value_str(NO_STORAGE), value_str("true"));

    return core_set(c->core, c->core->host_ref, F_host_other_config, config);
}

static struct err *enable_storage(struct call *c, const struct pool_enable_binary_storage_args *a, struct value *ret)
{
    (void)a;
    (void)ret;
    return set_storage(c, true);
}

static void remove_content(struct core *c, bool all);

static struct err *disable_storage(struct call *c, const struct pool_disable_binary_storage_args *a, struct value *ret)
{
    (void)a;
    (void)ret;
    TRY(set_storage(c, false)); /* first: an upload that ends from here on finds no place */
    remove_content(c->core, true);
    return blob_catch_up(c->core);
}

/* ---- a start ---- */

/* Files of blobs that are not there, and what uploads left that had no time to end; or all. */
static void remove_content(struct core *c, bool all)
{
    DIR *d = c->blobs->dir >= 0 ? fdopendir(openat(c->blobs->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) : NULL;

    for (const struct dirent *e; d && (e = readdir(d));) {
        bool known = uuid_valid(e->d_name) && store_by_uuid(c->store, C_blob, e->d_name);

        if ((known && !all) || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(c->blobs->dir, e->d_name, 0) < 0)
            log_warn("a file of no blob stays", F("file", e->d_name), FI("errno", errno));
    }
    if (d)
        closedir(d);
}

static void take_file(struct core *c, struct arena *a, struct tx *t, const struct row *r)
{
    const char *uuid = row_str(r, F_blob_uuid);
    struct stat st = { 0 };

    if (c->blobs->dir < 0 || !uuid_valid(uuid) || fstatat(c->blobs->dir, uuid, &st, AT_SYMLINK_NOFOLLOW) < 0)
        st.st_size = st.st_mtime = 0;
    tx_set(t, row_ref(r), F_blob_size, value_int(st.st_size));
    tx_set(t, row_ref(r), F_blob_last_updated, value_datetime(datetime_text(a, (uint64_t)st.st_mtime * 1000000)));
}

static void take_owners(struct core *c, const struct owner_class *oc)
{
    for (const struct row *r = store_first(c->store, oc->cls); r; r = store_next(r))
        for (size_t i = 0; i < row_get(r, oc->blobs)->n; i++)
            free(map_put(c->blobs->owners, row_get(r, oc->blobs)->items[2 * i + 1].s, mem_strdup(row_ref(r))));
}

struct err *blob_catch_up(struct core *c)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct tx *t = tx_begin(c->store);

    remove_content(c, false);
    for (const struct row *r = store_first(c->store, C_blob); r; r = store_next(r))
        take_file(c, a, t, r);
    for (size_t i = 0; i < ARRAY_LEN(owner_classes); i++)
        take_owners(c, &owner_classes[i]);
    return tx_commit(t);
}

void blob_register(struct api_handlers *h)
{
    h->blob_create = create;
    h->blob_destroy = destroy;
    h->VM_create_new_blob = VM_attach;
    h->host_create_new_blob = host_attach;
    h->pool_create_new_blob = pool_attach;
    h->SR_create_new_blob = SR_attach;
    h->network_create_new_blob = network_attach;
    h->pool_enable_binary_storage = enable_storage;
    h->pool_disable_binary_storage = disable_storage;
}
