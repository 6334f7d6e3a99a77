/* The old interface (protocol.md 7.2): one subscription per session, every change by itself, in its order. */
#include <stdio.h>
#include <string.h>
#include "base/map.h"
#include "base/mem.h"
#include "core/event.h"
#include "core/event_log.h"
#include "core/implicit.h"
#include "core/reply.h"

struct registration {
    struct value classes; /* packed */
    void *block;
    uint64_t place; /* in the log: what comes next */
    uint64_t id;
};

static void registration_free(struct registration *r)
{
    free(r->block);
    free(r);
}

void event_session_ended(struct core *c, const char *session)
{
    struct registration *r = map_remove(c->registrations, session);

    if (!r)
        return;
    registration_free(r);
    if (!map_len(c->registrations))
        event_log_clear(c->event_log);
}

void event_changed(struct core *c)
{
    if (map_len(c->registrations))
        event_log_take(c->event_log, c->store, clock_wall(c->loop));
}

static void set_classes(struct registration *r, struct value classes)
{
    void *block = NULL;
    struct value packed = value_pack(&classes, &block);

    free(r->block);
    r->block = block;
    r->classes = packed;
}

static struct err *event_register_(struct call *c, const struct event_register_args *a, struct value *ret)
{
    struct registration *r = map_get(c->core->registrations, c->who.session);
    struct value all = r ? value_copy(c->arena, &r->classes) : value_set(NULL, 0);

    (void)ret;
    if (!c->core->event_log)
        c->core->event_log = event_log_new();
    if (!map_len(c->core->registrations))
        event_log_begin(c->core->event_log, c->core->store);
    for (size_t i = 0; i < a->classes->n; i++)
        if (!value_set_has(&all, a->classes->items[i].s))
            all = value_set_with(c->arena, &all, a->classes->items[i]);
    if (!r) {
        r = mem_new(struct registration);
        r->place = event_log_next(c->core->event_log);
        map_put(c->core->registrations, c->who.session, r);
    }
    set_classes(r, all);
    return NULL;
}

static struct err *event_unregister(struct call *c, const struct event_unregister_args *a, struct value *ret)
{
    struct registration *r = map_get(c->core->registrations, c->who.session);

    (void)ret;
    if (!r)
        return NULL;
    struct value left = value_copy(c->arena, &r->classes);
    for (size_t i = 0; i < a->classes->n; i++)
        left = value_set_without(c->arena, &left, a->classes->items[i].s);
    if (left.n)
        set_classes(r, left);
    else
        event_session_ended(c->core, c->who.session);
    return NULL;
}

/* ---- event.next ---- */

static struct err *registered(struct call *c, struct registration **ret, struct subscription *s)
{
    *ret = map_get(c->core->registrations, c->who.session);
    if (!*ret)
        return err_session_not_registered(c->who.session);
    *s = (struct subscription){ 0 };
    event_subscribe(c->arena, &(*ret)->classes, s);
    return NULL;
}

static struct err *lost(struct core *c, struct registration *r)
{
    r->place = event_log_next(c->event_log);
    return err_events_lost();
}

static void write_snapshot(struct call *c, const struct event_entry *e)
{
    struct str in = { e->bytes, e->len };
    struct value fields = VALUE_NIL;
    bool first = true;

    err_ignore(value_decode(c->arena, &in, &fields), "written by ourselves");
    wire_map_begin(c->raw, c->envelope);
    for (size_t i = 0; i < fields.n; i++)
        record_write_field(c, c->raw, e->class->fields[i], fields.items[i], &first);
    wire_map_end(c->raw, c->envelope);
}

static void write_entry(struct call *c, const struct event_entry *e, uint64_t number)
{
    const char *id = arena_printf(c->arena, "%llu", (unsigned long long)number);
    const char *timestamp = arena_printf(c->arena, "%.1f", (double)e->wall_us / 1e6);

    event_write_begin(c, e->what, e->class, e->ref, id, timestamp);
    if (e->bytes) {
        wire_map_key(c->raw, c->envelope, false, "snapshot");
        write_snapshot(c, e);
        wire_map_value_end(c->raw, c->envelope);
    }
    wire_map_end(c->raw, c->envelope);
}

/* Everything wanted up to there. False if there is nothing. */
static bool write_all(struct call *c, struct registration *r, const struct subscription *s, uint64_t upto)
{
    bool any = false;

    for (; r->place < upto; r->place++) {
        const struct event_entry *e = event_log_at(c->core->event_log, r->place);

        if (!event_wanted(s, e->class, e->ref))
            continue;
        if (!any)
            wire_set_begin(c->raw, c->envelope);
        wire_set_item(c->raw, c->envelope, !any);
        write_entry(c, e, r->id++);
        wire_set_item_end(c->raw, c->envelope);
        reply_spill(c->raw);
        any = true;
    }
    if (any)
        wire_set_end(c->raw, c->envelope);
    return any;
}

/* Waits until all of them may be told. One that was undone meanwhile never happened: the client reads everything anew.
 */
static struct err *wait_durable(struct call *c, uint64_t from, uint64_t upto)
{
    for (uint64_t at = from; at < upto; at++) {
        if (at < event_log_first(c->core->event_log))
            return NULL; /* the caller looks again */
        struct err *e = store_wait_durable(c->core->store, event_log_at(c->core->event_log, at)->gen);
        if (!e)
            continue;
        err_ignore(e, "its transaction has told it");
        return err_events_lost();
    }
    return NULL;
}

/* *ret_more: while this waited others came. */
static struct err *take_news(struct call *c, bool *ret_more)
{
    struct registration *r;
    struct subscription s;

    TRY(registered(c, &r, &s));
    if (r->place < event_log_first(c->core->event_log))
        return lost(c->core, r);
    uint64_t upto = event_log_next(c->core->event_log);
    AUTO(err_drop) struct err *undone = wait_durable(c, r->place, upto);
    TRY(registered(c, &r, &s)); /* still */
    if (undone || r->place < event_log_first(c->core->event_log))
        return lost(c->core, r);
    c->raw_used = write_all(c, r, &s, upto);
    *ret_more = r->place < event_log_next(c->core->event_log);
    return NULL;
}

static struct err *event_next(struct call *c, const struct event_next_args *args, struct value *ret)
{
    (void)args;
    (void)ret;
    for (;;) {
        bool more = false;

        TRY(take_news(c, &more));
        if (c->raw_used)
            return NULL;
        if (!more)
            waitq_wait(&c->core->changed, FOREVER);
        TRY(event_still_there(c));
    }
}

static struct err *event_get_current_id(struct call *c, const struct event_get_current_id_args *a, struct value *ret)
{
    (void)a;
    *ret = value_int((int64_t)store_gen(c->core->store));
    return NULL;
}

void event_old_done(struct core *c)
{
    const char *session;
    void *r;

    for (size_t it = 0; map_next(c->registrations, &it, &session, &r);)
        registration_free(r);
    map_free(c->registrations);
    event_log_free(c->event_log);
}

void event_old_register(struct api_handlers *h)
{
    h->event_register = event_register_;
    h->event_unregister = event_unregister;
    h->event_next = event_next;
    h->event_get_current_id = event_get_current_id;
}
