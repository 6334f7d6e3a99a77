#include <stdio.h>
#include <string.h>
#include "core/rbac.h"

static bool key_matches(const char *pattern, const char *key)
{
    size_t n = strlen(pattern);

    if (n && pattern[n - 1] == '*')
        return strncmp(pattern, key, n - 1) == 0;
    return strcmp(pattern, key) == 0;
}

enum role rbac_key_role(const struct msg *m, const char *key)
{
    for (size_t i = 0; i < m->n_key_roles; i++)
        if (key_matches(m->key_roles[i].key, key))
            return m->key_roles[i].role;
    return m->field ? m->field->write_role : m->role;
}

struct err *rbac_check_role(const struct principal *who, enum role need, const char *permission)
{
    if (who->root || who->role <= need)
        return NULL;
    return err_rbac_permission_denied(permission, "No permission in user session");
}

struct err *rbac_check(const struct principal *who, const struct msg *m, const struct value *args)
{
    bool keyed = m->n_params > 1 && strcmp(m->params[1].name, "key") == 0;
    char permission[256];

    if (who->root || who->role <= m->role)
        return NULL;
    if (m->n_key_roles && m->implicit == IMPLICIT_SET)
        return NULL; /* decided key by key where the old value is known */
    if (m->n_key_roles && keyed && args->n > 1 && args->items[1].kind == V_STRING) {
        const char *key = args->items[1].s;
        snprintf(permission, sizeof(permission), "%s/key:%s", m->permission, key);
        return rbac_check_role(who, rbac_key_role(m, key), permission);
    }
    return rbac_check_role(who, m->role, m->permission);
}

size_t rbac_permissions(enum role role, struct arena *a, struct value **ret)
{
    struct value *set = arena_new_array(a, model_n_msgs(), struct value);
    size_t n = 0;

    for (size_t i = 0; i < model_n_msgs(); i++)
        if (model_msg(i)->session && model_msg(i)->role >= role)
            set[n++] = value_str(model_msg(i)->permission);
    *ret = set;
    return n;
}
