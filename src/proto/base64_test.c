#include "proto/base64.h"
#include "test.h"

TEST(encodes_every_remainder)
{
    AUTO(buf_done) struct buf b;
    buf_init(&b, 100);
    base64_encode(&b, STR("a"));
    base64_encode(&b, STR("ab"));
    base64_encode(&b, STR("abc"));
    CHECK(str_eq_c(buf_str(&b), "YQ==YWI=YWJj"));
}

TEST(decodes_in_pieces_and_refuses_strangers)
{
    AUTO(buf_done) struct buf b;
    struct base64 s = { 0 };
    buf_init(&b, 100);
    CHECK(base64_decode(&s, &b, STR("YW")));
    CHECK(base64_decode(&s, &b, STR("I\n=")));
    CHECK(!base64_decode(&s, &b, STR("A")));
    CHECK(str_eq_c(buf_str(&b), "ab"));
    CHECK(base64_done(&s));
    CHECK(base64_decode(&s, &b, STR("Y")));
    CHECK(!base64_done(&s));
    CHECK(!base64_decode(&s, &b, STR("*")));
}
