#include "core/generation.h"
#include "base/str.h"
#include "test.h"

TEST(numbers_become_the_text_of_their_bytes)
{
    struct arena *a = arena_new();

    /* bytes 01..08 and 11..18 in memory */
    CHECK_STR(generation_guid(a, "578437695752307201:1735880461161533969"), "04030201-0605-0807-1112-131415161718");
    CHECK_STR(generation_guid(a, "-1:18446744073709551615"), "ffffffff-ffff-ffff-ffff-ffffffffffff");
    arena_free(a);
}

TEST(what_is_no_generation_shows_the_guest_none)
{
    static const char *const wrong[] = { "", "1", ":", "1:", "1:2:3", "a:b", "1:18446744073709551616" };
    struct arena *a = arena_new();

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        CHECK_STR(generation_guid(a, wrong[i]), "");
    arena_free(a);
}

TEST(each_fresh_one_is_another)
{
    struct arena *a = arena_new();
    const char *one = generation_fresh(a);

    CHECK(*generation_guid(a, one));
    CHECK(!cstr_eq(one, generation_fresh(a)));
    arena_free(a);
}
