#include "proto/json.h"
#include <jansson.h>
#include <math.h>
#include "base/buf.h"

static void json_unref(json_t **j)
{
    json_decref(*j);
}

void json_init(void)
{
    json_object_seed(0);
}

/* jansson recurses 2,048 levels deep, more than a fiber's stack should bear: count before it does. */
static bool too_deep(struct str s)
{
    size_t depth = 0;
    bool quoted = false;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];

        if (quoted) {
            if (c == '\\')
                i++;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            if (++depth > VALUE_DEPTH_MAX + 2)
                return true;
        } else if ((c == ']' || c == '}') && depth) {
            depth--;
        }
    }
    return false;
}

static struct value from_json(struct arena *a, const json_t *j);

/*
 * What JSON has no numbers for. json_parse_answer() puts texts in their place that begin with NUL, which no other text
 * can contain: it refuses those, and jansson refuses them as keys.
 */
static const struct {
    struct str word, text;
} specials[] = {
    { STR("NaN"), STR("\"\\u0000N\"") },
    { STR("Infinity"), STR("\"\\u0000+\"") },
    { STR("-Infinity"), STR("\"\\u0000-\"") },
};

static struct value from_string(struct arena *a, const char *s, size_t len)
{
    if (len && !s[0])
        return value_float(s[1] == 'N' ? NAN : s[1] == '+' ? INFINITY : -INFINITY);
    return value_strn(arena_strndup(a, s, len), len);
}

static struct value from_array(struct arena *a, const json_t *j)
{
    size_t n = json_array_size(j);
    struct value *items = arena_new_array(a, n, struct value);

    for (size_t i = 0; i < n; i++)
        items[i] = from_json(a, json_array_get(j, i));
    return value_set(items, n);
}

static struct value from_object(struct arena *a, json_t *j)
{
    struct value *pairs = arena_new_array(a, json_object_size(j) * 2, struct value);
    size_t n = 0;
    const char *key;
    json_t *v;

    json_object_foreach(j, key, v)
    {
        pairs[2 * n] = from_string(a, key, strlen(key));
        pairs[2 * n + 1] = from_json(a, v);
        n++;
    }
    return value_map(pairs, n);
}

/* As deep as too_deep() let pass. */
static struct value from_json(struct arena *a, const json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_TRUE:
    case JSON_FALSE:
        return value_bool(json_is_true(j));
    case JSON_INTEGER:
        return value_int(json_integer_value(j));
    case JSON_REAL:
        return value_float(json_real_value(j));
    case JSON_STRING:
        return from_string(a, json_string_value(j), json_string_length(j));
    case JSON_ARRAY:
        return from_array(a, j);
    case JSON_OBJECT:
        return from_object(a, (json_t *)(uintptr_t)j);
    default:
        return VALUE_NIL;
    }
}

static struct err *load(struct str body, size_t flags, json_t **ret_json)
{
    json_error_t error;

    if (too_deep(body))
        return err_internal("malformed JSON: nested too deep");
    *ret_json = json_loadb(body.p ? body.p : "", body.len, flags | JSON_REJECT_DUPLICATES, &error);
    if (!*ret_json)
        return err_internal("malformed JSON: %s", error.text);
    return NULL;
}

static struct err *read_version(const json_t *j, bool *ret_version2)
{
    const json_t *v = json_object_get(j, "jsonrpc");

    if (v && (!json_is_string(v) || strcmp(json_string_value(v), "2.0") != 0))
        return err_internal("malformed JSON-RPC: unknown version");
    *ret_version2 = v != NULL;
    return NULL;
}

static struct err *read_id(struct arena *a, const json_t *j, struct str *ret_id)
{
    const json_t *id = json_object_get(j, "id");
    char *text;

    if (!json_is_string(id) && !json_is_integer(id))
        return err_internal("malformed JSON-RPC: id is neither text nor integer");
    text = json_dumps(id, JSON_ENCODE_ANY);
    if (!text)
        abort(); /* out of memory, as in mem.h */
    ret_id->len = strlen(text);
    ret_id->p = arena_strndup(a, text, ret_id->len);
    free(text);
    return NULL;
}

static struct err *read_params(struct arena *a, const json_t *j, bool version2, struct rpc_call *c)
{
    const json_t *params = json_object_get(j, "params");
    struct value v;

    if (version2 && (!params || json_is_null(params)))
        return NULL;
    if (!params || (!json_is_array(params) && !(version2 && json_is_object(params))))
        return err_internal("malformed JSON-RPC: params is no array");
    v = from_json(a, params);
    if (v.kind == V_SET) {
        c->params = v.items;
        c->n_params = v.n;
    } else {
        c->params = arena_dup(a, &v, sizeof(v));
        c->n_params = 1;
    }
    return NULL;
}

static struct err *read_call(struct arena *a, const json_t *j, struct json_call *c)
{
    const json_t *method = json_object_get(j, "method");

    if (!json_is_object(j) || !json_is_string(method))
        return err_internal("malformed JSON-RPC: no method");
    c->call.method = arena_strdup(a, json_string_value(method));
    TRY(read_version(j, &c->version2));
    TRY(read_id(a, j, &c->id));
    return read_params(a, j, c->version2, &c->call);
}

struct err *json_parse_call(struct arena *a, struct str body, struct json_call *ret_call)
{
    AUTO(json_unref) json_t *j = NULL;
    struct json_call c = { 0 };

    TRY(load(body, 0, &j));
    TRY(read_call(a, j, &c));
    *ret_call = c;
    return NULL;
}

struct err *json_parse_value(struct arena *a, struct str body, struct value *ret_value)
{
    AUTO(json_unref) json_t *j = NULL;

    TRY(load(body, JSON_DECODE_ANY, &j));
    *ret_value = from_json(a, j);
    return NULL;
}

/* Puts texts in the place of numbers that jansson does not know; *ret_any tells whether there were some. */
static struct err *replace_specials(struct str body, struct buf *to, bool *ret_any)
{
    bool quoted = false;

    *ret_any = false;
    for (size_t i = 0; i < body.len; i++) {
        struct str rest = { body.p + i, body.len - i };
        size_t k = 0;

        if (quoted && str_starts(rest, STR("\\u0000")))
            return err_internal("malformed JSON: NUL in a text");
        while (k < ARRAY_LEN(specials) && (quoted || !str_starts(rest, specials[k].word)))
            k++;
        if (k < ARRAY_LEN(specials)) {
            buf_add_str(to, specials[k].text);
            i += specials[k].word.len - 1;
            *ret_any = true;
            continue;
        }
        buf_add_char(to, body.p[i]);
        if (body.p[i] == '"')
            quoted = !quoted;
        else if (quoted && body.p[i] == '\\' && ++i < body.len)
            buf_add_char(to, body.p[i]);
    }
    return to->overflow ? err_internal("malformed JSON: too long") : NULL;
}

struct err *json_parse_answer(struct arena *a, struct str body, struct value *ret_value)
{
    AUTO(json_unref) json_t *j = NULL;
    AUTO(buf_done) struct buf b;
    bool any;

    buf_init(&b, 4 * body.len + 64);
    TRY(replace_specials(body, &b, &any));
    TRY(load(buf_str(&b), JSON_DECODE_ANY | (any ? JSON_ALLOW_NUL : 0), &j));
    *ret_value = from_json(a, j);
    return NULL;
}
