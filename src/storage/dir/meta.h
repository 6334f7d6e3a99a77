#pragma once
#include <stdbool.h>
#include "base/arena.h"
#include "base/err.h"

/*
 * <uuid>.meta: what an image does not say of itself. One key=value per line;
 * control characters and % of a value as %XX.
 */
struct meta {
    const char *name, *type; /* never NULL */
    bool partial;            /* content is half written */
};

/* A missing or unreadable file gives the defaults. */
void meta_read(struct arena *a, int dir_fd, const char *uuid, struct meta *ret);
/* Durable. */
struct err *meta_write(int dir_fd, const char *uuid, const struct meta *m) MUST_CHECK;
void meta_remove(int dir_fd, const char *uuid);
