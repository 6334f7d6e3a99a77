#include "core/event.h"
#include <string.h>
#include "core/event_log.h"
#include "core/fixture_test.h"

/* The old interface, which tells every change. */

static const char *about(struct fixture *f, const char *message, const char *name)
{
    struct value text = value_str(name), classes = value_set(&text, 1);

    return fixture_call_values(f, f->session, message, &classes, 1, false);
}

static void name_pool(struct fixture *f, const char *name)
{
    struct tx *t = tx_begin(f->store);

    tx_set(t, f->core->pool_ref, F_pool_name_label, value_str(name));
    CHECK_OK(tx_apply(t, NULL));
}

static const char *next(struct fixture *f)
{
    return fixture_call(f, f->session, "event.next", NULL);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;

    while ((text = strstr(text, what))) {
        n++;
        text += strlen(what);
    }
    return n;
}

TEST_FIBER(each_change_is_an_event_with_the_object_as_it_was_then)
{
    struct fixture f;

    fixture_init(&f, loop);
    CHECK(strstr(next(&f), "SESSION_NOT_REGISTERED"));
    about(&f, "event.register", "pool");
    name_pool(&f, "one");
    name_pool(&f, "two");
    CHECK_OK(core_set(f.core, f.core->host_ref, F_host_name_label, value_str("of another class")));
    struct tx *t = tx_begin(f.store);
    const char *message = arena_strdup(f.arena, tx_create(t, C_message, NULL, NULL, 0));
    CHECK_OK(tx_apply(t, NULL));
    const char *first = next(&f);
    CHECK_INT(count(first, "\"operation\":\"mod\""), 2);
    const char *one = strstr(first, "\"name_label\":\"one\""), *two = strstr(first, "\"name_label\":\"two\"");
    CHECK(one && two && one < two && !strstr(first, "another"));
    about(&f, "event.register", "message");
    t = tx_begin(f.store);
    tx_destroy(t, message);
    CHECK_OK(tx_apply(t, NULL));
    name_pool(&f, "three");
    const char *second = next(&f);
    CHECK(strstr(second, "\"operation\":\"del\"") && strstr(second, "\"three\"") && !strstr(second, "\"two\""));
    CHECK_INT(count(second, "\"operation\""), 2);
    about(&f, "event.unregister", "pool");
    about(&f, "event.unregister", "message");
    CHECK(strstr(next(&f), "SESSION_NOT_REGISTERED"));
    fixture_done(&f);
}

TEST_FIBER(whoever_is_too_slow_is_told_once_and_goes_on)
{
    struct fixture f;
    char name[16];

    fixture_init(&f, loop);
    about(&f, "event.register", "pool");
    for (int i = 0; i < EVENT_LOG_MAX + 1; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        name_pool(&f, name);
    }
    CHECK(strstr(next(&f), "EVENTS_LOST"));
    name_pool(&f, "after");
    CHECK_INT(count(next(&f), "\"operation\""), 1);
    fixture_done(&f);
}

TEST_FIBER(what_was_before_somebody_registered_is_no_news)
{
    struct fixture f;

    fixture_init(&f, loop);
    about(&f, "event.register", "pool");
    name_pool(&f, "one");
    about(&f, "event.unregister", "pool");
    name_pool(&f, "two");
    about(&f, "event.register", "pool");
    name_pool(&f, "three");
    const char *told = next(&f);
    CHECK(count(told, "\"operation\"") == 1 && strstr(told, "\"three\""));
    fixture_done(&f);
}
