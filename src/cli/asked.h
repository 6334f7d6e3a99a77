#pragma once
#include "cli/fields.h"

/* Answers of calls that xe shows like fields. Lists leave out those that are not cheap. */
struct asked {
    const char *class, *name;
    const char *getter; /* "VM.get_possible_hosts": its answer as it is; NULL: `ask` knows */
    const char *(*ask)(struct xe *x, const char *ref, const struct value *record);
    const char *setter; /* a message, for param-set; NULL */
    bool cheap;
    bool map; /* what `ask` gives reads as a map */
};

#define ASKED_MAX 8 /* of one class */

size_t asked_fields(const struct model_class *c, struct xe_field *list); /* appends; how many */
bool asked_instead(const struct model_class *c, const char *name);       /* of the class's own field of that name */
const struct type *asked_type(const struct asked *q);
const char *asked_text(struct xe *x, const struct asked *q, const char *ref, const struct value *record);
