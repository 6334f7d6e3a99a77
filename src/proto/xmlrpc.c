#include "proto/xmlrpc.h"
#include <expat.h>
#include "base/buf.h"
#include "base/vec.h"
#include "proto/base64.h"

/*
 * A stack of open elements, each allowed only where the grammar has it: the
 * table says which element may stand in which. Finished values wait on a stack
 * of their own until the container that began at some height takes them.
 */
enum element {
    E_NONE, /* the document */
    E_METHOD_CALL,
    E_METHOD_NAME,
    E_PARAMS,
    E_PARAM,
    E_VALUE,
    E_STRUCT,
    E_MEMBER,
    E_NAME,
    E_ARRAY,
    E_DATA,
    E_STRING, /* from here on: scalars */
    E_INT,
    E_DOUBLE,
    E_BOOLEAN,
    E_DATETIME,
    E_NIL,
    E_BASE64,
};

#define IN(e) (1u << (e))

static const struct {
    const char *name;
    enum element element;
    unsigned parents;
} elements[] = {
    { "value", E_VALUE, IN(E_PARAM) | IN(E_MEMBER) | IN(E_DATA) | IN(E_NONE) },
    { "member", E_MEMBER, IN(E_STRUCT) },
    { "name", E_NAME, IN(E_MEMBER) },
    { "string", E_STRING, IN(E_VALUE) },
    { "int", E_INT, IN(E_VALUE) },
    { "i4", E_INT, IN(E_VALUE) },
    { "i8", E_INT, IN(E_VALUE) },
    { "double", E_DOUBLE, IN(E_VALUE) },
    { "boolean", E_BOOLEAN, IN(E_VALUE) },
    { "dateTime.iso8601", E_DATETIME, IN(E_VALUE) },
    { "nil", E_NIL, IN(E_VALUE) },
    { "base64", E_BASE64, IN(E_VALUE) },
    { "struct", E_STRUCT, IN(E_VALUE) },
    { "array", E_ARRAY, IN(E_VALUE) },
    { "data", E_DATA, IN(E_ARRAY) },
    { "param", E_PARAM, IN(E_PARAMS) },
    { "params", E_PARAMS, IN(E_METHOD_CALL) },
    { "methodName", E_METHOD_NAME, IN(E_METHOD_CALL) },
    { "methodCall", E_METHOD_CALL, IN(E_NONE) },
};

struct open_element {
    enum element element;
    size_t from;     /* height of the value stack when it opened */
    unsigned n_done; /* children so far */
};

/* Per value of the outermost kind there are value, array and data, or value, struct and member. */
#define OPEN_MAX (VALUE_DEPTH_MAX * 3 + 8)

struct parse {
    struct arena *a;
    XML_Parser xml;
    const char *wrong; /* the first thing that was; static text */
    struct open_element open[OPEN_MAX];
    size_t n_open, depth, n_nodes;
    VEC(struct value) values;
    struct buf text;
    const char *method;
};

static void refuse(struct parse *p, const char *why)
{
    if (!p->wrong)
        p->wrong = why;
    XML_StopParser(p->xml, XML_FALSE);
}

static struct open_element *top(struct parse *p)
{
    return &p->open[p->n_open - 1];
}

static bool takes_text(enum element e)
{
    return e >= E_STRING || e == E_VALUE || e == E_NAME || e == E_METHOD_NAME;
}

static bool is_blank(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!strchr(" \t\r\n", s.p[i]))
            return false;
    return true;
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    struct parse *p = arg;
    size_t i;

    (void)attributes;
    if (p->wrong)
        return;
    for (i = 0; i < ARRAY_LEN(elements); i++)
        if (!strcmp(elements[i].name, name))
            break;
    if (i == ARRAY_LEN(elements) || !(elements[i].parents & IN(top(p)->element))) {
        refuse(p, "an element stands where it may not");
        return;
    }
    if (top(p)->element == E_VALUE && (top(p)->n_done || !is_blank(buf_str(&p->text)))) {
        refuse(p, "a value holds more than one thing");
        return;
    }
    if (elements[i].element == E_VALUE && ++p->depth > VALUE_DEPTH_MAX) {
        refuse(p, "values are nested too deep");
        return;
    }
    if (++p->n_nodes > XMLRPC_NODES_MAX || p->n_open == OPEN_MAX) {
        refuse(p, "too many elements");
        return;
    }
    top(p)->n_done++;
    p->open[p->n_open++] = (struct open_element){ .element = elements[i].element, .from = p->values.len };
    buf_clear(&p->text);
}

static void push(struct parse *p, struct value v)
{
    vec_push(&p->values, v);
}

static struct value text_value(struct parse *p, struct str s)
{
    return value_strn(arena_strndup(p->a, s.p ? s.p : "", s.len), s.len);
}

static void push_base64(struct parse *p, struct str s)
{
    AUTO(buf_done) struct buf b;
    struct base64 state = { 0 };

    buf_init(&b, s.len + 1);
    if (!base64_decode(&state, &b, s) || !base64_done(&state) || (b.len && memchr(b.p, 0, b.len))) {
        refuse(p, "base64 does not hold text");
        return;
    }
    push(p, text_value(p, buf_str(&b)));
}

static void push_scalar(struct parse *p, enum element e, struct str s)
{
    struct str t = str_trim(s);
    int64_t i;
    double f;

    switch (e) {
    case E_STRING:
        push(p, text_value(p, s));
        return;
    case E_INT:
        if (!str_to_i64_any(t, &i))
            refuse(p, "an integer is none");
        else
            push(p, value_int(i));
        return;
    case E_DOUBLE:
        if (!str_to_double(t, &f))
            refuse(p, "a double is none");
        else
            push(p, value_float(f));
        return;
    case E_BOOLEAN:
        push(p, value_bool(str_eq_c(t, "1")));
        return;
    case E_DATETIME:
        push(p, value_datetime(arena_strndup(p->a, t.p ? t.p : "", t.len)));
        return;
    case E_NIL:
        push(p, VALUE_NIL);
        return;
    default:
        push_base64(p, t);
    }
}

/* The values above `from` become one container; pairs come as name, value. */
static void push_container(struct parse *p, size_t from, bool map)
{
    size_t n = p->values.len - from;
    const struct value *items = n ? arena_dup(p->a, p->values.p + from, n * sizeof(*items)) : NULL;

    p->values.len = from;
    push(p, map ? value_map(items, n / 2) : value_set(items, n));
}

static void on_end(void *arg, const XML_Char *name)
{
    struct parse *p = arg;
    struct open_element o;
    struct str s;

    (void)name;
    if (p->wrong)
        return;
    o = *top(p);
    s = buf_str(&p->text);
    p->n_open--;

    if (o.element >= E_STRING)
        push_scalar(p, o.element, s);
    else if (o.element == E_NAME)
        push(p, text_value(p, s));
    else if (o.element == E_METHOD_NAME)
        p->method = p->method ? (refuse(p, "two method names"), NULL) : arena_strndup(p->a, s.p ? s.p : "", s.len);
    else if (o.element == E_STRUCT || o.element == E_ARRAY)
        push_container(p, o.from, o.element == E_STRUCT);
    else if (o.element == E_PARAM && p->values.len != o.from + 1)
        refuse(p, "a parameter is not one value");
    else if (o.element == E_MEMBER && (p->values.len != o.from + 2 || o.n_done != 2))
        refuse(p, "a member is not a name and a value");
    if (o.element == E_VALUE) {
        p->depth--;
        if (!o.n_done)
            push(p, text_value(p, s));
    }
    if (o.element == E_MEMBER && !p->wrong && p->values.p[o.from].kind != V_STRING)
        refuse(p, "a member's name comes after its value");
    buf_clear(&p->text);
}

static void on_text(void *arg, const XML_Char *text, int len)
{
    struct parse *p = arg;
    struct open_element *o = top(p);

    if (p->wrong)
        return;
    if (takes_text(o->element) && !(o->element == E_VALUE && o->n_done))
        buf_add(&p->text, text, (size_t)len);
    else if (!is_blank((struct str){ text, (size_t)len }))
        refuse(p, "text stands where none may");
}

static void on_doctype(void *arg, const XML_Char *name, const XML_Char *sysid, const XML_Char *pubid, int has_internal)
{
    (void)name;
    (void)sysid;
    (void)pubid;
    (void)has_internal;
    refuse(arg, "a document type is declared");
}

static struct err *run(struct parse *p, struct str body)
{
    enum XML_Status status;

    XML_SetUserData(p->xml, p);
    XML_SetElementHandler(p->xml, on_start, on_end);
    XML_SetCharacterDataHandler(p->xml, on_text);
    XML_SetStartDoctypeDeclHandler(p->xml, on_doctype);
    p->open[p->n_open++] = (struct open_element){ .element = E_NONE };
    status = XML_Parse(p->xml, body.p ? body.p : "", (int)body.len, 1);

    if (p->wrong)
        return err_internal("malformed XML-RPC: %s", p->wrong);
    if (status != XML_STATUS_OK)
        return err_internal("malformed XML: %s", XML_ErrorString(XML_GetErrorCode(p->xml)));
    return NULL;
}

static struct err *parse(struct parse *p, struct str body)
{
    struct err *e;

    if (body.len > INT32_MAX)
        return err_internal("malformed XML: too long");
    p->xml = XML_ParserCreate("UTF-8");
    if (!p->xml)
        abort(); /* out of memory, as in mem.h */
    buf_init(&p->text, body.len + 1);
    e = run(p, body);
    buf_done(&p->text);
    XML_ParserFree(p->xml);
    return e;
}

struct err *xmlrpc_parse_call(struct arena *a, struct str body, struct rpc_call *ret_call)
{
    struct parse p = { .a = a };
    struct err *e = parse(&p, body);

    if (!e && !p.method)
        e = err_internal("malformed XML-RPC: no method name");
    if (!e)
        *ret_call = (struct rpc_call){
            .method = p.method,
            .params = p.values.len ? arena_dup(a, p.values.p, p.values.len * sizeof(*p.values.p)) : NULL,
            .n_params = p.values.len,
        };
    vec_done(&p.values);
    return e;
}

struct err *xmlrpc_parse_value(struct arena *a, struct str body, struct value *ret_value)
{
    struct parse p = { .a = a };
    struct err *e = parse(&p, body);

    if (!e && (p.method || p.values.len != 1))
        e = err_internal("malformed XML-RPC: not one value");
    if (!e)
        *ret_value = p.values.p[0];
    vec_done(&p.values);
    return e;
}
