#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "model/model.h"

/*
 * A query expression of get_all_where() and get_all_records_where()
 * (protocol.md section 9):
 *     field "is_a_template"="false" and not field "name__label"="web1"
 * Comparison is on the text form of values; a field may be spelt as on the wire
 * or as in the database.
 *
 * query_parse() compiles it into the arena; query_match() decides about one
 * object, asking for the values it needs.
 */
struct query;

/* Fails with INVALID_VALUE [expr, reason]. */
struct err *query_parse(
    struct arena *a, const struct model_class *c, const char *expr, const struct query **ret) MUST_CHECK;

/* The value need live only until the next call. */
typedef struct value query_get_fn(void *arg, const struct field *f);
bool query_match(const struct query *q, query_get_fn *get, void *arg);

/* The text form: true, 12, OpaqueRef:.., ('a' 'b'), (('k' 'v')), (). */
void query_text(struct buf *b, const struct value *v);
