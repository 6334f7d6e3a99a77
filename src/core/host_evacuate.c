/* host: emptying it (semantics.md 12). A host that is alone has nowhere to move its guests. */
#include <string.h>
#include "core/host.h"
#include "core/ops.h"

/* The n-th guest that lives here; the control domain is none. */
static const struct row *next_guest(const struct row *host, size_t *i)
{
    while (*i < row_n_related(host, F_host_resident_VMs)) {
        const struct row *vm = row_related(host, F_host_resident_VMs, (*i)++);

        if (!row_bool(vm, F_VM_is_control_domain))
            return vm;
    }
    return NULL;
}

/* CANNOT_EVACUATE_HOST ["code,vm|code,vm"], NULL when nobody is left. */
static struct err *check_empty(const struct row *host)
{
    AUTO(buf_done) struct buf text;
    size_t i = 0;

    buf_init(&text, 1024 * 1024);
    for (const struct row *vm; (vm = next_guest(host, &i));)
        buf_printf(&text, "%sNO_HOSTS_AVAILABLE,%s", text.len ? "|" : "", row_ref(vm));
    return text.len ? err_cannot_evacuate_host(text.p) : NULL;
}

static struct err *assert_can_evacuate(struct call *c, const struct host_assert_can_evacuate_args *a, struct value *ret)
{
    const struct row *host = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->host, &host));
    return check_empty(host);
}

static struct err *get_vms_which_prevent_evacuation(
    struct call *c, const struct host_get_vms_which_prevent_evacuation_args *a, struct value *ret)
{
    const struct row *host = NULL;
    size_t i = 0, n = 0;

    TRY(call_row(c, C_host, a->self, &host));
    struct value *pairs = arena_new_array(c->arena, 2 * row_n_related(host, F_host_resident_VMs), struct value);
    for (const struct row *vm; (vm = next_guest(host, &i)); n++) {
        struct value *why = arena_new_array(c->arena, 2, struct value);

        why[0] = value_str("NO_HOSTS_AVAILABLE");
        why[1] = value_str(arena_strdup(c->arena, row_ref(vm)));
        pairs[2 * n] = why[1];
        pairs[2 * n + 1] = value_set(why, 2);
    }
    *ret = value_map(pairs, n);
    return NULL;
}

static struct err *evacuate(struct call *c, const struct host_evacuate_args *a, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *host = NULL, *network = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->host, &host));
    if (!ref_is_null(a->network))
        TRY(call_row(c, C_network, a->network, &network));
    if (a->evacuate_batch_size < 0)
        return err_invalid_value("evacuate_batch_size", arena_printf(c->arena, "%ld", (long)a->evacuate_batch_size));
    TRY(op_begin(c, &host_ops, a->host, "evacuate", &op));
    TRY(call_row(c, C_host, a->host, &host));
    return check_empty(host);
}

void host_evacuate_register(struct api_handlers *h)
{
    h->host_assert_can_evacuate = assert_can_evacuate;
    h->host_get_vms_which_prevent_evacuation = get_vms_which_prevent_evacuation;
    h->host_evacuate = evacuate;
}
