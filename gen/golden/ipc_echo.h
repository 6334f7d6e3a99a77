#pragma once
/* Generated from idl/ipc/echo.toml by gen/ipc_gen.py. Edit that, not this. */
#include "ipc/ipc.h"

/* Every type there is, for the tests of generator and runtime. */
extern const struct ipc_service echo_service;

enum {
    ECHO_OP_ECHO = 0,
    ECHO_OP_FAIL = 1,
    ECHO_OP_WAIT = 2,
    ECHO_OP_NOTE = 3,
    ECHO_OP_MISSING = 4,
    ECHO_OP_SMALL = 5,
};

struct echo_inner {
    const char *name;
    int file; /* borrowed or owned as ipc.h says; -1 or 0: none */
    const char *later;
};
extern const struct ipc_type echo_inner_type;
static inline MUST_CHECK struct err *echo_inner_encode(struct buf *b, const struct echo_inner *x)
{
    return ipc_keep(b, &echo_inner_type, x);
}
static inline MUST_CHECK struct err *echo_inner_decode(struct arena *a, struct str in, struct echo_inner *ret)
{
    return ipc_recall(a, in, &echo_inner_type, ret);
}
static inline void echo_inner_take(struct arena *a, struct echo_inner *from, struct echo_inner *ret)
{
    ipc_take(a, &echo_inner_type, from, ret);
}
static inline void echo_inner_close(struct echo_inner *x)
{
    ipc_close_fds(&echo_inner_type, x);
}

/* One of each. */
struct echo_all {
    bool yes;
    uint8_t small;
    uint32_t medium;
    uint64_t large;
    int64_t signed_;
    double real;
    const char *text;
    struct str blob;
    struct value any;
    int file; /* borrowed or owned as ipc.h says; -1 or 0: none */
    struct echo_inner one;
    struct echo_inner *many;
    size_t n_many;
    const char **texts;
    size_t n_texts;
    uint64_t *numbers;
    size_t n_numbers;
    struct echo_inner *latest;
    size_t n_latest;
    struct echo_inner newer;
};
extern const struct ipc_type echo_all_type;
static inline MUST_CHECK struct err *echo_all_encode(struct buf *b, const struct echo_all *x)
{
    return ipc_keep(b, &echo_all_type, x);
}
static inline MUST_CHECK struct err *echo_all_decode(struct arena *a, struct str in, struct echo_all *ret)
{
    return ipc_recall(a, in, &echo_all_type, ret);
}
static inline void echo_all_take(struct arena *a, struct echo_all *from, struct echo_all *ret)
{
    ipc_take(a, &echo_all_type, from, ret);
}
static inline void echo_all_close(struct echo_all *x)
{
    ipc_close_fds(&echo_all_type, x);
}

struct echo_echo_req {
    struct echo_all all;
};
struct echo_echo_rep {
    struct echo_all all;
};
/* Gives back what it got. */
/* [waits] */
struct err *echo_echo(
    struct ipc_peer *p, struct arena *a, const struct echo_echo_req *req, struct echo_echo_rep *ret_rep) MUST_CHECK;

struct echo_fail_req {
    const char *code;
    const char **params;
    size_t n_params;
    int64_t errnum;
};
/* Answers with an error made of this. */
struct err *echo_fail(struct ipc_peer *p, struct arena *a, const struct echo_fail_req *req) MUST_CHECK; /* [waits] */

struct echo_wait_req {
    char nothing; /* C has no empty struct; not on the wire */
};
struct echo_wait_rep {
    bool cancelled;
};
/* Answers when released, or interrupted. */
/* [waits] */
struct err *echo_wait(
    struct ipc_peer *p, struct arena *a, const struct echo_wait_req *req, struct echo_wait_rep *ret_rep) MUST_CHECK;

struct echo_note_req {
    const char *text;
};
struct err *echo_note(struct ipc_peer *p, const struct echo_note_req *req) MUST_CHECK; /* one-way: does not wait */

struct echo_missing_req {
    char nothing; /* C has no empty struct; not on the wire */
};
/* [waits] */
struct err *echo_missing(struct ipc_peer *p, struct arena *a, const struct echo_missing_req *req) MUST_CHECK;

struct echo_small_req {
    const char *text;
};
struct err *echo_small(struct ipc_peer *p, struct arena *a, const struct echo_small_req *req) MUST_CHECK; /* [waits] */

/*
 * What a server answers with; NULL: refused. The request's descriptors belong to the call: fd_take() what is kept.
 * Those of the reply are closed once sent.
 */
struct echo_ops {
    struct err *(*echo)(struct ipc_call *c, struct echo_echo_req *req, struct echo_echo_rep *rep);
    struct err *(*fail)(struct ipc_call *c, struct echo_fail_req *req);
    struct err *(*wait)(struct ipc_call *c, struct echo_wait_req *req, struct echo_wait_rep *rep);
    struct err *(*note)(struct ipc_call *c, struct echo_note_req *req);
    struct err *(*missing)(struct ipc_call *c, struct echo_missing_req *req);
    struct err *(*small)(struct ipc_call *c, struct echo_small_req *req);
};
