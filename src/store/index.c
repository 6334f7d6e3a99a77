/*
 * Rows in their indexes and refs in their derived sets. The invariant: a
 * stored ref of a live row stands in the derived set of its target while the
 * target lives and is of the right class, and in s->dangling otherwise.
 */
#include "store/private.h"
#include "base/mem.h"

static bool is_null_ref(const char *ref)
{
    return cstr_empty(ref) || cstr_eq(ref, REF_NULL);
}

static struct row *target_of(const struct store *s, const struct field *f, const char *ref)
{
    struct row *r = map_get(s->by_ref, ref);

    return r && r->shelf->class == f->other->class ? r : NULL;
}

static void dangling_add(struct store *s, struct row *r, const struct field *f, const char *ref)
{
    struct dangling *d = map_get(s->dangling, ref);

    if (!d) {
        d = mem_new(struct dangling);
        map_put(s->dangling, ref, d);
    }
    vec_push(&d->edges, ((struct edge){ r, f }));
}

static void dangling_trim(struct store *s, const char *ref, struct dangling *d)
{
    if (d->edges.len)
        return;
    map_remove(s->dangling, ref);
    vec_done(&d->edges);
    free(d);
}

static void dangling_remove(struct store *s, struct row *r, const struct field *f, const char *ref)
{
    struct dangling *d = map_get(s->dangling, ref);

    assert(d);
    for (size_t i = d->edges.len; i-- > 0;) {
        if (d->edges.p[i].row == r && d->edges.p[i].field == f) {
            vec_remove_swap(&d->edges, i);
            dangling_trim(s, ref, d);
            return;
        }
    }
    assert(!"a ref without its edge");
}

static void link_to(struct row *r, const struct field *f, struct row *target)
{
    struct slot *in = &target->slots[f->other->index];

    if (f->relation == REL_ONE)
        r->slots[f->index].pos = (uint32_t)in->related.len;
    vec_push(&in->related, r);
}

static void unlink_from(struct row *r, const struct field *f, struct row *target)
{
    struct slot *in = &target->slots[f->other->index];
    size_t i = 0;

    if (f->relation == REL_ONE)
        i = r->slots[f->index].pos;
    else
        while (i < in->related.len && in->related.p[i] != r)
            i++;
    assert(i < in->related.len && in->related.p[i] == r);
    vec_remove_swap(&in->related, i);
    if (f->relation == REL_ONE && i < in->related.len)
        in->related.p[i]->slots[f->index].pos = (uint32_t)i;
}

static void edge_change(
    struct store *s, struct row *r, const struct field *f, const char *ref, bool add, struct touched *t)
{
    struct row *target;

    if (is_null_ref(ref))
        return;
    target = target_of(s, f, ref);
    if (!target) {
        (add ? dangling_add : dangling_remove)(s, r, f, ref);
        return;
    }
    (add ? link_to : unlink_from)(r, f, target);
    touched_add(t, target);
}

static void edges_change(struct store *s, struct row *r, const struct field *f, bool add, struct touched *t)
{
    const struct value *v = &r->slots[f->index].value;

    if (!field_is_edge(f))
        return;
    if (v->kind == V_STRING)
        edge_change(s, r, f, v->s, add, t);
    else if (v->kind == V_SET)
        for (uint32_t i = 0; i < v->n; i++)
            if (v->items[i].kind == V_STRING)
                edge_change(s, r, f, v->items[i].s, add, t);
}

/* Refs that waited for r to exist. */
static void adopt_dangling(struct store *s, struct row *r)
{
    struct dangling *d = map_get(s->dangling, r->ref);

    if (!d)
        return;
    for (size_t i = 0; i < d->edges.len;) {
        struct edge e = d->edges.p[i];

        if (e.field->other->class != r->shelf->class) {
            i++;
            continue;
        }
        link_to(e.row, e.field, r);
        vec_remove_swap(&d->edges, i);
    }
    dangling_trim(s, r->ref, d);
}

static void orphan_related(struct store *s, struct row *r)
{
    const struct model_class *c = r->shelf->class;

    for (size_t i = 0; i < c->n_fields; i++) {
        const struct field *f = c->fields[i];

        if (f->relation != REL_DERIVED)
            continue;
        for (size_t k = 0; k < r->slots[i].related.len; k++)
            dangling_add(s, r->slots[i].related.p[k], f->other, r->ref);
        r->slots[i].related.len = 0;
    }
}

static void name_add(struct row *r)
{
    struct shelf *k = r->shelf;
    const char *label = row_str(r, k->class->name_label);
    struct name_set *set = map_get(k->by_name, label);

    if (!set) {
        set = mem_new(struct name_set);
        map_put(k->by_name, label, set);
    }
    r->name_pos = (uint32_t)set->rows.len;
    vec_push(&set->rows, r);
}

static void name_remove(struct row *r)
{
    struct shelf *k = r->shelf;
    const char *label = row_str(r, k->class->name_label);
    struct name_set *set = map_get(k->by_name, label);
    size_t i = r->name_pos;

    assert(set && set->rows.p[i] == r);
    vec_remove_swap(&set->rows, i);
    if (i < set->rows.len)
        set->rows.p[i]->name_pos = (uint32_t)i;
    if (!set->rows.len) {
        map_remove(k->by_name, label);
        vec_done(&set->rows);
        free(set);
    }
}

static void keys_add(struct row *r)
{
    const struct model_class *c = r->shelf->class;

    if (c->uuid && *row_str(r, c->uuid))
        map_put(r->shelf->by_uuid, row_str(r, c->uuid), r);
    if (c->name_label)
        name_add(r);
}

static void keys_remove(struct row *r)
{
    const struct model_class *c = r->shelf->class;

    if (c->uuid && map_get(r->shelf->by_uuid, row_str(r, c->uuid)) == r)
        map_remove(r->shelf->by_uuid, row_str(r, c->uuid));
    if (c->name_label)
        name_remove(r);
}

bool uuid_taken(const struct row *r, const struct value *v)
{
    const struct row *other = v->kind == V_STRING && *v->s ? map_get(r->shelf->by_uuid, v->s) : NULL;

    return other && other != r;
}

/* Almost always at the end; a row that comes back goes where it was. */
static void insert_by_creation(struct row *r)
{
    struct link *after = r->shelf->rows.prev;

    while (after != &r->shelf->rows && CONTAINER_OF(after, struct row, in_class)->created > r->created)
        after = after->prev;
    list_append(after->next, &r->in_class);
}

/* The same for the feed: a transaction that fails leaves no trace there. */
static void insert_by_change(struct store *s, struct row *r)
{
    struct link *after = s->feed.prev;

    while (after != &s->feed && CONTAINER_OF(after, struct row, in_feed)->modified > r->modified)
        after = after->prev;
    list_append(after->next, &r->in_feed);
}

/* Its refs first become edges, then others' refs to it: a ref to itself is counted once. */
void row_hook(struct store *s, struct row *r, struct touched *t)
{
    const struct model_class *c = r->shelf->class;

    assert(r->dead);
    for (size_t i = 0; i < c->n_fields; i++)
        edges_change(s, r, c->fields[i], true, t);
    map_put(s->by_ref, r->ref, r);
    r->dead = false;
    adopt_dangling(s, r);
    keys_add(r);
    insert_by_creation(r);
    insert_by_change(s, r);
    r->shelf->n_rows++;
}

void row_unhook(struct store *s, struct row *r, struct touched *t)
{
    const struct model_class *c = r->shelf->class;

    assert(!r->dead);
    r->shelf->n_rows--;
    list_remove(&r->in_feed);
    list_remove(&r->in_class);
    keys_remove(r);
    orphan_related(s, r);
    map_remove(s->by_ref, r->ref);
    for (size_t i = 0; i < c->n_fields; i++)
        edges_change(s, r, c->fields[i], false, t);
    r->dead = true;
}

/* Exchanges the stored value of a live row, with everything that hangs on it. */
void row_swap(struct store *s, struct row *r, const struct field *f, struct value *v, void **block, struct touched *t)
{
    struct slot *slot = &r->slots[f->index];
    const struct model_class *c = r->shelf->class;
    bool key = f == c->uuid || f == c->name_label;
    struct value old = slot->value;
    void *old_block = slot->block;

    if (key)
        keys_remove(r);
    edges_change(s, r, f, false, t);
    slot->value = *v;
    slot->block = *block;
    edges_change(s, r, f, true, t);
    if (key)
        keys_add(r);
    *v = old;
    *block = old_block;
}
