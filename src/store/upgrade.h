#pragma once
#include <stddef.h>
#include "base/err.h"
#include "base/value.h"

/*
 * Rows written by an older version. Most changes of the schema need nothing
 * here: a field that is missing takes its default, one that is unknown is
 * dropped. A step is for what that rule gets wrong: a rename, a split, a new
 * meaning.
 */
struct upgrade_row {
    const char *class;   /* NULL: drop the row */
    struct value fields; /* V_MAP field name -> value */
};

struct upgrade_step {
    int major, minor;  /* for rows stored by versions before this one */
    const char *class; /* of this class only; NULL: every class */
    struct err *(*run)(struct arena *a, struct upgrade_row *row);
};

struct upgrade_plan {
    int major, minor;                 /* the schema of this program */
    const struct upgrade_step *steps; /* in order of versions */
    size_t n_steps;
};

const struct upgrade_plan *upgrade_plan_current(void);

/* Runs every step between the stored version and the plan's. */
struct err *upgrade_run(
    const struct upgrade_plan *p, int from_major, int from_minor, struct arena *a, struct upgrade_row *row) MUST_CHECK;

/* store_open() with a plan of one's own: for tests. */
struct loop;
struct backend;
struct store;
struct err *store_open_upgrading(struct loop *l, struct backend *durable, struct backend *fleeting,
    const struct upgrade_plan *plan, struct store **ret) MUST_CHECK;
