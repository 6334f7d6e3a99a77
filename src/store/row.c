#include "store/private.h"
#include "base/buf.h"
#include "base/mem.h"

bool field_is_edge(const struct field *f)
{
    return (f->relation == REL_ONE || f->relation == REL_MANY) && f->other && f->other != f &&
        f->other->relation == REL_DERIVED;
}

/* A derived set whose other side stores nothing is stored itself. */
static bool is_derived(const struct field *f)
{
    return f->relation == REL_DERIVED;
}

bool field_is_durable(const struct field *f)
{
    return f->persist && f->class->kept && !is_derived(f);
}

struct value field_default(const struct field *f)
{
    return f->dflt ? *f->dflt : type_empty(f->type);
}

static bool kind_fits(const struct type *t, uint8_t kind)
{
    switch (t->kind) {
    case TYPE_INT:
        return kind == V_INT;
    case TYPE_FLOAT:
        return kind == V_FLOAT;
    case TYPE_BOOL:
        return kind == V_BOOL;
    case TYPE_DATETIME:
        return kind == V_DATETIME;
    case TYPE_STRING:
    case TYPE_SECRET:
    case TYPE_ENUM:
    case TYPE_REF:
        return kind == V_STRING;
    case TYPE_SET:
        return kind == V_SET;
    case TYPE_MAP:
    case TYPE_RECORD:
        return kind == V_MAP;
    case TYPE_OPTION:
        return kind == V_NIL || kind_fits(t->elem, kind);
    case TYPE_VOID:
    case TYPE_EVENT_BATCH:
        break;
    }
    return true;
}

bool field_takes(const struct field *f, const struct value *v)
{
    return kind_fits(f->type, v->kind);
}

struct value field_fit(const struct field *f, const struct value *v)
{
    return field_takes(f, v) ? *v : field_default(f);
}

struct row *row_new(struct shelf *k, char *ref, uint64_t created)
{
    const struct model_class *c = k->class;
    struct row *r = mem_alloc(sizeof(*r) + c->n_fields * sizeof(struct slot));

    r->shelf = k;
    r->ref = ref;
    r->created = r->modified = created;
    r->dead = true;
    for (size_t i = 0; i < c->n_fields; i++)
        if (!is_derived(c->fields[i]))
            r->slots[i].value = field_default(c->fields[i]);
    return r;
}

void row_free(struct row *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->shelf->class->n_fields; i++) {
        if (is_derived(r->shelf->class->fields[i]))
            vec_done(&r->slots[i].related);
        else
            free(r->slots[i].block);
    }
    free(r->ref);
    free(r);
}

void slot_put(struct row *r, const struct field *f, const struct value *v)
{
    struct slot *slot = &r->slots[f->index];

    free(slot->block);
    slot->value = value_pack(v, &slot->block);
}

/* The part of a row that one back end keeps, as a map field name -> value. */
struct err *row_encode(const struct row *r, bool durable, struct str *ret_blob, bool *ret_empty)
{
    const struct model_class *c = r->shelf->class;
    struct value *pairs = mem_new_array(2 * (size_t)c->n_fields, struct value);
    size_t n = 0;
    struct buf b;

    for (size_t i = 0; i < c->n_fields; i++) {
        const struct field *f = c->fields[i];
        const struct value *v = &r->slots[i].value;

        if (is_derived(f) || field_is_durable(f) != durable)
            continue;
        if (!durable) {
            struct value dflt = field_default(f);
            if (value_eq(v, &dflt))
                continue;
        }
        pairs[n++] = value_str(f->name);
        pairs[n++] = *v;
    }
    struct value map = value_map(pairs, n / 2);
    buf_init(&b, BLOB_MAX);
    value_encode(&b, &map);
    free(pairs);
    if (b.overflow) {
        buf_done(&b);
        return err_internal("row %s does not fit into %u bytes", r->ref, BLOB_MAX);
    }
    *ret_empty = n == 0;
    ret_blob->p = buf_steal(&b, &ret_blob->len);
    return NULL;
}

const char *row_ref(const struct row *r)
{
    return r->ref;
}

const struct model_class *row_class(const struct row *r)
{
    return r->shelf->class;
}

uint64_t row_created(const struct row *r)
{
    return r->created;
}

uint64_t row_modified(const struct row *r)
{
    return r->modified;
}

uint64_t row_pending(const struct row *r)
{
    return r->pending;
}

static const struct slot *slot_of(const struct row *r, const struct field *f)
{
    assert(f->class == r->shelf->class);
    return &r->slots[f->index];
}

const struct value *row_get(const struct row *r, const struct field *f)
{
    assert(!is_derived(f));
    return &slot_of(r, f)->value;
}

struct value row_value(struct arena *a, const struct row *r, const struct field *f)
{
    const struct slot *slot = slot_of(r, f);

    if (!is_derived(f))
        return slot->value;

    struct value *refs = arena_new_array(a, slot->related.len, struct value);
    for (size_t i = 0; i < slot->related.len; i++)
        refs[i] = value_str(slot->related.p[i]->ref);
    return value_set(refs, slot->related.len);
}

const char *row_str(const struct row *r, const struct field *f)
{
    const struct value *v = row_get(r, f);

    return v->kind == V_STRING || v->kind == V_DATETIME ? v->s : "";
}

int64_t row_int(const struct row *r, const struct field *f)
{
    const struct value *v = row_get(r, f);

    return v->kind == V_INT ? v->i : 0;
}

bool row_bool(const struct row *r, const struct field *f)
{
    const struct value *v = row_get(r, f);

    return v->kind == V_BOOL && v->b;
}

double row_float(const struct row *r, const struct field *f)
{
    const struct value *v = row_get(r, f);

    return v->kind == V_FLOAT ? v->f : 0;
}

const char *row_map_str(const struct row *r, const struct field *f, const char *key)
{
    const struct value *v = row_get(r, f);

    return v->kind == V_MAP ? value_map_str(v, key) : "";
}

size_t row_n_related(const struct row *r, const struct field *derived)
{
    assert(is_derived(derived));
    return slot_of(r, derived)->related.len;
}

const struct row *row_related(const struct row *r, const struct field *derived, size_t i)
{
    assert(i < row_n_related(r, derived));
    return slot_of(r, derived)->related.p[i];
}
