#include "core/implicit.h"
#include <string.h>
#include "base/mem.h"
#include "core/ops.h"
#include "core/reply.h"
#include "model/query.h"

#define CLASSES_MAX 256
static const struct class_hooks *hooks[CLASSES_MAX];

void class_hooks_set(const struct model_class *cls, const struct class_hooks *h)
{
    hooks[cls->id] = h;
}

static const struct class_hooks *hooks_of(const struct model_class *cls)
{
    static const struct class_hooks none;

    return hooks[cls->id] ? hooks[cls->id] : &none;
}

/* Reading */

void record_write_field(struct call *c, struct buf *b, const struct field *f, struct value v, bool *first)
{
    bool option = f->type->kind == TYPE_OPTION;

    if (option && v.kind == V_SET && v.n == 0)
        return; /* absent options are left out of records */
    wire_map_key(b, c->envelope, *first, f->name);
    if (option)
        wire_value(b, c->envelope, f->type->elem, v.kind == V_SET ? &v.items[0] : &v);
    else
        wire_value(b, c->envelope, f->type, &v);
    wire_map_value_end(b, c->envelope);
    *first = false;
}

void record_write_but(struct call *c, struct buf *b, const struct row *r, const struct field *left_out)
{
    const struct model_class *cls = row_class(r);
    bool first = true;

    wire_map_begin(b, c->envelope);
    for (size_t i = 0; i < cls->n_fields; i++)
        if (cls->fields[i] != left_out)
            record_write_field(c, b, cls->fields[i], row_value(c->arena, r, cls->fields[i]), &first);
    wire_map_end(b, c->envelope);
}

void record_write(struct call *c, struct buf *b, const struct row *r)
{
    record_write_but(c, b, r, NULL);
}

static struct value query_field(void *arg, const struct field *f)
{
    struct {
        struct arena *a;
        const struct row *r;
    } *q = arg;

    return row_value(q->a, q->r, f);
}

/* Writes every row that matches; query NULL matches all. */
static struct err *write_all(struct call *c, const char *expr, bool records)
{
    const struct model_class *cls = c->msg->class;
    const struct query *q = NULL;
    bool first = true;

    if (expr)
        TRY(query_parse(c->arena, cls, expr, &q));
    if (records)
        wire_map_begin(c->raw, c->envelope);
    else
        wire_set_begin(c->raw, c->envelope);
    for (const struct row *r = store_first(c->core->store, cls); r; r = store_next(r)) {
        struct {
            struct arena *a;
            const struct row *r;
        } ctx = { c->arena, r };
        struct value ref = value_str(row_ref(r));

        if (q && !query_match(q, query_field, &ctx))
            continue;
        if (records) {
            wire_map_key(c->raw, c->envelope, first, ref.s);
            record_write(c, c->raw, r);
            wire_map_value_end(c->raw, c->envelope);
            reply_spill(c->raw);
        } else {
            wire_set_item(c->raw, c->envelope, first);
            wire_value(c->raw, c->envelope, c->msg->result->elem, &ref);
            wire_set_item_end(c->raw, c->envelope);
        }
        first = false;
    }
    if (records)
        wire_map_end(c->raw, c->envelope);
    else
        wire_set_end(c->raw, c->envelope);
    c->raw_used = true;
    return NULL;
}

static const char *unstored(struct call *c, enum find_by by, const char *text)
{
    const struct class_hooks *h = hooks_of(c->msg->class);

    return h->find ? h->find(c, by, text) : NULL;
}

static void write_unstored(struct call *c, const char *ref)
{
    const struct model_class *cls = c->msg->class;
    bool first = true;

    wire_map_begin(c->raw, c->envelope);
    for (size_t i = 0; i < cls->n_fields; i++)
        record_write_field(c, c->raw, cls->fields[i], hooks_of(cls)->read(c, ref, cls->fields[i]), &first);
    wire_map_end(c->raw, c->envelope);
    c->raw_used = true;
}

/* False if that is not what was asked. */
static bool read_unstored(struct call *c, const char *ref, struct value *ret)
{
    if (c->msg->implicit == IMPLICIT_GET_RECORD)
        write_unstored(c, ref);
    else if (c->msg->implicit == IMPLICIT_GET)
        *ret = hooks_of(c->msg->class)->read(c, ref, c->msg->field);
    else
        return false;
    return true;
}

static struct err *get_by_uuid(struct call *c, const char *uuid, struct value *ret)
{
    const struct row *r = store_by_uuid(c->core->store, c->msg->class, uuid);
    const char *ref = r ? row_ref(r) : unstored(c, FIND_BY_UUID, uuid);

    if (!ref)
        return err_uuid_invalid(c->msg->class->name, uuid);
    *ret = value_str(arena_strdup(c->arena, ref));
    return NULL;
}

static struct err *get_by_name_label(struct call *c, const char *label, struct value *ret)
{
    const struct row **rows = NULL;
    size_t n = store_by_name(c->core->store, c->msg->class, label, c->arena, &rows);
    const char *other = unstored(c, FIND_BY_NAME_LABEL, label);
    struct value *refs = arena_new_array(c->arena, n + 1, struct value);

    for (size_t i = 0; i < n; i++)
        refs[i] = value_str(arena_strdup(c->arena, row_ref(rows[i])));
    if (other)
        refs[n++] = value_str(arena_strdup(c->arena, other));
    *ret = value_set(refs, n);
    return NULL;
}

/* Writing */

static struct err *store_field(struct call *c, const struct row *r, struct value v)
{
    const struct class_hooks *h = hooks_of(c->msg->class);
    const struct field *f = c->msg->field;
    const char *ref = arena_strdup(c->arena, row_ref(r));
    bool done = false;

    if (h->set)
        TRY(h->set(c, r, f, &v, &done));
    return done ? NULL : core_set(c->core, ref, f, v);
}

static struct err *add_to_map(struct call *c, const struct row *r, const struct value *args)
{
    struct value old = row_value(c->arena, r, c->msg->field);
    const char *key = args[1].kind == V_STRING ? args[1].s : NULL;

    for (size_t i = 0; i < old.n; i++)
        if (value_eq(&old.items[2 * i], &args[1])) {
            const struct field *uuid = c->msg->class->uuid;
            return err_map_duplicate_key(
                c->msg->class->name, c->msg->field->name, uuid ? row_str(r, uuid) : row_ref(r), key ? key : "");
        }
    struct value *pairs = arena_new_array(c->arena, 2 * (size_t)old.n + 2, struct value);
    if (old.n)
        memcpy(pairs, old.items, 2 * (size_t)old.n * sizeof(*pairs));
    pairs[2 * old.n] = args[1];
    pairs[2 * old.n + 1] = args[2];
    return store_field(c, r, value_map(pairs, old.n + 1));
}

/* The set or map without one element or key; unchanged when it is not there. */
static struct err *remove_item(struct call *c, const struct row *r, const struct value *args, size_t stride)
{
    struct value old = row_value(c->arena, r, c->msg->field);
    struct value *items = arena_new_array(c->arena, stride * (size_t)old.n + 1, struct value);
    size_t n = 0;

    for (size_t i = 0; i < old.n; i++) {
        if (value_eq(&old.items[stride * i], &args[1]))
            continue;
        memcpy(&items[stride * n++], &old.items[stride * i], stride * sizeof(*items));
    }
    if (n == old.n)
        return NULL;
    return store_field(c, r, stride == 2 ? value_map(items, n) : value_set(items, n));
}

static struct err *add_item(struct call *c, const struct row *r, const struct value *args)
{
    struct value old = row_value(c->arena, r, c->msg->field);

    for (size_t i = 0; i < old.n; i++)
        if (value_eq(&old.items[i], &args[1]))
            return NULL;
    return store_field(c, r, value_set_with(c->arena, &old, args[1]));
}

static struct err *change_field(struct call *c, const struct row *r, const struct value *args)
{
    switch (c->msg->implicit) {
    case IMPLICIT_SET:
        return store_field(c, r, args[1]);
    case IMPLICIT_ADD:
        return add_item(c, r, args);
    case IMPLICIT_REMOVE:
        return remove_item(c, r, args, 1);
    case IMPLICIT_ADD_TO:
        return add_to_map(c, r, args);
    default:
        return remove_item(c, r, args, 2);
    }
}

/* Objects */

static struct err *create(struct call *c, const struct value *args, struct value *ret)
{
    const struct class_hooks *h = hooks_of(c->msg->class);
    struct value record = args[0];
    const char *ref = NULL;

    if (h->create)
        TRY(h->create(c, &record, &ref));
    if (!ref) {
        struct tx_field *fields = arena_new_array(c->arena, (size_t)record.n + 1, struct tx_field);
        size_t n = 0;
        for (size_t i = 0; i < record.n; i++) {
            const struct field *f = model_field_find(c->msg->class, record.items[2 * i].s);
            if (f && f->relation != REL_DERIVED)
                fields[n++] = (struct tx_field){ f, record.items[2 * i + 1] };
        }
        struct tx *t = tx_begin(c->core->store);
        ref = arena_strdup(c->arena, tx_create(t, c->msg->class, NULL, fields, n));
        TRY(tx_commit(t));
    }
    *ret = value_str(ref);
    return NULL;
}

static struct err *destroy(struct call *c, const char *ref)
{
    const struct class_hooks *h = hooks_of(c->msg->class);
    bool done = false;

    if (h->destroy)
        TRY(h->destroy(c, ref, &done));
    if (done)
        return NULL;
    struct tx *t = tx_begin(c->core->store);
    tx_destroy(t, ref);
    return tx_commit(t);
}

struct err *implicit_run(struct call *c, const struct value *args, struct value *ret)
{
    const struct msg *m = c->msg;
    const struct row *r = NULL;

    switch (m->implicit) {
    case IMPLICIT_GET_ALL:
        return write_all(c, NULL, false);
    case IMPLICIT_GET_ALL_RECORDS:
        return write_all(c, NULL, true);
    case IMPLICIT_GET_ALL_WHERE:
        return write_all(c, args[0].s, false);
    case IMPLICIT_GET_ALL_RECORDS_WHERE:
        return write_all(c, args[0].s, true);
    case IMPLICIT_GET_BY_UUID:
        return get_by_uuid(c, args[0].s, ret);
    case IMPLICIT_GET_BY_NAME_LABEL:
        return get_by_name_label(c, args[0].s, ret);
    case IMPLICIT_CREATE:
        return create(c, args, ret);
    default:
        break;
    }
    const char *other = unstored(c, FIND_BY_REF, args[0].s);
    if (other && read_unstored(c, other, ret))
        return NULL;
    TRY(call_row(c, m->class, args[0].s, &r));
    switch (m->implicit) {
    case IMPLICIT_GET:
        *ret = row_value(c->arena, r, m->field);
        return NULL;
    case IMPLICIT_GET_RECORD:
        record_write(c, c->raw, r);
        c->raw_used = true;
        return NULL;
    case IMPLICIT_DESTROY:
        return destroy(c, args[0].s);
    default:
        return change_field(c, r, args);
    }
}
