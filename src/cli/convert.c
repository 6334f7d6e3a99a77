#include "cli/convert.h"
#include <string.h>

static struct err *wrong(const char *name, const char *what)
{
    return usage("Failed to parse parameter '%s': expecting %s", name, what);
}

static struct err *convert_int(const char *name, const char *text, struct value *ret)
{
    static const struct {
        const char *suffix;
        unsigned shift;
    } units[] = { { "KiB", 10 }, { "MiB", 20 }, { "GiB", 30 }, { "TiB", 40 }, { "bytes", 0 } };
    struct str s = str_of(text);
    int64_t i;

    for (size_t u = 0; u < ARRAY_LEN(units); u++)
        if (str_ends(s, str_of(units[u].suffix))) {
            s.len -= strlen(units[u].suffix);
            if (!str_to_i64(str_trim(s), &i) || __builtin_mul_overflow(i, (int64_t)1 << units[u].shift, &i))
                return wrong(name, "a number, such as 8GiB");
            *ret = value_int(i);
            return NULL;
        }
    if (!str_to_i64(str_trim(s), &i))
        return wrong(name, "an integer");
    *ret = value_int(i);
    return NULL;
}

static struct err *convert_enum(
    struct xe *x, const struct model_enum *e, const char *name, const char *text, struct value *ret)
{
    const char *canonical = NULL, *all = "";

    if (enum_has(e, text, &canonical)) {
        *ret = value_str(canonical);
        return NULL;
    }
    for (size_t i = 0; i < e->n_values; i++)
        all = arena_printf(x->arena, "%s%s%s", all, i ? ", " : "", e->values[i]);
    return usage("Failed to parse parameter '%s': expecting one of %s", name, all);
}

static struct err *convert_many(
    struct xe *x, const struct type *t, const char *name, const char *text, struct value *ret)
{
    const char **pieces;
    size_t n = comma_split(x->arena, text, &pieces), each = t->kind == TYPE_MAP ? 2 : 1;
    struct value *items = arena_new_array(x->arena, n * each + 1, struct value);
    struct str key, value;

    for (size_t i = 0; i < n; i++) {
        if (t->kind == TYPE_SET) {
            TRY(convert(x, t->elem, name, pieces[i], &items[i]));
            continue;
        }
        if (!str_cut(str_of(pieces[i]), '=', &key, &value))
            return wrong(name, "KEY=VALUE,...");
        TRY(convert(x, t->key, name, arena_strndup(x->arena, key.p, key.len), &items[2 * i]));
        TRY(convert(x, t->elem, name, arena_strndup(x->arena, value.p, value.len), &items[2 * i + 1]));
    }
    *ret = t->kind == TYPE_SET ? value_set(items, n) : value_map(items, n);
    return NULL;
}

struct err *convert(struct xe *x, const struct type *t, const char *name, const char *text, struct value *ret)
{
    const char *ref = NULL;
    double f;
    bool b;

    switch (t->kind) {
    case TYPE_INT:
        return convert_int(name, text, ret);
    case TYPE_FLOAT:
        if (!str_to_double(str_of(text), &f))
            return wrong(name, "a number");
        *ret = value_float(f);
        return NULL;
    case TYPE_BOOL:
        if (!bool_parse(text, &b))
            return wrong(name, "a boolean (true or false)");
        *ret = value_bool(b);
        return NULL;
    case TYPE_ENUM:
        return convert_enum(x, t->en, name, text, ret);
    case TYPE_REF:
        TRY(xe_find(x, t->of, text, &ref));
        *ret = value_str(ref);
        return NULL;
    case TYPE_SET:
    case TYPE_MAP:
        return convert_many(x, t, name, text, ret);
    case TYPE_OPTION:
        return convert(x, t->elem, name, text, ret);
    case TYPE_RECORD:
        return usage("parameter '%s' is a record, which a command line cannot say", name);
    default:
        *ret = value_str(text);
        return NULL;
    }
}

struct value convert_map_args(struct xe *x, const char *name)
{
    struct value *pairs = arena_new_array(x->arena, x->args.n * 2 + 1, struct value);
    size_t len = strlen(name), n = 0;

    for (size_t i = 0; i < x->args.n; i++) {
        struct arg *a = &x->args.list[i];

        if (!cstr_starts(a->name, name) || a->name[len] != ':')
            continue;
        a->used = true;
        pairs[2 * n] = value_str(a->name + len + 1);
        pairs[2 * n + 1] = value_str(a->value);
        n++;
    }
    return value_map(pairs, n);
}
