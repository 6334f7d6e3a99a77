#pragma once
#include "core/call.h"
#include "gen/ipc_core.h"

/* GET /system-status and /host_logs_download: a tar of logs and state, without secrets (docs/report.md). */
struct err *status_http(struct core *c, struct arena *a, const struct core_http_req *req, const struct principal *who,
    struct core_http_rep *rep) MUST_CHECK;
struct err *status_logs_http(struct core *c, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep) MUST_CHECK;
