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

struct err *auth_change_parse(struct arena *a, struct str text, struct host_auth_change_rep *ret)
{
    struct str line, word, reason;

    if (!str_cut(text, '\n', &line, &text) || text.len)
        return err_internal("the auth process did not answer");
    str_cut(line, ' ', &word, &reason);
    *ret = (struct host_auth_change_rep){ .reason = arena_strndup(a, reason.p, reason.len) };
    ret->ok = str_eq_c(line, "ok superuser");
    ret->known = ret->ok || str_eq_c(word, "refused");
    return ret->known || str_eq_c(word, "no") ? NULL : err_internal("the auth process answered nonsense");
}

/* The words fit into INPUT_MAX together, each with its NUL. */
static struct err *attempt(
    struct auth_door *d, struct arena *a, const char *const *words, size_t n_words, const char *mode, struct str *ret)
{
    const char *with_file[] = { d->program, "--passwd", d->passwd, mode, NULL };
    const char *with_pam[] = { d->program, "--pam", mode, NULL };
    char text[INPUT_MAX];
    size_t n = 0;

    for (size_t i = 0; i < n_words; i++) {
        memcpy(text + n, words[i], strlen(words[i]) + 1);
        n += strlen(words[i]) + 1;
    }
    struct run_spec spec = { .argv = d->passwd ? with_file : with_pam,
        .input = { text, n },
        .out_max = ANSWER_MAX,
        .errors_to_ours = true,
        .timeout_us = ATTEMPT_US };
    struct run_end end;
    struct err *e = run_program(d->loop, &spec, a, &end);
    mem_wipe(text, sizeof(text));
    TRY(e);
    *ret = end.out;
    return NULL;
}

/* When there is room. */
static struct err *ask(
    struct auth_door *d, struct arena *a, const char *const *words, size_t n_words, const char *mode, struct str *ret)
{
    while (d->running >= N_AUTH_MAX)
        if (!waitq_wait(&d->room, FOREVER) && fiber_interrupted())
            return ipc_interrupted();
    d->running++;
    struct err *e = attempt(d, a, words, n_words, mode, ret);
    d->running--;
    waitq_wake_all(&d->room);
    return e;
}

struct err *auth_door_ask(
    struct auth_door *d, struct arena *a, const char *user, const char *password, struct host_auth_rep *ret)
{
    const char *words[] = { user, password };
    struct str text = { 0 };

    if (strlen(user) + strlen(password) + 2 > INPUT_MAX) {
        *ret = (struct host_auth_rep){ .reason = "user or password too long" };
        return NULL;
    }
    TRY(ask(d, a, words, ARRAY_LEN(words), NULL, &text));
    return auth_answer_parse(a, text, ret);
}

struct err *auth_door_change(
    struct auth_door *d, struct arena *a, const struct host_auth_change_req *req, struct host_auth_change_rep *ret)
{
    const char *words[] = { req->user, req->old, req->password };
    struct str text = { 0 };

    if (strlen(req->user) + strlen(req->old) + strlen(req->password) + 3 > INPUT_MAX) {
        *ret = (struct host_auth_change_rep){ .known = true, .reason = "the password is too long" };
        return NULL;
    }
    TRY(ask(d, a, words, ARRAY_LEN(words), "--change", &text));
    return auth_change_parse(a, text, ret);
}
