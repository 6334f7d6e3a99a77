/* Verbs made of messages: create, destroy, and every explicit one. */
#include <ctype.h>
#include <string.h>
#include "cli/convert.h"
#include "cli/verb.h"

/* Names that people know parameters by; the model's own work too. */
static const struct {
    const char *message, *param, *name;
} known_as[] = {
    { "Bond.set_mode", "value", "mode" },
    { "Cluster.pool_destroy", "self", "cluster-uuid" },
    { "Cluster.pool_force_destroy", "self", "cluster-uuid" },
    { "Cluster.pool_resync", "self", "cluster-uuid" },
    { "DR_task.create", "whitelist", "sr-whitelist" },
    { "PVS_proxy.create", "site", "pvs-site-uuid" },
    { "PVS_server.introduce", "site", "pvs-site-uuid" },
    { "Repository.set_gpgkey_path", "value", "gpgkey-path" },
    { "SDN_controller.introduce", "port", "tcp-port" },
    { "VDI.generate_config", "vdi", "uuid" },
    { "VDI.list_changed_blocks", "vdi_from", "vdi-from-uuid" },
    { "VDI.resize", "size", "disk-size" },
    { "VDI.resize_online", "size", "disk-size" },
    { "VGPU.create", "type", "vgpu-type-uuid" },
    { "VM.call_plugin", "vm", "vm-uuid" },
    { "VM.checkpoint", "new_name", "new-name-label" },
    { "VM.set_VCPUs_number_live", "nvcpu", "new-vcpus" },
    { "VM.snapshot", "new_name", "new-name-label" },
    { "VTPM.create", "vM", "vm-uuid" },
    { "host.apply_edition", "host", "host-uuid" },
    { "host.call_plugin", "host", "host-uuid" },
    { "host.disable_external_auth", "host", "host-uuid" },
    { "host.enable_external_auth", "host", "host-uuid" },
    { "host.license_remove", "host", "host-uuid" },
    { "host.refresh_pack_info", "host", "host-uuid" },
    { "host.send_debug_keys", "host", "host-uuid" },
    { "host.set_hostname_live", "host", "host-uuid" },
    { "host.set_hostname_live", "hostname", "host-name" },
    { "host.syslog_reconfigure", "host", "host-uuid" },
    { "pool.configure_repository_proxy", "password", "proxy-password" },
    { "pool.configure_repository_proxy", "url", "proxy-url" },
    { "pool.configure_repository_proxy", "username", "proxy-username" },
    { "pool.create_VLAN_from_PIF", "VLAN", "vlan" },
    { "pool.enable_ha", "configuration", "ha-config" },
    { "pool.enable_ha", "heartbeat_srs", "heartbeat-sr-uuids" },
    { "pool.ha_compute_vm_failover_plan", "failed_hosts", "host-uuids" },
    { "pool.send_test_post", "host", "dest-host" },
    { "pool.send_test_post", "port", "dest-port" },
    { "tunnel.create", "transport_PIF", "pif-uuid" },
};

/* Verbs that take force though they ask nothing. */
static const char *const forced[] = { "VDI.force_unlock", "VTPM.destroy", "pool.emergency_transition_to_master" };

static const char *dashed(struct arena *a, const char *name)
{
    char *text = arena_strdup(a, name);

    for (char *p = text; *p; p++)
        *p = (char)(*p == '_' ? '-' : *p);
    return text;
}

static const char *lower(struct arena *a, const char *name)
{
    char *text = arena_strdup(a, name);

    for (char *p = text; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return text;
}

/* Names that follow from the model; of references first the one in small letters. */
static const char *model_names(struct arena *a, const struct msg *m, const struct param *p)
{
    const char *name = dashed(a, p->name), *class;

    if (p->type->kind != TYPE_REF)
        return arena_printf(a, "%s,%s,%s", name, p->name, lower(a, name));
    class = dashed(a, p->type->of->lower);
    if (p == &m->params[0] && p->type->of == m->class)
        return arena_printf(a, "uuid,%s,%s-uuid", class, class);
    return arena_printf(a, "%s-uuid,%s-uuid,%s,%s", lower(a, name), name, name, class);
}

/* All names a parameter answers to, the usual one first. */
static const char *names_of(struct arena *a, const struct msg *m, const struct param *p)
{
    const char *names = model_names(a, m, p);

    for (size_t i = 0; i < ARRAY_LEN(known_as); i++)
        if (strcmp(known_as[i].message, m->name) == 0 && strcmp(known_as[i].param, p->name) == 0)
            return arena_printf(a, "%s,%s", known_as[i].name, names);
    return names;
}

static struct err *take_param(
    struct xe *x, const struct msg *m, const struct param *p, struct value *ret, bool *ret_given)
{
    const char *names = names_of(x->arena, m, p);
    const char *text = arg_any(&x->args, names);
    struct str first, rest;

    str_cut(str_of(names), ',', &first, &rest);
    const char *name = arena_strndup(x->arena, first.p, first.len);
    *ret_given = true;
    if (p->type->kind == TYPE_MAP && !text) {
        *ret = convert_map_args(x, name);
        if (!ret->n && strcmp(p->name, name) != 0)
            *ret = convert_map_args(x, p->name);
        return NULL;
    }
    if (text)
        return convert(x, p->type, name, text, ret);
    *ret_given = false;
    if (p->type->kind == TYPE_BOOL)
        *ret = value_bool(false); /* a flag that was not raised */
    else if (p->dflt)
        *ret = *p->dflt;
    else
        return usage("Required parameter not found: %s", name);
    return NULL;
}

static const char *result_text(struct xe *x, const struct type *t, const struct value *v)
{
    if (t->kind == TYPE_FLOAT)
        return arena_printf(x->arena, "%f", v->kind == V_FLOAT ? v->f : (double)v->i);
    return xe_value_text(x, t, v, x->args.minimal ? "," : "; ");
}

/* A reference is shown as uuid, a set line by line, a map as lines of key and value. */
static void print_result(struct xe *x, const struct type *t, const struct value *v)
{
    if (t->kind == TYPE_VOID)
        return;
    if (v->kind == V_SET && !x->args.minimal)
        for (size_t i = 0; i < v->n; i++)
            say("%s", xe_value_text(x, t->elem, &v->items[i], "; "));
    else if (v->kind == V_MAP && t->kind == TYPE_MAP && !x->args.minimal)
        for (size_t i = 0; i < v->n; i++)
            say("%s: %s", xe_value_text(x, t->key, &v->items[2 * i], "; "),
                xe_value_text(x, t->elem, &v->items[2 * i + 1], "; "));
    else
        say("%s", result_text(x, t, v));
}

struct call {
    const struct msg *m;
    struct value params[32];
    size_t n;
};

static struct err *take_params(struct xe *x, struct call *c, size_t from, size_t to)
{
    bool given;

    for (size_t i = from; i < to && i < c->m->n_params; i++) {
        TRY(take_param(x, c->m, &c->m->params[i], &c->params[i], &given));
        if ((given || i < c->m->n_required) && i >= c->n)
            c->n = i + 1;
    }
    return NULL;
}

static struct err *call_once(struct xe *x, const struct call *c)
{
    struct value result = VALUE_NIL;

    TRY(xe_run(x, c->m->name, c->params, c->n, &result));
    print_result(x, c->m->result, &result);
    return NULL;
}

/* VMs and repositories are chosen by filters too, hosts and pools need not be named where there is only one. */
static bool chosen_by_filters(struct xe *x, const struct msg *m, struct noun *ret_noun)
{
    static const char *const losing[] = { ".destroy", ".declare_dead", ".forget" };
    const struct model_class *c = m->class;
    bool implied = c == C_host || c == C_pool;

    if (!m->n_params || m->params[0].type->kind != TYPE_REF || m->params[0].type->of != c)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(losing); i++)
        if (str_ends(str_of(m->name), str_of(losing[i])))
            return false; /* what is lost is named */
    if (arg_any(&x->args, names_of(x->arena, m, &m->params[0])))
        return false;
    if (!implied && ((c != C_VM && c != C_SR) || !args_left(&x->args)))
        return false;
    noun_find(x->arena, c->lower, ret_noun);
    if (c == C_VM)
        ret_noun->where = "is-a-template=false,is-control-domain=false";
    return true;
}

static struct err *call_message(struct xe *x, const struct msg *m)
{
    struct call c = { .m = m };
    struct rec *list = NULL;
    struct noun noun;
    size_t n = 0;

    if (m->n_params > ARRAY_LEN(c.params))
        return usage("%s has too many parameters", m->name);
    for (size_t i = 0; i < ARRAY_LEN(forced); i++)
        if (strcmp(forced[i], m->name) == 0)
            arg_get(&x->args, "force");
    TRY(take_params(x, &c, 1, m->n_params));
    if (!chosen_by_filters(x, m, &noun)) {
        TRY(take_params(x, &c, 0, 1));
        TRY(no_argument_left(x));
        return call_once(x, &c);
    }
    TRY(records_pick(x, &noun, &list, &n));
    c.n = c.n ? c.n : 1;
    for (size_t i = 0; i < n; i++) {
        c.params[0] = S(list[i].ref);
        TRY(call_once(x, &c));
    }
    return NULL;
}

/* create: name=value per field; what is not said is empty, where the model has no default. */
static struct err *call_create(struct xe *x, const struct msg *m)
{
    const struct model_class *c = m->class;
    struct value *pairs = arena_new_array(x->arena, c->n_fields * 2UL, struct value), record, ref;
    struct xe_field *fields;
    size_t n_fields = xe_fields(x->arena, c, &fields), n = 0;

    for (size_t i = 0; i < n_fields; i++) {
        const struct field *f = fields[i].field;
        const char *text;

        if (!f || fields[i].hop || fields[i].as_name || f->q == Q_RO)
            continue;
        text =
            arg_any(&x->args, arena_printf(x->arena, "%s,%s,%s", fields[i].name, dashed(x->arena, f->name), f->name));
        pairs[2 * n] = S(f->name);
        if (f->type->kind == TYPE_MAP && !text)
            pairs[2 * n + 1] = convert_map_args(x, fields[i].name);
        else if (text)
            TRY(convert(x, f->type, fields[i].name, text, &pairs[2 * n + 1]));
        else
            pairs[2 * n + 1] = f->dflt ? *f->dflt : type_empty(f->type);
        n++;
    }
    TRY(no_argument_left(x));
    record = value_map(pairs, n);
    TRY(xe_call(x, m->name, &record, 1, &ref));
    return say_uuid(x, c, ref.s);
}

struct err *message_run(struct xe *x, const struct xe_verb *v)
{
    return v->kind == XE_CREATE ? call_create(x, v->msg) : call_message(x, v->msg);
}

static void add_name(struct buf *b, const char *names, const char *behind)
{
    struct str first, rest;

    str_cut(str_of(names), ',', &first, &rest);
    buf_add_c(b, b->len ? "," : "");
    buf_add_str(b, first);
    buf_add_c(b, behind);
}

const char *message_params(struct arena *a, const struct xe_verb *v, bool needed)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 16384);
    if (v->kind == XE_CREATE) {
        struct xe_field *fields;
        size_t n = xe_fields(a, v->class, &fields);

        for (size_t i = 0; i < n; i++)
            if (fields[i].field && !fields[i].hop && !fields[i].as_name && fields[i].field->q != Q_RO && !needed)
                add_name(&b, fields[i].name, fields[i].field->type->kind == TYPE_MAP ? ":" : "");
        return arena_strdup(a, b.len ? b.p : "");
    }
    for (size_t i = 0; v->msg && i < v->msg->n_params; i++) {
        const struct param *p = &v->msg->params[i];
        bool must = !p->dflt && p->type->kind != TYPE_BOOL && p->type->kind != TYPE_MAP;
        const char *names = names_of(a, v->msg, p);

        if (must == needed)
            add_name(&b, names, p->type->kind == TYPE_MAP ? ":" : "");
    }
    return arena_strdup(a, b.len ? b.p : "");
}
