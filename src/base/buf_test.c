#include "base/buf.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "test.h"

TEST(bytes_are_appended_and_consumed)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 100000);
    CHECK_STR(b.p, "");
    buf_add_c(&b, "hello");
    buf_add_char(&b, ' ');
    buf_printf(&b, "%05d", 42);
    CHECK_STR(b.p, "hello 00042");
    buf_consume(&b, 6);
    CHECK_STR(b.p, "00042");
    buf_printf(&b, "%0900d", 1);
    CHECK_INT(b.len, 905);
    CHECK_INT(strlen(b.p), 905);
    buf_clear(&b);
    CHECK(str_eq_c(buf_str(&b), ""));
}

TEST(nothing_is_kept_beyond_the_maximum)
{
    AUTO(buf_done) struct buf b;
    size_t len = 77;

    buf_init(&b, 10);
    buf_add_c(&b, "12345");
    buf_add_c(&b, "67890");
    CHECK(!b.overflow);
    CHECK_STR(b.p, "1234567890");
    buf_add_char(&b, 'x');
    CHECK(b.overflow);
    buf_clear(&b);
    buf_add_c(&b, "1234");
    buf_printf(&b, "%s", "too long for it");
    CHECK(b.overflow);
    CHECK_STR(b.p, "1234");
    buf_add_char(&b, '5');
    CHECK_STR(b.p, "1234");
    CHECK(!buf_steal(&b, &len));
    CHECK_INT(len, 77);
}

TEST(reserved_room_is_filled_in_place)
{
    AUTO(buf_done) struct buf b;
    AUTO(mem_drop) char *stolen = NULL;
    size_t len;
    char *to;

    buf_init(&b, 1000);
    to = buf_reserve(&b, 1000);
    CHECK(to);
    memset(to, 'a', 1000);
    buf_commit(&b, 1000);
    CHECK(!buf_reserve(&b, 1));
    buf_clear(&b);
    buf_add_c(&b, "mine");
    stolen = buf_steal(&b, &len);
    CHECK_STR(stolen, "mine");
    CHECK_INT(len, 4);
    CHECK_INT(b.len, 0);
    buf_add_c(&b, "again");
    CHECK_STR(b.p, "again");
}

TEST(integers_are_written_as_printf_would)
{
    static const int64_t all[] = { 0, 7, -1, 10, -10, 1234567890123, INT64_MAX, INT64_MIN };
    AUTO(buf_done) struct buf b;
    char expected[32];

    buf_init(&b, 64);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        buf_clear(&b);
        buf_add_i64(&b, all[i]);
        snprintf(expected, sizeof(expected), "%" PRId64, all[i]);
        CHECK_STR(b.p, expected);
    }
}

TEST(number_at_the_end_of_the_room_is_whole)
{
    for (size_t fill = 50; fill < 80; fill++) {
        AUTO(buf_done) struct buf b;

        buf_init(&b, 1000);
        for (size_t i = 0; i < fill; i++)
            buf_add_char(&b, '.');
        buf_printf(&b, "%d", 123456);
        CHECK_STR(b.p + fill, "123456");
    }
}
