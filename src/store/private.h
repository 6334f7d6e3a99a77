#pragma once
#include <assert.h>
#include <string.h>
#include "base/fiber.h"
#include "base/list.h"
#include "base/map.h"
#include "base/vec.h"
#include "store/backend.h"
#include "store/store.h"
#include "store/upgrade.h"

/* What the files of the store share. Nobody else includes this. */

#define TOMBS_MAX 16384
#define GEN_RESERVE (UINT64_C(1) << 20) /* numbers reserved ahead on disk */
#define GEN_SLACK 4096                  /* left for roll-backs when a back end refuses to reserve more */
#define LOST_MAX 1024
#define BLOB_MAX (16u << 20)

/* Everything of one class. */
struct shelf {
    const struct model_class *class;
    struct link rows; /* in order of creation */
    size_t n_rows;
    struct map *by_uuid; /* row */
    struct map *by_name; /* struct name_set */
};

struct name_set {
    VEC(struct row *) rows;
};

/* A field of a row: a stored value, or for REL_DERIVED the rows that point here. */
struct slot {
    union {
        struct {
            struct value value;
            void *block;  /* owned; NULL for scalars and shared defaults */
            uint32_t pos; /* REL_ONE: where this row stands in the target's slot */
        };
        VEC(struct row *) related;
    };
};

struct row {
    struct shelf *shelf;
    char *ref; /* owned */
    uint64_t created, modified, pending;
    uint64_t gone, back; /* a destruction that was rolled back: away in [gone, back) */
    uint64_t touched;    /* serial of the touch list it is on */
    struct link in_class, in_feed;
    uint32_t name_pos;
    bool dead; /* not in any index; an undo log keeps the memory */
    struct slot slots[];
};

/* A stored ref whose target does not exist (yet). */
struct edge {
    struct row *row;
    const struct field *field;
};
struct dangling {
    VEC(struct edge) edges;
};

struct tomb {
    const struct model_class *class; /* NULL: taken back */
    char *ref;
    uint64_t created, gen;
    uint64_t gone; /* not 0: whoever has seen this one knows already */
};

struct undo {
    enum { UNDO_SET, UNDO_CREATE, UNDO_DESTROY, UNDO_NOTHING } kind;
    struct row *row; /* owned by UNDO_DESTROY */
    const struct field *field;
    struct value value;
    void *block; /* owned */
};

/* What a transaction did, kept until it is durable. */
struct undo_log {
    struct link link;
    uint64_t gen;
    bool durable; /* must reach the durable back end */
    VEC(struct undo) undos;
};

/* Rows that a transaction changes, each once; NULL where nobody asks. */
struct touched {
    uint64_t serial;
    VEC(struct row *) rows;
};

/* Generations (from, to] were rolled back. */
struct lost {
    uint64_t from, to;
    struct err *err;
};

struct waiter {
    struct link link;
    struct fiber *fiber;
    uint64_t gen;
    bool done;
};

/* One back end and what it has yet to be told. */
struct lane {
    struct backend *backend; /* NULL: memory only */
    struct map *dirty;       /* refs */
    bool busy;               /* a fiber is at it */
    bool stuck;              /* the last commit failed: wait for something new */
};

struct store {
    struct loop *loop;
    struct shelf *shelves; /* by class id */
    struct map *by_ref;
    struct map *dangling;   /* ref -> struct dangling */
    struct link feed;       /* rows, oldest change first */
    VEC(struct tomb) tombs; /* a ring once full: tombs_at is the oldest */
    size_t tombs_at;
    uint64_t gen, durable, oldest, reserved, touch_serial;
    struct link logs; /* struct undo_log, oldest first */
    struct lane durable_lane, fleeting_lane;
    struct link waiters;
    VEC(struct lost) lost;
    VEC(struct on_change {
        loop_fn *fn;
        void *arg;
    })
    on_change;
    struct store_stats stats;
    unsigned users; /* fibers inside, after which the memory may go */
    bool closed;
};

/* row.c: one row and its values */
struct row *row_new(struct shelf *k, char *ref, uint64_t created); /* takes ref; every field has its default */
void row_free(struct row *r);
struct value field_default(const struct field *f);
bool field_takes(const struct field *f, const struct value *v); /* the right kind of value */
bool field_is_edge(const struct field *f);                      /* writing it changes a derived set */
bool field_is_durable(const struct field *f);                   /* kept by the durable back end */
void slot_put(struct row *r, const struct field *f,
    const struct value *v); /* copies; frees what was there; no edges, no indexes */
struct err *row_encode(
    const struct row *r, bool durable, struct str *ret_blob, bool *ret_empty); /* caller frees blob.p */
struct value field_fit(const struct field *f, const struct value *v); /* v if its kind is right, else the default */

/* index.c: rows in their indexes, refs in their derived sets */
void row_hook(struct store *s, struct row *r, struct touched *t);
void row_unhook(struct store *s, struct row *r, struct touched *t);
void row_swap(struct store *s, struct row *r, const struct field *f, struct value *v, void **block, struct touched *t);
bool uuid_taken(const struct row *r, const struct value *v);

/* feed.c */
void touched_init(struct touched *t, struct store *s);
void touched_add(struct touched *t, struct row *r);
void feed_stamp(struct store *s, struct touched *t, uint64_t gen); /* all of them changed at gen; empties t */
void feed_unbury(struct store *s, const char *ref, uint64_t gen);  /* the destruction at gen did not happen */
void feed_ring(const struct store *s);                             /* calls whoever waits for changes */
void feed_done(struct store *s);

/* undo.c */
void undo_log_free(struct undo_log *l);
DEFINE_DROP(undo_log)
/* back: generation of the roll-back; 0 if nobody has seen the log's */
void undo_log_revert(struct store *s, struct undo_log *l, struct touched *t, uint64_t back);
void undo_log_mark(struct store *s, const struct undo_log *l); /* the back ends must hear of it */
void undo_log_supersede(
    struct store *s, const struct undo_log *fleeting); /* pending logs will not revert what it set */

/* commit.c */
void lane_mark(struct lane *l, const char *ref);
struct err *lane_flush_at_open(struct store *s, struct lane *l) MUST_CHECK; /* blocks */
void commit_applied(struct store *s, struct undo_log *l);                   /* takes l */
void store_unref(struct store *s);

/* load.c */
struct err *store_load(struct store *s, const struct upgrade_plan *plan) MUST_CHECK;
