/*
 * What the back ends hold becomes rows again: first the durable parts, then
 * the fleeting ones that still have a row to belong to.
 */
#include "store/private.h"
#include "base/mem.h"

struct load {
    struct store *store;
    struct lane *lane;
    const struct upgrade_plan *plan;
    int major, minor; /* as stored */
    struct arena *arena;
};

static struct err *bad_row(struct err *e, const struct backend_row *in)
{
    return err_note(e, "stored row %s", in->ref);
}

static struct err *decode(struct load *l, const struct backend_row *in, struct upgrade_row *ret)
{
    struct str rest = in->blob;

    ret->class = arena_strdup(l->arena, in->class);
    TRY(value_decode(l->arena, &rest, &ret->fields));
    if (ret->fields.kind != V_MAP || rest.len)
        return err_internal("not a map of fields");
    return upgrade_run(l->plan, l->major, l->minor, l->arena, ret);
}

/* Fields were written in the order of the model: the next one is nearly always the right one. */
static const struct field *field_at(const struct model_class *c, size_t *next, const char *name)
{
    for (size_t n = 0; n < c->n_fields; n++) {
        const struct field *f = c->fields[(*next + n) % c->n_fields];

        if (cstr_eq(f->name, name)) {
            *next = f->index + 1u;
            return f;
        }
    }
    return NULL;
}

static void put_fields(struct load *l, struct row *r, const struct value *map)
{
    const struct model_class *c = r->shelf->class;
    bool durable = l->lane == &l->store->durable_lane;
    size_t next = 0;

    for (uint32_t i = 0; i < map->n; i++) {
        const struct value *key = &map->items[2 * i];
        const struct field *f = key->kind == V_STRING ? field_at(c, &next, key->s) : NULL;
        struct value v;
        void *block;

        if (!f || f->relation == REL_DERIVED || field_is_durable(f) != durable)
            continue;
        v = field_fit(f, &map->items[2 * i + 1]);
        if (value_eq(&v, &r->slots[f->index].value))
            continue; /* the default is shared */
        v = value_pack(&v, &block);
        row_swap(l->store, r, f, &v, &block, NULL);
        free(block);
    }
}

/* The row that the stored part belongs to; NULL: to none. */
static struct row *row_for(struct load *l, const struct backend_row *in, const char *class)
{
    const struct model_class *c = class ? model_class_find(class) : NULL;
    struct row *r = map_get(l->store->by_ref, in->ref);
    bool durable = l->lane == &l->store->durable_lane;

    if (!c)
        return NULL;
    if (c->kept == durable) {
        if (r)
            return NULL;
        r = row_new(&l->store->shelves[c->id], mem_strdup(in->ref), in->created);
        row_hook(l->store, r, NULL);
        return r;
    }
    return !durable && r && r->shelf->class == c && r->created == in->created ? r : NULL;
}

static struct err *load_row(void *arg, const struct backend_row *in)
{
    struct load *l = arg;
    struct upgrade_row up;
    struct row *r;
    struct err *e;

    arena_reset(l->arena);
    e = decode(l, in, &up);
    if (e)
        return bad_row(e, in);
    r = row_for(l, in, up.class);
    if (r)
        put_fields(l, r, &up.fields);
    if (!r || l->major != l->plan->major || l->minor != l->plan->minor)
        lane_mark(l->lane, in->ref);
    return NULL;
}

static struct err *load_lane(struct store *s, struct lane *lane, const struct upgrade_plan *plan)
{
    AUTO(arena_drop) struct arena *arena = arena_new();
    struct load l = { .store = s, .lane = lane, .plan = plan, .arena = arena };
    struct backend *b = lane->backend;
    uint64_t gen = 0;

    if (!b)
        return NULL;
    TRY(b->schema(b, &l.major, &l.minor));
    if (l.major > plan->major || (l.major == plan->major && l.minor > plan->minor))
        return err_internal("%s: written by a newer version (schema %d.%d, ours is %d.%d)", b->name, l.major, l.minor,
            plan->major, plan->minor);
    TRY(b->load(b, load_row, &l, &gen));
    if (gen > s->gen)
        s->gen = gen;
    b->set_schema(b, plan->major, plan->minor);
    return NULL;
}

struct err *store_load(struct store *s, const struct upgrade_plan *plan)
{
    TRY(load_lane(s, &s->durable_lane, plan));
    TRY(load_lane(s, &s->fleeting_lane, plan));
    LIST_EACH (l, &s->feed) {
        struct row *r = CONTAINER_OF(l, struct row, in_feed);

        if (r->created > s->gen)
            return err_internal("row %s is from the future", r->ref);
    }
    s->gen++; /* the start itself: no change before it can be told */
    LIST_EACH (l, &s->feed)
        CONTAINER_OF(l, struct row, in_feed)->modified = s->gen;
    s->oldest = s->durable = s->gen;
    s->reserved = s->durable_lane.backend ? s->gen : UINT64_MAX;
    TRY(lane_flush_at_open(s, &s->durable_lane));
    return lane_flush_at_open(s, &s->fleeting_lane);
}
