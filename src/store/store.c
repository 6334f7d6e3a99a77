#include "store/store.h"
#include "store/private.h"
#include "base/mem.h"

static void lane_done(struct lane *l)
{
    if (l->backend)
        l->backend->free(l->backend);
    map_free(l->dirty);
}

static void free_rows(struct shelf *k)
{
    const char *name;
    void *set;
    size_t it = 0;

    LIST_EACH (l, &k->rows)
        row_free(CONTAINER_OF(l, struct row, in_class));
    while (map_next(k->by_name, &it, &name, &set)) {
        vec_done(&((struct name_set *)set)->rows);
        free(set);
    }
    map_free(k->by_uuid);
    map_free(k->by_name);
}

static void free_dangling(struct map *m)
{
    const char *ref;
    void *d;
    size_t it = 0;

    while (map_next(m, &it, &ref, &d)) {
        vec_done(&((struct dangling *)d)->edges);
        free(d);
    }
    map_free(m);
}

void store_unref(struct store *s)
{
    if (--s->users)
        return;
    LIST_EACH (l, &s->logs)
        undo_log_free(CONTAINER_OF(l, struct undo_log, link));
    for (size_t i = 0; i < model_n_classes(); i++)
        free_rows(&s->shelves[i]);
    free(s->shelves);
    map_free(s->by_ref);
    free_dangling(s->dangling);
    for (size_t i = 0; i < s->lost.len; i++)
        err_free(s->lost.p[i].err);
    vec_done(&s->lost);
    feed_done(s);
    lane_done(&s->durable_lane);
    lane_done(&s->fleeting_lane);
    free(s);
}

static struct store *store_new(struct loop *l, struct backend *durable, struct backend *fleeting)
{
    struct store *s = mem_new(struct store);

    s->loop = l;
    s->users = 1;
    s->durable_lane.backend = durable;
    s->fleeting_lane.backend = fleeting;
    s->by_ref = map_new();
    s->dangling = map_new();
    list_init(&s->feed);
    list_init(&s->logs);
    list_init(&s->waiters);
    s->shelves = mem_new_array(model_n_classes(), struct shelf);
    for (size_t i = 0; i < model_n_classes(); i++) {
        s->shelves[i].class = model_class(i);
        s->shelves[i].by_uuid = map_new();
        s->shelves[i].by_name = map_new();
        list_init(&s->shelves[i].rows);
    }
    return s;
}

struct err *store_open_upgrading(struct loop *l, struct backend *durable, struct backend *fleeting,
    const struct upgrade_plan *plan, struct store **ret)
{
    struct store *s = store_new(l, durable, fleeting);
    struct err *e = store_load(s, plan);

    if (e) {
        store_close(s);
        return e;
    }
    *ret = s;
    return NULL;
}

struct err *store_open(struct loop *l, struct backend *durable, struct backend *fleeting, struct store **ret)
{
    return store_open_upgrading(l, durable, fleeting, upgrade_plan_current(), ret);
}

const struct row *store_find(const struct store *s, const char *ref)
{
    return map_get(s->by_ref, ref);
}

const struct row *store_find_of(const struct store *s, const struct model_class *c, const char *ref)
{
    const struct row *r = map_get(s->by_ref, ref);

    return r && r->shelf->class == c ? r : NULL;
}

const struct row *store_by_uuid(const struct store *s, const struct model_class *c, const char *uuid)
{
    return map_get(s->shelves[c->id].by_uuid, uuid);
}

size_t store_by_name(const struct store *s, const struct model_class *c, const char *label, struct arena *a,
    const struct row ***ret_rows)
{
    const struct name_set *set = map_get(s->shelves[c->id].by_name, label);
    size_t n = set ? set->rows.len : 0;

    *ret_rows = arena_new_array(a, n, const struct row *);
    for (size_t i = 0; i < n; i++)
        (*ret_rows)[i] = set->rows.p[i];
    return n;
}

size_t store_count(const struct store *s, const struct model_class *c)
{
    return s->shelves[c->id].n_rows;
}

static const struct row *row_at(const struct shelf *k, const struct link *l)
{
    return l == &k->rows ? NULL : CONTAINER_OF(l, struct row, in_class);
}

const struct row *store_first(const struct store *s, const struct model_class *c)
{
    return row_at(&s->shelves[c->id], s->shelves[c->id].rows.next);
}

const struct row *store_next(const struct row *r)
{
    return row_at(r->shelf, r->in_class.next);
}

const struct row *row_follow(const struct store *s, const struct row *r, const struct field *f)
{
    const struct row *target = map_get(s->by_ref, row_str(r, f));

    return target && (!f->type->of || f->type->of == target->shelf->class) ? target : NULL;
}

uint64_t store_gen(const struct store *s)
{
    return s->gen;
}

uint64_t store_gen_durable(const struct store *s)
{
    return s->durable;
}

uint64_t store_gen_oldest(const struct store *s)
{
    return s->oldest;
}

struct store_stats store_stats(const struct store *s)
{
    return s->stats;
}
