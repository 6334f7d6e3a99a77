#include <string.h>
#include "core/call.h"
#include "core/rbac.h"

static struct err *role_of_row(struct call *c, const char *ref, enum role *ret)
{
    const struct row *r = NULL;

    TRY(call_row(c, C_role, ref, &r));
    if (!role_find(row_str(r, F_role_name_label), ret))
        return err_role_not_found();
    return NULL;
}

static struct err *get_permissions_name_label(
    struct call *c, const struct role_get_permissions_name_label_args *a, struct value *ret)
{
    enum role role = ROLE_READ_ONLY;
    struct value *set = NULL;

    TRY(role_of_row(c, a->self, &role));
    size_t n = rbac_permissions(role, c->arena, &set);
    *ret = value_set(set, n);
    return NULL;
}

static struct err *get_by_permission_name_label(
    struct call *c, const struct role_get_by_permission_name_label_args *a, struct value *ret)
{
    const struct msg *found = NULL;
    struct value *set = arena_new_array(c->arena, store_count(c->core->store, C_role) + 1, struct value);
    size_t n = 0;

    for (size_t i = 0; i < model_n_msgs() && !found; i++)
        if (strcmp(model_msg(i)->permission, a->label) == 0)
            found = model_msg(i);
    for (const struct row *r = store_first(c->core->store, C_role); found && r; r = store_next(r)) {
        enum role role = ROLE_READ_ONLY;
        if (role_find(row_str(r, F_role_name_label), &role) && role <= found->role)
            set[n++] = value_str(arena_strdup(c->arena, row_ref(r)));
    }
    *ret = value_set(set, n);
    return NULL;
}

void role_register(struct api_handlers *h)
{
    h->role_get_permissions_name_label = get_permissions_name_label;
    h->role_get_by_permission_name_label = get_by_permission_name_label;
}
