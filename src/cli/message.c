/* Verbs made of messages: create, destroy, and every explicit one. */
#include <ctype.h>
#include <string.h>
#include "cli/convert.h"
#include "cli/verb.h"

/* Names that people know parameters by; the model's own is the last choice. */
static const struct {
    const char *message, *param, *name;
} known_as[] = {
    { "VDI.resize", "size", "disk-size" },
    { "VDI.resize_online", "size", "disk-size" },
    { "VM.set_VCPUs_number_live", "nvcpu", "new-vcpus" },
    { "host.set_hostname_live", "hostname", "host-name" },
    { "VM.snapshot", "new_name", "new-name-label" },
    { "VM.checkpoint", "new_name", "new-name-label" },
};

static const char *dashed(struct arena *a, const char *name)
{
    char *text = arena_strdup(a, name);

    for (char *p = text; *p; p++)
        *p = (char)(*p == '_' ? '-' : *p);
    return text;
}

/* All names a parameter answers to, the usual one first. */
static const char *names_of(struct arena *a, const struct msg *m, const struct param *p)
{
    const char *name = dashed(a, p->name);

    for (size_t i = 0; i < ARRAY_LEN(known_as); i++)
        if (strcmp(known_as[i].message, m->name) == 0 && strcmp(known_as[i].param, p->name) == 0)
            return arena_printf(a, "%s,%s", known_as[i].name, name);
    if (p->type->kind != TYPE_REF)
        return arena_printf(a, strcmp(name, p->name) ? "%s,%s" : "%s", name, p->name);
    if (p == &m->params[0] && p->type->of == m->class)
        return arena_printf(a, "uuid,%s,%s-uuid", p->type->of->lower, p->type->of->lower);
    return arena_printf(a, "%s-uuid,%s,%s", name, name, p->type->of->lower);
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
        say("%s", xe_value_text(x, t, v, x->args.minimal ? "," : "; "));
}

static struct err *call_message(struct xe *x, const struct msg *m)
{
    struct value params[32], result = VALUE_NIL;
    size_t n = 0;
    bool given;

    if (m->n_params > ARRAY_LEN(params))
        return usage("%s has too many parameters", m->name);
    for (size_t i = 0; i < m->n_params; i++) {
        TRY(take_param(x, m, &m->params[i], &params[i], &given));
        if (given || i < m->n_required)
            n = i + 1;
    }
    TRY(no_argument_left(x));
    TRY(xe_run(x, m->name, params, n, &result));
    print_result(x, m->result, &result);
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

static void add_name(struct buf *b, const char *names)
{
    struct str first, rest;

    str_cut(str_of(names), ',', &first, &rest);
    buf_add_c(b, b->len ? "," : "");
    buf_add_str(b, first);
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
                add_name(
                    &b, arena_printf(a, "%s%s", fields[i].name, fields[i].field->type->kind == TYPE_MAP ? ":" : ""));
        return arena_strdup(a, b.len ? b.p : "");
    }
    for (size_t i = 0; v->msg && i < v->msg->n_params; i++) {
        const struct param *p = &v->msg->params[i];
        bool must = !p->dflt && p->type->kind != TYPE_BOOL && p->type->kind != TYPE_MAP;
        const char *names = names_of(a, v->msg, p);

        if (must == needed)
            add_name(&b, p->type->kind == TYPE_MAP ? arena_printf(a, "%s:", dashed(a, p->name)) : names);
    }
    return arena_strdup(a, b.len ? b.p : "");
}
