#include "base/buf.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"

static char nothing[1]; /* what an unused buf points to, so that it is text too; never written */

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){ .p = nothing, .max = max };
}

void buf_done(struct buf *b)
{
    if (b->size)
        free(b->p);
    *b = (struct buf){ .p = nothing, .max = b->max };
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->overflow = false;
    if (b->size)
        b->p[0] = 0;
}

char *buf_steal(struct buf *b, size_t *ret_len)
{
    char *p = b->size ? b->p : NULL;

    if (b->overflow)
        return NULL;
    if (!p)
        p = mem_strdup("");
    if (ret_len)
        *ret_len = b->len;
    buf_init(b, b->max);
    return p;
}

char *buf_reserve(struct buf *b, size_t len)
{
    size_t want;

    if (b->overflow || len > b->max || b->len > b->max - len) {
        b->overflow = true;
        return NULL;
    }
    want = b->len + len + 1;
    if (want > b->size) {
        size_t size = b->size ? b->size : 64;

        while (size < want)
            size = size > SIZE_MAX / 2 ? want : size * 2;
        if (size > b->max + 1 && b->max < SIZE_MAX)
            size = b->max + 1;
        b->p = mem_realloc(b->size ? b->p : NULL, size);
        b->size = size;
        b->p[b->len] = 0;
    }
    return b->p + b->len;
}

void buf_commit(struct buf *b, size_t len)
{
    assert(len == 0 || b->size - b->len > len);
    b->len += len;
    if (b->size)
        b->p[b->len] = 0;
}

void buf_grow_add(struct buf *b, const void *p, size_t len)
{
    char *to = buf_reserve(b, len);

    if (!to || !len)
        return;
    memcpy(to, p, len);
    buf_commit(b, len);
}

void buf_add_i64(struct buf *b, int64_t i)
{
    uint64_t left = i < 0 ? -(uint64_t)i : (uint64_t)i;
    char text[21], *p = text + sizeof(text);

    do
        *--p = (char)('0' + left % 10);
    while (left /= 10);
    if (i < 0)
        *--p = '-';
    buf_add(b, p, (size_t)(text + sizeof(text) - p));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    size_t room = b->size ? b->size - b->len : 0;
    va_list ap;
    char *to;
    int len;

    if (b->overflow)
        return;
    va_start(ap, fmt);
    len = vsnprintf(room ? b->p + b->len : NULL, room, fmt, ap);
    va_end(ap);
    assert(len >= 0);
    to = buf_reserve(b, (size_t)len);
    if (!to) {
        if (b->p)
            b->p[b->len] = 0; /* what did not fit */
        return;
    }
    if ((size_t)len >= room) {
        va_start(ap, fmt);
        vsnprintf(to, (size_t)len + 1, fmt, ap);
        va_end(ap);
    }
    buf_commit(b, (size_t)len);
}

void buf_consume(struct buf *b, size_t len)
{
    assert(len <= b->len);
    if (!len)
        return;
    b->len -= len;
    memmove(b->p, b->p + len, b->len + 1);
}

struct str buf_str(const struct buf *b)
{
    return (struct str){ b->p ? b->p : "", b->len };
}
