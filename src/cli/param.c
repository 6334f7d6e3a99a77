/* <noun>-list and <noun>-param-*. */
#include <assert.h>
#include <string.h>
#include "cli/convert.h"
#include "cli/verb.h"

struct err *list_run(struct xe *x, const struct noun *noun)
{
    const char *params = arg_get(&x->args, "params");
    struct rec *list = NULL;
    size_t n = 0;

    arg_any(&x->args, "multiple,force,message-priority"); /* every verb takes them */
    TRY(records_select(x, noun, &list, &n));
    return records_print(x, noun, params, list, n);
}

struct target {
    struct xe *x;
    const struct noun *noun;
    struct rec rec;
    struct xe_field *fields;
    size_t n_fields;
};

static struct err *unknown(const struct target *t, const char *name)
{
    return usage("Unknown parameter '%s': see 'xe %s-param-list uuid=%s'", name, t->noun->name,
        value_map_str(t->rec.record, "uuid"));
}

static struct err *field_of(const struct target *t, const char *name, const struct xe_field **ret)
{
    const struct xe_field *f = xe_field_find(t->fields, t->n_fields, name);

    if (!f)
        return unknown(t, name);
    *ret = f;
    return NULL;
}

static struct err *read_only(const struct xe_field *f)
{
    return usage("Parameter '%s' is read-only or cannot be changed this way", f->name);
}

/* Calls Class.<verb>_<field>(self, ...). */
static struct err *change(
    const struct target *t, const struct xe_field *f, const char *verb, const struct value *args, size_t n)
{
    const struct msg *m = xe_setter(f, verb);
    struct value params[3];

    if (!m)
        return read_only(f);
    params[0] = S(t->rec.ref);
    for (size_t i = 0; i < n; i++)
        params[i + 1] = args[i];
    return xe_call(t->x, m->name, params, n + 1, NULL);
}

/* A key of a map gets another value. */
static struct err *put_key(const struct target *t, const struct xe_field *f, const char *key, const char *text)
{
    const struct value *map = value_map_get(t->rec.record, f->field->name);
    struct value pair[2] = { S(key), S(text) };

    if (xe_field_type(f)->kind != TYPE_MAP)
        return usage("Parameter '%s' is no map", f->name);
    TRY(convert(t->x, f->field->type->elem, f->name, text, &pair[1]));
    if (!xe_setter(f, "add_to")) { /* Bond.set_property, PIF.set_property */
        const char *name = arena_printf(t->x->arena, "%s.set_property", t->noun->class->name);

        if (strcmp(f->name, "properties") == 0 && model_msg_find(name))
            return CALL(t->x, NULL, name, S(t->rec.ref), S(key), pair[1]);
        if (!xe_setter(f, "set") || !map)
            return read_only(f);
        struct value changed = value_map_with(t->x->arena, map, pair[0], pair[1]);
        return change(t, f, "set", &changed, 1);
    }
    if (map && value_map_get(map, key))
        TRY(change(t, f, "remove_from", pair, 1));
    return change(t, f, "add_to", pair, 2);
}

static struct err *split_name(
    const struct target *t, const char *name, const struct xe_field **ret, const char **ret_key)
{
    const struct xe_field *f = xe_field_split(t->x->arena, t->fields, t->n_fields, name, ret_key);

    if (!f)
        return unknown(t, name);
    *ret = f;
    return NULL;
}

static struct err *set_one(const struct target *t, const char *name, const char *text)
{
    const struct xe_field *f = NULL;
    const char *key = NULL;
    struct value v;

    TRY(split_name(t, name, &f, &key));
    assert(f);
    if (key && (!f->field || f->hop))
        return read_only(f);
    if (key)
        return put_key(t, f, key, text);
    if (!xe_setter(f, "set"))
        return xe_field_type(f)->kind == TYPE_MAP && xe_writable(f)
            ? usage("Parameter '%s' is a map: say %s:KEY=VALUE", name, f->name)
            : read_only(f);
    TRY(convert(t->x, xe_field_type(f), f->name, text, &v));
    return change(t, f, "set", &v, 1);
}

static struct err *param_set(const struct target *t)
{
    bool any = false;

    for (size_t i = 0; i < t->x->args.n; i++) { /* names first: a mistake changes nothing */
        struct arg *a = &t->x->args.list[i];
        const struct xe_field *f = NULL;
        const char *key;

        if (a->used)
            continue;
        TRY(split_name(t, a->name, &f, &key));
        any = true;
    }
    if (!any)
        return usage("nothing to set: say FIELD=VALUE or MAP:KEY=VALUE");
    for (size_t i = 0; i < t->x->args.n; i++)
        if (!t->x->args.list[i].used)
            TRY(set_one(t, t->x->args.list[i].name, t->x->args.list[i].value));
    return NULL;
}

static struct err *param_list(const struct target *t)
{
    struct xe *x = t->x;
    struct cell *cells = arena_new_array(x->arena, t->n_fields, struct cell);
    AUTO(buf_done) struct buf b;

    buf_init(&b, 64UL << 20);
    TRY(no_argument_left(x));
    for (size_t i = 0; i < t->n_fields; i++)
        cells[i] = (struct cell){
            .name = arena_printf(x->arena, "%s (%s)", t->fields[i].name, xe_field_mode(x->arena, &t->fields[i])),
            .value = xe_field_text(x, &t->fields[i], t->rec.ref, t->rec.record, true),
        };
    print_cells(&b, cells, t->n_fields);
    print_out(&b);
    return NULL;
}

static struct err *param_get(const struct target *t)
{
    const char *name = NULL, *key = arg_get(&t->x->args, "param-key");
    const struct xe_field *f = NULL;
    const struct value *map, *v;

    TRY(arg_need(&t->x->args, "param-name", &name));
    TRY(no_argument_left(t->x));
    TRY(field_of(t, name, &f));
    assert(f);
    if (!key) {
        say("%s", xe_field_text(t->x, f, t->rec.ref, t->rec.record, true));
        return NULL;
    }
    map = xe_field_value(t->x, f, t->rec.record);
    if (xe_field_type(f)->kind != TYPE_MAP || !map)
        return usage("Parameter '%s' is no map: leave out param-key", name);
    v = value_map_get(map, key);
    if (!v)
        return usage("Key %s not found in map %s", key, name);
    say("%s", xe_value_text(t->x, xe_field_type(f)->elem, v, "; "));
    return NULL;
}

/* A member of a set by param-key=, entries of a map by KEY=VALUE. */
static struct err *param_add(const struct target *t)
{
    const char *name = NULL, *key = arg_get(&t->x->args, "param-key");
    const struct xe_field *f = NULL;
    bool any = false;

    TRY(arg_need(&t->x->args, "param-name", &name));
    TRY(field_of(t, name, &f));
    assert(f);
    if (xe_field_type(f)->kind == TYPE_SET && f->field) {
        struct value v;

        if (!key)
            return usage("Required parameter not found: param-key");
        TRY(no_argument_left(t->x));
        TRY(convert(t->x, f->field->type->elem, name, key, &v));
        return change(t, f, "add", &v, 1);
    }
    if (xe_field_type(f)->kind != TYPE_MAP || !f->field || f->hop)
        return usage("Parameter '%s' is neither set nor map: use param-set", name);
    for (size_t i = 0; i < t->x->args.n; i++) {
        struct arg *a = &t->x->args.list[i];
        struct value pair[2] = { S(a->name) };

        if (a->used)
            continue;
        TRY(convert(t->x, f->field->type->elem, name, a->value, &pair[1]));
        TRY(change(t, f, "add_to", pair, 2));
        any = true;
    }
    return any ? NULL : usage("nothing to add: say KEY=VALUE");
}

static struct err *param_remove(const struct target *t)
{
    const char *name = NULL, *key = NULL;
    const struct xe_field *f = NULL;
    struct value v;

    TRY(arg_need(&t->x->args, "param-name", &name));
    TRY(arg_need(&t->x->args, "param-key", &key));
    TRY(no_argument_left(t->x));
    TRY(field_of(t, name, &f));
    assert(f);
    if (xe_field_type(f)->kind == TYPE_MAP && f->field) {
        const struct value *map = xe_field_value(t->x, f, t->rec.record);

        if (map && !value_map_get(map, key))
            return usage("Key %s not found in map %s", key, name);
        v = S(key);
        return change(t, f, "remove_from", &v, 1);
    }
    if (xe_field_type(f)->kind != TYPE_SET || !f->field)
        return usage("Parameter '%s' is neither set nor map", name);
    TRY(convert(t->x, f->field->type->elem, name, key, &v));
    return change(t, f, "remove", &v, 1);
}

static struct err *param_clear(const struct target *t)
{
    const char *name = NULL;
    const struct xe_field *f = NULL;
    const struct value *now;
    struct value empty;

    TRY(arg_need(&t->x->args, "param-name", &name));
    TRY(no_argument_left(t->x));
    TRY(field_of(t, name, &f));
    assert(f);
    if (!f->field || f->hop)
        return read_only(f);
    empty = type_empty(f->field->type);
    if (xe_setter(f, "set"))
        return change(t, f, "set", &empty, 1);
    now = value_map_get(t->rec.record, f->field->name);
    if (!xe_writable(f) || !now)
        return read_only(f);
    for (size_t i = 0; i < now->n; i++)
        TRY(now->kind == V_MAP ? change(t, f, "remove_from", &now->items[2 * i], 1)
                               : change(t, f, "remove", &now->items[i], 1));
    return NULL;
}

/* Only what names the object: everything else belongs to the verb. */
static struct err *target_find(struct target *t)
{
    struct xe *x = t->x;
    const char *text = arg_any(&x->args, arena_printf(x->arena, "uuid,%s", t->noun->name));
    struct value *record = arena_new_of(x->arena, struct value);

    if (!text && strcmp(t->noun->name, "pool") == 0) { /* there is only one */
        struct value all;

        TRY(CALL0(x, &all, "pool.get_all"));
        t->rec.ref = all.n ? all.items[0].s : REF_NULL;
    } else if (!text) {
        return usage("Required parameter not found: uuid");
    } else {
        TRY(xe_find(x, t->noun->class, text, &t->rec.ref));
    }
    TRY(xe_record(x, t->noun->class, t->rec.ref, record));
    t->rec.record = record;
    t->n_fields = xe_fields(x->arena, t->noun->class, &t->fields);
    return NULL;
}

struct err *param_run(struct xe *x, const struct noun *noun, enum xe_kind kind)
{
    struct target t = { .x = x, .noun = noun };

    TRY(target_find(&t));
    switch (kind) {
    case XE_PARAM_LIST:
        return param_list(&t);
    case XE_PARAM_GET:
        return param_get(&t);
    case XE_PARAM_SET:
        return param_set(&t);
    case XE_PARAM_ADD:
        return param_add(&t);
    case XE_PARAM_REMOVE:
        return param_remove(&t);
    default:
        return param_clear(&t);
    }
}
