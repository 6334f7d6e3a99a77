#include "proto/json.h"
#include "base/buf.h"
#include "test.h"

TEST(both_versions_are_told_apart)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct json_call c;

    CHECK_OK(
        json_parse_call(a, STR("{\"jsonrpc\":\"2.0\",\"method\":\"a.b\",\"params\":[\"x\",1,1.5,true],\"id\":7}"), &c));
    CHECK(c.version2);
    CHECK_STR(c.call.method, "a.b");
    CHECK_STR(c.id.p, "7");
    CHECK_INT(c.call.n_params, 4);
    CHECK_STR(c.call.params[0].s, "x");
    CHECK(c.call.params[1].kind == V_INT && c.call.params[2].kind == V_FLOAT && c.call.params[3].kind == V_BOOL);

    CHECK_OK(json_parse_call(a, STR("{\"method\":\"a\",\"params\":[],\"id\":\"q\\\"\\u00e9\"}"), &c));
    CHECK(!c.version2);
    CHECK_STR(c.id.p, "\"q\\\"\u00e9\"");
}

TEST(params_may_be_absent_or_an_object_in_version_two)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct json_call c;

    CHECK_OK(json_parse_call(a, STR("{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":0}"), &c));
    CHECK_INT(c.call.n_params, 0);
    CHECK_OK(json_parse_call(a, STR("{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":0,\"params\":null}"), &c));
    CHECK_INT(c.call.n_params, 0);
    CHECK_OK(json_parse_call(
        a, STR("{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":0,\"params\":{\"k\":9223372036854775807}}"), &c));
    CHECK_INT(c.call.n_params, 1);
    CHECK(value_map_get(&c.call.params[0], "k")->i == INT64_MAX);
}

TEST(what_is_no_call_is_refused)
{
    static const char *const bad[] = {
        "",
        "[]",
        "7",
        "{}",
        "{\"method\":\"a\",\"params\":[]}",
        "{\"method\":\"a\",\"params\":[],\"id\":null}",
        "{\"method\":\"a\",\"params\":[],\"id\":1.5}",
        "{\"method\":\"a\",\"id\":1}",
        "{\"method\":\"a\",\"params\":{},\"id\":1}",
        "{\"method\":1,\"params\":[],\"id\":1}",
        "{\"jsonrpc\":\"1.0\",\"method\":\"a\",\"params\":[],\"id\":1}",
        "{\"jsonrpc\":2.0,\"method\":\"a\",\"params\":[],\"id\":1}",
        "{\"method\":\"a\",\"params\":[],\"id\":1} x",
        "{\"method\":\"a\",\"params\":[],\"id\":1,\"id\":2}",
        "{\"method\":\"a\",\"params\":[9223372036854775808],\"id\":1}",
        "{\"method\":\"a\",\"params\":[\"\\u0000\"],\"id\":1}",
        "{\"method\":\"a\",\"params\":[\"\xff\"],\"id\":1}",
        "{\"method\":\"a\",\"params\":[NaN],\"id\":1}",
    };
    AUTO(arena_drop) struct arena *a = arena_new();

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct json_call c;
        AUTO(err_drop) struct err *e = json_parse_call(a, str_of(bad[i]), &c);
        CHECK(e);
    }
}

TEST(depth_is_bounded_before_anything_recurses)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf b;
    struct value v;

    buf_init(&b, 1 << 20);
    for (int i = 0; i < 100000; i++)
        buf_add_char(&b, '[');
    AUTO(err_drop) struct err *e = json_parse_value(a, buf_str(&b), &v);
    CHECK(e);
    CHECK_OK(json_parse_value(a, STR("\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\""), &v));
}
