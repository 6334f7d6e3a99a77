#include "core/rbac.h"
#include <string.h>
#include "base/vec.h"

static bool key_matches(const char *pattern, const char *key)
{
    size_t n = strlen(pattern);

    if (n && pattern[n - 1] == '*')
        return strncmp(pattern, key, n - 1) == 0;
    return strcmp(pattern, key) == 0;
}

/* NULL: a key like any other. */
static const struct key_role *guard_of(const struct key_role *roles, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (key_matches(roles[i].key, key))
            return &roles[i];
    return NULL;
}

struct err *rbac_check_role(const struct principal *who, enum role need, const char *permission)
{
    if (who->root || who->role <= need)
        return NULL;
    return err_rbac_permission_denied(permission, "No permission in user session");
}

static struct err *check_key(const struct call *c, const struct key_role *roles, size_t n, const char *key)
{
    const struct key_role *guard = guard_of(roles, n, key);

    if (!guard)
        return rbac_check_role(&c->who, c->msg->role, c->msg->permission);
    return rbac_check_role(&c->who, guard->role, arena_printf(c->arena, "%s/key:%s", c->msg->permission, key));
}

/* The map with guarded keys that a setter, implicit or not, replaces as a whole; NULL if it sets none. */
static const struct field *whole_map(const struct msg *m)
{
    const char *dot = strchr(m->name, '.');

    if (!dot || !cstr_starts(dot, ".set_") || m->n_params != 2)
        return NULL;
    const struct field *f = m->field ? m->field : model_field_find(m->class, dot + strlen(".set_"));
    return f && f->n_key_roles && f->type->kind == TYPE_MAP ? f : NULL;
}

/* May this role write any key of the map? Else it may not set it, not even to what it is. */
static bool may_write_some(const struct call *c, const struct field *f)
{
    bool some = c->who.role <= c->msg->role;

    for (size_t i = 0; i < f->n_key_roles; i++)
        some = some || c->who.role <= f->key_roles[i].role;
    return some;
}

static struct err *check_changes(const struct call *c, const struct field *f, const struct value *args)
{
    const struct row *r = store_find_of(c->core->store, f->class, args[0].s);
    const struct value *maps[2] = { r ? row_get(r, f) : NULL, &args[1] };

    if (!r || !may_write_some(c, f)) /* without an object the call will say so */
        return rbac_check_role(&c->who, c->msg->role, c->msg->permission);
    for (size_t m = 0; m < 2; m++)
        for (size_t i = 0; i < maps[m]->n; i++) {
            const char *key = maps[m]->items[2 * i].s;
            const struct value *a = value_map_get(maps[0], key), *b = value_map_get(maps[1], key);

            if (!a || !b || !value_eq(a, b))
                TRY(check_key(c, f->key_roles, f->n_key_roles, key));
        }
    return NULL;
}

struct err *rbac_check(const struct call *c, const struct value *args)
{
    const struct msg *m = c->msg;
    bool keyed = m->n_key_roles && m->n_params > 1 && strcmp(m->params[1].name, "key") == 0;

    if (c->who.root)
        return NULL;
    if (keyed && args->n > 1 && args->items[1].kind == V_STRING)
        return check_key(c, m->key_roles, m->n_key_roles, args->items[1].s);
    const struct field *map = whole_map(m);
    if (map && args->n > 1 && args->items[1].kind == V_MAP)
        return check_changes(c, map, args->items);
    return rbac_check_role(&c->who, m->role, m->permission);
}

/* Permissions */

static void keys_of(struct arena *a, const struct msg *m, permission_fn *fn, void *arg)
{
    for (size_t k = 0; k < m->n_key_roles; k++)
        fn(arg, arena_printf(a, "%s/key:%s", m->permission, m->key_roles[k].key), (enum role)m->key_roles[k].role);
}

static void action(struct arena *a, const struct http_action *h, permission_fn *fn, void *arg)
{
    fn(arg, arena_printf(a, "http/%s", h->name), (enum role)h->role);
    if (h->sub_action.key)
        fn(arg, arena_printf(a, "http/%s/%s", h->name, h->sub_action.key), (enum role)h->sub_action.role);
}

void rbac_each(struct arena *a, permission_fn *fn, void *arg)
{
    for (size_t i = 0; i < model_n_msgs(); i++) {
        if (!model_msg(i)->session)
            continue;
        fn(arg, model_msg(i)->permission, (enum role)model_msg(i)->role);
        keys_of(a, model_msg(i), fn, arg);
    }
    for (size_t i = 0; i < HTTP_ACTION_COUNT; i++)
        action(a, &model_http_actions[i], fn, arg);
    for (size_t i = 0; i < EXTRA_PERMISSION_COUNT; i++)
        fn(arg, model_extra_permissions[i].name, (enum role)model_extra_permissions[i].role);
}

struct names {
    VEC(struct value) v;
    enum role role;
};

static void grant(void *arg, const char *name, enum role need)
{
    struct names *to = arg;

    if (need >= to->role)
        vec_push(&to->v, value_str(name));
}

size_t rbac_permissions(enum role role, struct arena *a, struct value **ret)
{
    struct names to = { .role = role };

    rbac_each(a, grant, &to);
    *ret = arena_dup(a, to.v.p, to.v.len * sizeof(**ret));
    size_t n = to.v.len;
    vec_done(&to.v);
    return n;
}
