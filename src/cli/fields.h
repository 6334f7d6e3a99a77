#pragma once
#include "cli/xe.h"

/*
 * Fields as xe names them: "name-label", "vdi-uuid" and "sr-name-label" for
 * what a reference points at, "memory-actual" for a field of the metrics. Some
 * carry names that history gave them ("dom-id", "VIF-uuids").
 */
#define FIELD_NOT_THERE "<not in database>"

struct xe_field {
    const char *name;
    const struct field *field;
    const struct field *hop;   /* shown instead: a field of the object that `field` points at */
    bool as_name;              /* references: the name of what they point at, not its uuid */
    const struct asked *asked; /* no field of the class: the answer of calls (asked.h); all else is NULL */
};

/* All fields of the class in the order in which they are shown. */
size_t xe_fields(struct arena *a, const struct model_class *c, struct xe_field **ret);
/* Also by the API's own spelling, and references with -uuid behind. NULL. */
const struct xe_field *xe_field_find(const struct xe_field *fields, size_t n, const char *name);

/* The same for "map:key" and "set:contains", of which *ret_key is the second half (else NULL); "map-key" too. */
const struct xe_field *xe_field_split(
    struct arena *a, const struct xe_field *fields, size_t n, const char *name, const char **ret_key);

const struct type *xe_field_type(const struct xe_field *f);           /* of what is shown */
const char *xe_field_mode(struct arena *a, const struct xe_field *f); /* " RO", "MRW", ... */
bool xe_writable(const struct xe_field *f);
const struct msg *xe_setter(const struct xe_field *f, const char *verb); /* "set", "add_to", "remove", ...; NULL */

/* The text of a field of a record; `full` makes the calls that lists avoid. */
const char *xe_field_text(
    struct xe *x, const struct xe_field *f, const char *ref, const struct value *record, bool full);
/* The value behind it (the metrics' for a hop); NULL if there is none. */
const struct value *xe_field_value(struct xe *x, const struct xe_field *f, const struct value *record);
const char *xe_value_text(struct xe *x, const struct type *t, const struct value *v, const char *between);
