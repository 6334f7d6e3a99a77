#pragma once
#include <stdio.h>
#include "base/err.h"

/*
 * Errors as people read them. Those of xe itself have the code XE_USAGE and are
 * plain text; those of the server keep code and parameters until the end, where
 * fail_print() adds what the code means and what can be done.
 */
#define XE_USAGE "XE_USAGE"

struct err *usage(const char *fmt, ...) PRINTF(1, 2) RETURNS_NONNULL MUST_CHECK;

/* Gives a parameter as it should be shown: a reference becomes uuid and name. May return `value`. */
typedef const char *fail_name_fn(void *arg, const char *param, const char *value);

void fail_print(FILE *to, const struct err *e, fail_name_fn *name, void *arg);
