#pragma once
#include <stddef.h>
#include "base/mem.h"

/*
 * A growable array of any type:
 *     VEC(struct watch *) watches = { 0 };
 *     vec_push(&watches, w);
 *     for (size_t i = 0; i < watches.len; i++) use(watches.p[i]);
 *     vec_done(&watches);
 */
#define VEC(type)    \
    struct {         \
        type *p;     \
        size_t len;  \
        size_t size; \
    }

#define vec_reserve(v, want)                                          \
    do {                                                              \
        if ((v)->size < (want)) {                                     \
            size_t vec_size = (v)->size ? (v)->size * 2 : 8;          \
            while (vec_size < (want))                                 \
                vec_size *= 2;                                        \
            (v)->p = mem_realloc((v)->p, vec_size * sizeof(*(v)->p)); \
            (v)->size = vec_size;                                     \
        }                                                             \
    } while (0)

#define vec_push(v, x)                  \
    do {                                \
        vec_reserve((v), (v)->len + 1); \
        (v)->p[(v)->len++] = (x);       \
    } while (0)

/* Constant time; the last element takes the place of element i. */
#define vec_remove_swap(v, i) ((v)->p[(i)] = (v)->p[--(v)->len])

#define vec_done(v)               \
    do {                          \
        free((v)->p);             \
        (v)->p = NULL;            \
        (v)->len = (v)->size = 0; \
    } while (0)
