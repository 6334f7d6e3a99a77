#pragma once
#include "base/buf.h"
#include "core/call.h"

/*
 * Every change on its own, with the object as it was then: what the old event
 * interface promises, and the store's feed does not keep. One log for all who
 * are registered; each has a place in it. It keeps the newest changes, up to a
 * number and a size, and whoever is further behind has lost some.
 */
#define EVENT_LOG_MAX 8192
#define EVENT_LOG_BYTES_MAX (16UL << 20)

struct event_log;
struct event_log *event_log_new(void);
void event_log_free(struct event_log *l);
void event_log_begin(struct event_log *l, const struct store *s); /* changes from now on */
void event_log_clear(struct event_log *l);                        /* nobody reads any more */
/* What the last transaction changed. */
void event_log_take(struct event_log *l, const struct store *s, uint64_t wall_us);

struct event_entry {
    enum change what;
    const struct model_class *class;
    char *ref;   /* owned */
    char *bytes; /* owned: V_SET of the fields in the order of the class; NULL for CHANGE_DEL */
    size_t len;
    uint64_t gen, wall_us;
};
/* Places count from 0 and never start again: those from first up to next are there. */
uint64_t event_log_first(const struct event_log *l);
uint64_t event_log_next(const struct event_log *l);
const struct event_entry *event_log_at(const struct event_log *l, uint64_t place); /* until the next wait */
