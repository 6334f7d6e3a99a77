#include "store/dump.h"
#include <expat.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "gen/errors.h"
#include "gen/model.h"
#include "store/private.h"
#include "store/upgrade.h"

#define PIECE (256UL * 1024)
#define NESTED_MAX 8
#define TEXT_MAX (64UL * 1024 * 1024) /* of one field */

/* ---- values as text ---- */

static void put_quoted(struct buf *b, const char *text)
{
    buf_add_char(b, '\'');
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            buf_add_char(b, '\\');
        buf_add_char(b, *text);
    }
    buf_add_char(b, '\'');
}

static void put_plain(struct buf *b, const struct value *v)
{
    switch (v->kind) {
    case V_INT:
        buf_printf(b, "%" PRId64, v->i);
        return;
    case V_FLOAT:
        buf_printf(b, "%.17g", v->f);
        return;
    case V_BOOL:
        buf_add_c(b, v->b ? "true" : "false");
        return;
    case V_STRING:
    case V_DATETIME:
        buf_add_c(b, v->s);
        return;
    default:
        return;
    }
}

static void put_plain_quoted(struct buf *b, const struct value *v)
{
    AUTO(buf_done) struct buf plain;

    buf_init(&plain, TEXT_MAX);
    put_plain(&plain, v);
    put_quoted(b, plain.p ? plain.p : "");
}

static void put_nested(struct buf *b, const struct value *v)
{
    bool map = v->kind == V_MAP;

    if (v->kind != V_SET && !map) {
        put_plain_quoted(b, v);
        return;
    }
    buf_add_char(b, '(');
    for (uint32_t i = 0; i < v->n; i++) {
        buf_add_c(b, i ? " " : "");
        if (map) {
            buf_add_char(b, '(');
            put_nested(b, &v->items[2 * i]);
            buf_add_char(b, ' ');
            put_nested(b, &v->items[2 * i + 1]);
            buf_add_char(b, ')');
        } else {
            put_nested(b, &v->items[i]);
        }
    }
    buf_add_char(b, ')');
}

/* What a reader of XML would change or refuse in an attribute becomes a number. */
static void put_attribute(struct buf *b, const char *name, const char *text)
{
    buf_printf(b, " %s=\"", name);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c == '"' || c == '<' || c == '>' || c == '&')
            buf_printf(b, "&#%u;", c);
        else
            buf_add_char(b, *text);
    }
    buf_add_char(b, '"');
}

static void put_field(struct buf *b, const struct field *f, const struct value *v)
{
    AUTO(buf_done) struct buf text;

    buf_init(&text, TEXT_MAX);
    if (v->kind == V_SET || v->kind == V_MAP)
        put_nested(&text, v);
    else
        put_plain(&text, v);
    put_attribute(b, f->db_name, text.p ? text.p : "");
}

static void put_row(struct buf *b, const struct row *r)
{
    const struct model_class *c = row_class(r);

    buf_add_c(b, "<row");
    put_attribute(b, "ref", row_ref(r));
    for (size_t i = 0; i < c->n_fields; i++)
        if (field_is_durable(c->fields[i]) && row_get(r, c->fields[i])->kind != V_NIL)
            put_field(b, c->fields[i], row_get(r, c->fields[i]));
    buf_add_c(b, "/>\n");
}

static struct err *flush(struct buf *b, int fd, size_t at_least)
{
    if (b->len < at_least)
        return NULL;
    if (b->overflow)
        return err_internal("a row is too long for a dump");
    TRY(fd_write_all(fd, b->p, b->len));
    buf_clear(b);
    return NULL;
}

static struct err *put_table(struct buf *b, const struct store *s, const struct model_class *c, int fd)
{
    buf_printf(b, "<table name=\"%s\">\n", c->name);
    for (const struct row *r = store_first(s, c); r; r = store_next(r)) {
        put_row(b, r);
        TRY(flush(b, fd, PIECE));
    }
    buf_add_c(b, "</table>\n");
    return NULL;
}

struct err *dump_write(const struct store *s, int fd)
{
    const struct upgrade_plan *plan = upgrade_plan_current();
    AUTO(buf_done) struct buf b;

    buf_init(&b, 2 * TEXT_MAX);
    buf_printf(&b,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<database>\n<manifest>\n"
        "<pair key=\"schema_major_vsn\" value=\"%d\"/>\n<pair key=\"schema_minor_vsn\" value=\"%d\"/>\n"
        "<pair key=\"generation_count\" value=\"%" PRIu64 "\"/>\n</manifest>\n",
        plan->major, plan->minor, store_gen(s));
    for (size_t i = 0; i < CLASS_COUNT; i++)
        if (model_classes[i].kept)
            TRY(put_table(&b, s, &model_classes[i], fd));
    buf_add_c(&b, "</database>\n");
    return flush(&b, fd, 0);
}

/* ---- text as values ---- */

struct text {
    struct arena *a;
    const char *p;
    unsigned depth;
};

static void skip_blanks(struct text *t)
{
    while (*t->p == ' ')
        t->p++;
}

/* False, and nothing is taken: above all never the end of the text. */
static bool take(struct text *t, char c)
{
    if (*t->p != c)
        return false;
    t->p++;
    return true;
}

/* 'text', with what is in the quotes as it was. */
static const char *take_quoted(struct text *t)
{
    char *out = arena_alloc(t->a, strlen(t->p) + 1), *to = out;

    if (*t->p != '\'')
        return NULL;
    for (t->p++; *t->p != '\''; t->p++) {
        t->p += *t->p == '\\';
        if (!*t->p)
            return NULL;
        *to++ = *t->p;
    }
    t->p++;
    *to = 0;
    return out;
}

static bool plain_of(const struct type *type, const char *text, struct value *ret)
{
    double d;

    switch (type->kind) {
    case TYPE_INT:
        *ret = value_int(0);
        return str_to_i64(str_of(text), &ret->i);
    case TYPE_FLOAT:
        if (!str_to_double(str_of(text), &d))
            return false;
        *ret = value_float(d);
        return true;
    case TYPE_BOOL:
        *ret = value_bool(strcmp(text, "true") == 0);
        return ret->b || strcmp(text, "false") == 0;
    case TYPE_DATETIME:
        *ret = value_datetime(text);
        return true;
    default:
        *ret = value_str(text);
        return true;
    }
}

static bool nested_of(struct text *t, const struct type *type, struct value *ret);

/* "(a b c)" or "((a b) (c d))", after the first parenthesis. */
static bool items_of(struct text *t, const struct type *type, struct value *ret)
{
    bool map = type->kind == TYPE_MAP;
    VEC(struct value) items = { 0 };
    bool ok = true;

    for (skip_blanks(t); ok && *t->p != ')'; skip_blanks(t)) {
        struct value key = VALUE_NIL, v = VALUE_NIL;

        ok = !map || take(t, '(');
        ok = ok && (!map || nested_of(t, type->key, &key));
        skip_blanks(t);
        ok = ok && nested_of(t, type->elem, &v);
        ok = ok && (!map || take(t, ')'));
        if (map)
            vec_push(&items, key);
        vec_push(&items, v);
    }
    t->p += ok;
    struct value *kept = arena_dup(t->a, items.p, items.len * sizeof(*items.p));
    *ret = map ? value_map(kept, items.len / 2) : value_set(kept, items.len);
    vec_done(&items);
    return ok;
}

static bool nested_of(struct text *t, const struct type *type, struct value *ret)
{
    bool ok;

    if (type->kind == TYPE_SET || type->kind == TYPE_MAP) {
        if (!take(t, '(') || ++t->depth > NESTED_MAX)
            return false;
        ok = items_of(t, type, ret);
        t->depth--;
        return ok;
    }
    const char *text = take_quoted(t);
    return text && plain_of(type, text, ret);
}

static bool value_of(struct arena *a, const struct type *type, const char *text, struct value *ret)
{
    struct text t = { .a = a, .p = text };

    if (type->kind == TYPE_OPTION)
        type = type->elem;
    if (type->kind != TYPE_SET && type->kind != TYPE_MAP)
        return plain_of(type, text, ret);
    return nested_of(&t, type, ret) && !*t.p;
}

/* ---- reading ---- */

struct dumped_row {
    const char *ref;
    const struct model_class *class;
    struct tx_field *fields;
    size_t n_fields;
};

enum place { AT_DOCUMENT, IN_DATABASE, IN_MANIFEST, IN_TABLE, IN_ITEM };

struct dump {
    struct arena *arena;
    XML_Parser xml;
    enum place place;
    const struct model_class *class; /* of the table; NULL: none that is known */
    VEC(struct dumped_row) rows;
    uint64_t size;
    int major, minor;  /* 0: not said yet */
    const char *wrong; /* the first thing that was */
    bool later;        /* namely the version */
};

static void refuse(struct dump *d, const char *why)
{
    if (!d->wrong)
        d->wrong = why;
    XML_StopParser(d->xml, XML_FALSE);
}

static const char *attribute(const XML_Char **attributes, const char *name)
{
    for (; *attributes; attributes += 2)
        if (strcmp(attributes[0], name) == 0)
            return attributes[1];
    return "";
}

static void take_pair(struct dump *d, const XML_Char **attributes)
{
    const char *key = attribute(attributes, "key");
    int64_t n = 0;

    if (!str_to_i64(str_of(attribute(attributes, "value")), &n) || n < 0 || n > INT32_MAX)
        return;
    if (strcmp(key, "schema_major_vsn") == 0)
        d->major = (int)n;
    if (strcmp(key, "schema_minor_vsn") == 0)
        d->minor = (int)n;
}

static void end_manifest(struct dump *d)
{
    const struct upgrade_plan *plan = upgrade_plan_current();

    d->later = d->major > plan->major || (d->major == plan->major && d->minor > plan->minor);
    if (!d->major || d->later)
        refuse(d, d->later ? "it was written by a later version" : "its manifest names no schema");
}

static const struct field *field_named(const struct model_class *c, const char *db_name)
{
    for (size_t i = 0; i < c->n_fields; i++)
        if (strcmp(c->fields[i]->db_name, db_name) == 0)
            return c->fields[i];
    return NULL;
}

static void take_row(struct dump *d, const XML_Char **attributes)
{
    struct dumped_row r = { .ref = arena_strdup(d->arena, attribute(attributes, "ref")), .class = d->class };
    size_t n = 0;

    if (!d->class)
        return;
    if (!*r.ref || d->rows.len == DUMP_ROWS_MAX) {
        refuse(d, *r.ref ? "it has too many rows" : "a row has no ref");
        return;
    }
    while (attributes[2 * n])
        n++;
    r.fields = arena_new_array(d->arena, n + 1, struct tx_field);
    for (; *attributes && !d->wrong; attributes += 2) {
        const struct field *f = field_named(d->class, attributes[0]);
        struct value v = VALUE_NIL;

        if (!f || !field_is_durable(f))
            continue;
        if (!value_of(d->arena, f->type, arena_strdup(d->arena, attributes[1]), &v))
            refuse(d, "a field has a value of another type");
        r.fields[r.n_fields++] = (struct tx_field){ f, v };
    }
    vec_push(&d->rows, r);
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    struct dump *d = arg;

    if (d->wrong)
        return;
    if (d->place == AT_DOCUMENT && strcmp(name, "database") == 0) {
        d->place = IN_DATABASE;
    } else if (d->place == IN_DATABASE && strcmp(name, "manifest") == 0) {
        d->place = IN_MANIFEST;
    } else if (d->place == IN_DATABASE && strcmp(name, "table") == 0 && d->major) {
        const struct model_class *c = model_class_find(attribute(attributes, "name"));

        d->class = c && c->kept ? c : NULL;
        d->place = IN_TABLE;
    } else if (d->place == IN_MANIFEST && strcmp(name, "pair") == 0) {
        take_pair(d, attributes);
        d->place = IN_ITEM;
    } else if (d->place == IN_TABLE && strcmp(name, "row") == 0) {
        take_row(d, attributes);
        d->place = IN_ITEM;
    } else {
        refuse(d, "an element stands where it may not");
    }
}

static void on_end(void *arg, const XML_Char *name)
{
    struct dump *d = arg;

    if (d->wrong)
        return;
    if (strcmp(name, "manifest") == 0)
        end_manifest(d);
    d->place = strcmp(name, "pair") == 0 ? IN_MANIFEST
        : strcmp(name, "row") == 0       ? IN_TABLE
        : strcmp(name, "database") == 0  ? AT_DOCUMENT
                                         : IN_DATABASE;
}

/* There is no reason for one, and entities could make a large text of a small one. */
static void on_doctype(
    void *arg, const XML_Char *name, const XML_Char *system_id, const XML_Char *public_id, int internal)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)internal;
    refuse(arg, "it has a document type");
}

struct dump *dump_new(void)
{
    struct dump *d = mem_new(struct dump);

    d->arena = arena_new();
    d->xml = XML_ParserCreate("UTF-8");
    if (!d->xml)
        abort();
    XML_SetUserData(d->xml, d);
    XML_SetElementHandler(d->xml, on_start, on_end);
    XML_SetStartDoctypeDeclHandler(d->xml, on_doctype);
    return d;
}

void dump_free(struct dump *d)
{
    if (!d)
        return;
    XML_ParserFree(d->xml);
    vec_done(&d->rows);
    arena_free(d->arena);
    free(d);
}

static struct err *malformed(struct dump *d, const char *why)
{
    return err_internal("no dump of a database: %s (line %lu)", why, (unsigned long)XML_GetCurrentLineNumber(d->xml));
}

struct err *dump_feed(struct dump *d, struct str bytes, bool last)
{
    d->size += bytes.len;
    if (d->size > DUMP_SIZE_MAX || bytes.len > INT32_MAX)
        return malformed(d, "it is too large");
    if (XML_Parse(d->xml, bytes.p ? bytes.p : "", (int)bytes.len, last) == XML_STATUS_OK && !d->wrong)
        return NULL;
    if (d->later)
        return err_new("RESTORE_INCOMPATIBLE_VERSION", NULL, 0);
    return malformed(d, d->wrong ? d->wrong : XML_ErrorString(XML_GetErrorCode(d->xml)));
}

size_t dump_count(const struct dump *d, const struct model_class *c)
{
    size_t n = 0;

    for (size_t i = 0; i < d->rows.len; i++)
        n += d->rows.p[i].class == c;
    return n;
}

/* ---- restoring ---- */

static const struct value *dumped_value(const struct dumped_row *r, const struct field *f)
{
    for (size_t i = 0; i < r->n_fields; i++)
        if (r->fields[i].field == f)
            return &r->fields[i].value;
    return NULL;
}

/* The row stays, with what it holds that no dump has. */
static void overwrite(struct tx *t, const struct dumped_row *r)
{
    for (size_t i = 0; i < r->class->n_fields; i++) {
        const struct field *f = r->class->fields[i];
        const struct value *v = field_is_durable(f) ? dumped_value(r, f) : NULL;

        if (field_is_durable(f))
            tx_set(t, r->ref, f, v ? *v : field_default(f));
    }
}

struct err *dump_restore(const struct dump *d, struct store *s)
{
    AUTO(map_drop) struct map *dumped = map_new();
    struct tx *t = tx_begin(s);

    for (size_t i = 0; i < d->rows.len; i++)
        map_put(dumped, d->rows.p[i].ref, &d->rows.p[i]);
    for (size_t i = 0; i < CLASS_COUNT; i++)
        for (const struct row *r = model_classes[i].kept ? store_first(s, &model_classes[i]) : NULL; r;
             r = store_next(r))
            if (!map_get(dumped, row_ref(r)))
                tx_destroy(t, row_ref(r));
    for (size_t i = 0; i < d->rows.len; i++) {
        const struct dumped_row *r = &d->rows.p[i];

        if (store_find_of(s, r->class, r->ref))
            overwrite(t, r);
        else
            tx_create(t, r->class, r->ref, r->fields, r->n_fields);
    }
    return tx_commit(t);
}
