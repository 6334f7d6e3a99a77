/* message: alerts. They are rows like others, kept until destroyed, at most 10,000 (protocol.md section 10). */
#include <assert.h>
#include <string.h>
#include "core/implicit.h"
#include "core/message.h"
#include "core/reply.h"
#include "model/query.h"

#define KEEP_MAX 10000

static const struct model_class *class_of(const char *cls)
{
    return model_class_find_nocase(cls);
}

static const char *add(struct core *c, struct arena *a, const char *name, int64_t priority, const char *cls,
    const char *obj_uuid, const char *body)
{
    const struct tx_field fields[] = {
        { F_message_name, value_str(name) },
        { F_message_priority, value_int(priority) },
        { F_message_cls, value_str(cls) },
        { F_message_obj_uuid, value_str(obj_uuid) },
        { F_message_timestamp, value_datetime(now_text(c, a)) },
        { F_message_body, value_str(body) },
    };
    struct tx *t = tx_begin(c->store);
    const char *ref = arena_strdup(a, tx_create(t, C_message, NULL, fields, ARRAY_LEN(fields)));

    if (store_count(c->store, C_message) >= KEEP_MAX)
        tx_destroy(t, row_ref(store_first(c->store, C_message)));
    err_ignore(tx_apply(t, NULL), "a new row");
    return ref;
}

static int64_t priority_of(const char *name)
{
    for (size_t i = 0; i < ALERT_COUNT; i++)
        if (strcmp(model_alerts[i].name, name) == 0)
            return model_alerts[i].priority;
    assert(!"an alert of ours is in the model's list");
    return 0;
}

void message_raise(
    struct core *c, struct arena *a, const char *name, const char *cls, const char *obj_uuid, const char *body)
{
    message_raise_at(c, a, name, 0, cls, obj_uuid, body);
}

void message_raise_at(struct core *c, struct arena *a, const char *name, int64_t priority, const char *cls,
    const char *obj_uuid, const char *body)
{
    add(c, a, name, priority ? priority : priority_of(name), cls, obj_uuid, body);
}

void message_raise_vm(struct core *c, struct arena *a, const char *name, const char *vm_ref, const char *what)
{
    const struct row *vm = store_find_of(c->store, C_VM, vm_ref), *host = core_host_row(c);

    if (!vm || !host)
        return;
    message_raise(c, a, name, "VM", arena_strdup(a, row_str(vm, F_VM_uuid)),
        arena_printf(a, "VM '%s' %s on host: %s (uuid: %s)", row_str(vm, F_VM_name_label), what,
            row_str(host, F_host_name_label), row_str(host, F_host_uuid)));
}

static struct err *create(struct call *c, const struct message_create_args *a, struct value *ret)
{
    const struct model_class *cls = class_of(a->cls);

    if (!cls || !store_by_uuid(c->core->store, cls, a->obj_uuid))
        return err_uuid_invalid(a->cls, a->obj_uuid);
    *ret = value_str(add(c->core, c->arena, a->name, a->priority, a->cls, a->obj_uuid, a->body));
    return NULL;
}

static struct err *destroy(struct call *c, const struct message_destroy_args *a, struct value *ret)
{
    const struct row *r = NULL;

    (void)ret;
    TRY(call_row(c, C_message, a->self, &r));
    struct tx *t = tx_begin(c->core->store);
    tx_destroy(t, a->self);
    return tx_commit(t);
}

static struct err *destroy_many(struct call *c, const struct message_destroy_many_args *a, struct value *ret)
{
    const struct row *r = NULL;

    (void)ret;
    for (size_t i = 0; i < a->messages->n; i++)
        TRY(call_row(c, C_message, a->messages->items[i].s, &r));
    struct tx *t = tx_begin(c->core->store);
    for (size_t i = 0; i < a->messages->n; i++)
        if (tx_exists(t, a->messages->items[i].s))
            tx_destroy(t, a->messages->items[i].s);
    return tx_commit(t);
}

/* Writes the messages that `keep` admits, with records or refs only. */
struct filter {
    const char *cls, *uuid;
    uint64_t since;
    const struct query *query;
};

static struct value query_field(void *arg, const struct field *f)
{
    const struct row *r = arg;

    return *row_get(r, f);
}

static bool keep(const struct filter *f, const struct row *r)
{
    uint64_t at = 0;

    datetime_parse(row_str(r, F_message_timestamp), &at);
    if (f->cls &&
        (strcmp(row_str(r, F_message_cls), f->cls) != 0 || strcmp(row_str(r, F_message_obj_uuid), f->uuid) != 0))
        return false;
    if (f->query && !query_match(f->query, query_field, (void *)(uintptr_t)r))
        return false;
    return at >= f->since;
}

static struct err *list(struct call *c, const struct filter *f, bool records)
{
    static const struct type ref_type = { .kind = TYPE_STRING, .text = "ref message" };
    bool first = true;

    if (records)
        wire_map_begin(c->raw, c->envelope);
    else
        wire_set_begin(c->raw, c->envelope);
    for (const struct row *r = store_first(c->core->store, C_message); r; r = store_next(r)) {
        struct value ref = value_str(row_ref(r));
        if (!keep(f, r))
            continue;
        if (records) {
            wire_map_key(c->raw, c->envelope, first, ref.s);
            record_write(c, c->raw, r);
            wire_map_value_end(c->raw, c->envelope);
            reply_spill(c->raw);
        } else {
            wire_set_item(c->raw, c->envelope, first);
            wire_value(c->raw, c->envelope, &ref_type, &ref);
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

static struct err *get(struct call *c, const struct message_get_args *a, struct value *ret)
{
    struct filter f = { .cls = a->cls, .uuid = a->obj_uuid };
    const struct model_class *cls = class_of(a->cls);

    (void)ret;
    if (!cls || !store_by_uuid(c->core->store, cls, a->obj_uuid))
        return err_uuid_invalid(a->cls, a->obj_uuid);
    datetime_parse(a->since, &f.since);
    return list(c, &f, true);
}

static struct err *get_since(struct call *c, const struct message_get_since_args *a, struct value *ret)
{
    struct filter f = { 0 };

    (void)ret;
    datetime_parse(a->since, &f.since);
    return list(c, &f, true);
}

static struct err *get_all(struct call *c, const struct message_get_all_args *a, struct value *ret)
{
    (void)a;
    (void)ret;
    return list(c, &(struct filter){ 0 }, false);
}

static struct err *get_all_records(struct call *c, const struct message_get_all_records_args *a, struct value *ret)
{
    (void)a;
    (void)ret;
    return list(c, &(struct filter){ 0 }, true);
}

static struct err *get_all_records_where(
    struct call *c, const struct message_get_all_records_where_args *a, struct value *ret)
{
    struct filter f = { 0 };

    (void)ret;
    TRY(query_parse(c->arena, C_message, a->expr, &f.query));
    return list(c, &f, true);
}

static struct err *get_record(struct call *c, const struct message_get_record_args *a, struct value *ret)
{
    const struct row *r = NULL;

    (void)ret;
    TRY(call_row(c, C_message, a->self, &r));
    record_write(c, c->raw, r);
    c->raw_used = true;
    return NULL;
}

static struct err *get_by_uuid(struct call *c, const struct message_get_by_uuid_args *a, struct value *ret)
{
    const struct row *r = store_by_uuid(c->core->store, C_message, a->uuid);

    if (!r)
        return err_uuid_invalid("message", a->uuid);
    *ret = value_str(arena_strdup(c->arena, row_ref(r)));
    return NULL;
}

void message_register(struct api_handlers *h)
{
    h->message_create = create;
    h->message_destroy = destroy;
    h->message_destroy_many = destroy_many;
    h->message_get = get;
    h->message_get_since = get_since;
    h->message_get_all = get_all;
    h->message_get_all_records = get_all_records;
    h->message_get_all_records_where = get_all_records_where;
    h->message_get_record = get_record;
    h->message_get_by_uuid = get_by_uuid;
}
