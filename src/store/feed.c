/*
 * What changed since: live rows in the order of their last change, and the
 * graves of destroyed ones, both sorted by generation, told as one sequence.
 */
#include "store/private.h"
#include "base/mem.h"

void touched_init(struct touched *t, struct store *s)
{
    *t = (struct touched){ .serial = ++s->touch_serial };
}

void touched_add(struct touched *t, struct row *r)
{
    if (!t || r->touched == t->serial)
        return;
    r->touched = t->serial;
    vec_push(&t->rows, r);
}

static struct tomb *tomb_at(const struct store *s, size_t i)
{
    return &s->tombs.p[(s->tombs_at + i) % s->tombs.len];
}

static void bury(struct store *s, const struct row *r, uint64_t gen)
{
    struct tomb tomb = {
        .class = r->shelf->class,
        .ref = mem_strdup(r->ref),
        .created = r->created,
        .gen = gen,
        .gone = r->back == gen ? r->gone : 0,
    };
    struct tomb *oldest;

    if (s->tombs.len < TOMBS_MAX) {
        vec_push(&s->tombs, tomb);
        return;
    }
    oldest = tomb_at(s, 0);
    s->oldest = oldest->gen;
    free(oldest->ref);
    *oldest = tomb;
    s->tombs_at = (s->tombs_at + 1) % s->tombs.len;
}

void feed_unbury(struct store *s, const char *ref, uint64_t gen)
{
    for (size_t i = s->tombs.len; i-- > 0 && tomb_at(s, i)->gen >= gen;) {
        struct tomb *tomb = tomb_at(s, i);

        if (tomb->gen == gen && cstr_eq(tomb->ref, ref))
            tomb->class = NULL;
    }
}

void feed_stamp(struct store *s, struct touched *t, uint64_t gen)
{
    for (size_t i = 0; i < t->rows.len; i++) {
        struct row *r = t->rows.p[i];

        if (r->dead) {
            if (r->created < gen)
                bury(s, r, gen);
            continue;
        }
        r->modified = gen;
        list_remove(&r->in_feed);
        list_append(&s->feed, &r->in_feed);
    }
    vec_done(&t->rows);
}

void feed_ring(const struct store *s)
{
    for (size_t i = 0; i < s->on_change.len; i++)
        s->on_change.p[i].fn(s->on_change.p[i].arg);
}

void feed_done(struct store *s)
{
    for (size_t i = 0; i < s->tombs.len; i++)
        free(s->tombs.p[i].ref);
    vec_done(&s->tombs);
    vec_done(&s->on_change);
}

void store_on_change(struct store *s, loop_fn *fn, void *arg)
{
    vec_push(&s->on_change, ((struct on_change){ fn, arg }));
}

void store_off_change(struct store *s, loop_fn *fn, void *arg)
{
    for (size_t i = 0; i < s->on_change.len; i++)
        if (s->on_change.p[i].fn == fn && s->on_change.p[i].arg == arg) {
            vec_remove_swap(&s->on_change, i);
            return;
        }
}

static void tell_row(const struct row *r, uint64_t since, change_fn *fn, void *arg)
{
    bool was_away = r->gone && r->gone <= since && since < r->back;
    struct change_info info = {
        .what = r->created > since || was_away ? CHANGE_ADD : CHANGE_MOD,
        .class = r->shelf->class,
        .ref = r->ref,
        .row = r,
        .gen = r->modified,
    };

    fn(arg, &info);
}

static void tell_tomb(const struct tomb *t, uint64_t since, change_fn *fn, void *arg)
{
    struct change_info info = { .what = CHANGE_DEL, .class = t->class, .ref = t->ref, .gen = t->gen };

    if (t->class && t->created <= since && (!t->gone || since < t->gone))
        fn(arg, &info);
}

void store_changes(const struct store *s, uint64_t since, change_fn *fn, void *arg)
{
    const struct link *l = s->feed.prev;
    size_t tomb = s->tombs.len;

    while (l != &s->feed && CONTAINER_OF(l, struct row, in_feed)->modified > since)
        l = l->prev;
    while (tomb > 0 && tomb_at(s, tomb - 1)->gen > since)
        tomb--;

    for (l = l->next; l != &s->feed; l = l->next) {
        const struct row *r = CONTAINER_OF(l, struct row, in_feed);

        while (tomb < s->tombs.len && tomb_at(s, tomb)->gen <= r->modified)
            tell_tomb(tomb_at(s, tomb++), since, fn, arg);
        tell_row(r, since, fn, arg);
    }
    while (tomb < s->tombs.len)
        tell_tomb(tomb_at(s, tomb++), since, fn, arg);
}
