#pragma once
#include "model/model.h"

/*
 * HTTP actions that are ours and not the XenAPI's (whose are generated from
 * idl/xenapi/http.toml): the gate knows their paths, the core who may.
 */
static const struct http_action own_http_actions[] UNUSED = {
    { .name = "own_metrics", .method = "GET", .path = "/metrics", .role = ROLE_READ_ONLY },
};
