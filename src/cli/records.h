#pragma once
#include "cli/fields.h"
#include "cli/print.h"

/*
 * Nouns ("vm", "template", "sr") and the records they stand for. A noun is a
 * class, perhaps narrowed: a template is a VM with is-a-template=true.
 */
struct noun {
    const char *name;
    const struct model_class *class;
    const char *where;  /* "is-a-template=false": holds unless the user filters by the same field; "" */
    const char *params; /* shown by -list without params=; "" for uuid, name and description */
};

/* "vm", "vm-appliance"; false if there is none. */
bool noun_find(struct arena *a, const char *name, struct noun *ret);
size_t noun_extra(const struct noun **ret); /* those that are no class of their own */

struct rec {
    const char *ref;
    const struct value *record;
};

/*
 * The noun's objects that match every argument nobody else asked for:
 * name=value, map:key=value, set:contains=value. Fails on names that are no
 * field. Sorted by name, then uuid.
 */
struct err *records_select(struct xe *x, const struct noun *noun, struct rec **ret, size_t *ret_n) MUST_CHECK;

/* Does this record match the filters? For event-wait. "/=" in front of the value: must differ. */
struct err *records_match(struct xe *x, const struct noun *noun, const struct rec *r, bool *ret) MUST_CHECK;

/* For verbs on objects: <noun>=UUID|NAME, uuid=, or filters; more than one only with --multiple, none is an error. */
struct err *records_pick(struct xe *x, const struct noun *noun, struct rec **ret, size_t *ret_n) MUST_CHECK;
struct err *records_pick_one(struct xe *x, const struct noun *noun, struct rec *ret) MUST_CHECK;

/* Prints records as -list does; params NULL: the noun's usual ones, "all": all. */
struct err *records_print(
    struct xe *x, const struct noun *noun, const char *params, const struct rec *list, size_t n) MUST_CHECK;

/* The same, with the fields that cost a call each. */
struct err *records_print_full(
    struct xe *x, const struct noun *noun, const char *params, const struct rec *list, size_t n) MUST_CHECK;

struct err *no_argument_left(struct xe *x) MUST_CHECK; /* fails if one was not understood */
