/* Data sources: what a host, a VM and a repository measure. */
#include "cli/verb.h"

/* In the order in which they are shown; the value is another verb's. */
static const char *const columns[] = { "name_label", "name_description", "enabled", "standard", "min", "max", "units" };

static const char *cell_text(struct xe *x, const struct value *source, const char *name)
{
    const struct field *f = model_field_find(C_data_source, name);
    const struct value *v = value_map_get(source, name);

    return f && v ? xe_value_text(x, f->type, v, "; ") : "";
}

static struct err *print_sources(struct xe *x, const struct rec *r, const char *method)
{
    struct cell cells[ARRAY_LEN(columns)];
    struct value all;
    AUTO(buf_done) struct buf b;

    buf_init(&b, 64UL << 20);
    TRY(CALL(x, &all, method, S(r->ref)));
    if (all.kind != V_SET)
        return usage("the server's answer is no set of data sources");
    for (size_t i = 0; i < all.n; i++) {
        for (size_t k = 0; k < ARRAY_LEN(columns); k++)
            cells[k] = (struct cell){ columns[k], cell_text(x, &all.items[i], columns[k]) };
        if (x->args.minimal)
            print_minimal(&b, cells[0].value, i == 0);
        else
            print_cells(&b, cells, ARRAY_LEN(columns));
    }
    if (x->args.minimal)
        buf_add_char(&b, '\n');
    print_out(&b);
    return NULL;
}

static struct err *of_vm(struct xe *x, const struct rec *r)
{
    return print_sources(x, r, "VM.get_data_sources");
}

static struct err *of_host(struct xe *x, const struct rec *r)
{
    return print_sources(x, r, "host.get_data_sources");
}

static struct err *of_sr(struct xe *x, const struct rec *r)
{
    return print_sources(x, r, "SR.get_data_sources");
}

static struct err *vm_sources(struct xe *x)
{
    return each(x, "vm", of_vm);
}

static struct err *host_sources(struct xe *x)
{
    return each(x, "host", of_host);
}

static struct err *sr_sources(struct xe *x)
{
    return each(x, "sr", of_sr);
}

const struct verb source_verbs[] = {
    { "vm-data-source-list", vm_sources, "", "", "vm", "Shows what is measured of a VM, and what may be recorded." },
    { "host-data-source-list", host_sources, "", "", "host",
        "Shows what is measured of a host, and what may be recorded." },
    { "sr-data-source-list", sr_sources, "", "", "sr",
        "Shows what is measured of a repository, and what may be recorded." },
    { 0 },
};
