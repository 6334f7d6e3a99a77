/*
 * A call of a client in all its forms, as far as the types of its arguments;
 * what they were checked to must be writable as an answer. Calls whose method
 * is unknown are tried with a message that the input chooses.
 */
#include <stdint.h>
#include "base/mem.h"
#include "gen/model.h"
#include "model/wire.h"
#include "proto/json.h"
#include "proto/xmlrpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void write_all(enum envelope e, const struct msg *m, const struct value *args)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 1 << 20);
    wire_begin(&b, e, false);
    for (size_t i = 0; i < m->n_params; i++)
        wire_value(&b, e, m->params[i].type, &args[i]);
    wire_end(&b, e, false, STR("1"));
}

static void use(struct arena *a, const struct rpc_call *c, unsigned choice)
{
    const struct msg *m = model_msg_find(c->method);
    struct value *args;
    struct err *e;

    if (!m)
        m = model_msg(choice % model_n_msgs());
    args = arena_new_array(a, m->n_params + 1U, struct value);
    e = msg_check_args(a, m, c->params, c->n_params, args);
    if (!e)
        for (unsigned i = ENVELOPE_XMLRPC; i <= ENVELOPE_JSONRPC2; i++)
            write_all((enum envelope)i, m, args);
    err_ignore(e, "most do not fit");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct json_call json;
    struct rpc_call xml;
    struct err *e;
    char *copy;

    if (len < 2)
        return 0;
    copy = mem_dup(data + 2, len - 2);
    e = json_parse_call(a, (struct str){ copy, len - 2 }, &json);
    if (!e)
        use(a, &json.call, data[0] | data[1] << 8U);
    err_ignore(e, "perhaps the other form");
    e = xmlrpc_parse_call(a, (struct str){ copy, len - 2 }, &xml);
    if (!e)
        use(a, &xml, data[0] | data[1] << 8U);
    err_ignore(e, "most inputs are no calls");
    free(copy);
    return 0;
}
