#include <stdio.h>
#include <string.h>
#include "base/map.h"
#include "gen/errors.h"
#include "model/model.h"

struct value type_empty(const struct type *t)
{
    switch (t->kind) {
    case TYPE_INT:
        return value_int(0);
    case TYPE_FLOAT:
        return value_float(0);
    case TYPE_BOOL:
        return value_bool(false);
    case TYPE_DATETIME:
        return value_datetime(DATETIME_EPOCH);
    case TYPE_ENUM:
        return value_str(t->en->n_values ? t->en->values[0] : "");
    case TYPE_REF:
        return value_str(REF_NULL);
    case TYPE_SET:
        return value_set(NULL, 0);
    case TYPE_MAP:
    case TYPE_RECORD:
    case TYPE_EVENT_BATCH:
        return value_map(NULL, 0);
    case TYPE_OPTION:
        return VALUE_NIL;
    case TYPE_VOID:
    case TYPE_STRING:
    case TYPE_SECRET:
        break;
    }
    return value_str("");
}

static struct err *check_text(const char *what, const struct value *in, struct value *ret_out)
{
    if (in->kind != V_STRING)
        return err_field_type_error(what);
    if (!str_is_utf8((struct str){ in->s, in->n }))
        return err_invalid_value("Invalid UTF-8 string in parameter", in->s);
    *ret_out = *in;
    return NULL;
}

static struct err *check_enum(const struct type *t, const char *what, const struct value *in, struct value *ret_out)
{
    const char *canonical = NULL;
    struct value text = VALUE_NIL;

    TRY(check_text(what, in, &text));
    if (!enum_has(t->en, text.s, &canonical))
        return err_invalid_value(what, text.s);
    *ret_out = value_str(canonical);
    return NULL;
}

static struct err *check_int(const char *what, const struct value *in, struct value *ret_out)
{
    int64_t i;

    if (in->kind == V_INT)
        i = in->i;
    else if (in->kind != V_STRING || !str_to_i64_any((struct str){ in->s, in->n }, &i))
        return err_field_type_error(what);
    *ret_out = value_int(i);
    return NULL;
}

static struct err *check_float(const char *what, const struct value *in, struct value *ret_out)
{
    double f;

    if (in->kind == V_FLOAT)
        f = in->f;
    else if (in->kind == V_INT)
        f = (double)in->i;
    else if (in->kind != V_STRING || !str_to_double((struct str){ in->s, in->n }, &f))
        return err_field_type_error(what);
    *ret_out = value_float(f);
    return NULL;
}

/* Any spelling of ISO 8601 in, ours out; a time without a zone stays without. */
static struct err *check_datetime(struct arena *a, const char *what, const struct value *in, struct value *ret_out)
{
    const char *t;
    uint64_t us;
    char *text;

    if ((in->kind != V_DATETIME && in->kind != V_STRING) || !datetime_parse(in->s, &us))
        return err_field_type_error(what);

    text = datetime_text(a, us);
    t = strchr(in->s, 'T');
    if (t && !strpbrk(t, "Z+-"))
        text[strcspn(text, "Z")] = '\0';
    *ret_out = value_datetime(text);
    return NULL;
}

static struct err *check_set(
    struct arena *a, const struct type *t, const char *what, const struct value *in, struct value *ret_out)
{
    struct value *items;

    if (in->kind != V_SET)
        return err_field_type_error(what);
    items = arena_new_array(a, in->n, struct value);
    for (size_t i = 0; i < in->n; i++)
        TRY(type_check(a, t->elem, what, &in->items[i], &items[i]));
    *ret_out = value_set(items, in->n);
    return NULL;
}

/* A key given twice keeps its place and takes the last value. */
static struct err *check_map(
    struct arena *a, const struct type *t, const char *what, const struct value *in, struct value *ret_out)
{
    AUTO(map_drop) struct map *seen = NULL;
    struct value *pairs;
    size_t n = 0;

    if (in->kind != V_MAP)
        return err_field_type_error(what);
    pairs = arena_new_array(a, 2 * (size_t)in->n, struct value);
    seen = map_new();
    for (size_t i = 0; i < in->n; i++) {
        const struct value *key = &in->items[2 * i];
        struct value *pair = key->kind == V_STRING ? map_get(seen, key->s) : NULL;

        if (!pair)
            pair = &pairs[2 * n++];
        TRY(type_check(a, t->key, what, key, &pair[0]));
        TRY(type_check(a, t->elem, what, &key[1], &pair[1]));
        if (key->kind == V_STRING)
            map_put(seen, key->s, pair);
    }
    *ret_out = value_map(pairs, n);
    return NULL;
}

/* Is it an argument of create()? Records of classes without rows are taken whole. */
static bool in_constructor(const struct field *f)
{
    return f->q != Q_RO || !f->class->in_database;
}

static struct err *check_record(
    struct arena *a, const struct type *t, const char *what, const struct value *in, struct value *ret_out)
{
    const struct model_class *c = t->of;
    struct value *pairs;
    size_t n = 0;

    if (in->kind != V_MAP)
        return err_field_type_error(what);
    pairs = arena_new_array(a, 2 * (size_t)c->n_fields, struct value);
    for (size_t i = 0; i < c->n_fields; i++) {
        const struct field *f = c->fields[i];
        const struct value *v = in_constructor(f) ? value_map_get(in, f->name) : NULL;

        if (!in_constructor(f))
            continue;
        pairs[2 * n] = value_str(f->name);
        if (v && f->type->kind == TYPE_OPTION)
            TRY(type_check(a, f->type->elem, f->name, v, &pairs[2 * n + 1]));
        else if (v)
            TRY(type_check(a, f->type, f->name, v, &pairs[2 * n + 1]));
        else if (f->dflt)
            pairs[2 * n + 1] = *f->dflt;
        else if (f->type->kind == TYPE_SET && f->type->elem->kind == TYPE_REF)
            pairs[2 * n + 1] = type_empty(f->type);
        else if (f->type->kind != TYPE_OPTION)
            return err_note(err_field_type_error(f->name), "missing in a record of class %s", c->name);
        n++;
    }
    *ret_out = value_map(pairs, n);
    return NULL;
}

static struct err *check_option(
    struct arena *a, const struct type *t, const char *what, const struct value *in, struct value *ret_out)
{
    if (in->kind == V_NIL || (in->kind == V_SET && in->n == 0)) {
        *ret_out = VALUE_NIL;
        return NULL;
    }
    if (in->kind != V_SET || in->n != 1)
        return err_field_type_error(what);
    return type_check(a, t->elem, what, in->items, ret_out);
}

struct err *type_check(
    struct arena *a, const struct type *t, const char *what, const struct value *in, struct value *ret_out)
{
    switch (t->kind) {
    case TYPE_STRING:
    case TYPE_SECRET:
    case TYPE_REF:
        return check_text(what, in, ret_out);
    case TYPE_ENUM:
        return check_enum(t, what, in, ret_out);
    case TYPE_INT:
        return check_int(what, in, ret_out);
    case TYPE_FLOAT:
        return check_float(what, in, ret_out);
    case TYPE_BOOL:
        if (in->kind != V_BOOL)
            return err_field_type_error(what);
        *ret_out = *in;
        return NULL;
    case TYPE_DATETIME:
        return check_datetime(a, what, in, ret_out);
    case TYPE_SET:
        return check_set(a, t, what, in, ret_out);
    case TYPE_MAP:
        return check_map(a, t, what, in, ret_out);
    case TYPE_RECORD:
        return check_record(a, t, what, in, ret_out);
    case TYPE_OPTION:
        return check_option(a, t, what, in, ret_out);
    case TYPE_VOID:
    case TYPE_EVENT_BATCH:
        break;
    }
    return err_field_type_error(what);
}

static struct err *count_mismatch(const struct msg *m, size_t n_args)
{
    char expected[24], received[24];

    snprintf(expected, sizeof(expected), "%u", (unsigned)m->n_params);
    snprintf(received, sizeof(received), "%zu", n_args);
    return err_message_parameter_count_mismatch(m->name, expected, received);
}

struct err *msg_check_args(
    struct arena *a, const struct msg *m, const struct value *args, size_t n_args, struct value *ret_args)
{
    /* Surplus arguments are ignored where some are optional. */
    if (n_args < m->n_required || (n_args > m->n_params && m->n_required == m->n_params))
        return count_mismatch(m, n_args);

    for (size_t i = 0; i < m->n_params; i++) {
        const struct param *p = &m->params[i];

        if (i < n_args)
            TRY(type_check(a, p->type, p->name, &args[i], &ret_args[i]));
        else
            ret_args[i] = *p->dflt;
    }
    return NULL;
}
