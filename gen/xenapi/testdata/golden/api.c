/* Generated from idl/xenapi/class/ by gen/xenapi_gen.py. Do not edit. */
#include "gen/api.h"
#include <stddef.h>

typedef struct err *run_fn(const struct api_handlers *h, struct call *c, const struct value *v, struct value *ret);

static struct err *run_Box_open(const struct api_handlers *h, struct call *c, const struct value *v, struct value *ret)
{
    const struct Box_open_args a = {
        .self = v[0].s,
        .force = v[1].b,
    };

    return h->Box_open(c, &a, ret);
}

static struct err *run_Box_count(const struct api_handlers *h, struct call *c, const struct value *v UNUSED, struct value *ret)
{
    const struct Box_count_args a = {};

    return h->Box_count(c, &a, ret);
}

/* Where a message's handler is, and who unpacks its arguments. */
static const struct {
    run_fn *run;
    size_t offset;
} handlers[MSG_COUNT] = {
    [MSG_Box_open] = { run_Box_open, offsetof(struct api_handlers, Box_open) },
    [MSG_Box_count] = { run_Box_count, offsetof(struct api_handlers, Box_count) },
};

bool api_is_built(const struct api_handlers *h, const struct msg *m)
{
    return handlers[m->id].run && *(void (*const *)(void))((const char *)h + handlers[m->id].offset);
}

struct err *api_dispatch(const struct api_handlers *h, const struct msg *m, struct call *c, const struct value *args,
    struct value *ret, bool *ret_built)
{
    *ret_built = api_is_built(h, m);
    return *ret_built ? handlers[m->id].run(h, c, args, ret) : NULL;
}
