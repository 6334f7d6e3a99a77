#include "base/map.h"
#include <stdio.h>
#include <string.h>
#include "test.h"

TEST(entries_are_found_replaced_and_removed)
{
    AUTO(map_drop) struct map *m = map_new();
    int a, b;

    CHECK(!map_get(m, "x"));
    CHECK(!map_put(m, "x", &a));
    CHECK(map_put(m, "x", &b) == &a);
    CHECK(map_get(m, "x") == &b);
    CHECK_INT(map_len(m), 1);
    CHECK(map_remove(m, "x") == &b);
    CHECK(!map_remove(m, "x") && !map_get(m, "x"));
    CHECK_INT(map_len(m), 0);
}

TEST(many_entries_come_and_go)
{
    AUTO(map_drop) struct map *m = map_new();
    static char values[5000];
    char key[32];

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5000; i++) {
            snprintf(key, sizeof(key), "key-%d", i);
            map_put(m, key, &values[i]);
        }
        CHECK_INT(map_len(m), 5000);
        for (int i = 0; i < 5000; i += 2) {
            snprintf(key, sizeof(key), "key-%d", i);
            CHECK(map_remove(m, key) == &values[i]);
        }
        for (int i = 0; i < 5000; i++) {
            snprintf(key, sizeof(key), "key-%d", i);
            CHECK(map_get(m, key) == (i % 2 ? &values[i] : NULL));
        }
    }
}

TEST(walk_follows_insertion_and_allows_removal)
{
    AUTO(map_drop) struct map *m = map_new();
    const char *names[] = { "c", "a", "d", "b" };
    size_t it = 0, seen = 0;
    const char *key;
    void *value;

    for (size_t i = 0; i < 4; i++)
        map_put(m, names[i], &names[i]);
    while (map_next(m, &it, &key, &value)) {
        CHECK_STR(key, names[seen]);
        CHECK(value == &names[seen]);
        seen++;
        CHECK(map_remove(m, key) == value);
    }
    CHECK_INT(seen, 4);
    CHECK_INT(map_len(m), 0);
}

TEST(churn_does_not_grow_the_map)
{
    AUTO(map_drop) struct map *m = map_new();
    char key[32];
    int x;

    for (int i = 0; i < 200000; i++) {
        snprintf(key, sizeof(key), "%d", i);
        map_put(m, key, &x);
        map_remove(m, key);
    }
    CHECK_INT(map_len(m), 0);
    CHECK(hash_bytes("abc", 3) == hash_bytes("abc", 3));
    CHECK(hash_bytes("abc", 3) != hash_bytes("abd", 3));
}
