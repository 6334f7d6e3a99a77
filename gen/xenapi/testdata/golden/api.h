/* Generated from idl/xenapi/class/ by gen/xenapi_gen.py. Do not edit. */
#pragma once
#include "gen/model.h"

/*
 * Explicit messages as functions: fill a struct api_handlers, hand calls to
 * api_dispatch(). Texts in the arguments live as long as the values do. Removed
 * messages have no handler.
 */
struct call; /* the caller's: session, task, arena */

/* Open it */
struct Box_open_args {
    const char *self; /* ref Box */
    bool force; /* bool */
};

/* How many */
struct Box_count_args {
};

struct api_handlers {
    struct err *(*Box_open)(struct call *c, const struct Box_open_args *a, struct value *ret);
    struct err *(*Box_count)(struct call *c, const struct Box_count_args *a, struct value *ret);
};

/* `args`: n_params values checked against the message's types (msg_check_args). *ret_built is false, and nothing
 * happened, when there is no handler. */
struct err *api_dispatch(const struct api_handlers *h, const struct msg *m, struct call *c, const struct value *args,
    struct value *ret, bool *ret_built) MUST_CHECK;
bool api_is_built(const struct api_handlers *h, const struct msg *m);
