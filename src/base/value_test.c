#include "base/value.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/mem.h"
#include "test.h"

static struct value sample(struct arena *a)
{
    struct value *set = arena_new_array(a, 5, struct value);
    struct value *map = arena_new_array(a, 8, struct value);

    set[0] = value_int(INT64_MIN);
    set[1] = value_int(INT64_MAX);
    set[2] = value_float(-0.5);
    set[3] = value_bool(true);
    set[4] = VALUE_NIL;
    map[0] = value_str("name_label");
    map[1] = value_str("caf\xc3\xa9");
    map[2] = value_str("set");
    map[3] = value_set(set, 5);
    map[4] = value_int(-1);
    map[5] = value_datetime(DATETIME_EPOCH);
    map[6] = value_str("empty");
    map[7] = value_set(NULL, 0);
    return value_map(map, 4);
}

static struct str encoded(struct arena *a, const struct value *v)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 1 << 20);
    value_encode(&b, v);
    CHECK(!b.overflow);
    return (struct str){ arena_dup(a, b.p, b.len), b.len };
}

TEST(value_survives_encoding)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value v = sample(a), back = VALUE_NIL;
    struct str in = encoded(a, &v);

    CHECK_OK(value_decode(a, &in, &back));
    CHECK_INT(in.len, 0);
    CHECK(value_eq(&v, &back));
    CHECK_INT(value_map_get(&back, "set")->items[0].i, INT64_MIN);
    CHECK_STR(value_map_str(&back, "name_label"), "caf\xc3\xa9");
    CHECK_STR(value_map_str(&back, "absent"), "");
}

TEST(every_cut_of_an_encoding_is_refused)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value v = sample(a), back = value_int(7);
    struct str whole = encoded(a, &v);

    for (size_t len = 0; len < whole.len; len++) {
        struct str in = { arena_dup(a, whole.p, len), len };

        CHECK_ERR(value_decode(a, &in, &back), "INTERNAL_ERROR");
        CHECK_INT(in.len, len);
        CHECK_INT(back.i, 7);
    }
}

TEST(hostile_encodings_are_refused)
{
    static const struct str bad[] = {
        STR("\x09"),         /* unknown tag */
        STR("\x05\x01\x80"), /* not UTF-8 */
        STR("\x05\x02"
            "a\0"), /* NUL */
        STR("\x05\x81\x00"
            "a"),                        /* varint longer than needed */
        STR("\x07\xff\xff\xff\xff\x0f"), /* more items than bytes */
        STR("\x08\x01\x07\x00\x00"),     /* a set as key */
        STR("\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
    };
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value v;
    char deep[VALUE_DEPTH_MAX * 2 + 3];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct str in = bad[i];

        CHECK_ERR(value_decode(a, &in, &v), "INTERNAL_ERROR");
    }
    for (unsigned depth = VALUE_DEPTH_MAX; depth <= VALUE_DEPTH_MAX + 1; depth++) {
        struct str in = { deep, 2 * depth - 1 };

        for (size_t i = 0; i < sizeof(deep); i += 2)
            deep[i] = 7, deep[i + 1 < sizeof(deep) ? i + 1 : i] = 1;
        deep[2 * depth - 2] = 0;
        if (depth <= VALUE_DEPTH_MAX)
            CHECK_OK(value_decode(a, &in, &v));
        else
            CHECK_ERR(value_decode(a, &in, &v), "INTERNAL_ERROR");
    }
}

TEST(too_deep_a_value_is_not_encoded)
{
    struct value v[VALUE_DEPTH_MAX + 1] = { value_int(1) };
    AUTO(buf_done) struct buf b;

    for (int i = 1; i <= VALUE_DEPTH_MAX; i++)
        v[i] = value_set(&v[i - 1], 1);
    buf_init(&b, 1000);
    value_encode(&b, &v[VALUE_DEPTH_MAX - 1]);
    CHECK(!b.overflow);
    value_encode(&b, &v[VALUE_DEPTH_MAX]);
    CHECK(b.overflow);
}

TEST(packed_value_needs_nothing_of_the_old_one)
{
    AUTO(mem_drop) void *block = NULL;
    AUTO(arena_drop) struct arena *kept = arena_new();
    struct value copy, packed, again;
    void *none = &copy;

    {
        AUTO(arena_drop) struct arena *a = arena_new();
        struct value v = sample(a);

        copy = value_copy(kept, &v);
        packed = value_pack(&v, &block);
        CHECK(value_eq(&v, &packed));
    }
    CHECK(value_eq(&copy, &packed));
    CHECK(block);
    again = value_str("");
    again = value_pack(&again, &none);
    CHECK(!none && again.n == 0);
    CHECK_STR(again.s, "");
}

TEST(containers_are_changed_by_copy)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value items[] = { value_str("a"), value_str("b") };
    struct value set = value_set(items, 2);
    struct value map = value_map(items, 1);
    struct value more = value_set_with(a, &set, value_str("c"));
    struct value less = value_set_without(a, &more, "a");
    struct value with = value_map_with(a, &map, value_str("k"), value_int(1));

    CHECK_INT(set.n, 2);
    CHECK(value_set_has(&more, "c") && more.n == 3);
    CHECK_INT(value_set_with(a, &more, value_str("b")).n, 3);
    CHECK(!value_set_has(&less, "a") && less.n == 2);
    with = value_map_with(a, &with, value_str("a"), value_str("z"));
    CHECK_INT(with.n, 2);
    CHECK_STR(value_map_str(&with, "a"), "z");
    CHECK_STR(value_map_str(&map, "a"), "b");
    with = value_map_without(a, &with, "a");
    CHECK(with.n == 1 && !value_map_get(&with, "a") && value_map_get(&with, "k")->i == 1);
}

TEST(times_are_written_and_read)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    static const char *const same[] = { "20260131T09:05:00Z", "2026-01-31T09:05:00Z", "20260131T09:05:00",
        "20260131T10:05:00+01:00", "20260131T040500-0500", "2026-01-31T09:05:00.000Z" };
    static const char *const bad[] = { "", "2026", "20260231T00:00:00Z", "20260131T24:00:00Z", "20260131T09:05:00X",
        "20260131T09:05:00Zx", "20261331T00:00:00Z", "19691231T00:00:00Z", "20260131T09:05:00.Z" };
    uint64_t us = 0;

    CHECK_STR(datetime_text(a, 0), DATETIME_EPOCH);
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        CHECK(datetime_parse(same[i], &us));
        CHECK_STR(datetime_text(a, us), "20260131T09:05:00Z");
    }
    CHECK(datetime_parse("20260131T09:05:00.25Z", &us));
    CHECK_INT(us % 1000000, 250000);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK(!datetime_parse(bad[i], &us));
    CHECK_INT(strlen(datetime_text(a, UINT64_MAX)), DATETIME_LEN);
}
