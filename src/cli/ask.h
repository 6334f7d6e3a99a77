#pragma once
#include "cli/xe.h"

/*
 * One line that nobody is to see: from the terminal without echo, or from
 * standard input where that is no terminal. Lives in the arena.
 */
struct err *ask_secret(struct xe *x, const char *prompt, const char **ret) MUST_CHECK;
/* The same, asked twice on a terminal; both must be equal. */
struct err *ask_new_secret(struct xe *x, const char *prompt, const char **ret) MUST_CHECK;
