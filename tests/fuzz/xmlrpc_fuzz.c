/*
 * XML-RPC requests, and the values of task results. What was accepted must be
 * sound: bounded depth, text in UTF-8.
 */
#include <stdint.h>
#include "base/mem.h"
#include "proto/xmlrpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct value *v, int depth)
{
    size_t n = v->kind == V_MAP ? 2U * v->n : v->kind == V_SET ? v->n : 0;

    if (depth > VALUE_DEPTH_MAX)
        abort();
    if (v->kind == V_STRING && strlen(v->s) != v->n)
        abort();
    for (size_t i = 0; i < n; i++)
        check(&v->items[i], depth + 1);
    if (v->kind == V_MAP)
        for (size_t i = 0; i < v->n; i++)
            if (v->items[2 * i].kind != V_STRING)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    char *copy = mem_dup(data, len);
    struct rpc_call c;
    struct value v;
    struct err *e = xmlrpc_parse_call(a, (struct str){ copy, len }, &c);

    for (size_t i = 0; !e && i < c.n_params; i++)
        check(&c.params[i], 1);
    err_ignore(e, "most inputs are no calls");
    e = xmlrpc_parse_value(a, (struct str){ copy, len }, &v);
    if (!e)
        check(&v, 1);
    err_ignore(e, "nor values");
    free(copy);
    return 0;
}
