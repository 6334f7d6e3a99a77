#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/arena.h"
#include "base/err.h"

/*
 * What the user asked for: options that say where the server is and how to
 * print, a verb, and name=value arguments. Sources, the later ones winning:
 * ~/.xe, the variable XE_EXTRA_ARGS, the command line.
 *
 * Everything lives in the arena. Passwords on the command line are overwritten
 * in argv once read, so that other users see stars.
 */
struct arg {
    const char *name, *value; /* "other-config:key" is one name */
    bool used;                /* somebody asked for it: what nobody asked for is a filter, or an error */
};

struct args {
    const char *server, *port, *user, *password, *password_file, *socket;
    bool plain;         /* HTTP without TLS */
    bool minimal;       /* --minimal: values alone, comma-separated */
    bool debug;         /* --debug: each call and how it went, on standard error */
    bool debug_on_fail; /* the same, told only if the verb fails */
    bool help, version;
    const char *verb; /* NULL: none given */
    struct arg *list;
    size_t n;
    const char **words; /* of help: the verbs to explain */
    size_t n_words;
};

struct err *args_parse(
    struct arena *a, int argc, char **argv, const char *rc_text, const char *extra, struct args *ret) MUST_CHECK;

const char *arg_get(struct args *a, const char *name); /* marks it as used; NULL */
struct err *arg_need(struct args *a, const char *name, const char **ret) MUST_CHECK;
/* The first of a comma-separated list of names that was given. */
const char *arg_any(struct args *a, const char *names);
struct err *arg_bool(struct args *a, const char *name, bool dflt, bool *ret) MUST_CHECK;
bool args_left(const struct args *a); /* is there one that nobody asked for? */
bool bool_parse(const char *text, bool *ret);

/* Splits at commas; "\," is a comma and "\\" a backslash. "" has no pieces. */
size_t comma_split(struct arena *a, const char *text, const char ***ret);
