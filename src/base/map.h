#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

/*
 * A hash map from text to a borrowed pointer. Keys are copied. Hashing is
 * keyed with a random seed per process, so outsiders cannot aim collisions.
 */
struct map;

struct map *map_new(void);
void map_free(struct map *m); /* values are not freed: their owner does that */
DEFINE_DROP(map)
size_t map_len(const struct map *m);
void *map_get(const struct map *m, const char *key);        /* NULL if absent */
void *map_put(struct map *m, const char *key, void *value); /* returns the value replaced, or NULL */
void *map_remove(struct map *m, const char *key);           /* returns the value removed, or NULL */

/* Walk: size_t it = 0; while (map_next(m, &it, &k, &v)). Removing the current entry while walking is allowed. */
bool map_next(const struct map *m, size_t *it, const char **ret_key, void **ret_value);

uint64_t hash_bytes(const void *p, size_t len); /* seeded per process */
