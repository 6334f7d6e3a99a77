/* What an agent in a guest may answer, as any of the answers: the report is sound whatever it says. */
#include <stdint.h>
#include "base/mem.h"
#include "gen/ipc_vm.h"
#include "vm/qga.h"
#include "vm/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct value *v)
{
    if (v->kind != V_MAP || v->n > 600)
        abort();
    for (size_t i = 0; i < 2 * (size_t)v->n; i++) {
        const struct value *s = &v->items[i];

        if (s->kind != V_STRING || s->n == 0 || s->n > 200 || strlen(s->s) != s->n ||
            !str_is_utf8((struct str){ s->s, s->n }))
            abort();
        for (const char *p = s->s; *p; p++)
            if ((unsigned char)*p < 0x20)
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct vm_nic nics[] = { { .mac = "02:00:00:00:00:01" },
        { .mac = "02:00:00:00:00:02", .position = 3 } };
    AUTO(arena_drop) struct arena *a = arena_new();
    char *line = mem_dup(data, len);
    struct vm_report r;
    struct value v;
    struct err *e = qga_parse(a, (struct str){ line, len }, &v);

    if (!e) {
        report_init(&r);
        report_info(a, &v, &r);
        report_os(a, &v, &r);
        report_name(a, &v, &r);
        report_networks(a, &v, nics, ARRAY_LEN(nics), &r);
        check(&r.version);
        check(&r.os);
        check(&r.names);
        check(&r.networks);
        check(&r.features);
    }
    err_ignore(e, "most inputs are no answers");
    free(line);
    return 0;
}
