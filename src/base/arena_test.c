#include "base/arena.h"
#include <stdint.h>
#include <string.h>
#include "test.h"

TEST(allocations_are_zeroed_aligned_and_apart)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    unsigned char *p[200];

    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 200; i++) {
            size_t size = 1 + i * 37 % 3000;

            p[i] = arena_alloc(a, size);
            CHECK_INT((uintptr_t)p[i] % 16, 0);
            for (size_t j = 0; j < size; j++)
                CHECK(p[i][j] == 0);
            memset(p[i], (int)i, size);
        }
        for (size_t i = 0; i < 200; i++)
            CHECK(p[i][0] == i && p[i][i * 37 % 3000] == i);
        CHECK(arena_used(a) > 200);
        arena_reset(a);
        CHECK_INT(arena_used(a), 0);
    }
}

TEST(large_allocation_does_not_disturb_small_ones)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    char *small = arena_strdup(a, "small");
    char *large = arena_alloc(a, 3000000);
    char *next = arena_strdup(a, "next");

    memset(large, 'x', 3000000);
    CHECK_STR(small, "small");
    CHECK_STR(next, "next");
    CHECK(next - small == 16); /* still the same block */
}

TEST(text_of_any_length_is_formatted)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    char *s = arena_printf(a, "%0500d", 7);

    CHECK_INT(strlen(s), 500);
    CHECK_STR(arena_printf(a, "%d", 7), "7");
    CHECK_STR(arena_strndup(a, "abcdef", 3), "abc");
    CHECK(!arena_strdup(a, NULL));
}
