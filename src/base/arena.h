#pragma once
#include <stdarg.h>
#include <stddef.h>
#include "base/compiler.h"

/*
 * An arena: memory that ends all at once. A parsed request, a reply under
 * construction, the plan of a task live in one. One thread at a time.
 */
struct arena;

struct arena *arena_new(void); /* allocates nothing until first used beyond its head */
void arena_free(struct arena *a);
DEFINE_DROP(arena)
void arena_reset(struct arena *a); /* frees everything but keeps one block */
size_t arena_used(const struct arena *a);

void *arena_alloc(struct arena *a, size_t size); /* zeroed, 16-byte aligned */
void *arena_alloc_array(struct arena *a, size_t n, size_t size);
void *arena_dup(struct arena *a, const void *p, size_t size);
char *arena_strdup(struct arena *a, const char *s); /* NULL stays NULL */
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF(2, 3);

#define arena_new_of(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define arena_new_array(a, n, type) ((type *)arena_alloc_array((a), (n), sizeof(type)))
