/*
 * A transaction is a list of operations until it is applied; then each is done
 * to memory in turn, with its undo. One that fails takes those before it back.
 */
#include "store/private.h"
#include "base/mem.h"
#include "base/uuid.h"

struct op {
    enum { OP_CREATE, OP_SET, OP_DESTROY, OP_TOUCH } kind;
    const char *ref;
    char *own_ref; /* CREATE: what ref points to, until a row takes it */
    const struct model_class *class;
    const struct field *field;
    struct value value;
    const struct tx_field *fields;
    size_t n_fields;
};

struct tx {
    struct store *store;
    struct arena *arena;
    VEC(struct op) ops;
    struct err *err; /* first misuse */
};

struct apply {
    struct store *store;
    struct undo_log *log;
    struct touched touched;
    uint64_t wait; /* what must be durable before a committer is told "done" */
};

struct tx *tx_begin(struct store *s)
{
    struct tx *t = mem_new(struct tx);

    t->store = s;
    t->arena = arena_new();
    return t;
}

void tx_free(struct tx *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->ops.len; i++)
        free(t->ops.p[i].own_ref);
    vec_done(&t->ops);
    arena_free(t->arena);
    err_free(t->err);
    free(t);
}

static void misuse(struct tx *t, const struct field *f, const char *why)
{
    t->err = err_first(t->err, err_internal("%s.%s: %s", f->class->name, f->name, why));
}

const char *tx_create(
    struct tx *t, const struct model_class *c, const char *ref, const struct tx_field *fields, size_t n)
{
    struct tx_field *copy = arena_new_array(t->arena, n + 1, struct tx_field);
    char *own = ref ? mem_strdup(ref) : NULL;
    char uuid[UUID_LEN + 1];
    bool has_uuid = !c->uuid;

    if (!own) {
        uuid_make(uuid);
        own = mem_printf("OpaqueRef:%s", uuid);
    }
    for (size_t i = 0; i < n; i++) {
        if (fields[i].field->class != c || fields[i].field->relation == REL_DERIVED)
            misuse(t, fields[i].field, "cannot be given to a new row");
        else if (!field_takes(fields[i].field, &fields[i].value))
            misuse(t, fields[i].field, "takes another kind of value");
        copy[i] = (struct tx_field){ fields[i].field, value_copy(t->arena, &fields[i].value) };
        has_uuid |= fields[i].field == c->uuid;
    }
    if (!has_uuid) {
        uuid_make(uuid);
        copy[n++] = (struct tx_field){ c->uuid, value_str(arena_strdup(t->arena, uuid)) };
    }
    vec_push(&t->ops,
        ((struct op){ .kind = OP_CREATE, .ref = own, .own_ref = own, .class = c, .fields = copy, .n_fields = n }));
    return own;
}

void tx_set(struct tx *t, const char *ref, const struct field *f, struct value v)
{
    if (f->relation == REL_DERIVED)
        misuse(t, f, "is derived and cannot be set");
    else if (!field_takes(f, &v))
        misuse(t, f, "takes another kind of value");
    vec_push(&t->ops,
        ((struct op){ .kind = OP_SET,
            .ref = arena_strdup(t->arena, ref),
            .class = f->class,
            .field = f,
            .value = value_copy(t->arena, &v) }));
}

void tx_destroy(struct tx *t, const char *ref)
{
    vec_push(&t->ops, ((struct op){ .kind = OP_DESTROY, .ref = arena_strdup(t->arena, ref) }));
}

void tx_touch(struct tx *t, const char *ref)
{
    vec_push(&t->ops, ((struct op){ .kind = OP_TOUCH, .ref = arena_strdup(t->arena, ref) }));
}

/* Reading through the operations. */

bool tx_exists(struct tx *t, const char *ref)
{
    for (size_t i = t->ops.len; i-- > 0;) {
        const struct op *o = &t->ops.p[i];

        if ((o->kind == OP_CREATE || o->kind == OP_DESTROY) && cstr_eq(o->ref, ref))
            return o->kind == OP_CREATE;
    }
    return store_find(t->store, ref);
}

static struct value created_value(const struct op *o, const struct field *f)
{
    for (size_t i = o->n_fields; i-- > 0;)
        if (o->fields[i].field == f)
            return o->fields[i].value;
    return field_default(f);
}

/* What the operations from `from` on leave of v when the rows it points to go. */
static struct value without_destroyed(struct tx *t, struct arena *a, const struct field *f, struct value v, size_t from)
{
    for (size_t i = from; field_is_edge(f) && i < t->ops.len; i++) {
        const struct op *o = &t->ops.p[i];

        if (o->kind != OP_DESTROY)
            continue;
        if (v.kind == V_STRING && cstr_eq(v.s, o->ref))
            v = value_str(REF_NULL);
        else if (v.kind == V_SET && value_set_has(&v, o->ref))
            v = value_set_without(a, &v, o->ref);
    }
    return v;
}

static struct value get_stored(struct tx *t, struct arena *a, const char *ref, const struct field *f)
{
    const struct row *r = store_find_of(t->store, f->class, ref);
    struct value v = r ? *row_get(r, f) : VALUE_NIL;
    size_t from = 0;

    for (size_t i = t->ops.len; i-- > 0;) {
        const struct op *o = &t->ops.p[i];

        if (!cstr_eq(o->ref, ref) || o->kind == OP_TOUCH || (o->kind == OP_SET && o->field != f))
            continue;
        if (o->kind == OP_DESTROY || o->class != f->class)
            return VALUE_NIL;
        v = o->kind == OP_SET ? o->value : created_value(o, f);
        from = i + 1;
        break;
    }
    v = without_destroyed(t, a, f, v, from);
    return value_copy(a, &v);
}

static bool points_to(const struct value *v, const char *ref)
{
    return (v->kind == V_STRING && cstr_eq(v->s, ref)) || (v->kind == V_SET && value_set_has(v, ref));
}

static struct value get_derived(struct tx *t, struct arena *a, const char *ref, const struct field *f)
{
    const struct row *r = store_find_of(t->store, f->class, ref);
    struct value set = value_set(NULL, 0);

    if (!tx_exists(t, ref))
        return VALUE_NIL;
    if (r) {
        set = row_value(a, r, f);
        set = value_copy(a, &set);
    }
    for (size_t i = 0; f->other && i < t->ops.len; i++) {
        const struct op *o = &t->ops.p[i];
        bool about = o->kind == OP_DESTROY || (o->kind == OP_SET && o->field == f->other) ||
            (o->kind == OP_CREATE && o->class == f->other->class);
        struct value now;

        if (!about || cstr_eq(o->ref, ref))
            continue;
        now = tx_exists(t, o->ref) ? get_stored(t, a, o->ref, f->other) : VALUE_NIL;
        if (value_set_has(&set, o->ref))
            set = value_set_without(a, &set, o->ref);
        if (points_to(&now, ref))
            set = value_set_with(a, &set, value_str(arena_strdup(a, o->ref)));
    }
    return set;
}

struct value tx_get(struct tx *t, struct arena *a, const char *ref, const struct field *f)
{
    return f->relation == REL_DERIVED ? get_derived(t, a, ref, f) : get_stored(t, a, ref, f);
}

/* Applying. */

static struct err *handle_invalid(const char *class, const char *ref)
{
    return err_new("HANDLE_INVALID", (const char *[]){ class, ref }, 2);
}

static struct err *not_unique(const struct model_class *c, const char *field, const char *value)
{
    return err_new("DB_UNIQUENESS_CONSTRAINT_VIOLATION", (const char *[]){ c->name, field, value }, 3);
}

static void undo_push(struct apply *a, struct undo u)
{
    vec_push(&a->log->undos, u);
    touched_add(&a->touched, u.row);
}

static struct err *do_set(struct apply *a, struct row *r, const struct field *f, const struct value *v)
{
    struct undo u = { .kind = UNDO_SET, .row = r, .field = f };

    if (value_eq(&r->slots[f->index].value, v))
        return NULL;
    if (f == f->class->uuid && uuid_taken(r, v))
        return not_unique(f->class, f->name, v->s);
    u.value = value_pack(v, &u.block);
    touched_add(&a->touched, r);
    row_swap(a->store, r, f, &u.value, &u.block, &a->touched);
    undo_push(a, u);
    if (field_is_durable(f))
        a->log->durable = true;
    return NULL;
}

static struct err *do_create(struct apply *a, struct op *o)
{
    struct row *r;

    if (map_get(a->store->by_ref, o->ref))
        return not_unique(o->class, "_ref", o->ref);
    r = row_new(&a->store->shelves[o->class->id], MOVE(o->own_ref), a->log->gen);
    for (size_t i = 0; i < o->n_fields; i++)
        slot_put(r, o->fields[i].field, &o->fields[i].value);
    if (o->class->uuid && uuid_taken(r, row_get(r, o->class->uuid))) {
        struct err *e = not_unique(o->class, "uuid", row_str(r, o->class->uuid));
        row_free(r);
        return e;
    }
    touched_add(&a->touched, r); /* before those it points to: the feed keeps this order */
    row_hook(a->store, r, &a->touched);
    undo_push(a, (struct undo){ .kind = UNDO_CREATE, .row = r });
    a->log->durable |= o->class->kept;
    return NULL;
}

/* Whoever points to r stops doing so. */
static struct err *release_related(struct apply *a, struct row *r)
{
    const struct model_class *c = r->shelf->class;
    AUTO(arena_drop) struct arena *arena = NULL;

    for (size_t i = 0; i < c->n_fields; i++) {
        const struct field *f = c->fields[i];

        while (f->relation == REL_DERIVED && r->slots[i].related.len) {
            struct row *from = r->slots[i].related.p[r->slots[i].related.len - 1];
            struct value v = value_str(REF_NULL);

            if (f->other->relation == REL_MANY) {
                arena = arena ? arena : arena_new();
                v = value_set_without(arena, row_get(from, f->other), r->ref);
            }
            TRY(do_set(a, from, f->other, &v));
        }
    }
    return NULL;
}

static struct err *do_op(struct apply *a, struct op *o)
{
    struct row *r = map_get(a->store->by_ref, o->ref);

    if (o->kind == OP_CREATE)
        return do_create(a, o);
    if (!r || (o->class && o->class != r->shelf->class))
        return handle_invalid(o->class ? o->class->name : "", o->ref);
    if (o->kind == OP_SET) {
        if (field_is_durable(o->field) && r->pending > a->wait)
            a->wait = r->pending; /* an equal value that is not safe yet */
        return do_set(a, r, o->field, &o->value);
    }
    if (o->kind == OP_TOUCH) {
        touched_add(&a->touched, r);
        return NULL;
    }
    TRY(release_related(a, r));
    row_unhook(a->store, r, &a->touched);
    undo_push(a, (struct undo){ .kind = UNDO_DESTROY, .row = r });
    a->log->durable |= r->shelf->class->kept;
    return NULL;
}

static struct err *do_ops(struct apply *a, struct tx *t)
{
    if (t->err)
        return MOVE(t->err);
    if (a->store->gen + GEN_SLACK >= a->store->reserved)
        return err_internal("no generation is left below %llu", (unsigned long long)a->store->reserved);
    for (size_t i = 0; i < t->ops.len; i++)
        TRY(do_op(a, &t->ops.p[i]));
    return NULL;
}

static void note_pending(struct undo_log *log)
{
    for (size_t i = 0; i < log->undos.len; i++) {
        const struct undo *u = &log->undos.p[i];

        if (u->field ? field_is_durable(u->field) : u->row->shelf->class->kept)
            u->row->pending = log->gen;
    }
}

static struct err *apply(struct tx *tx, uint64_t *ret_gen, uint64_t *ret_wait)
{
    AUTO(tx_drop) struct tx *t = tx;
    AUTO(undo_log_drop) struct undo_log *log = mem_new(struct undo_log);
    struct store *s = t->store;
    struct apply a = { .store = s, .log = log };
    struct err *e;

    log->gen = s->gen + 1;
    touched_init(&a.touched, s);
    e = do_ops(&a, t);
    if (e) {
        undo_log_revert(s, log, NULL, 0);
        vec_done(&a.touched.rows);
        return e;
    }
    if (ret_gen)
        *ret_gen = s->gen;
    *ret_wait = a.wait;
    if (!a.touched.rows.len)
        return NULL;

    s->gen = log->gen;
    if (ret_gen)
        *ret_gen = s->gen;
    if (log->durable)
        *ret_wait = log->gen;
    feed_stamp(s, &a.touched, log->gen);
    note_pending(log);
    undo_log_mark(s, log);
    commit_applied(s, MOVE(log));
    feed_ring(s);
    return NULL;
}

struct err *tx_apply(struct tx *t, uint64_t *ret_gen)
{
    uint64_t wait;

    return apply(t, ret_gen, &wait);
}

struct err *tx_commit(struct tx *t)
{
    struct store *s = t->store;
    uint64_t gen, wait = 0;

    TRY(apply(t, &gen, &wait));
    return wait ? store_wait_durable(s, wait) : NULL;
}
