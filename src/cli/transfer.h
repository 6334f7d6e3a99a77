#pragma once
#include "cli/xe.h"

/*
 * Files to and from the server's HTTP handlers. Each transfer has a task: it
 * tells how the other side fared, and its end is waited for. "-" is standard
 * input or output. A file that is there already is not overwritten; one that
 * could not be filled is removed.
 */
struct err *transfer_upload(struct xe *x, const char *path, const char *const *pairs, size_t n_pairs, const char *file,
    const char *label) MUST_CHECK;
/* `size` is what to expect, for the bar; -1: unknown. */
struct err *transfer_download(struct xe *x, const char *path, const char *const *pairs, size_t n_pairs,
    const char *file, int64_t size, const char *label) MUST_CHECK;
