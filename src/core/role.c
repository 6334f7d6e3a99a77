#include "core/role.h"
#include <openssl/evp.h>
#include <string.h>
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "core/implicit.h"
#include "core/rbac.h"

struct right {
    const char *name, *uuid, *ref;
    enum role need; /* the weakest role that has it */
};

struct permissions {
    struct arena *arena;
    struct map *by_name, *by_uuid; /* struct right in the arena */
    VEC(struct right *) list;
};

/* The same on every host and in every version: RFC 4122 version 5 of its name. */
static const char *uuid_of(struct arena *a, const char *name)
{
    static const char space[] = "runnymede permission ";
    AUTO(mem_drop) char *text = mem_printf("%s%s", space, name);
    unsigned char h[EVP_MAX_MD_SIZE];

    EVP_Digest(text, strlen(text), h, NULL, EVP_sha1(), NULL);
    h[6] = (unsigned char)((h[6] & 0x0f) | 0x50);
    h[8] = (unsigned char)((h[8] & 0x3f) | 0x80);
    return arena_printf(a, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", h[0], h[1], h[2],
        h[3], h[4], h[5], h[6], h[7], h[8], h[9], h[10], h[11], h[12], h[13], h[14], h[15]);
}

static void add(void *arg, const char *name, enum role need)
{
    struct permissions *all = arg;

    if (map_get(all->by_name, name))
        return;
    struct right *p = arena_new_of(all->arena, struct right);
    p->name = name;
    p->uuid = uuid_of(all->arena, name);
    p->ref = arena_printf(all->arena, "OpaqueRef:%s", p->uuid);
    p->need = need;
    map_put(all->by_name, name, p);
    map_put(all->by_uuid, p->uuid, p);
    vec_push(&all->list, p);
}

static struct permissions *permissions(struct core *c)
{
    struct permissions *p = c->permissions;

    if (p)
        return p;
    p = c->permissions = mem_new(struct permissions);
    p->arena = arena_new();
    p->by_name = map_new();
    p->by_uuid = map_new();
    rbac_each(p->arena, add, p);
    return p;
}

void permissions_free(struct permissions *p)
{
    if (!p)
        return;
    map_free(p->by_name);
    map_free(p->by_uuid);
    vec_done(&p->list);
    arena_free(p->arena);
    free(p);
}

static const struct right *by_ref(struct core *c, const char *ref)
{
    static const struct str prefix = STR("OpaqueRef:");

    return str_starts(str_of(ref), prefix) ? map_get(permissions(c)->by_uuid, ref + prefix.len) : NULL;
}

/* ---- as an object ---- */

static struct value field_of(const struct right *p, const struct field *f)
{
    if (f == F_role_uuid)
        return value_str(p->uuid);
    if (f == F_role_name_label)
        return value_str(p->name);
    if (f == F_role_name_description)
        return value_str("A permission");
    if (f == F_role_is_internal)
        return value_bool(true);
    return value_set(NULL, 0); /* subroles */
}

static const char *find(struct call *c, enum find_by by, const char *text)
{
    const struct right *p = by == FIND_BY_REF
        ? by_ref(c->core, text)
        : map_get(by == FIND_BY_UUID ? permissions(c->core)->by_uuid : permissions(c->core)->by_name, text);

    return p ? p->ref : NULL;
}

static struct value read_field(struct call *c, const char *ref, const struct field *f)
{
    return field_of(by_ref(c->core, ref), f);
}

/* ---- what a role grants ---- */

/* Those that the role has, or that is one itself; `names`: by name. */
static struct err *granted(struct call *c, const char *self, bool names, struct value *ret)
{
    const struct right *one = by_ref(c->core, self);
    struct permissions *all = permissions(c->core);
    struct value *set = arena_new_array(c->arena, all->list.len + 1, struct value);
    enum role role = ROLE_READ_ONLY;
    const struct row *r = NULL;
    size_t n = 0;

    if (!one)
        TRY(call_row(c, C_role, self, &r));
    if (!one && !role_find(row_str(r, F_role_name_label), &role))
        return err_role_not_found();
    for (size_t i = 0; !one && i < all->list.len; i++) {
        const struct right *p = all->list.p[i];
        if (p->need >= role)
            set[n++] = value_str(names ? p->name : p->ref);
    }
    if (one)
        set[n++] = value_str(names ? one->name : one->ref);
    *ret = value_set(set, n);
    return NULL;
}

static struct err *get_permissions(struct call *c, const struct role_get_permissions_args *a, struct value *ret)
{
    return granted(c, a->self, false, ret);
}

static struct err *get_permissions_name_label(
    struct call *c, const struct role_get_permissions_name_label_args *a, struct value *ret)
{
    return granted(c, a->self, true, ret);
}

/* ---- who has a permission ---- */

static struct value holders(struct call *c, const struct right *p)
{
    struct value *set = arena_new_array(c->arena, store_count(c->core->store, C_role) + 1, struct value);
    size_t n = 0;

    for (const struct row *r = store_first(c->core->store, C_role); p && r; r = store_next(r)) {
        enum role role = ROLE_READ_ONLY;
        if (role_find(row_str(r, F_role_name_label), &role) && role <= p->need)
            set[n++] = value_str(arena_strdup(c->arena, row_ref(r)));
    }
    return value_set(set, n);
}

/* A role is a permission of no other. */
static struct err *get_by_permission(struct call *c, const struct role_get_by_permission_args *a, struct value *ret)
{
    const struct right *p = by_ref(c->core, a->permission);
    const struct row *r = NULL;

    if (!p)
        TRY(call_row(c, C_role, a->permission, &r));
    *ret = holders(c, p);
    return NULL;
}

static struct err *get_by_permission_name_label(
    struct call *c, const struct role_get_by_permission_name_label_args *a, struct value *ret)
{
    *ret = holders(c, map_get(permissions(c->core)->by_name, a->label));
    return NULL;
}

static const struct class_hooks hooks = { .find = find, .read = read_field };

void role_register(struct api_handlers *h)
{
    class_hooks_set(C_role, &hooks);
    h->role_get_permissions = get_permissions;
    h->role_get_permissions_name_label = get_permissions_name_label;
    h->role_get_by_permission = get_by_permission;
    h->role_get_by_permission_name_label = get_by_permission_name_label;
}
