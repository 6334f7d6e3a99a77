#pragma once
#include "cli/records.h"
#include "gen/xe_verbs.h"

/*
 * Verbs. Those with a history are functions in tables, one table per subject;
 * all others follow from the model (gen/xe_verbs.h).
 */
typedef struct err *verb_fn(struct xe *x);

struct verb {
    const char *name;
    verb_fn *run;
    const char *needs;  /* parameters that must be there: "vm-uuid,device" */
    const char *takes;  /* and that may; "other-config:" is a map */
    const char *select; /* noun whose filters it takes too: "vm"; NULL */
    const char *help;   /* one sentence */
};

extern const struct verb vm_verbs[], size_verbs[], disk_verbs[], storage_verbs[], network_verbs[], host_verbs[],
    host_file_verbs[], blob_verbs[], source_verbs[], diagnose_verbs[], secret_verbs[], other_verbs[];

/* A verb found by name: one of these is set. */
struct verb_found {
    const struct verb *hand;
    const struct xe_verb *made;
    enum xe_kind kind; /* of `made`, or of a noun without class of its own, such as template-list */
    struct noun noun;
};

bool verb_find(struct arena *a, const char *name, struct verb_found *ret);
/* Calls fn for every name, sorted within each source; hand-written ones first. */
void verb_each(struct arena *a, void (*fn)(void *arg, const char *name), void *arg);
const char *verb_near(struct arena *a, const char *name); /* something like it, or NULL */

struct err *verb_run(struct xe *x, const struct verb_found *v) MUST_CHECK;

/* Verbs that follow from the model. */
struct err *list_run(struct xe *x, const struct noun *noun) MUST_CHECK;
struct err *param_run(struct xe *x, const struct noun *noun, enum xe_kind kind) MUST_CHECK;
struct err *message_run(struct xe *x, const struct xe_verb *v) MUST_CHECK;
const char *message_params(struct arena *a, const struct xe_verb *v, bool needed); /* names, comma-separated */

/* Helpers of the tables */
void say(const char *fmt, ...) PRINTF(1, 2); /* a line on stdout */
struct err *say_uuid(struct xe *x, const struct model_class *c, const char *ref) MUST_CHECK;
struct err *need_ref(struct xe *x, const char *arg, const struct model_class *c, const char **ret_ref) MUST_CHECK;
struct err *need_int(struct xe *x, const char *arg, int64_t *ret) MUST_CHECK;
void say_map(struct xe *x, const struct value *map); /* as a record */
struct err *confirm(struct xe *x) MUST_CHECK;        /* force=true, or the user types yes */

/* Calls fn for each VM that was picked; templates and control domains only when named. */
typedef struct err *each_fn(struct xe *x, const struct rec *r);
struct err *each(struct xe *x, const char *noun, each_fn *fn) MUST_CHECK;

struct err *help_run(struct xe *x) MUST_CHECK;
