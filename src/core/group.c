/* VM_group: VMs that are placed apart from each other (semantics.md 18). On one host the placement has no choice. */
#include "core/call.h"

static struct err *set_groups(struct call *c, const struct VM_set_groups_args *a, struct value *ret)
{
    const struct row *vm = NULL, *group = NULL;

    (void)ret;
    TRY(call_row(c, C_VM, a->self, &vm));
    if (a->value->n > 1)
        return err_too_many_groups();
    for (size_t i = 0; i < a->value->n; i++)
        TRY(call_row(c, C_VM_group, a->value->items[i].s, &group));
    if (row_bool(vm, F_VM_is_control_domain) || row_bool(vm, F_VM_is_a_template))
        return err_operation_not_allowed("Control domains, templates and snapshots belong to no group");
    return core_set(c->core, a->self, F_VM_groups, *a->value);
}

void group_register(struct api_handlers *h)
{
    h->VM_set_groups = set_groups;
}
