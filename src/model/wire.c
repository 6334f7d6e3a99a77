#include "model/wire.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_xml(enum envelope e)
{
    return e == ENVELOPE_XMLRPC;
}

/* Length of the UTF-8 sequence at p, which is not ASCII; 0 if there is none. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    size_t len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

    return len <= left && str_is_utf8((struct str){ (const char *)p, len }) ? len : 0;
}

/* What stands for one ASCII character; NULL: itself. */
static const char *xml_escape(unsigned char ch)
{
    switch (ch) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    default:
        return ch >= 0x20 || ch == '\t' || ch == '\n' || ch == '\r' ? NULL : "";
    }
}

static const char *json_escape(unsigned char ch, char *scratch)
{
    static const char *const named[] = {
        ['"'] = "\\\"",
        ['\\'] = "\\\\",
        ['\b'] = "\\b",
        ['\f'] = "\\f",
        ['\n'] = "\\n",
        ['\r'] = "\\r",
        ['\t'] = "\\t",
    };

    if (ch < ARRAY_LEN(named) && named[ch])
        return named[ch];
    if (ch >= 0x20)
        return NULL;
    snprintf(scratch, 8, "\\u%04x", ch);
    return scratch;
}

/* What stands for the character at p, NULL for itself; *ret_len is its length. */
static const char *replacement(enum envelope e, const unsigned char *p, size_t left, size_t *ret_len, char *scratch)
{
    *ret_len = 1;
    if (*p < 0x80)
        return is_xml(e) ? xml_escape(*p) : json_escape(*p, scratch);
    *ret_len = utf8_len(p, left);
    if (*ret_len)
        return NULL;
    *ret_len = 1;
    return "\xef\xbf\xbd";
}

/* Characters that stand for themselves in both kinds of envelope: nearly all there are. */
static const bool plain[256] = { [' '] = true,
    ['!'] = true,
    ['#' ... '%'] = true,
    ['\'' ... ';'] = true,
    ['='] = true,
    ['?' ... '['] = true,
    [']' ... '~'] = true };

/* Escaped text. Guests and tools hand us bytes that are no UTF-8: those become U+FFFD, the reply stays readable. */
static void add_text(struct buf *b, enum envelope e, const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t start = 0, n;

    for (size_t i = 0; i < len; i += n) {
        char scratch[8];
        const char *put;

        n = 1;
        if (plain[p[i]])
            continue;
        put = replacement(e, p + i, len - i, &n, scratch);
        if (!put)
            continue;
        buf_add(b, p + start, i - start);
        buf_add_c(b, put);
        start = i + n;
    }
    buf_add(b, p + start, len - start);
}

static void add_string(struct buf *b, enum envelope e, const char *s, size_t len)
{
    if (is_xml(e))
        buf_add_c(b, "<value>");
    else
        buf_add_char(b, '"');
    add_text(b, e, s, len);
    if (is_xml(e))
        buf_add_c(b, "</value>");
    else
        buf_add_char(b, '"');
}

static void add_json_float(struct buf *b, double f)
{
    char text[40];

    if (isnan(f)) {
        buf_add_c(b, "NaN");
        return;
    }
    if (isinf(f)) {
        buf_add_c(b, f < 0 ? "-Infinity" : "Infinity");
        return;
    }
    snprintf(text, sizeof(text), "%.16g", f);
    if (strtod(text, NULL) != f)
        snprintf(text, sizeof(text), "%.17g", f);
    buf_add_c(b, text);
    if (!strpbrk(text, ".e"))
        buf_add_c(b, ".0");
}

static void add_float(struct buf *b, enum envelope e, double f)
{
    if (is_xml(e))
        buf_printf(b, "<value><double>%.16g</double></value>", f);
    else
        add_json_float(b, f);
}

void wire_set_begin(struct buf *b, enum envelope e)
{
    buf_add_c(b, is_xml(e) ? "<value><array><data>" : "[");
}

void wire_set_item(struct buf *b, enum envelope e, bool first)
{
    if (!is_xml(e) && !first)
        buf_add_char(b, ',');
}

void wire_set_item_end(struct buf *b UNUSED, enum envelope e UNUSED)
{
}

void wire_set_end(struct buf *b, enum envelope e)
{
    buf_add_c(b, is_xml(e) ? "</data></array></value>" : "]");
}

void wire_map_begin(struct buf *b, enum envelope e)
{
    buf_add_c(b, is_xml(e) ? "<value><struct>" : "{");
}

void wire_map_key(struct buf *b, enum envelope e, bool first, const char *key)
{
    if (is_xml(e))
        buf_add_c(b, "<member><name>");
    else
        buf_add_c(b, &",\""[first]);
    add_text(b, e, key, strlen(key));
    if (is_xml(e))
        buf_add_c(b, "</name>");
    else
        buf_add(b, "\":", 2);
}

void wire_map_value_end(struct buf *b, enum envelope e)
{
    if (is_xml(e))
        buf_add_c(b, "</member>");
}

void wire_map_end(struct buf *b, enum envelope e)
{
    buf_add_c(b, is_xml(e) ? "</struct></value>" : "}");
}

static void add_set(struct buf *b, enum envelope e, const struct type *elem, const struct value *v)
{
    wire_set_begin(b, e);
    for (size_t i = 0; i < v->n; i++) {
        wire_set_item(b, e, i == 0);
        wire_value(b, e, elem, &v->items[i]);
        wire_set_item_end(b, e);
    }
    wire_set_end(b, e);
}

/* The text form of a key that is no string. */
static const char *key_text(const struct value *key, char *scratch, size_t size)
{
    switch (key->kind) {
    case V_STRING:
    case V_DATETIME:
        return key->s;
    case V_INT:
        snprintf(scratch, size, "%" PRId64, key->i);
        return scratch;
    case V_FLOAT:
        snprintf(scratch, size, "%.16g", key->f);
        return scratch;
    case V_BOOL:
        return key->b ? "true" : "false";
    default:
        return "";
    }
}

static void add_map(struct buf *b, enum envelope e, const struct type *elem, const struct value *v)
{
    char scratch[32];
    bool first = true;

    wire_map_begin(b, e);
    for (size_t i = 0; i < v->n; i++) {
        const struct value *key = &v->items[2 * i];

        if (!elem && key[1].kind == V_NIL) /* an empty option of a record */
            continue;
        wire_map_key(b, e, first, key_text(key, scratch, sizeof(scratch)));
        wire_value(b, e, elem, &key[1]);
        wire_map_value_end(b, e);
        first = false;
    }
    wire_map_end(b, e);
}

/* Usually a record holds its fields in the class's order, so the next field is tried first. */
static const struct field *record_field(const struct model_class *c, const char *name, size_t *next)
{
    for (size_t i = *next; i < c->n_fields; i++) {
        if (c->fields[i]->name == name || !strcmp(c->fields[i]->name, name)) {
            *next = i + 1;
            return c->fields[i];
        }
    }
    return model_field_find(c, name);
}

static void add_record(struct buf *b, enum envelope e, const struct model_class *c, const struct value *v)
{
    size_t next = 0;
    bool first = true;

    wire_map_begin(b, e);
    for (size_t i = 0; i < v->n; i++) {
        const struct value *key = &v->items[2 * i];
        const struct field *f = record_field(c, key->s, &next);
        const struct type *t = f ? f->type : NULL;

        if (t && t->kind == TYPE_OPTION) {
            if (key[1].kind == V_NIL)
                continue;
            t = t->elem;
        }
        wire_map_key(b, e, first, key->s);
        wire_value(b, e, t, &key[1]);
        wire_map_value_end(b, e);
        first = false;
    }
    wire_map_end(b, e);
}

/* The counts are the only integers that travel with a type of their own. */
static void add_ref_counts(struct buf *b, enum envelope e, const struct value *v)
{
    wire_map_begin(b, e);
    for (size_t i = 0; i < v->n; i++) {
        const struct value *key = &v->items[2 * i];

        wire_map_key(b, e, i == 0, key->s);
        buf_printf(b, is_xml(e) ? "<value><i4>%" PRId64 "</i4></value>" : "%" PRId64, key[1].i);
        wire_map_value_end(b, e);
    }
    wire_map_end(b, e);
}

static void add_event_batch(struct buf *b, enum envelope e, const struct value *v)
{
    wire_map_begin(b, e);
    for (size_t i = 0; i < v->n; i++) {
        const struct value *key = &v->items[2 * i];

        wire_map_key(b, e, i == 0, key->s);
        if (!strcmp(key->s, "valid_ref_counts"))
            add_ref_counts(b, e, &key[1]);
        else
            wire_value(b, e, NULL, &key[1]);
        wire_map_value_end(b, e);
    }
    wire_map_end(b, e);
}

static void add_option(struct buf *b, enum envelope e, const struct type *elem, const struct value *v)
{
    wire_set_begin(b, e);
    if (v->kind != V_NIL)
        wire_value(b, e, elem, v);
    wire_set_end(b, e);
}

/* Where the type alone does not decide, the value's kind does. */
static void add_by_kind(struct buf *b, enum envelope e, const struct type *t, const struct value *v)
{
    switch ((enum value_kind)v->kind) {
    case V_NIL:
        buf_add_c(b, is_xml(e) ? "<value><nil/></value>" : "null");
        break;
    case V_BOOL:
        buf_add_c(b,
            is_xml(e)  ? v->b ? "<value><boolean>1</boolean></value>" : "<value><boolean>0</boolean></value>"
                : v->b ? "true"
                       : "false");
        break;
    case V_INT:
        if (is_xml(e))
            buf_add_c(b, "<value>");
        buf_add_i64(b, v->i);
        if (is_xml(e))
            buf_add_c(b, "</value>");
        break;
    case V_FLOAT:
        add_float(b, e, v->f);
        break;
    case V_STRING:
        add_string(b, e, v->s, v->n);
        break;
    case V_DATETIME:
        if (!is_xml(e)) {
            add_string(b, e, v->s, strlen(v->s));
            break;
        }
        buf_add_c(b, "<value><dateTime.iso8601>");
        add_text(b, e, v->s, strlen(v->s));
        buf_add_c(b, "</dateTime.iso8601></value>");
        break;
    case V_SET:
        add_set(b, e, t && t->kind == TYPE_SET ? t->elem : NULL, v);
        break;
    case V_MAP:
        add_map(b, e, t && t->kind == TYPE_MAP ? t->elem : NULL, v);
        break;
    }
}

void wire_value(struct buf *b, enum envelope e, const struct type *t, const struct value *v)
{
    struct value other;

    if (t && t->kind == TYPE_OPTION) {
        add_option(b, e, t->elem, v);
        return;
    }
    if (t && v->kind == V_NIL) {
        other = type_empty(t);
        v = &other;
    }
    if (t && t->kind == TYPE_FLOAT && v->kind == V_INT)
        add_float(b, e, (double)v->i);
    else if (t && t->kind == TYPE_DATETIME && v->kind == V_STRING) {
        other = value_datetime(v->s);
        add_by_kind(b, e, t, &other);
    } else if (t && t->kind == TYPE_RECORD && v->kind == V_MAP)
        add_record(b, e, t->of, v);
    else if (t && t->kind == TYPE_EVENT_BATCH && v->kind == V_MAP)
        add_event_batch(b, e, v);
    else
        add_by_kind(b, e, t, v);
}

#define XML_BEGIN "<?xml version=\"1.0\"?><methodResponse><params><param>"
#define XML_END "</param></params></methodResponse>"
#define XML_STATUS(s) "<value><struct><member><name>Status</name><value>" s "</value></member><member><name>"
#define XML_STATUS_END "</member></struct></value>"

void wire_begin(struct buf *b, enum envelope e, bool bare)
{
    switch (e) {
    case ENVELOPE_XMLRPC:
        buf_add_c(b, bare ? XML_BEGIN : XML_BEGIN XML_STATUS("Success") "Value</name>");
        break;
    case ENVELOPE_JSONRPC1:
        buf_add_c(b, "{\"result\":");
        break;
    case ENVELOPE_JSONRPC2:
        buf_add_c(b, "{\"jsonrpc\":\"2.0\",\"result\":");
        break;
    }
}

static void add_id(struct buf *b, struct str id)
{
    buf_add_c(b, "\"id\":");
    buf_add_str(b, id.len ? id : STR("null"));
    buf_add_char(b, '}');
}

void wire_end(struct buf *b, enum envelope e, bool bare, struct str id)
{
    switch (e) {
    case ENVELOPE_XMLRPC:
        buf_add_c(b, bare ? XML_END : XML_STATUS_END XML_END);
        break;
    case ENVELOPE_JSONRPC1:
        buf_add_c(b, ",\"error\":null,");
        add_id(b, id);
        break;
    case ENVELOPE_JSONRPC2:
        buf_add_char(b, ',');
        add_id(b, id);
        break;
    }
}

static void add_params(struct buf *b, enum envelope e, const struct err *err, bool first)
{
    for (size_t i = 0; i < err_n_params(err); i++) {
        const char *p = err_param(err, i);

        wire_set_item(b, e, first && i == 0);
        add_string(b, e, p, strlen(p));
        wire_set_item_end(b, e);
    }
}

void wire_error(struct buf *b, enum envelope e, struct str id, const struct err *err)
{
    const char *code = err_code(err);

    switch (e) {
    case ENVELOPE_XMLRPC:
        buf_add_c(b, XML_BEGIN XML_STATUS("Failure") "ErrorDescription</name>");
        break;
    case ENVELOPE_JSONRPC1:
        buf_add_c(b, "{\"result\":null,\"error\":");
        break;
    case ENVELOPE_JSONRPC2:
        buf_add_c(b, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":1,\"message\":");
        add_string(b, e, code, strlen(code));
        buf_add_c(b, ",\"data\":");
        break;
    }
    wire_set_begin(b, e);
    if (e != ENVELOPE_JSONRPC2)
        add_string(b, e, code, strlen(code));
    add_params(b, e, err, e == ENVELOPE_JSONRPC2);
    wire_set_end(b, e);
    if (is_xml(e)) {
        buf_add_c(b, XML_STATUS_END XML_END);
        return;
    }
    buf_add_c(b, e == ENVELOPE_JSONRPC2 ? "}," : ",");
    add_id(b, id);
}

void wire_task_result(struct buf *b, const struct type *t, const struct value *v)
{
    wire_value(b, ENVELOPE_XMLRPC, t, v);
}
