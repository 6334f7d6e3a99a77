#include "base/mem.h"
#include <string.h>
#include "test.h"

TEST(memory_is_zeroed_and_owned)
{
    AUTO(mem_drop) char *p = mem_alloc(64);
    AUTO(mem_drop) char *copy = NULL;
    AUTO(mem_drop) char *text = mem_printf("%s-%d", "vm", 7);

    for (int i = 0; i < 64; i++)
        CHECK(p[i] == 0);
    memset(p, 'x', 64);
    copy = mem_dup(p, 64);
    CHECK(memcmp(copy, p, 64) == 0);
    CHECK_STR(text, "vm-7");
    CHECK(mem_strdup(NULL) == NULL);
    mem_wipe(copy, 64);
    CHECK_INT(copy[63], 0);
}

TEST(drop_frees_and_forgets)
{
    char *p = mem_strdup("x");
    char *q = MOVE(p);

    CHECK(!p);
    mem_drop(&q);
    CHECK(!q);
}
