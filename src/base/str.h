#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

/*
 * A borrowed run of bytes, and the questions one asks of text. Not
 * NUL-terminated unless its maker says so.
 */
struct str {
    const char *p;
    size_t len;
};

#define STR(literal) ((struct str){ (literal), sizeof(literal) - 1 })

struct str str_of(const char *cstr); /* NULL gives the empty str */
bool str_eq(struct str a, struct str b);
bool str_eq_c(struct str a, const char *b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_trim(struct str s); /* blanks and tabs at both ends */

/* Splits at the first `sep`: *ret_head gets what is before; returns false (head = s, rest empty) if there is none. */
bool str_cut(struct str s, char sep, struct str *ret_head, struct str *ret_rest);

/* Whole text must be the number; false otherwise, *ret untouched. Decimal, or 0x/0o/0b with str_to_i64_any. */
bool str_to_i64(struct str s, int64_t *ret);
bool str_to_u64(struct str s, uint64_t *ret);
bool str_to_i64_any(struct str s, int64_t *ret);
bool str_to_double(struct str s, double *ret); /* finite and decimal */

bool str_is_utf8(struct str s); /* no surrogates, no overlong forms, at most U+10FFFF */

/* The same for C strings; NULL equals only NULL. */
bool cstr_eq(const char *a, const char *b);
bool cstr_starts(const char *s, const char *prefix);
bool cstr_empty(const char *s); /* NULL or "" */
