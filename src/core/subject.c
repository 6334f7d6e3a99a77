#include <string.h>
#include "core/call.h"
#include "core/implicit.h"
#include "core/rbac.h"

/* Subjects: local users (u:name) and groups (g:name) that may log in, with roles. */

static struct err *create(struct call *c, struct value *record, const char **ret_ref)
{
    const char *sid = value_map_str(record, "subject_identifier");

    (void)ret_ref;
    for (const struct row *r = store_first(c->core->store, C_subject); r; r = store_next(r))
        if (strcmp(row_str(r, F_subject_subject_identifier), sid) == 0)
            return err_subject_already_exists();
    return NULL;
}

static struct err *change_roles(struct call *c, const char *self, const char *role, bool add)
{
    const struct row *subject = NULL, *r = NULL;

    TRY(call_row(c, C_subject, self, &subject));
    r = store_find_of(c->core->store, C_role, role);
    if (!r)
        return err_role_not_found();
    struct value old = row_value(c->arena, subject, F_subject_roles);
    if (add && value_set_has(&old, role))
        return err_role_already_exists();
    if (!add && !value_set_has(&old, role))
        return err_role_not_found();
    return core_set(c->core, self, F_subject_roles,
        add ? value_set_with(c->arena, &old, value_str(role)) : value_set_without(c->arena, &old, role));
}

static struct err *add_to_roles(struct call *c, const struct subject_add_to_roles_args *a, struct value *ret)
{
    (void)ret;
    return change_roles(c, a->self, a->role, true);
}

static struct err *remove_from_roles(struct call *c, const struct subject_remove_from_roles_args *a, struct value *ret)
{
    (void)ret;
    return change_roles(c, a->self, a->role, false);
}

static struct err *get_permissions_name_label(
    struct call *c, const struct subject_get_permissions_name_label_args *a, struct value *ret)
{
    const struct row *subject = NULL;
    struct value *set = NULL;
    enum role best = ROLE_COUNT;

    TRY(call_row(c, C_subject, a->self, &subject));
    struct value roles = row_value(c->arena, subject, F_subject_roles);
    for (size_t i = 0; i < roles.n; i++) {
        const struct row *row = store_find_of(c->core->store, C_role, roles.items[i].s);
        enum role r = ROLE_READ_ONLY;
        if (row && role_find(row_str(row, F_role_name_label), &r) && r < best)
            best = r;
    }
    *ret = value_set(set, 0);
    if (best == ROLE_COUNT)
        return NULL;
    size_t n = rbac_permissions(best, c->arena, &set);
    *ret = value_set(set, n);
    return NULL;
}

static const struct class_hooks hooks = { .create = create };

void subject_register(struct api_handlers *h)
{
    class_hooks_set(C_subject, &hooks);
    h->subject_add_to_roles = add_to_roles;
    h->subject_remove_from_roles = remove_from_roles;
    h->subject_get_permissions_name_label = get_permissions_name_label;
}
