#include "proto/xmlrpc.h"
#include "base/buf.h"
#include "test.h"

#define CALL(params) \
    "<?xml version=\"1.0\"?><methodCall><methodName>X.y</methodName><params>" params "</params></methodCall>"

static struct err *parse(struct arena *a, const char *text, struct rpc_call *c)
{
    return xmlrpc_parse_call(a, str_of(text), c);
}

TEST(every_kind_of_value_is_read)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct rpc_call c;

    CHECK_OK(parse(a,
        CALL("<param><value>a &amp; b</value></param>"
             "<param><value><string>s</string></value></param>"
             "<param><value> <int>12</int> </value></param>"
             "<param><value><i4>-1</i4></value></param>"
             "<param><value><i8>8589934592</i8></value></param>"
             "<param><value><double>0.5</double></value></param>"
             "<param><value><boolean>1</boolean></value></param>"
             "<param><value><dateTime.iso8601>20260131T09:05:00Z</dateTime.iso8601></value></param>"
             "<param><value><nil/></value></param>"
             "<param><value><base64>aGk=</base64></value></param>"
             "<param><value/></param>"),
        &c));
    CHECK_STR(c.method, "X.y");
    CHECK_INT(c.n_params, 11);
    CHECK_STR(c.params[0].s, "a & b");
    CHECK_STR(c.params[1].s, "s");
    CHECK_INT(c.params[2].i, 12);
    CHECK_INT(c.params[3].i, -1);
    CHECK(c.params[4].i == 8589934592);
    CHECK(c.params[5].f == 0.5);
    CHECK(c.params[6].kind == V_BOOL && c.params[6].b);
    CHECK(c.params[7].kind == V_DATETIME);
    CHECK(c.params[8].kind == V_NIL);
    CHECK_STR(c.params[9].s, "hi");
    CHECK_STR(c.params[10].s, "");
}

TEST(containers_nest)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct rpc_call c;

    CHECK_OK(parse(a,
        CALL("<param><value><struct>\n<member>\n <name>k&lt;</name> <value><array><data>"
             "<value>1</value> <value><struct/></value></data></array></value></member></struct></value></param>"
             "<param><value><array/></value></param><param><value><array><data/></array></value></param>"),
        &c));
    CHECK_INT(c.n_params, 3);
    const struct value *v = value_map_get(&c.params[0], "k<");
    CHECK(v && v->kind == V_SET && v->n == 2);
    CHECK_STR(v->items[0].s, "1");
    CHECK(v->items[1].kind == V_MAP && v->items[1].n == 0);
    CHECK(c.params[1].kind == V_SET && c.params[1].n == 0);
    CHECK(c.params[2].kind == V_SET && c.params[2].n == 0);
}

TEST(a_call_needs_no_params)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct rpc_call c;

    CHECK_OK(parse(a, "<methodCall><methodName>system.listMethods</methodName></methodCall>", &c));
    CHECK_INT(c.n_params, 0);
}

TEST(what_is_no_call_is_refused)
{
    static const char *const bad[] = {
        "",
        "GET",
        "<methodCall/>",
        "<methodCall><params/></methodCall>",
        "<value>1</value>",
        "<!DOCTYPE x [<!ENTITY a \"b\">]><methodCall><methodName>&a;</methodName></methodCall>",
        "<methodCall><methodName>a</methodName><methodName>b</methodName></methodCall>",
        "<methodCall><methodName>a</methodName><evil/></methodCall>",
        CALL("<param><value><int>x</int></value></param>"),
        CALL("<param><value><int/></value></param>"),
        CALL("<param><value><double>1,5</double></value></param>"),
        CALL("<param><value>a<int>1</int></value></param>"),
        CALL("<param><value><int>1</int>a</value></param>"),
        CALL("<param><value><int>1</int><int>2</int></value></param>"),
        CALL("<param/>"),
        CALL("<param><value/><value/></param>"),
        CALL("<param><value><struct><member><name>a</name></member></struct></value></param>"),
        CALL("<param><value><struct><member><value/><name>a</name></member></struct></value></param>") "<!-- fine -->x",
        CALL("<param><value>\xff</value></param>"),
        CALL("<param><value>&#0;</value></param>"),
        CALL("<param><value>&undefined;</value></param>"),
        CALL("<param><value><base64>AA==</base64></value></param>"),
        CALL("<param><value><string><string>a</string></string></value></param>"),
    };
    AUTO(arena_drop) struct arena *a = arena_new();

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct rpc_call c;
        AUTO(err_drop) struct err *e = parse(a, bad[i], &c);
        CHECK(e);
    }
}

TEST(depth_is_bounded)
{
    AUTO(arena_drop) struct arena *a = arena_new();

    for (int depth = VALUE_DEPTH_MAX; depth <= VALUE_DEPTH_MAX + 1; depth++) {
        AUTO(buf_done) struct buf b;
        struct rpc_call c;

        buf_init(&b, 1 << 16);
        buf_add_c(&b, "<methodCall><methodName>a</methodName><params><param>");
        for (int i = 1; i < depth; i++)
            buf_add_c(&b, "<value><array><data>");
        buf_add_c(&b, "<value/>");
        for (int i = 1; i < depth; i++)
            buf_add_c(&b, "</data></array></value>");
        buf_add_c(&b, "</param></params></methodCall>");
        AUTO(err_drop) struct err *e = parse(a, b.p, &c);
        CHECK(!e == (depth == VALUE_DEPTH_MAX));
    }
}

TEST(a_task_result_is_one_value)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value v;

    CHECK_OK(xmlrpc_parse_value(a, STR("<value>OpaqueRef:1</value>"), &v));
    CHECK_STR(v.s, "OpaqueRef:1");
    AUTO(err_drop) struct err *e = xmlrpc_parse_value(a, STR("<int>1</int>"), &v);
    CHECK(e);
}
