#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/loop.h"
#include "base/value.h"
#include "model/model.h"

/*
 * The archive: every object of the API as a row, all of it in memory, changed
 * only by transactions, kept by back ends (store/backend.h).
 *
 * A transaction is applied to memory at once and is durable a little later;
 * tx_commit() waits for that. Readers may see what is not durable yet, so
 * whoever answers a client first waits for the generation it has seen
 * (store_wait_durable). If a back end refuses a commit, every transaction that
 * is not durable is rolled back, newest first, and its tx_commit() fails: with
 * an etcd back end, which commits by compare-and-swap, that is a conflict, and
 * the caller starts over.
 *
 * Each change has a generation; a row knows the one that created it and the
 * last that changed it, and rows are linked in the order of their last change,
 * so "what changed since" costs what it returns. Relations are kept on both
 * sides: writing VBD.VM changes (and gives an event to) the VM as well.
 *
 * Fields that the model marks not persistent go to a second, volatile back end
 * (a file on a tmpfs): they outlive this process, not the host. Nobody waits
 * for that one.
 *
 * One loop, one thread. A row pointer is valid until the next wait or commit.
 */
struct store;
struct row;
struct tx;
struct backend;

/* Loads what the back ends hold; both may be NULL (memory only). Takes ownership of the back ends. */
struct err *store_open(
    struct loop *l, struct backend *durable, struct backend *fleeting, struct store **ret) MUST_CHECK;
void store_close(struct store *s); /* waits for nothing: crash only */

/* Finding rows. */
const struct row *store_find(const struct store *s, const char *ref); /* any class; NULL */
const struct row *store_find_of(const struct store *s, const struct model_class *c, const char *ref);
const struct row *store_by_uuid(const struct store *s, const struct model_class *c, const char *uuid);
size_t store_by_name(const struct store *s, const struct model_class *c, const char *label, struct arena *a,
    const struct row ***ret_rows);
size_t store_count(const struct store *s, const struct model_class *c);
const struct row *store_first(const struct store *s, const struct model_class *c); /* in order of creation */
const struct row *store_next(const struct row *r);

/* Reading a row. */
const char *row_ref(const struct row *r);
const struct model_class *row_class(const struct row *r);
struct value row_value(struct arena *a, const struct row *r, const struct field *f); /* any field, derived sets too */
const struct value *row_get(const struct row *r, const struct field *f); /* stored fields only: no derived sets */
const char *row_str(const struct row *r, const struct field *f);         /* "" unless text */
int64_t row_int(const struct row *r, const struct field *f);
bool row_bool(const struct row *r, const struct field *f);
double row_float(const struct row *r, const struct field *f);
const char *row_map_str(const struct row *r, const struct field *f, const char *key); /* "" if absent */
/* The row a ref field points to, NULL if OpaqueRef:NULL or gone. */
const struct row *row_follow(const struct store *s, const struct row *r, const struct field *f);
/* Derived sets without building them. */
size_t row_n_related(const struct row *r, const struct field *derived);
const struct row *row_related(const struct row *r, const struct field *derived, size_t i);

/*
 * Transactions. Between tx_begin() and tx_commit()/tx_apply() the caller must
 * not wait. Values are copied; one of the wrong kind (text for a datetime, say)
 * makes the transaction fail with INTERNAL_ERROR. A row created or changed in the transaction is
 * seen by others only once it is applied; tx_get() sees it.
 */
struct tx_field {
    const struct field *field;
    struct value value;
};
struct tx *tx_begin(struct store *s);
void tx_free(struct tx *t); /* abandons it; NULL is fine */
DEFINE_DROP(tx)
/* ref NULL: a new one is made. Missing fields take their default or the empty value of their type; a `uuid` field not
 * given is made. The ref is valid as long as the row, or until the transaction fails. */
const char *tx_create(
    struct tx *t, const struct model_class *c, const char *ref, const struct tx_field *fields, size_t n);
void tx_set(
    struct tx *t, const char *ref, const struct field *f, struct value v); /* equal value: no change, no event */
void tx_destroy(struct tx *t, const char *ref); /* refs to it in REL_ONE fields become OpaqueRef:NULL */
void tx_touch(struct tx *t, const char *ref);   /* a new generation without a change: event.inject */
struct value tx_get(struct tx *t, struct arena *a, const char *ref, const struct field *f);
bool tx_exists(struct tx *t, const char *ref);

/* A second row with a uuid or ref: DB_UNIQUENESS_CONSTRAINT_VIOLATION. */
/* Applies and returns the generation to wait for (ret_gen may be NULL). Frees the transaction. Unknown refs in
 * set/destroy: HANDLE_INVALID, nothing applied. */
struct err *tx_apply(struct tx *t, uint64_t *ret_gen) MUST_CHECK;
/* tx_apply() + wait until durable. Frees the transaction. [waits] */
struct err *tx_commit(struct tx *t) MUST_CHECK;

/* Generations. */
uint64_t store_gen(const struct store *s);         /* of the newest change */
uint64_t store_gen_durable(const struct store *s); /* everything up to here is safe */
uint64_t store_gen_oldest(
    const struct store *s); /* store_changes() is complete for `since` >= this, and for 0: all there is */
uint64_t row_created(const struct row *r);
uint64_t row_modified(const struct row *r);
uint64_t row_pending(const struct row *r); /* newest change of it that must become durable; 0: none pending ever */
struct err *store_wait_durable(struct store *s, uint64_t gen) MUST_CHECK; /* [waits] */

/* Change feed: calls fn for each object changed after `since`, one call per object, oldest change first. */
enum change { CHANGE_ADD, CHANGE_MOD, CHANGE_DEL };
struct change_info {
    enum change what;
    const struct model_class *class;
    const char *ref;
    const struct row *row; /* NULL for CHANGE_DEL */
    uint64_t gen;
};
typedef void change_fn(void *arg, const struct change_info *c);
void store_changes(const struct store *s, uint64_t since, change_fn *fn, void *arg);

/* Called after every applied transaction (and roll-back), in the loop: look, and wake whoever waits for events. */
void store_on_change(struct store *s, loop_fn *fn, void *arg); /* fn may read, and neither changes anything nor waits */
void store_off_change(struct store *s, loop_fn *fn, void *arg); /* before what arg points to ends */

/* Statistics for tests, benchmarks and the curious. */
struct store_stats {
    uint64_t commits;                /* durable batches written */
    uint64_t txs;                    /* transactions that needed the durable back end */
    uint64_t failed;                 /* commits that failed without a transaction to blame: fleeting writes, mostly */
    uint64_t sum_us, min_us, max_us; /* what writing a durable batch took */
};
struct store_stats store_stats(const struct store *s);
