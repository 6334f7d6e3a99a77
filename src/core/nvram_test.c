#include "core/nvram.h"
#include <string.h>
#include "test.h"

TEST(a_variable_store_survives_and_shrinks)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    char *store = arena_alloc(a, 540672);

    memset(store, 0xff, 540672);
    memcpy(store + 4096, "BootOrder", 9);
    const char *text = nvram_to_text(a, (struct str){ store, 540672 });
    CHECK(*text && strlen(text) < 8192);
    struct str back = nvram_to_bytes(a, text);
    CHECK_INT(back.len, 540672);
    CHECK(memcmp(back.p, store, back.len) == 0);
}

TEST(what_is_none_of_ours_gives_nothing)
{
    AUTO(arena_drop) struct arena *a = arena_new();

    CHECK_INT(nvram_to_bytes(a, "").len, 0);
    CHECK_INT(nvram_to_bytes(a, "AAAA").len, 0);
    CHECK_INT(nvram_to_bytes(a, "not base64 !").len, 0);
    CHECK_STR(nvram_to_text(a, (struct str){ "", 0 }), "");
}
