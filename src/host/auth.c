#include "host/auth.h"
#include <string.h>
#include "base/mem.h"
#include "base/run.h"
#include "base/str.h"

#define ATTEMPT_US 20000000
#define INPUT_MAX 4096
#define ANSWER_MAX (64 * 1024)
#define GROUPS_MAX 256

void auth_door_init(struct auth_door *d, struct loop *l, const char *program, const char *passwd)
{
    *d = (struct auth_door){ .loop = l, .program = program, .passwd = passwd };
    waitq_init(&d->room);
}

struct err *auth_answer_parse(struct arena *a, struct str text, struct host_auth_rep *ret)
{
    const char **groups = arena_new_array(a, GROUPS_MAX, const char *);
    struct host_auth_rep rep = { .reason = "", .groups = groups };
    struct str line, word, rest;

    if (!str_cut(text, '\n', &line, &text))
        return err_internal("the auth process did not answer");
    str_cut(line, ' ', &word, &rest);
    if (str_eq_c(word, "no")) {
        rep.reason = arena_strndup(a, rest.p, rest.len);
    } else if (str_eq_c(word, "ok") && (str_eq_c(rest, "superuser") || str_eq_c(rest, "user"))) {
        rep.ok = true;
        rep.superuser = str_eq_c(rest, "superuser");
    } else {
        return err_internal("the auth process answered nonsense");
    }
    while (text.len && rep.n_groups < GROUPS_MAX) {
        if (!str_cut(text, '\n', &line, &text) || !str_starts(line, STR("group ")))
            return err_internal("the auth process answered nonsense");
        groups[rep.n_groups++] = arena_strndup(a, line.p + 6, line.len - 6);
    }
    *ret = rep;
    return NULL;
}

static struct err *attempt(
    struct auth_door *d, struct arena *a, const char *user, const char *password, struct host_auth_rep *ret)
{
    const char *with_file[] = { d->program, "--passwd", d->passwd, NULL };
    const char *with_pam[] = { d->program, "--pam", NULL };
    char text[INPUT_MAX];
    size_t n = strlen(user) + 1, m = strlen(password) + 1;
    struct run_spec spec = { .argv = d->passwd ? with_file : with_pam,
        .input = { text, n + m },
        .out_max = ANSWER_MAX,
        .errors_to_ours = true,
        .timeout_us = ATTEMPT_US };
    struct run_end end;

    memcpy(text, user, n);
    memcpy(text + n, password, m);
    struct err *e = run_program(d->loop, &spec, a, &end);
    mem_wipe(text, sizeof(text));
    TRY(e);
    return auth_answer_parse(a, end.out, ret);
}

struct err *auth_door_ask(
    struct auth_door *d, struct arena *a, const char *user, const char *password, struct host_auth_rep *ret)
{
    struct err *e;

    if (strlen(user) + strlen(password) + 2 > INPUT_MAX) {
        *ret = (struct host_auth_rep){ .reason = "user or password too long" };
        return NULL;
    }
    while (d->running >= N_AUTH_MAX)
        if (!waitq_wait(&d->room, FOREVER) && fiber_interrupted())
            return ipc_interrupted();
    d->running++;
    e = attempt(d, a, user, password, ret);
    d->running--;
    waitq_wake_all(&d->room);
    return e;
}
