#pragma once
#include "base/err.h"
#include "base/fiber.h"
#include "gen/ipc_host.h"

/*
 * Asks runnymede-auth, one process per attempt, user and password on a pipe. At
 * most N_AUTH_MAX run at once, each for at most 20 seconds; others wait.
 */
#define N_AUTH_MAX 8

struct auth_door {
    struct loop *loop;
    const char *program;
    const char *passwd; /* file of passwords; NULL: PAM */
    unsigned running;
    struct waitq room;
};
void auth_door_init(struct auth_door *d, struct loop *l, const char *program, const char *passwd);

/* [waits] A wrong password is no error. */
struct err *auth_door_ask(
    struct auth_door *d, struct arena *a, const char *user, const char *password, struct host_auth_rep *ret) MUST_CHECK;

/* [waits] Neither a wrong old password nor a refused new one is an error. */
struct err *auth_door_change(struct auth_door *d, struct arena *a, const struct host_auth_change_req *req,
    struct host_auth_change_rep *ret) MUST_CHECK;

/* What the process answered, as a reply; for the test. */
struct err *auth_answer_parse(struct arena *a, struct str text, struct host_auth_rep *ret) MUST_CHECK;
struct err *auth_change_parse(struct arena *a, struct str text, struct host_auth_change_rep *ret) MUST_CHECK;
