/*
 * JSON-RPC requests of both versions, and plain values. What was accepted must
 * be sound: bounded depth, text in UTF-8, an id that can be echoed.
 */
#include <stdint.h>
#include "base/mem.h"
#include "proto/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct value *v, int depth)
{
    size_t n = v->kind == V_MAP ? 2U * v->n : v->kind == V_SET ? v->n : 0;

    if (depth > VALUE_DEPTH_MAX + 3)
        abort();
    if (v->kind == V_STRING && (strlen(v->s) != v->n || !str_is_utf8((struct str){ v->s, v->n })))
        abort();
    for (size_t i = 0; i < n; i++)
        check(&v->items[i], depth + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    char *copy = mem_dup(data, len);
    struct json_call c;
    struct value v;
    struct err *e = json_parse_call(a, (struct str){ copy, len }, &c);

    if (!e && (!c.id.len || c.id.p[c.id.len] || !str_is_utf8(c.id)))
        abort();
    for (size_t i = 0; !e && i < c.call.n_params; i++)
        check(&c.call.params[i], 1);
    err_ignore(e, "most inputs are no calls");
    e = json_parse_value(a, (struct str){ copy, len }, &v);
    if (!e)
        check(&v, 1);
    err_ignore(e, "nor values");
    e = json_parse_answer(a, (struct str){ copy, len }, &v);
    if (!e)
        check(&v, 1);
    err_ignore(e, "nor answers");
    free(copy);
    return 0;
}
