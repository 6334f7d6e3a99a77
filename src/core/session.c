#include "core/session.h"
#include <string.h>
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "core/core.h"
#include "core/event.h"
#include "core/rbac.h"
#include "core/task.h"
#include "gen/ipc_host.h"

/* protocol.md section 5.3 */
#define TURN_WAIT_US (120UL * 1000 * 1000)
#define IDLE_MAX_US (24UL * 3600 * 1000 * 1000)
#define REFRESH_US (600UL * 1000 * 1000)
#define MAX_PER_ORIGINATOR 500
#define MAX_PER_USER 500
#define MAX_UNNAMED 400

/* What a row does not say quickly. */
struct session_entry {
    bool root;
    enum role role;
    int64_t last_active_us; /* monotonic, perhaps before this process began: a step of the wall clock ends no session */
};

static struct err *invalid(const char *ref)
{
    return err_session_invalid(ref);
}

/* The strongest role whose own permissions the session holds: roles form a chain, so one of each tells. */
static enum role role_of(const struct row *r)
{
    const struct value *permissions = row_get(r, F_session_rbac_permissions);

    for (enum role role = ROLE_POOL_ADMIN; role < ROLE_READ_ONLY; role++)
        for (size_t i = 0; i < model_n_msgs(); i++) {
            const struct msg *m = model_msg(i);
            if (m->role != role || !m->session)
                continue;
            if (value_set_has(permissions, m->permission))
                return role;
            break;
        }
    return ROLE_READ_ONLY;
}

static struct session_entry *entry_of(struct core *c, const struct row *r)
{
    struct session_entry *e = map_get(c->principals, row_ref(r));

    if (e)
        return e;
    e = mem_new(struct session_entry); /* a session that is older than this process */
    e->root = row_bool(r, F_session_is_local_superuser);
    e->role = e->root ? ROLE_LOCAL_ROOT : role_of(r);
    uint64_t then = 0, wall = clock_wall(c->loop);
    if (datetime_parse(row_str(r, F_session_last_active), &then) && then < wall)
        e->last_active_us -= (int64_t)(wall - then);
    e->last_active_us += (int64_t)clock_now(c->loop);
    map_put(c->principals, row_ref(r), e);
    return e;
}

struct err *session_find(struct core *c, const char *ref, struct arena *a, struct principal *ret)
{
    const struct row *r = store_find_of(c->store, C_session, ref);
    int64_t now = (int64_t)clock_now(c->loop);

    if (!r)
        return invalid(ref);
    struct session_entry *e = entry_of(c, r);
    *ret = (struct principal){
        .session = arena_strdup(a, ref),
        .root = e->root,
        .role = e->role,
        .user = arena_strdup(a, row_str(r, F_session_auth_user_name)),
        .sid = arena_strdup(a, row_str(r, F_session_auth_user_sid)),
        .originator = arena_strdup(a, row_str(r, F_session_originator)),
    };
    if (now < e->last_active_us + (int64_t)REFRESH_US)
        return NULL;
    e->last_active_us = now;
    struct tx *t = tx_begin(c->store);
    tx_set(t, ref, F_session_last_active, value_datetime(now_text(c, a)));
    return tx_apply(t, NULL);
}

void session_end(struct core *c, const char *ref)
{
    struct tx *t = tx_begin(c->store);

    tx_destroy(t, ref);
    err_ignore(tx_apply(t, NULL), "gone already");
    free(map_remove(c->principals, ref));
    event_session_ended(c, ref);
    waitq_wake_all(&c->changed); /* its blocked event calls end with SESSION_INVALID */
}

void session_done(struct core *c)
{
    const char *ref;
    void *v;

    for (size_t it = 0; map_next(c->principals, &it, &ref, &v);)
        free(v);
    map_free(c->principals);
}

/* Limits: the least recently active sessions beyond them end. */

struct aged {
    const char *ref;
    int64_t last_active_us;
    bool busy; /* with running tasks: kept */
};

static int by_age(const void *a, const void *b)
{
    const struct aged *x = a, *y = b;

    return (x->last_active_us > y->last_active_us) - (x->last_active_us < y->last_active_us);
}

/* The group a session counts in: by originator for root and unnamed users, by user name otherwise. */
static const char *group_of(struct arena *a, const struct row *r, size_t *ret_max)
{
    const char *user = row_str(r, F_session_auth_user_name), *originator = row_str(r, F_session_originator);
    bool named = *user && !row_bool(r, F_session_is_local_superuser);

    *ret_max = named ? MAX_PER_USER : *originator ? MAX_PER_ORIGINATOR : MAX_UNNAMED;
    return named ? arena_printf(a, "u/%s", user) : arena_printf(a, "o/%s", originator);
}

/* A user whose subject is gone, or has no role any more, has lost its rights: the session ends with them. */
static bool lost_rights(struct core *c, const struct row *session)
{
    if (row_bool(session, F_session_is_local_superuser))
        return false;
    const struct row *subject = row_follow(c->store, session, F_session_subject);
    return !subject || !row_get(subject, F_subject_roles)->n;
}

void session_collect(struct core *c)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(map_drop) struct map *counts = map_new();
    size_t n = store_count(c->store, C_session), i = 0;
    struct aged *all = arena_new_array(a, n + 1, struct aged);
    int64_t now = (int64_t)clock_now(c->loop);

    for (const struct row *r = store_first(c->store, C_session); r; r = store_next(r), i++)
        all[i] = (struct aged){ arena_strdup(a, row_ref(r)), entry_of(c, r)->last_active_us,
            task_of_session(c, row_ref(r)) };
    if (n > 1)
        qsort(all, n, sizeof(*all), by_age);
    for (i = n; i-- > 0;) { /* newest first */
        const struct row *r = store_find_of(c->store, C_session, all[i].ref);
        size_t max = 0;
        const char *group = group_of(a, r, &max);
        size_t count = (size_t)(uintptr_t)map_get(counts, group) + 1;

        map_put(counts, group, (void *)(uintptr_t)count);
        if (lost_rights(c, r))
            session_end(c, all[i].ref);
        else if (!all[i].busy && (count > max || now > all[i].last_active_us + (int64_t)IDLE_MAX_US))
            session_end(c, all[i].ref);
    }
}

/* Login */

/* The strongest role of the user's and its groups' subjects. */
static bool subject_role(struct core *c, struct arena *a, const char *user, const struct host_auth_rep *auth,
    const char **ret_subject, enum role *ret_role)
{
    bool found = false;

    for (const struct row *s = store_first(c->store, C_subject); s; s = store_next(s)) {
        const char *sid = row_str(s, F_subject_subject_identifier);
        bool mine = strncmp(sid, "u:", 2) == 0 && strcmp(sid + 2, user) == 0;

        for (size_t i = 0; !mine && i < auth->n_groups; i++)
            mine = strncmp(sid, "g:", 2) == 0 && strcmp(sid + 2, auth->groups[i]) == 0;
        if (!mine)
            continue;
        struct value roles = row_value(a, s, F_subject_roles);
        for (size_t i = 0; i < roles.n; i++) {
            const struct row *role = store_find_of(c->store, C_role, roles.items[i].s);
            enum role r = ROLE_READ_ONLY;
            if (!role || !role_find(row_str(role, F_role_name_label), &r))
                continue;
            if (!found || r < *ret_role)
                *ret_role = r;
            found = true;
            *ret_subject = arena_strdup(a, row_ref(s));
        }
    }
    return found;
}

static const char *session_make(struct core *c, struct arena *a, const char *user, const char *sid, const char *subject,
    bool root, enum role role, const char *originator)
{
    const char *now = now_text(c, a);
    struct value *permissions = NULL;
    size_t n = root ? 0 : rbac_permissions(role, a, &permissions);
    const struct tx_field fields[] = {
        { F_session_this_host, value_str(c->host_ref) },
        { F_session_this_user, value_str(REF_NULL) },
        { F_session_last_active, value_datetime(now) },
        { F_session_validation_time, value_datetime(now) },
        { F_session_is_local_superuser, value_bool(root) },
        { F_session_subject, value_str(subject ? subject : REF_NULL) },
        { F_session_auth_user_sid, value_str(sid) },
        { F_session_auth_user_name, value_str(user) },
        { F_session_rbac_permissions, value_set(permissions, n) },
        { F_session_originator, value_str(originator) },
    };
    struct tx *t = tx_begin(c->store);
    const char *ref = arena_strdup(a, tx_create(t, C_session, NULL, fields, ARRAY_LEN(fields)));

    err_ignore(tx_apply(t, NULL), "a new volatile row");
    struct session_entry *e = mem_new(struct session_entry);
    e->root = root;
    e->role = root ? ROLE_LOCAL_ROOT : role;
    e->last_active_us = (int64_t)clock_now(c->loop);
    map_put(c->principals, ref, e);
    return ref;
}

static struct err *fail_late(struct core *c, struct err *e)
{
    fiber_sleep(c->config->auth_delay_us);
    return e;
}

/* ---- turns: as many passwords are looked at at once as the pool says ---- */

static struct err *begin_turn(struct core *c)
{
    uint64_t deadline = clock_now(c->loop) + TURN_WAIT_US;

    while (c->auths >= row_int(core_pool_row(c), F_pool_local_auth_max_threads))
        if (!waitq_wait(&c->auth_ended, deadline))
            return err_internal("too many others are logging in");
    c->auths++;
    return NULL;
}

static void end_turn(struct core *c)
{
    c->auths--;
    waitq_wake_all(&c->auth_ended);
}

static struct err *ask_host(
    struct core *c, struct arena *a, const char *user, const char *password, struct host_auth_rep *ret)
{
    struct ipc_peer *host = NULL;

    TRY(core_need_host(c, &host));
    TRY(begin_turn(c));
    struct err *e = host_auth(host, a, &(struct host_auth_req){ .user = user, .password = password }, ret);
    end_turn(c);
    return e;
}

struct err *session_login(struct core *c, struct arena *a, const char *user, const char *password,
    const char *originator, bool local, const char **ret_ref)
{
    struct host_auth_rep auth = { 0 };
    const char *subject = NULL;
    enum role role = ROLE_READ_ONLY;

    if (local) { /* whoever can open the local socket is root */
        *ret_ref = session_make(c, a, "root", "", NULL, true, ROLE_LOCAL_ROOT, originator);
        return NULL;
    }
    TRY(ask_host(c, a, user, password, &auth));
    if (!auth.ok) {
        log_info("login refused", F("user", user), F("reason", auth.reason));
        return fail_late(
            c, err_new("SESSION_AUTHENTICATION_FAILED", (const char *[]){ user, "Authentication failed" }, 2));
    }
    if (auth.superuser) {
        *ret_ref = session_make(c, a, user, "", NULL, true, ROLE_LOCAL_ROOT, originator);
        return NULL;
    }
    if (!subject_role(c, a, user, &auth, &subject, &role))
        return fail_late(c, err_session_authorization_failed(user, "The user is no subject with a role"));
    *ret_ref = session_make(c, a, user, arena_printf(a, "u:%s", user), subject, false, role, originator);
    return NULL;
}

/* Messages */

static struct err *login_with_password(
    struct call *c, const struct session_login_with_password_args *a, struct value *ret)
{
    const char *ref = NULL;

    TRY(session_login(
        c->core, c->arena, a->uname, a->pwd, a->originator, c->client && strcmp(c->client, "local") == 0, &ref));
    *ret = value_str(ref);
    session_collect(c->core);
    return NULL;
}

/* The old password proves it even where the session was not asked for one: who took the core over gains no password. */
static struct err *change_password(struct call *c, const struct session_change_password_args *a, struct value *ret)
{
    struct host_auth_change_rep rep = { 0 };
    struct ipc_peer *host = NULL;

    (void)ret;
    TRY(core_need_host(c->core, &host));
    TRY(begin_turn(c->core));
    struct err *e = host_auth_change(host, c->arena,
        &(struct host_auth_change_req){ .user = c->who.user, .old = a->old_pwd, .password = a->new_pwd }, &rep);
    end_turn(c->core);
    TRY(e);
    if (!rep.known) {
        log_info("change of password refused", F("user", c->who.user), F("reason", rep.reason));
        return fail_late(c->core,
            err_new("SESSION_AUTHENTICATION_FAILED", (const char *[]){ c->who.user, "Authentication failed" }, 2));
    }
    return rep.ok ? NULL : err_change_password_rejected(rep.reason);
}

/* Who waits for a turn looks again. */
static struct err *set_max_threads(
    struct call *c, const struct pool_set_local_auth_max_threads_args *a, struct value *ret)
{
    const struct row *pool = NULL;

    (void)ret;
    TRY(call_row(c, C_pool, a->self, &pool));
    if (a->value < 1)
        return err_invalid_value("value", arena_printf(c->arena, "%lld", (long long)a->value));
    TRY(core_set(c->core, a->self, F_pool_local_auth_max_threads, value_int(a->value)));
    waitq_wake_all(&c->core->auth_ended);
    return NULL;
}

static struct err *logout(struct call *c, const struct session_logout_args *a, struct value *ret)
{
    (void)a;
    (void)ret;
    session_end(c->core, c->who.session);
    return NULL;
}

static struct err *get_all_subject_identifiers(
    struct call *c, const struct session_get_all_subject_identifiers_args *args, struct value *ret)
{
    struct value *set = arena_new_array(c->arena, store_count(c->core->store, C_session) + 1, struct value);
    struct value so_far = { .kind = V_SET };

    (void)args;
    for (const struct row *r = store_first(c->core->store, C_session); r; r = store_next(r)) {
        const char *sid = row_str(r, F_session_auth_user_sid);
        if (!*sid || value_set_has(&so_far, sid))
            continue;
        set[so_far.n] = value_str(arena_strdup(c->arena, sid));
        so_far = value_set(set, so_far.n + 1);
    }
    *ret = so_far;
    return NULL;
}

static struct err *logout_subject_identifier(
    struct call *c, const struct session_logout_subject_identifier_args *a, struct value *ret)
{
    VEC(char *) refs = { 0 };

    (void)ret;
    for (const struct row *r = store_first(c->core->store, C_session); r; r = store_next(r))
        if (strcmp(row_str(r, F_session_auth_user_sid), a->subject_identifier) == 0 &&
            !row_bool(r, F_session_is_local_superuser) && strcmp(row_ref(r), c->who.session) != 0)
            vec_push(&refs, mem_strdup(row_ref(r)));
    for (size_t i = 0; i < refs.len; i++) {
        session_end(c->core, refs.p[i]);
        free(refs.p[i]);
    }
    vec_done(&refs);
    return NULL;
}

void session_register(struct api_handlers *h)
{
    h->session_login_with_password = login_with_password;
    h->session_change_password = change_password;
    h->pool_set_local_auth_max_threads = set_max_threads;
    h->session_logout = logout;
    h->session_get_all_subject_identifiers = get_all_subject_identifiers;
    h->session_logout_subject_identifier = logout_subject_identifier;
}
