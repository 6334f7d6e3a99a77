#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/*
 * A dynamic value: what travels in an XML-RPC or JSON call and what a field of
 * the database holds. Plain data, no owner inside: it points into an arena, or
 * into one block made by value_pack().
 */
enum value_kind {
    V_NIL,
    V_BOOL,
    V_INT,
    V_FLOAT,
    V_STRING,   /* also enum, ref, secret; UTF-8, NUL-terminated */
    V_DATETIME, /* the text as on the wire, 20260131T09:05:00Z */
    V_SET,      /* n items */
    V_MAP,      /* n pairs: items[2*i] key, items[2*i+1] value; order kept */
};

struct value {
    uint8_t kind;
    uint32_t n; /* length of a string; items of a set; pairs of a map */
    union {
        bool b;
        int64_t i;
        double f;
        const char *s;
        const struct value *items;
    };
};

#define VALUE_NIL ((struct value){ .kind = V_NIL })
struct value value_bool(bool b);
struct value value_int(int64_t i);
struct value value_float(double f);
struct value value_str(const char *s); /* borrows; s must outlive the value */
struct value value_strn(const char *s, size_t len);
struct value value_datetime(const char *s);
struct value value_set(const struct value *items, size_t n);
struct value value_map(const struct value *pairs, size_t n_pairs);

bool value_eq(const struct value *a, const struct value *b);                 /* sets and maps compare in order */
const struct value *value_map_get(const struct value *map, const char *key); /* NULL if absent */
const char *value_map_str(const struct value *map, const char *key);         /* "" if absent or no string */
bool value_set_has(const struct value *set, const char *s);

/* Copies: deep into an arena, or into one malloc'ed block (NULL in *ret_block if none is needed: scalars, empties). */
struct value value_copy(struct arena *a, const struct value *v);
struct value value_pack(const struct value *v, void **ret_block);

/* New containers in the arena, elements borrowed from the old ones. */
struct value value_set_with(struct arena *a, const struct value *set, struct value item);
struct value value_set_without(struct arena *a, const struct value *set, const char *s);
struct value value_map_with(struct arena *a, const struct value *map, struct value key, struct value v); /* replaces */
struct value value_map_without(struct arena *a, const struct value *map, const char *key);

/* A compact binary form for our own wires and the database's rows. Bounded depth; decode checks everything. */
#define VALUE_DEPTH_MAX 32
struct buf;
void value_encode(struct buf *b, const struct value *v);
struct err *value_decode(struct arena *a, struct str *in, struct value *ret) MUST_CHECK; /* advances *in */

/* XenAPI's dateTime text of a wall clock time, 20260131T09:05:00Z, and back (false if malformed). */
#define DATETIME_LEN 18
char *datetime_text(struct arena *a, uint64_t wall_us);
bool datetime_parse(const char *text, uint64_t *ret_wall_us); /* with and without hyphens, zone, fraction */
#define DATETIME_EPOCH "19700101T00:00:00Z"
