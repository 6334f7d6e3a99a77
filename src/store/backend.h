#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

struct backend;

/*
 * What a keeper of rows must do. It knows nothing of classes: a row is a key
 * and a blob. commit() is called on a worker thread, one call at a time, and
 * may block; all of its changes become durable together or not at all.
 */
struct backend_change {
    const char *ref;
    const char *class; /* NULL: the row is gone */
    uint64_t created;  /* generation that made the row */
    struct str blob;   /* value_encode() of a map field name -> value */
};

struct backend_row {
    const char *ref;
    const char *class;
    uint64_t created;
    struct str blob;
};

typedef struct err *backend_row_fn(void *arg, const struct backend_row *row);

struct backend {
    const char *name;
    /* Everything there is, in order of creation, and the highest `gen` of any commit. Called once, before any commit.
     */
    struct err *(*load)(struct backend *b, backend_row_fn *fn, void *arg, uint64_t *ret_gen);
    /* gen: generations up to here may have been used by the time this is read again. n may be 0. */
    struct err *(*commit)(struct backend *b, const struct backend_change *changes, size_t n, uint64_t gen);
    /* Schema version of the stored rows; 0 0 when new. */
    struct err *(*schema)(struct backend *b, int *ret_major, int *ret_minor);
    /* Becomes the stored version together with the next commit. */
    void (*set_schema)(struct backend *b, int major, int minor);
    void (*free)(struct backend *b);
};
