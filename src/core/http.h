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
/* The task that the client gave for a transfer, or a new one with that label: c->task. */
struct err *http_take_task(struct call *c, const struct core_http_req *req, const char *label) MUST_CHECK;
/* Ends that task with e, which it frees, and answers. */
void http_refuse_task(struct call *c, struct core_http_rep *rep, unsigned status, const char *reason, struct err *e);
void http_add_header(struct arena *a, struct core_http_rep *rep, const char *name, const char *value);
/* 200 and the task's name; then bytes flow between the client and that socket (taken; direction as core.http has it).
 * The number of the stream. */
uint64_t http_stream(struct call *c, struct core_http_rep *rep, int stream, uint8_t direction);
void http_stream_done(struct core *c, uint64_t stream_id, uint64_t bytes, bool complete);
