#include "base/str.h"
#include <math.h>
#include "test.h"

TEST(text_is_compared_and_cut)
{
    struct str head, rest;

    CHECK(str_eq_c(str_trim(STR(" \ta b\t ")), "a b"));
    CHECK(str_cut(STR("key=value=x"), '=', &head, &rest));
    CHECK(str_eq_c(head, "key") && str_eq_c(rest, "value=x"));
    CHECK(!str_cut(STR("none"), '=', &head, &rest));
    CHECK(str_eq_c(head, "none") && rest.len == 0);
    CHECK(str_starts(STR("abc"), STR("ab")) && !str_starts(STR("a"), STR("ab")));
    CHECK(str_ends(STR("abc"), STR("bc")) && !str_ends(STR("c"), STR("bc")));
    CHECK(str_eq_nocase(STR("Content-Type"), STR("content-TYPE")));
    CHECK(!str_eq_nocase(STR("[x"), STR("{x")));
    CHECK(cstr_eq(NULL, NULL) && !cstr_eq(NULL, "") && cstr_starts("abc", "a") && cstr_empty(""));
}

TEST(numbers_are_whole_or_refused)
{
    static const char *const bad[] = { "", "-", "+1", " 1", "1 ", "1x", "0x", "9223372036854775808",
        "-9223372036854775809" };
    int64_t i = 5;
    uint64_t u;
    double d;

    for (size_t n = 0; n < ARRAY_LEN(bad); n++)
        CHECK(!str_to_i64(str_of(bad[n]), &i) && i == 5);
    CHECK(str_to_i64(STR("-9223372036854775808"), &i) && i == INT64_MIN);
    CHECK(str_to_i64(STR("9223372036854775807"), &i) && i == INT64_MAX);
    CHECK(str_to_u64(STR("18446744073709551615"), &u) && u == UINT64_MAX);
    CHECK(!str_to_u64(STR("18446744073709551616"), &u));
    CHECK(!str_to_u64(STR("-1"), &u));
    CHECK(str_to_i64_any(STR("0x1F"), &i) && i == 31);
    CHECK(str_to_i64_any(STR("0o17"), &i) && i == 15);
    CHECK(str_to_i64_any(STR("-0b101"), &i) && i == -5);
    CHECK(!str_to_i64_any(STR("0b2"), &i) && !str_to_i64_any(STR("0x"), &i));
    CHECK(str_to_double(STR("-1.5e3"), &d) && fabs(d + 1500) < 1e-9);
    CHECK(!str_to_double(STR("nan"), &d) && !str_to_double(STR("0x1p3"), &d) && !str_to_double(STR("1e999"), &d));
    CHECK(!str_to_double(STR("1.5 "), &d));
}

TEST(only_well_formed_utf8_passes)
{
    static const char *const good[] = { "", "abc", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf" };
    static const char *const bad[] = { "\x80", "\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\xf8\x88\x80\x80\x80", "\xe2\x82", "a\xff", "\xf0\x80\x80\x80" };

    for (size_t n = 0; n < ARRAY_LEN(good); n++)
        CHECK(str_is_utf8(str_of(good[n])));
    for (size_t n = 0; n < ARRAY_LEN(bad); n++)
        CHECK(!str_is_utf8(str_of(bad[n])));
}
