#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/value.h"

/*
 * XML-RPC requests (protocol.md section 2). Untyped values are strings;
 * <int>, <i4>, <i8> become V_INT, <nil/> V_NIL. What a parameter must be is
 * decided later, by type_check().
 *
 * No document type, no entities but XML's own five, bounded depth and count:
 * what a small body can unfold to is a small multiple of the body.
 */
#define XMLRPC_NODES_MAX 65536

struct rpc_call {
    const char *method;
    const struct value *params;
    size_t n_params;
};

/* The body must be UTF-8, whatever its declaration says. */
struct err *xmlrpc_parse_call(struct arena *a, struct str body, struct rpc_call *ret_call) MUST_CHECK;

/* One <value> element, as task.result holds. */
struct err *xmlrpc_parse_value(struct arena *a, struct str body, struct value *ret_value) MUST_CHECK;
