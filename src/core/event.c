/*
 * Events (protocol.md section 7). event.from costs what it returns: it asks
 * the store for the changes after its token. It waits on the store's bell
 * without holding anything but its fiber, and tells only what is durable.
 */
#include <stdio.h>
#include <string.h>
#include "base/map.h"
#include "base/mem.h"
#include "core/event.h"
#include "core/implicit.h"
#include "core/reply.h"
#include "core/task.h"

#define TIMEOUT_MAX_S 86400.0

void event_subscribe(struct arena *a, const struct value *names, struct subscription *s)
{
    s->classes = arena_new_array(a, model_n_classes(), bool);
    s->objects = arena_alloc(a, ((size_t)names->n + 1) * sizeof(*s->objects));
    for (size_t i = 0; i < names->n; i++) {
        struct str name = str_of(names->items[i].s), cls, ref;

        if (str_eq_c(name, "*")) {
            s->all = true;
            continue;
        }
        bool single = str_cut(name, '/', &cls, &ref);
        const struct model_class *c = model_class_find_nocase(arena_strndup(a, cls.p, cls.len));
        if (c && single) {
            s->objects[s->n_objects].cls = c;
            s->objects[s->n_objects++].ref = arena_strndup(a, ref.p, ref.len);
        } else if (c) {
            s->classes[c->id] = true;
        }
    }
}

bool event_wanted(const struct subscription *s, const struct model_class *c, const char *ref)
{
    if (!c->gen_events)
        return false;
    if (s->all || s->classes[c->id])
        return true;
    for (size_t i = 0; i < s->n_objects; i++)
        if (s->objects[i].cls == c && strcmp(s->objects[i].ref, ref) == 0)
            return true;
    return false;
}

static const struct type string_type = { .kind = TYPE_STRING, .text = "string" };
static const struct type int_type = { .kind = TYPE_INT, .text = "int" };

static void member(struct call *c, bool first, const char *name, const char *text)
{
    struct value v = value_str(text);

    wire_map_key(c->raw, c->envelope, first, name);
    wire_value(c->raw, c->envelope, &string_type, &v);
    wire_map_value_end(c->raw, c->envelope);
}

/*
 * A hundred clients that watch hear of the same change at once: its object is
 * written once, and copied for the others.
 */
struct event_text {
    char *ref; /* owned */
    uint64_t modified;
    enum envelope envelope;
    struct buf text;
};

static void write_snapshot(struct call *c, const struct row *r)
{
    struct event_text *kept = c->core->event_text;

    if (!kept) {
        kept = c->core->event_text = mem_new(struct event_text);
        buf_init(&kept->text, SIZE_MAX);
    }
    if (kept->modified != row_modified(r) || kept->envelope != c->envelope || !cstr_eq(kept->ref, row_ref(r))) {
        free(kept->ref);
        kept->ref = mem_strdup(row_ref(r));
        kept->modified = row_modified(r);
        kept->envelope = c->envelope;
        buf_clear(&kept->text);
        record_write(c, &kept->text, r);
    }
    buf_add_str(c->raw, buf_str(&kept->text));
}

static void event_text_free(struct event_text *kept)
{
    if (!kept)
        return;
    free(kept->ref);
    buf_done(&kept->text);
    free(kept);
}

void event_write_begin(struct call *c, enum change what, const struct model_class *cls, const char *ref, const char *id,
    const char *timestamp)
{
    static const char *const names[] = { [CHANGE_ADD] = "add", [CHANGE_MOD] = "mod", [CHANGE_DEL] = "del" };

    wire_map_begin(c->raw, c->envelope);
    member(c, true, "id", id);
    member(c, false, "timestamp", timestamp);
    member(c, false, "class", cls->lower);
    member(c, false, "operation", names[what]);
    member(c, false, "ref", ref);
}

static void write_event(struct call *c, const struct change_info *e, const char *id)
{
    event_write_begin(c, e->what, e->class, e->ref, id, "0.0");
    if (e->row) {
        wire_map_key(c->raw, c->envelope, false, "snapshot");
        write_snapshot(c, e->row);
        wire_map_value_end(c->raw, c->envelope);
    }
    wire_map_end(c->raw, c->envelope);
}

struct feed {
    struct call *c;
    const struct subscription *s;
    size_t n;
    bool messages;    /* a pass of their own before all others */
    enum change pass; /* adds first, then changes, then deletions */
};

static void count_one(void *arg, const struct change_info *e)
{
    struct feed *f = arg;

    f->n += event_wanted(f->s, e->class, e->ref);
}

static void write_one(void *arg, const struct change_info *e)
{
    struct feed *f = arg;
    char id[32];

    if (e->what != f->pass || f->messages != (e->class == C_message) || !event_wanted(f->s, e->class, e->ref))
        return;
    snprintf(id, sizeof(id), "%llu", f->messages ? 0ULL : (unsigned long long)e->gen);
    wire_set_item(f->c->raw, f->c->envelope, f->n++ == 0);
    write_event(f->c, e, id);
    wire_set_item_end(f->c->raw, f->c->envelope);
    reply_spill(f->c->raw);
}

static void write_counts(struct call *c)
{
    bool first = true;

    wire_map_begin(c->raw, c->envelope);
    for (size_t i = 0; i < model_n_classes(); i++) {
        const struct model_class *cls = model_class(i);

        if (!cls->gen_events)
            continue;
        wire_map_key(c->raw, c->envelope, first, cls->lower);
        size_t n = store_count(c->core->store, cls);
        if (c->envelope == ENVELOPE_XMLRPC) { /* the only typed integers of the protocol */
            buf_printf(c->raw, "<value><i4>%zu</i4></value>", n);
        } else {
            struct value v = value_int((int64_t)n);
            wire_value(c->raw, c->envelope, &int_type, &v);
        }
        wire_map_value_end(c->raw, c->envelope);
        first = false;
    }
    wire_map_end(c->raw, c->envelope);
}

static void write_batch(struct call *c, const struct subscription *s, uint64_t since)
{
    struct feed f = { .c = c, .s = s };
    char token[64];

    wire_map_begin(c->raw, c->envelope);
    wire_map_key(c->raw, c->envelope, true, "events");
    wire_set_begin(c->raw, c->envelope);
    for (int round = s->all || s->classes[C_message->id] || s->n_objects; round >= 0; round--) {
        f.messages = round;
        for (f.pass = CHANGE_ADD; f.pass <= CHANGE_DEL; f.pass++)
            store_changes(c->core->store, since, write_one, &f);
    }
    wire_set_end(c->raw, c->envelope);
    wire_map_value_end(c->raw, c->envelope);
    wire_map_key(c->raw, c->envelope, false, "valid_ref_counts");
    write_counts(c);
    wire_map_value_end(c->raw, c->envelope);
    snprintf(token, sizeof(token), "%020llu,%020llu", (unsigned long long)store_gen(c->core->store), 0ULL);
    member(c, false, "token", token);
    wire_map_end(c->raw, c->envelope);
    c->raw_used = true;
}

static bool parse_token(const char *token, uint64_t *ret_gen)
{
    struct str first, second;
    uint64_t ignored;

    if (!*token) {
        *ret_gen = 0;
        return true;
    }
    return str_cut(str_of(token), ',', &first, &second) && str_to_u64(first, ret_gen) && str_to_u64(second, &ignored);
}

struct err *event_still_there(struct call *c)
{
    if (c->who.session[0] && !store_find_of(c->core->store, C_session, c->who.session))
        return err_session_invalid(c->who.session);
    return task_check(c);
}

static struct err *event_from(struct call *c, const struct event_from_args *a, struct value *ret)
{
    struct subscription s = { 0 };
    double timeout = a->timeout > TIMEOUT_MAX_S ? TIMEOUT_MAX_S : a->timeout > 0 ? a->timeout : 0;
    uint64_t deadline = clock_now(c->core->loop) + (uint64_t)(timeout * 1e6), since = 0, seen;

    (void)ret;
    if (!parse_token(a->token, &since))
        return err_event_from_token_parse_failure(a->token);
    event_subscribe(c->arena, a->classes, &s);
    if (since > store_gen(c->core->store) || (since && since + 1 < store_gen_oldest(c->core->store)))
        return err_events_lost(); /* of another life of the database, or too long ago to tell what went */
    for (seen = since;;) {
        struct feed f = { .c = c, .s = &s };

        store_changes(c->core->store, seen, count_one, &f);
        seen = store_gen(c->core->store);
        if (f.n || !since)
            break;
        bool rang = waitq_wait(&c->core->changed, deadline);
        TRY(event_still_there(c));
        if (!rang && clock_now(c->core->loop) >= deadline)
            break;
    }
    TRY(store_wait_durable(c->core->store, store_gen(c->core->store)));
    write_batch(c, &s, since);
    return NULL;
}

static struct err *event_inject(struct call *c, const struct event_inject_args *a, struct value *ret)
{
    const struct model_class *cls = model_class_find(a->class);

    if (!cls)
        cls = model_class_find_nocase(a->class);
    if (!cls || !store_find_of(c->core->store, cls, a->ref))
        return err_handle_invalid(a->class, a->ref);
    struct tx *t = tx_begin(c->core->store);
    uint64_t gen = 0;
    tx_touch(t, a->ref);
    TRY(tx_apply(t, &gen));
    *ret = value_str(arena_printf(c->arena, "%020llu,0", (unsigned long long)(store_gen(c->core->store) - 1)));
    return NULL;
}

void event_done(struct core *c)
{
    event_text_free(c->event_text);
    event_old_done(c);
}

void event_register(struct api_handlers *h)
{
    h->event_from = event_from;
    h->event_inject = event_inject;
    event_old_register(h);
}
