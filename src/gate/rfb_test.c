#include "gate/rfb.h"
#include "test.h"

#define OPENING "RFB 003.008\n\001\001"
#define UPDATE "\003\0\0\0\0\0\0\0\0\0"

TEST(asking_for_pixels_is_nobody)
{
    struct rfb_watch w = { 0 };

    CHECK(rfb_activity(&w, STR(OPENING)));
    CHECK(!rfb_activity(&w,
        STR(UPDATE UPDATE "\002\0\0\001\0\0\0\0"
                          "\006\0\0\0\0\0\0\002\004\005")));
    CHECK(!rfb_activity(&w, STR("\003\0\0\0")));
    CHECK(!rfb_activity(&w, STR("\0\0\0\0\0\0")));
    CHECK(rfb_activity(&w, STR(UPDATE "\004\001\0\0\0\0\0a")));
    CHECK(!rfb_activity(&w, STR(UPDATE)));
    CHECK(rfb_activity(&w, STR("\005\001\0\0\0\0")));
    CHECK(rfb_activity(&w, STR("\377\0\0\001\0\0\0\0\0\0\0\0")));
    CHECK(!rfb_activity(&w, STR(UPDATE)));
}

TEST(what_is_not_rfb_counts)
{
    struct rfb_watch w = { 0 }, v = { 0 };

    CHECK(rfb_activity(&w, STR("root\n")));
    CHECK(rfb_activity(&w, STR("x")));
    CHECK(rfb_activity(&v, STR(OPENING "\077")));
    CHECK(rfb_activity(&v, STR(UPDATE)));
}
