#pragma once
#include "core/call.h"
#include "gen/ipc_core.h"

/* CONNECT /console and its WebSocket (protocol.md section 16): a stream to a guest's screen or serial line. */
struct err *console_open(struct core *c, struct arena *a, const struct core_http_req *req, const struct principal *who,
    struct core_http_rep *rep) MUST_CHECK;

/* GET /vncsnapshot (protocol.md section 11): a JPEG of what a screen shows. */
struct err *console_picture(struct core *c, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep) MUST_CHECK;

/* A console ended; all of them did, with the gate. */
void console_stream_done(struct core *c, uint64_t stream_id);
void console_forget_all(struct core *c);
