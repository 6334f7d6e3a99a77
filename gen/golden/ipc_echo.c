/* Generated from idl/ipc/echo.toml by gen/ipc_gen.py. Edit that, not this. */
#include "ipc/ipc_echo.h"
#include <stddef.h>
#include "ipc/type.h"

static const struct ipc_field echo_inner_fields[] = {
    { "name", IPC_STRING, false, 1, offsetof(struct echo_inner, name), 0, NULL },
    { "file", IPC_FD, false, 1, offsetof(struct echo_inner, file), 0, NULL },
    { "later", IPC_STRING, false, 2, offsetof(struct echo_inner, later), 0, NULL },
};
const struct ipc_type echo_inner_type = { "echo_inner", sizeof(struct echo_inner), 6, 3, echo_inner_fields };

static const struct ipc_field echo_all_fields[] = {
    { "yes", IPC_BOOL, false, 1, offsetof(struct echo_all, yes), 0, NULL },
    { "small", IPC_U8, false, 1, offsetof(struct echo_all, small), 0, NULL },
    { "medium", IPC_U32, false, 1, offsetof(struct echo_all, medium), 0, NULL },
    { "large", IPC_U64, false, 1, offsetof(struct echo_all, large), 0, NULL },
    { "signed_", IPC_I64, false, 1, offsetof(struct echo_all, signed_), 0, NULL },
    { "real", IPC_F64, false, 1, offsetof(struct echo_all, real), 0, NULL },
    { "text", IPC_STRING, false, 1, offsetof(struct echo_all, text), 0, NULL },
    { "blob", IPC_BYTES, false, 1, offsetof(struct echo_all, blob), 0, NULL },
    { "any", IPC_VALUE, false, 1, offsetof(struct echo_all, any), 0, NULL },
    { "file", IPC_FD, false, 1, offsetof(struct echo_all, file), 0, NULL },
    { "one", IPC_STRUCT, false, 1, offsetof(struct echo_all, one), 0, &echo_inner_type },
    { "many", IPC_STRUCT, true, 1, offsetof(struct echo_all, many), offsetof(struct echo_all, n_many),
        &echo_inner_type },
    { "texts", IPC_STRING, true, 1, offsetof(struct echo_all, texts), offsetof(struct echo_all, n_texts), NULL },
    { "numbers", IPC_U64, true, 1, offsetof(struct echo_all, numbers), offsetof(struct echo_all, n_numbers), NULL },
    { "latest", IPC_STRUCT, true, 3, offsetof(struct echo_all, latest), offsetof(struct echo_all, n_latest),
        &echo_inner_type },
    { "newer", IPC_STRUCT, false, 3, offsetof(struct echo_all, newer), 0, &echo_inner_type },
};
const struct ipc_type echo_all_type = { "echo_all", sizeof(struct echo_all), 59, 16, echo_all_fields };

static const struct ipc_field echo_echo_req_fields[] = {
    { "all", IPC_STRUCT, false, 1, offsetof(struct echo_echo_req, all), 0, &echo_all_type },
};
static const struct ipc_type echo_echo_req_type = { "echo_echo_req", sizeof(struct echo_echo_req), 59, 1,
    echo_echo_req_fields };
static const struct ipc_field echo_echo_rep_fields[] = {
    { "all", IPC_STRUCT, false, 1, offsetof(struct echo_echo_rep, all), 0, &echo_all_type },
};
static const struct ipc_type echo_echo_rep_type = { "echo_echo_rep", sizeof(struct echo_echo_rep), 59, 1,
    echo_echo_rep_fields };

static const struct ipc_field echo_fail_req_fields[] = {
    { "code", IPC_STRING, false, 1, offsetof(struct echo_fail_req, code), 0, NULL },
    { "params", IPC_STRING, true, 1, offsetof(struct echo_fail_req, params), offsetof(struct echo_fail_req, n_params),
        NULL },
    { "errnum", IPC_I64, false, 1, offsetof(struct echo_fail_req, errnum), 0, NULL },
};
static const struct ipc_type echo_fail_req_type = { "echo_fail_req", sizeof(struct echo_fail_req), 17, 3,
    echo_fail_req_fields };
static const struct ipc_type echo_fail_rep_type = { "echo_fail_rep", 0, 0, 0, NULL };

static const struct ipc_type echo_wait_req_type = { "echo_wait_req", sizeof(struct echo_wait_req), 0, 0, NULL };
static const struct ipc_field echo_wait_rep_fields[] = {
    { "cancelled", IPC_BOOL, false, 1, offsetof(struct echo_wait_rep, cancelled), 0, NULL },
};
static const struct ipc_type echo_wait_rep_type = { "echo_wait_rep", sizeof(struct echo_wait_rep), 1, 1,
    echo_wait_rep_fields };

static const struct ipc_field echo_note_req_fields[] = {
    { "text", IPC_STRING, false, 1, offsetof(struct echo_note_req, text), 0, NULL },
};
static const struct ipc_type echo_note_req_type = { "echo_note_req", sizeof(struct echo_note_req), 5, 1,
    echo_note_req_fields };
static const struct ipc_type echo_note_rep_type = { "echo_note_rep", 0, 0, 0, NULL };

static const struct ipc_type echo_missing_req_type = { "echo_missing_req", sizeof(struct echo_missing_req), 0, 0,
    NULL };
static const struct ipc_type echo_missing_rep_type = { "echo_missing_rep", 0, 0, 0, NULL };

static const struct ipc_field echo_small_req_fields[] = {
    { "text", IPC_STRING, false, 1, offsetof(struct echo_small_req, text), 0, NULL },
};
static const struct ipc_type echo_small_req_type = { "echo_small_req", sizeof(struct echo_small_req), 5, 1,
    echo_small_req_fields };
static const struct ipc_type echo_small_rep_type = { "echo_small_rep", 0, 0, 0, NULL };

static struct err *run_echo(const void *ops, struct ipc_call *c, void *req, void *rep)
{
    const struct echo_ops *o = ops;

    return o->echo ? o->echo(c, req, rep) : ipc_refused("echo.echo");
}

static struct err *run_fail(const void *ops, struct ipc_call *c, void *req, void *rep)
{
    const struct echo_ops *o = ops;

    (void)rep;
    return o->fail ? o->fail(c, req) : ipc_refused("echo.fail");
}

static struct err *run_wait(const void *ops, struct ipc_call *c, void *req, void *rep)
{
    const struct echo_ops *o = ops;

    return o->wait ? o->wait(c, req, rep) : ipc_refused("echo.wait");
}

static struct err *run_note(const void *ops, struct ipc_call *c, void *req, void *rep)
{
    const struct echo_ops *o = ops;

    (void)rep;
    return o->note ? o->note(c, req) : ipc_refused("echo.note");
}

static struct err *run_missing(const void *ops, struct ipc_call *c, void *req, void *rep)
{
    const struct echo_ops *o = ops;

    (void)rep;
    return o->missing ? o->missing(c, req) : ipc_refused("echo.missing");
}

static struct err *run_small(const void *ops, struct ipc_call *c, void *req, void *rep)
{
    const struct echo_ops *o = ops;

    (void)rep;
    return o->small ? o->small(c, req) : ipc_refused("echo.small");
}

static const struct ipc_op ops[] = {
    [ECHO_OP_ECHO] = { "echo.echo", &echo_echo_req_type, &echo_echo_rep_type, 1048576, false, run_echo },
    [ECHO_OP_FAIL] = { "echo.fail", &echo_fail_req_type, &echo_fail_rep_type, 65536, false, run_fail },
    [ECHO_OP_WAIT] = { "echo.wait", &echo_wait_req_type, &echo_wait_rep_type, 65536, false, run_wait },
    [ECHO_OP_NOTE] = { "echo.note", &echo_note_req_type, &echo_note_rep_type, 65536, true, run_note },
    [ECHO_OP_MISSING] = { "echo.missing", &echo_missing_req_type, &echo_missing_rep_type, 65536, false, run_missing },
    [ECHO_OP_SMALL] = { "echo.small", &echo_small_req_type, &echo_small_rep_type, 64, false, run_small },
};

const struct ipc_service echo_service = { "echo", 250, 6, ops };

struct err *echo_echo(
    struct ipc_peer *p, struct arena *a, const struct echo_echo_req *req, struct echo_echo_rep *ret_rep)
{
    return ipc_invoke(p, &echo_service, ECHO_OP_ECHO, a, req, ret_rep);
}

struct err *echo_fail(struct ipc_peer *p, struct arena *a, const struct echo_fail_req *req)
{
    return ipc_invoke(p, &echo_service, ECHO_OP_FAIL, a, req, NULL);
}

struct err *echo_wait(
    struct ipc_peer *p, struct arena *a, const struct echo_wait_req *req, struct echo_wait_rep *ret_rep)
{
    return ipc_invoke(p, &echo_service, ECHO_OP_WAIT, a, req, ret_rep);
}

struct err *echo_note(struct ipc_peer *p, const struct echo_note_req *req)
{
    return ipc_post(p, &echo_service, ECHO_OP_NOTE, req);
}

struct err *echo_missing(struct ipc_peer *p, struct arena *a, const struct echo_missing_req *req)
{
    return ipc_invoke(p, &echo_service, ECHO_OP_MISSING, a, req, NULL);
}

struct err *echo_small(struct ipc_peer *p, struct arena *a, const struct echo_small_req *req)
{
    return ipc_invoke(p, &echo_service, ECHO_OP_SMALL, a, req, NULL);
}
