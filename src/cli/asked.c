#include "cli/asked.h"
#include <string.h>

#define UNKNOWN "<unknown>"

/* What a data source says now. Nothing is known of what does not run. */
static const char *figure(struct xe *x, const char *method, const char *ref, const char *name, double scale)
{
    struct value v;
    struct err *e = CALL(x, &v, method, S(ref), S(name));

    if (!e)
        return arena_printf(x->arena, "%.3f", (v.kind == V_FLOAT ? v.f : (double)v.i) / scale);
    err_ignore(e, "said so");
    return UNKNOWN;
}

/* KiB/s of a device: "vif_", "0", "_rx". */
static const char *traffic(struct xe *x, const struct value *record, const char *class, const char *direction)
{
    bool of_host = strcmp(class, "pif") == 0;
    const char *name = arena_printf(x->arena, "%s_%s_%s", class, value_map_str(record, "device"), direction);

    return figure(x, of_host ? "host.query_data_source" : "VM.query_data_source",
        value_map_str(record, of_host ? "host" : "VM"), name, 1024);
}

static const char *vif_read(struct xe *x, const char *ref, const struct value *record)
{
    (void)ref;
    return traffic(x, record, "vif", "rx");
}

static const char *vif_write(struct xe *x, const char *ref, const struct value *record)
{
    (void)ref;
    return traffic(x, record, "vif", "tx");
}

static const char *pif_read(struct xe *x, const char *ref, const struct value *record)
{
    (void)ref;
    return traffic(x, record, "pif", "rx");
}

static const char *pif_write(struct xe *x, const char *ref, const struct value *record)
{
    (void)ref;
    return traffic(x, record, "pif", "tx");
}

static const char *vbd_read(struct xe *x, const char *ref, const struct value *record)
{
    (void)ref;
    return traffic(x, record, "vbd", "read");
}

static const char *vbd_write(struct xe *x, const char *ref, const struct value *record)
{
    (void)ref;
    return traffic(x, record, "vbd", "write");
}

static const char *attachable(struct xe *x, const char *ref, const struct value *record)
{
    struct err *e = CALL(x, NULL, "VBD.assert_attachable", S(ref));
    const char *text;

    (void)record;
    if (!e)
        return "true";
    text = arena_printf(x->arena, "false (error: %s)", err_code(e));
    err_ignore(e, "it is shown");
    return text;
}

static const char *cpu_use(struct xe *x, const char *ref, const struct value *record)
{
    const struct value *n = value_map_get(record, "number");

    (void)ref;
    return figure(x, "host.query_data_source", value_map_str(record, "host"),
        arena_printf(x->arena, "cpu%lld", n ? (long long)n->i : 0), 1);
}

static const char *vcpus_use(struct xe *x, const char *ref, const struct value *record)
{
    const struct value *metrics = xe_known(x, C_VM_metrics, value_map_str(record, "metrics"));
    const struct value *n = metrics ? value_map_get(metrics, "VCPUs_number") : NULL;
    const char *all = "";

    for (int i = 0; n && i < n->i; i++)
        all = arena_printf(x->arena, "%s%s%d: %s", all, i ? "; " : "", i,
            figure(x, "VM.query_data_source", ref, arena_printf(x->arena, "cpu%d", i), 1));
    return all;
}

/* Of its only PBD. */
static const char *sr_host(struct xe *x, const char *ref, const struct value *sr)
{
    const struct value *pbds = value_map_get(sr, "PBDs"), *pbd, *host;

    (void)ref;
    if (pbds && pbds->kind == V_SET && pbds->n > 1)
        return "<shared>";
    pbd = pbds && pbds->kind == V_SET && pbds->n ? xe_known(x, C_PBD, pbds->items[0].s) : NULL;
    host = pbd ? xe_known(x, C_host, value_map_str(pbd, "host")) : NULL;
    return host ? value_map_str(host, "name_label") : FIELD_NOT_THERE;
}

/* Of all hosts. */
static const char *https_only(struct xe *x, const char *ref, const struct value *pool)
{
    struct value hosts;
    struct err *e = CALL0(x, &hosts, "host.get_all");

    (void)ref, (void)pool;
    if (e) {
        err_ignore(e, "said so");
        return UNKNOWN;
    }
    for (size_t i = 0; hosts.kind == V_SET && i < hosts.n; i++) {
        const struct value *host = xe_known(x, C_host, hosts.items[i].s);
        const struct value *only = host ? value_map_get(host, "https_only") : NULL;

        if (!only || !only->b)
            return "false";
    }
    return "true";
}

static const struct type text_type = { .kind = TYPE_STRING };
static const struct type map_type = { .kind = TYPE_MAP, .key = &text_type, .elem = &text_type };

static const struct asked all[] = {
    { "VM", "allowed-VBD-devices", .getter = "VM.get_allowed_VBD_devices" },
    { "VM", "allowed-VIF-devices", .getter = "VM.get_allowed_VIF_devices" },
    { "VM", "possible-hosts", .getter = "VM.get_possible_hosts" },
    { "VM", "cooperative", .getter = "VM.get_cooperative" },
    { "VM", "VCPUs-utilisation", .ask = vcpus_use, .map = true },
    { "SR", "host", .ask = sr_host, .cheap = true },
    { "VIF", "io_read_kbs", .ask = vif_read },
    { "VIF", "io_write_kbs", .ask = vif_write },
    { "VBD", "io_read_kbs", .ask = vbd_read },
    { "VBD", "io_write_kbs", .ask = vbd_write },
    { "VBD", "attachable", .ask = attachable },
    { "PIF", "io_read_kbs", .ask = pif_read },
    { "PIF", "io_write_kbs", .ask = pif_write },
    { "host", "memory-free-computed", .getter = "host.compute_free_memory" },
    { "host_cpu", "utilisation", .ask = cpu_use },
    { "pool", "supported-sr-types", .getter = "SR.get_supported_types" },
    { "pool", "license-state", .getter = "pool.get_license_state", .cheap = true },
    { "pool", "https-only", .ask = https_only, .setter = "pool.set_https_only", .cheap = true },
    { "network_sriov", "remaining-capacity", .getter = "network_sriov.get_remaining_capacity" },
};

size_t asked_fields(const struct model_class *c, struct xe_field *list)
{
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(all) && n < ASKED_MAX; i++)
        if (strcmp(all[i].class, c->name) == 0)
            list[n++] = (struct xe_field){ .name = all[i].name, .asked = &all[i] };
    return n;
}

bool asked_instead(const struct model_class *c, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (strcmp(all[i].class, c->name) == 0 && strcmp(all[i].name, name) == 0)
            return true;
    return false;
}

const struct type *asked_type(const struct asked *q)
{
    const struct msg *m = q->getter ? model_msg_find(q->getter) : q->setter ? model_msg_find(q->setter) : NULL;

    if (!m)
        return q->map ? &map_type : &text_type;
    return q->getter ? m->result : m->params[1].type;
}

const char *asked_text(struct xe *x, const struct asked *q, const char *ref, const struct value *record)
{
    const struct msg *m = q->getter ? model_msg_find(q->getter) : NULL;
    struct value v;
    struct err *e;

    if (!m)
        return q->ask(x, ref, record);
    e = m->n_params ? CALL(x, &v, m->name, S(ref)) : CALL0(x, &v, m->name);
    if (!e)
        return xe_value_text(x, m->result, &v, "; ");
    err_ignore(e, "control domains and snapshots have none");
    return "";
}
