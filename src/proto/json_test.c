#include "proto/json.h"
#include <math.h>
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

TEST(answers_may_hold_numbers_that_json_does_not_know)
{
    static const char *const bad[] = { "[NaN NaN]", "{NaN:1}", "[--Infinity]", "[1NaN]", "[\"\\u0000N\"]",
        "[NaN,\"\\u0000\"]", "[NaNN]", "[nan]", "[\"NaN]", "[- Infinity]", "[NaN,{\"a\\u0000\":1}]" };
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value v;

    CHECK_OK(json_parse_answer(
        a, STR("{\"result\":[NaN,Infinity,-Infinity,-1.5,\"NaN\",\"\\\\\\\"Infinity\"],\"NaN\":1}"), &v));
    CHECK_INT(value_map_get(&v, "NaN")->i, 1);
    const struct value *list = value_map_get(&v, "result");
    CHECK_INT(list->n, 6);
    CHECK(list->items[0].kind == V_FLOAT && isnan(list->items[0].f));
    CHECK(list->items[1].kind == V_FLOAT && isinf(list->items[1].f) && list->items[1].f > 0);
    CHECK(list->items[2].kind == V_FLOAT && isinf(list->items[2].f) && list->items[2].f < 0);
    CHECK(list->items[3].f < -1.4 && list->items[3].f > -1.6);
    CHECK_STR(list->items[4].s, "NaN");
    CHECK_STR(list->items[5].s, "\\\"Infinity");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        AUTO(err_drop) struct err *e = json_parse_answer(a, str_of(bad[i]), &v);
        if (!e)
            test_fail(__FILE__, __LINE__, "%s was taken", bad[i]);
    }
    AUTO(err_drop) struct err *e = json_parse_value(a, STR("[NaN]"), &v);
    CHECK(e);
}
