#include "base/arena.h"
#include "base/value.h"
#include "gen/model.h"
#include "model/model.h"
#include "test.h"

#define TYPE_OF(field) (F_##field->type)

static struct value checked(struct arena *a, const struct type *t, struct value in)
{
    struct value out = VALUE_NIL;

    CHECK_OK(type_check(a, t, "x", &in, &out));
    return out;
}

static void refused(const struct type *t, struct value in, const char *code)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value out;

    CHECK_ERR(type_check(a, t, "x", &in, &out), code);
}

TEST(integers_come_as_numbers_or_text)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct type *t = TYPE_OF(VM_memory_static_max);

    CHECK_INT(checked(a, t, value_int(5)).i, 5);
    CHECK_INT(checked(a, t, value_str("-8589934592")).i, -8589934592);
    CHECK_INT(checked(a, t, value_str("0x10")).i, 16);
    refused(t, value_str("5 MiB"), "FIELD_TYPE_ERROR");
    refused(t, value_str(""), "FIELD_TYPE_ERROR");
    refused(t, value_float(5), "FIELD_TYPE_ERROR");
    refused(t, value_bool(true), "FIELD_TYPE_ERROR");
}

TEST(floats_come_as_any_number_or_text)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct type *t = TYPE_OF(VM_HVM_shadow_multiplier);

    CHECK(checked(a, t, value_float(0.5)).f == 0.5);
    CHECK(checked(a, t, value_int(2)).f == 2.0);
    CHECK(checked(a, t, value_str("1.5")).f == 1.5);
    refused(t, value_str("much"), "FIELD_TYPE_ERROR");
}

TEST(booleans_are_only_booleans)
{
    refused(TYPE_OF(VM_is_a_template), value_str("true"), "FIELD_TYPE_ERROR");
    refused(TYPE_OF(VM_is_a_template), value_int(1), "FIELD_TYPE_ERROR");
}

TEST(enums_get_their_declared_spelling)
{
    AUTO(arena_drop) struct arena *a = arena_new();

    CHECK_STR(checked(a, TYPE_OF(VM_power_state), value_str("hALTED")).s, "Halted");
    refused(TYPE_OF(VM_power_state), value_str("Off"), "INVALID_VALUE");
}

TEST(dates_get_the_spelling_of_the_wire)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct type *t = TYPE_OF(VM_snapshot_time);

    CHECK_STR(checked(a, t, value_datetime("20260131T09:05:00Z")).s, "20260131T09:05:00Z");
    CHECK_STR(checked(a, t, value_str("2026-01-31T09:05:00Z")).s, "20260131T09:05:00Z");
    CHECK_STR(checked(a, t, value_str("20260131T09:05:00")).s, "20260131T09:05:00");
    CHECK_STR(checked(a, t, value_str("20260131T09:05:00+01:00")).s, "20260131T08:05:00Z");
    refused(t, value_str("yesterday"), "FIELD_TYPE_ERROR");
}

TEST(bad_utf8_is_named_as_such)
{
    refused(TYPE_OF(VM_name_label), value_str("a\xff"), "INVALID_VALUE");
    refused(TYPE_OF(VM_name_label), value_int(3), "FIELD_TYPE_ERROR");
}

TEST(a_key_given_twice_has_its_last_value)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value pairs[] = { value_str("k"), value_str("1"), value_str("l"), value_str("2"), value_str("k"),
        value_str("3") };
    struct value v = checked(a, TYPE_OF(VM_other_config), value_map(pairs, 3));

    CHECK_INT(v.n, 2);
    CHECK_STR(value_map_str(&v, "k"), "3");
    refused(TYPE_OF(VM_other_config), value_set(pairs, 2), "FIELD_TYPE_ERROR");
}

TEST(records_are_completed_with_defaults_and_stripped_of_strangers)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value pairs[] = {
        value_str("name_label"),
        value_str("n"),
        value_str("MTU"),
        value_str("9000"),
        value_str("uuid"),
        value_str("mine"),
        value_str("nonsense"),
        value_int(4),
        value_str("other_config"),
        value_map(NULL, 0),
    };
    struct value v, args[] = { value_map(pairs, 5) };

    CHECK_OK(msg_check_args(a, M_network_create, args, 1, &v));
    CHECK_STR(value_map_str(&v, "name_label"), "n");
    CHECK_INT(value_map_get(&v, "MTU")->i, 9000);
    CHECK(!value_map_get(&v, "uuid"));
    CHECK(!value_map_get(&v, "nonsense"));
    CHECK(value_map_get(&v, "tags")->kind == V_SET);
}

TEST(a_record_without_a_mandatory_field_is_refused)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value v, args[] = { value_map(NULL, 0) };

    CHECK_ERR(msg_check_args(a, M_VIF_create, args, 1, &v), "FIELD_TYPE_ERROR");
}

TEST(arguments_are_counted_and_completed)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value in[] = { value_str("root"), value_str("pw"), value_str("1.0"), value_str("me"), value_str("more") };
    struct value out[4];

    CHECK_OK(msg_check_args(a, M_session_login_with_password, in, 2, out));
    CHECK_STR(out[2].s, "1.1");
    CHECK_STR(out[3].s, "");
    CHECK_OK(msg_check_args(a, M_session_login_with_password, in, 5, out));
    CHECK_STR(out[3].s, "me");
    CHECK_ERR(msg_check_args(a, M_session_login_with_password, in, 1, out), "MESSAGE_PARAMETER_COUNT_MISMATCH");
    CHECK_ERR(msg_check_args(a, M_VM_get_uuid, in, 2, out), "MESSAGE_PARAMETER_COUNT_MISMATCH");
}

TEST(every_type_has_an_empty_value)
{
    AUTO(arena_drop) struct arena *a = arena_new();

    for (size_t i = 0; i < FIELD_COUNT; i++) {
        struct value v = type_empty(model_fields[i].type), out;

        if (model_fields[i].type->kind != TYPE_RECORD)
            CHECK_OK(type_check(a, model_fields[i].type, "x", &v, &out));
    }
}
