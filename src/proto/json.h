#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/value.h"
#include "proto/xmlrpc.h"

/*
 * JSON-RPC requests, 1.0 and 2.0 (protocol.md section 3). Numbers without
 * fraction and exponent are V_INT (64 bit), others V_FLOAT. Repeated keys,
 * NUL characters, numbers out of range and deep nesting are refused.
 */
struct json_call {
    struct rpc_call call;
    bool version2;
    struct str id; /* JSON text, NUL-terminated, to be echoed */
};

struct err *json_parse_call(struct arena *a, struct str body, struct json_call *ret_call) MUST_CHECK;
struct err *json_parse_value(struct arena *a, struct str body, struct value *ret_value) MUST_CHECK;
/* What servers send, who also write NaN, Infinity and -Infinity, which are no JSON. */
struct err *json_parse_answer(struct arena *a, struct str body, struct value *ret_value) MUST_CHECK;

/* jansson seeds its hash from a file at first use: call this before the files are gone. */
void json_init(void);
