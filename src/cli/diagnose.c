/* Why something does not go: where a VM could start, who uses a disk. */
#include <string.h>
#include "cli/verb.h"

static struct err *print_vbds(struct xe *x, const struct value *record)
{
    const struct value *vbds = value_map_get(record, "VBDs");
    struct noun vbd;

    noun_find(x->arena, "vbd", &vbd);
    for (size_t i = 0; vbds && i < vbds->n; i++) {
        struct rec r = { vbds->items[i].s, xe_known(x, C_VBD, vbds->items[i].s) };

        if (r.record)
            TRY(records_print_full(
                x, &vbd, "uuid,vm-name-label,vdi-uuid,device,mode,currently-attached,attachable", &r, 1));
    }
    return NULL;
}

/* "yes", or the error's code and parameters. */
static const char *can_start(struct xe *x, const char *vm, const char *host)
{
    struct err *e = CALL(x, NULL, "VM.assert_can_boot_here", S(vm), S(host));
    const char *text = "yes";

    if (!e)
        return text;
    text = arena_strdup(x->arena, err_code(e));
    for (size_t i = 0; i < err_n_params(e); i++)
        text = arena_printf(x->arena, "%s %s", text, err_param(e, i));
    err_ignore(e, "it is shown");
    return text;
}

static struct err *diagnose_vm(struct xe *x, const struct rec *vm)
{
    struct value hosts;
    AUTO(buf_done) struct buf b;

    buf_init(&b, 16 << 20);
    TRY(CALL0(x, &hosts, "host.get_all"));
    for (size_t i = 0; hosts.kind == V_SET && i < hosts.n; i++) {
        const struct value *host = xe_known(x, C_host, hosts.items[i].s);
        const struct cell cells[] = { { "host-uuid", host ? value_map_str(host, "uuid") : "" },
            { "host-name-label", host ? value_map_str(host, "name_label") : "" },
            { "can-start", can_start(x, vm->ref, hosts.items[i].s) } };

        print_cells(&b, cells, ARRAY_LEN(cells));
    }
    print_out(&b);
    return print_vbds(x, vm->record);
}

static struct err *diagnose_vdi(struct xe *x, const struct rec *r)
{
    struct noun vdi;

    noun_find(x->arena, "vdi", &vdi);
    TRY(records_print(x, &vdi, "uuid,name-label,sr-uuid,sharable,read-only,storage-lock,managed,missing", r, 1));
    return print_vbds(x, r->record);
}

static struct err *one(struct xe *x, const char *name, each_fn *fn)
{
    const char *unused;

    TRY(arg_need(&x->args, "uuid", &unused));
    return each(x, name, fn);
}

static struct err *vm_status(struct xe *x)
{
    return one(x, "vm", diagnose_vm);
}

static struct err *vdi_status(struct xe *x)
{
    return one(x, "vdi", diagnose_vdi);
}

const struct verb diagnose_verbs[] = {
    { "diagnostic-vm-status", vm_status, "uuid", "", "vm",
        "Shows on which hosts a VM could start, or why not, and whether its drives can be attached." },
    { "diagnostic-vdi-status", vdi_status, "uuid", "", "vdi", "Shows a disk's locks and who is connected to it." },
    { 0 },
};
