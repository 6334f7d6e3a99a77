#include "model/query.h"
#include <string.h>
#include "base/value.h"
#include "gen/model.h"
#include "test.h"

static struct value get(void *arg, const struct field *f)
{
    static const struct value tags[] = { { .kind = V_STRING, .n = 1, .s = "a" },
        { .kind = V_STRING, .n = 3, .s = "b'c" } };
    static const struct value config[] = { { .kind = V_STRING, .n = 1, .s = "k" },
        { .kind = V_STRING, .n = 1, .s = "v" } };

    ++*(int *)arg;
    if (f == F_VM_name_label)
        return value_str("web1");
    if (f == F_VM_power_state)
        return value_str("Running");
    if (f == F_VM_is_a_template)
        return value_bool(false);
    if (f == F_VM_VCPUs_max)
        return value_int(4);
    if (f == F_VM_tags)
        return value_set(tags, 2);
    if (f == F_VM_other_config)
        return value_map(config, 1);
    if (f == F_VM_blocked_operations)
        return value_map(NULL, 0);
    return value_str("");
}

static bool matches(const char *expr)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct query *q = NULL;
    int asked = 0;

    CHECK_OK(query_parse(a, C_VM, expr, &q));
    return query_match(q, get, &asked);
}

static void refused(const char *expr)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct query *q = NULL;

    CHECK_ERR(query_parse(a, C_VM, expr, &q), "INVALID_VALUE");
    CHECK(!q);
}

TEST(fields_are_compared_as_text)
{
    CHECK(matches("field \"power_state\"=\"Running\""));
    CHECK(!matches("field \"power_state\"=\"Halted\""));
    CHECK(matches("field \"is_a_template\"=\"false\""));
    CHECK(matches("field \"VCPUs__max\"=\"4\""));
    CHECK(matches("\"web1\"=field \"name__label\""));
    CHECK(matches("field \"name_label\" = \"web1\""));
    CHECK(matches("field\"tags\"=\"('a' 'b\\'c')\""));
    CHECK(matches("field \"other_config\"=\"(('k' 'v'))\""));
    CHECK(matches("field \"blocked_operations\"=\"()\""));
    CHECK(matches("\"a\"=\"a\""));
    CHECK(matches("field \"tags\" = field \"tags\""));
}

TEST(and_and_or_group_to_the_left)
{
    CHECK(matches("true"));
    CHECK(!matches("\tfalse\n"));
    CHECK(!matches("true or true and false"));
    CHECK(matches("true or (true and false)"));
    CHECK(matches("false and false or true"));
    CHECK(!matches("false and (false or true)"));
}

TEST(not_binds_looser_than_what_follows)
{
    CHECK(matches("not true and false"));
    CHECK(!matches("(not true) and false"));
    CHECK(!matches("true and not false or true"));
    CHECK(matches("not not true"));
}

TEST(what_cannot_matter_is_not_asked)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct query *q = NULL;
    int asked = 0;

    CHECK_OK(query_parse(a, C_VM, "field \"power_state\"=\"Halted\" and field \"name__label\"=\"web1\"", &q));
    CHECK(!query_match(q, get, &asked));
    CHECK_INT(asked, 1);
}

TEST(bad_expressions_are_refused_with_a_reason)
{
    static const char *const bad[] = { "", "true false", "field \"nonsense\"=\"x\"", "field power_state=\"x\"", "\"a\"",
        "\"a\"=", "(true", "true)", "and true", "\"unterminated", "field \"power_state\"='x'", "TRUE", "true\r", "not",
        "field" };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        refused(bad[i]);
}

TEST(depth_and_length_are_bounded)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 1 << 20);
    for (int i = 0; i < 2000; i++)
        buf_add_char(&b, '(');
    buf_add_c(&b, "true");
    refused(b.p);

    buf_clear(&b);
    for (int i = 0; i < 1000; i++)
        buf_add_c(&b, "not ");
    refused(b.p);

    buf_clear(&b);
    buf_add_c(&b, "true");
    for (int i = 0; i < 5000; i++)
        buf_add_c(&b, " and true");
    CHECK(matches(b.p));
    for (int i = 0; i < 5000; i++)
        buf_add_c(&b, " and true");
    refused(b.p);
}
