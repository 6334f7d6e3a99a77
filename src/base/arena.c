#include "base/arena.h"
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "base/asan.h"
#include "base/mem.h"

#define ALIGN 16
#define BLOCK_MIN ((size_t)4096)
#define BLOCK_MAX ((size_t)256 * 1024)

/* Blocks grow with use; what is larger than a block gets one of its own. */
struct block {
    struct block *next;
    size_t size; /* of data */
    size_t used;
    _Alignas(ALIGN) char data[];
};

struct arena {
    struct block *blocks; /* the first is the one being filled */
    size_t next_size;
    size_t used;
};

struct arena *arena_new(void)
{
    struct arena *a = mem_new(struct arena);

    a->next_size = BLOCK_MIN;
    return a;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    for (struct block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

void arena_reset(struct arena *a)
{
    struct block *keep = NULL;

    for (struct block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        if (!keep && b->size <= BLOCK_MAX)
            keep = b;
        else
            free(b);
    }
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
        asan_hide(keep->data, keep->size);
    }
    a->blocks = keep;
    a->used = 0;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}

static struct block *block_new(size_t size)
{
    size_t total;
    struct block *b;

    if (__builtin_add_overflow(size, sizeof(*b), &total))
        total = SIZE_MAX; /* ends the process in mem_realloc() */
    b = mem_realloc(NULL, total);
    b->next = NULL;
    b->size = size;
    b->used = 0;
    asan_hide(b->data, size);
    return b;
}

static struct block *block_for(struct arena *a, size_t size)
{
    struct block *b = a->blocks;

    if (b && b->size - b->used >= size)
        return b;
    if (b && size > a->next_size / 2) { /* behind the one being filled, so that it goes on being filled */
        struct block *own = block_new(size);

        own->next = b->next;
        b->next = own;
        return own;
    }
    b = block_new(size > a->next_size ? size : a->next_size);
    if (a->next_size < BLOCK_MAX)
        a->next_size *= 2;
    b->next = a->blocks;
    a->blocks = b;
    return b;
}

/* Not zeroed: the caller fills all of it. */
static void *take(struct arena *a, size_t size)
{
    size_t rounded;
    struct block *b;
    void *p;

    if (__builtin_add_overflow(size ? size : 1, ALIGN - 1, &rounded))
        rounded = SIZE_MAX;
    rounded &= ~(size_t)(ALIGN - 1);
    b = block_for(a, rounded);
    p = b->data + b->used;
    b->used += rounded;
    a->used += rounded;
    asan_show(p, size);
    return p;
}

void *arena_alloc(struct arena *a, size_t size)
{
    return memset(take(a, size), 0, size);
}

void *arena_alloc_array(struct arena *a, size_t n, size_t size)
{
    size_t total;

    if (__builtin_mul_overflow(n, size, &total))
        total = SIZE_MAX;
    return arena_alloc(a, total);
}

void *arena_dup(struct arena *a, const void *p, size_t size)
{
    void *q = take(a, size);

    if (size)
        memcpy(q, p, size);
    return q;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s ? arena_dup(a, s, strlen(s) + 1) : NULL;
}

char *arena_strndup(struct arena *a, const char *s, size_t len)
{
    char *p = take(a, len + 1);

    if (len)
        memcpy(p, s, len);
    p[len] = 0;
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    char small[256];
    char *s;
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    assert(len >= 0);
    if ((size_t)len < sizeof(small))
        return arena_dup(a, small, (size_t)len + 1);

    s = take(a, (size_t)len + 1);
    va_start(ap, fmt);
    vsnprintf(s, (size_t)len + 1, fmt, ap);
    va_end(ap);
    return s;
}
