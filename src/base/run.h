#pragma once
#include <stdbool.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/proc.h"
#include "base/str.h"

/*
 * A program that is run to its end: bytes in, bytes out, within a deadline and
 * a bound on what it says. It gets a session of its own, and whatever it left
 * behind in there ends with it.
 */
struct run_spec {
    const char *const *argv; /* argv[0] is the program's path */
    const char *const *envp; /* as in struct proc_spec */
    struct str input;
    size_t out_max;      /* bytes of standard output, and again of standard error */
    bool errors_to_ours; /* standard error goes to ours instead */
    uint64_t timeout_us;
    int (*in_child)(void *arg); /* as in struct proc_spec */
    void *arg;
};

struct run_end {
    int status; /* as proc_wait() says it */
    struct str out, err;
};

/* [waits] Fails if it cannot be started, takes too long or says too much. The texts are in the arena, NUL-terminated.
 */
struct err *run_program(struct loop *l, const struct run_spec *s, struct arena *a, struct run_end *ret_end) MUST_CHECK;
