#include <string.h>
#include "core/call.h"
#include "core/fixture_test.h"

static const char *login(struct fixture *f, const char *originator)
{
    return fixture_result(
        f, fixture_call(f, "", "session.login_with_password", "root", "right", "1.0", originator, NULL));
}

static bool is_alive(struct fixture *f, const char *session)
{
    return store_find(f->store, session) != NULL;
}

TEST_FIBER(the_least_recently_active_session_beyond_five_hundred_of_an_originator_ends)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *other = login(&f, "somebody else"), *first = login(&f, "script");
    for (int i = 0; i < 499; i++) {
        fiber_sleep(1000000);
        login(&f, "script");
    }
    CHECK(is_alive(&f, first));
    fiber_sleep(1000000);
    const char *last = login(&f, "script");
    CHECK(!is_alive(&f, first));
    CHECK(is_alive(&f, last));
    CHECK(is_alive(&f, other));
    fixture_done(&f);
}

TEST_FIBER(a_session_that_is_used_outlives_those_that_are_idle_for_a_day)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *idle = login(&f, "a"), *used = login(&f, "b");
    for (int hour = 0; hour < 25; hour++) {
        fiber_sleep(3600UL * 1000000);
        CHECK(strstr(fixture_call(&f, used, "pool.get_all", NULL), "\"result\":["));
    }
    CHECK(is_alive(&f, used));
    CHECK(!is_alive(&f, idle));
    fixture_done(&f);
}

TEST_FIBER(a_clock_that_is_set_right_ends_no_session)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *idle = login(&f, "a"), *task = fixture_result(&f, fixture_call(&f, idle, "task.create", "t", "", NULL));
    clock_step_wall(loop, 50LL * 365 * 24 * 3600 * 1000000);
    fiber_sleep(60UL * 1000000);
    CHECK(is_alive(&f, idle));
    CHECK(is_alive(&f, task));
    clock_step_wall(loop, -50LL * 365 * 24 * 3600 * 1000000);
    fiber_sleep(25UL * 3600 * 1000000);
    CHECK(!is_alive(&f, idle));
    CHECK(!is_alive(&f, task));
    fixture_done(&f);
}

struct waiter {
    struct fixture *f;
    const char *session, *body;
    const struct value *args;
};

static void wait_for_events(void *arg)
{
    struct waiter *w = arg;

    w->body = fixture_call_values(w->f, w->session, "event.from", w->args, 3, false);
}

TEST_FIBER(logout_wakes_the_session_s_blocked_event_calls)
{
    struct fixture f;
    struct value classes = value_str("vm");
    struct value args[3] = { value_set(&classes, 1), value_str(""), value_float(0) };

    fixture_init(&f, loop);
    const char *session = login(&f, "a");
    const char *body = fixture_call_values(&f, session, "event.from", args, 3, false);
    const char *p = strstr(body, "\"token\":\"");
    CHECK(p);
    struct value wait[3] = { value_set(&classes, 1), value_str(arena_strndup(f.arena, p + 9, strcspn(p + 9, "\""))),
        value_float(3600) };
    struct waiter w = { &f, session, NULL, wait };
    fiber_start(loop, "waiter", wait_for_events, &w);
    fiber_sleep(1000000);
    CHECK(!w.body);
    CHECK(strstr(fixture_call(&f, session, "session.logout", NULL), "\"result\":\"\""));
    fiber_sleep(1000000);
    CHECK(w.body && strstr(w.body, "SESSION_INVALID"));
    fixture_done(&f);
}

TEST_FIBER(a_change_of_password_says_whether_the_old_or_the_new_one_was_not_taken)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *r = fixture_call(&f, f.session, "session.change_password", "wrong", "other", NULL);
    CHECK(strstr(r, "SESSION_AUTHENTICATION_FAILED"));
    r = fixture_call(&f, f.session, "session.change_password", "right", "", NULL);
    CHECK(strstr(r, "CHANGE_PASSWORD_REJECTED"));
    CHECK(strstr(r, "no such password"));
    r = fixture_call(&f, f.session, "session.change_password", "right", "other", NULL);
    CHECK(strstr(r, "\"result\":\"\""));
    fixture_done(&f);
}

static void log_in(void *arg)
{
    struct fixture *f = arg;

    CHECK(strstr(login(f, "one of many"), "OpaqueRef:"));
    f->n_starts++;
}

TEST_FIBER(as_many_passwords_are_looked_at_at_once_as_the_pool_says)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *pool = f.core->pool_ref;
    CHECK(strstr(fixture_call(&f, f.session, "pool.set_local_auth_max_threads", pool, "#0", NULL), "INVALID_VALUE"));
    f.auth.us = 1000000;
    for (int limit = 3; limit > 0; limit -= 2) {
        const char *text = limit == 3 ? "#3" : "#1";
        CHECK(strstr(fixture_call(&f, f.session, "pool.set_local_auth_max_threads", pool, text, NULL), "\"result\""));
        f.auth.most = f.n_starts = 0;
        for (int i = 0; i < 7; i++)
            fiber_start(loop, "login", log_in, &f);
        while (f.n_starts < 7)
            fiber_sleep(100000);
        CHECK_INT((int64_t)f.auth.most, limit);
    }
    fixture_done(&f);
}
