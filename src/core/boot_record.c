/* VM.get_boot_record: the VM as it was when it booted, which its fields may not say any more. */
#include "core/ops.h"
#include "core/vm.h"
#include "proto/xmlrpc.h"

/* Text that whoever made the VM may have given: what of it is no field of the right type counts as not there. */
static struct value booted(struct arena *a, const struct row *vm)
{
    struct value v = VALUE_NIL;

    err_ignore(xmlrpc_parse_value(a, str_of(row_str(vm, F_VM_last_booted_record)), &v), "then it is as it is now");
    return v.kind == V_MAP ? v : value_map(NULL, 0);
}

static struct err *get_boot_record(struct call *c, const struct VM_get_boot_record_args *args, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *vm = NULL;

    TRY(op_begin(c, &vm_ops, args->self, "get_boot_record", &op));
    TRY(call_row(c, C_VM, args->self, &vm));
    struct value then = booted(c->arena, vm);
    struct value *pairs = arena_new_array(c->arena, 2 * C_VM->n_fields, struct value);
    for (size_t i = 0; i < C_VM->n_fields; i++) {
        const struct field *f = C_VM->fields[i];
        const struct value *v = value_map_get(&then, f->name);

        pairs[2 * i] = value_str(f->name);
        pairs[2 * i + 1] = row_value(c->arena, vm, f);
        if (v)
            err_ignore(type_check(c->arena, f->type, f->name, v, &pairs[2 * i + 1]), "then it is as it is now");
    }
    *ret = value_map(pairs, C_VM->n_fields);
    return NULL;
}

/* Of a driver domain; those here offer none. */
static struct err *query_services(struct call *c, const struct VM_query_services_args *a, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };

    TRY(op_begin(c, &vm_ops, a->self, "query_services", &op));
    *ret = value_map(NULL, 0);
    return NULL;
}

void boot_record_register(struct api_handlers *h)
{
    h->VM_get_boot_record = get_boot_record;
    h->VM_query_services = query_services;
}
