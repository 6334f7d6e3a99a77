#include "core/event_log.h"
#include "base/mem.h"

struct event_log {
    struct event_entry entries[EVENT_LOG_MAX]; /* the one at `place` is in place % EVENT_LOG_MAX */
    uint64_t first, next, gen;
    size_t bytes;
};

struct event_log *event_log_new(void)
{
    return mem_new(struct event_log);
}

void event_log_begin(struct event_log *l, const struct store *s)
{
    l->gen = store_gen(s);
}

static void drop_first(struct event_log *l)
{
    struct event_entry *e = &l->entries[l->first++ % EVENT_LOG_MAX];

    l->bytes -= e->len;
    free(e->ref);
    free(e->bytes);
    *e = (struct event_entry){ 0 };
}

void event_log_clear(struct event_log *l)
{
    while (l->first < l->next)
        drop_first(l);
}

void event_log_free(struct event_log *l)
{
    if (l)
        event_log_clear(l);
    free(l);
}

uint64_t event_log_first(const struct event_log *l)
{
    return l->first;
}

uint64_t event_log_next(const struct event_log *l)
{
    return l->next;
}

const struct event_entry *event_log_at(const struct event_log *l, uint64_t place)
{
    return &l->entries[place % EVENT_LOG_MAX];
}

struct taking {
    struct event_log *log;
    struct arena *arena;
    uint64_t wall_us;
};

static char *fields_of(struct arena *a, const struct row *r, size_t *ret_len)
{
    const struct model_class *cls = row_class(r);
    struct value *v = arena_new_array(a, cls->n_fields + 1, struct value);
    struct value set = value_set(v, cls->n_fields);
    struct buf b;

    for (size_t i = 0; i < cls->n_fields; i++)
        v[i] = row_value(a, r, cls->fields[i]);
    buf_init(&b, EVENT_LOG_BYTES_MAX);
    value_encode(&b, &set);
    return buf_steal(&b, ret_len);
}

static void take_one(void *arg, const struct change_info *c)
{
    struct taking *t = arg;
    struct event_log *l = t->log;
    struct event_entry e = { c->what, c->class, NULL, NULL, 0, c->gen, t->wall_us };

    if (!c->class->gen_events)
        return;
    if (c->row)
        e.bytes = fields_of(t->arena, c->row, &e.len);
    e.ref = mem_strdup(c->ref);
    while (l->first < l->next && (l->next - l->first == EVENT_LOG_MAX || l->bytes + e.len > EVENT_LOG_BYTES_MAX))
        drop_first(l);
    l->entries[l->next++ % EVENT_LOG_MAX] = e;
    l->bytes += e.len;
    arena_reset(t->arena);
}

void event_log_take(struct event_log *l, const struct store *s, uint64_t wall_us)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct taking t = { l, a, wall_us };

    store_changes(s, l->gen, take_one, &t);
    l->gen = store_gen(s);
}
