#pragma once
#include <stddef.h>
#include "base/compiler.h"

/*
 * An error: NULL is success. It carries the XenAPI code and parameters exactly
 * as a client will see them, plus a note and a trace for our log.
 *
 * Whoever receives one owns it: pass it up (TRY), free it (err_free, AUTO), or
 * say why it does not matter (err_ignore). Constructors of the declared codes
 * are generated from idl/xenapi/errors.toml into "gen/errors.h".
 */
struct err;

/* Code and parameters are copied. */
struct err *err_new(const char *code, const char *const *params, size_t n_params) RETURNS_NONNULL MUST_CHECK;

/* INTERNAL_ERROR [text]: for what no client can act on. */
struct err *err_internal(const char *fmt, ...) PRINTF(1, 2) RETURNS_NONNULL MUST_CHECK;

/* INTERNAL_ERROR ["text: strerror"]; err_errno_get() gives the number back, 0 for other errors. */
struct err *err_errno(int errnum, const char *fmt, ...) PRINTF(2, 3) RETURNS_NONNULL MUST_CHECK;

const char *err_code(const struct err *e);
size_t err_n_params(const struct err *e);
const char *err_param(const struct err *e, size_t i);
int err_errno_get(const struct err *e);
void err_errno_set(struct err *e, int errnum);     /* of an error that came over a wire */
int err_is(const struct err *e, const char *code); /* false for NULL */

/* The log's text: "CODE [p1, p2] (note) at file:line < file:line". Valid until the error changes. */
const char *err_text(struct err *e);

/* Adds what was being done when it happened, the latest in front; returns e. */
struct err *err_note(struct err *e, const char *fmt, ...) PRINTF(2, 3) MUST_CHECK;
struct err *err_trace(struct err *e, const char *file, int line) RETURNS_NONNULL MUST_CHECK;

void err_free(struct err *e);
DEFINE_DROP(err)

/* Frees e; `why` is for the reader of the code. */
void err_ignore(struct err *e, const char *why);

/* Keeps the first of two errors and frees the second. */
struct err *err_first(struct err *first, struct err *second) MUST_CHECK;

#define TRY(expr)                                          \
    do {                                                   \
        struct err *try_err = (expr);                      \
        if (__builtin_expect(try_err != NULL, 0))          \
            return err_trace(try_err, __FILE__, __LINE__); \
    } while (0)
