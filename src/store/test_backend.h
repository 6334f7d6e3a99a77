#pragma once
#include <stdbool.h>
#include "store/backend.h"

/*
 * A back end for tests: rows in memory, a commit that can be told to fail.
 * What it holds outlives the backend, so a store can be opened on it again.
 */
struct test_disk {
    struct map *rows; /* ref -> struct test_row */
    uint64_t gen;
    int major, minor;
    int fail_in;        /* commits until one fails; 0: never */
    int n_commits;      /* tried */
    size_t largest;     /* changes in one commit */
    bool fail_but_keep; /* a failing commit is written all the same */
};

void test_disk_init(struct test_disk *d);
void test_disk_done(struct test_disk *d);
size_t test_disk_len(const struct test_disk *d);
bool test_disk_has(const struct test_disk *d, const char *ref);
struct backend *test_backend(struct test_disk *d);
