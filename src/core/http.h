#pragma once
#include "core/call.h"
#include "gen/ipc_core.h"

/*
 * HTTP actions: who may use them (protocol.md section 1), and the streams that
 * they open. A stream's bytes go between the gate and whoever opened it; the
 * core only passes the descriptor on.
 */
struct err *http_request(
    struct core *c, struct arena *a, struct core_http_req *req, struct core_http_rep *rep) MUST_CHECK;

/* Answers of actions. hand_over: the body, or if file is not -1 that file (taken), which the gate then streams. */
struct err *http_refuse(
    struct arena *a, struct core_http_rep *rep, unsigned status, const char *reason, const char *text) MUST_CHECK;
struct err *http_hand_over(
    struct arena *a, struct core_http_rep *rep, const char *type, struct str body, int file) MUST_CHECK;
void http_stream_done(struct core *c, uint64_t stream_id, uint64_t bytes, bool complete);
