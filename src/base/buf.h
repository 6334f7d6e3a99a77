#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "base/str.h"

/*
 * A growable run of bytes with a maximum. Appending past the maximum marks it
 * as overflowed and keeps nothing more, so a builder checks once at the end.
 * Always NUL-terminated after the last byte (the NUL is not counted).
 */
struct buf {
    char *p;
    size_t len;
    size_t size;
    size_t max;
    bool overflow;
};

/* Allocates nothing; before the first return of a scope with AUTO(buf_done). */
void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);                    /* the AUTO of a buf */
void buf_clear(struct buf *b);                   /* keeps the memory */
char *buf_steal(struct buf *b, size_t *ret_len); /* caller frees; NULL when overflowed */

void buf_grow_add(struct buf *b, const void *p, size_t len); /* buf_add() where there is no room yet */

/* Here, and not in buf.c, because replies are made of millions of short pieces. */
static inline void buf_add(struct buf *b, const void *p, size_t len)
{
    if (!len || b->overflow || len >= b->size - b->len) {
        buf_grow_add(b, p, len);
        return;
    }
    memcpy(b->p + b->len, p, len);
    b->len += len;
    b->p[b->len] = 0;
}

static inline void buf_add_str(struct buf *b, struct str s)
{
    buf_add(b, s.p, s.len);
}

static inline void buf_add_c(struct buf *b, const char *cstr)
{
    buf_add(b, cstr, cstr ? strlen(cstr) : 0);
}

static inline void buf_add_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_add_i64(struct buf *b, int64_t i); /* decimal */
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
/* Room for len more at the end, NULL (and overflowed) if over the maximum. */
char *buf_reserve(struct buf *b, size_t len);
void buf_commit(struct buf *b, size_t len);  /* that many of the reserved bytes were written */
void buf_consume(struct buf *b, size_t len); /* drops bytes at the front */
struct str buf_str(const struct buf *b);
