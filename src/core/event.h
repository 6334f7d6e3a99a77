#pragma once
#include "core/call.h"

/* What the two event interfaces share; event.c has that of today, event_old.c the one before. */

/* What a caller wants to hear of: names as clients give them, "*", "vm", "vm/OpaqueRef:..". */
struct subscription {
    bool all;
    bool *classes; /* by class id */
    struct {
        const struct model_class *cls;
        const char *ref;
    } * objects; /* single ones */
    size_t n_objects;
};
void event_subscribe(struct arena *a, const struct value *names, struct subscription *s);
bool event_wanted(const struct subscription *s, const struct model_class *c, const char *ref);

/* An event's map, left open for its snapshot. */
void event_write_begin(struct call *c, enum change what, const struct model_class *cls, const char *ref, const char *id,
    const char *timestamp);
/* After a wait: neither its session nor its task has ended. */
struct err *event_still_there(struct call *c) MUST_CHECK;

void event_changed(struct core *c);                            /* after each transaction */
void event_session_ended(struct core *c, const char *session); /* its subscription of the old interface goes */
void event_old_register(struct api_handlers *h);
void event_old_done(struct core *c);
void event_done(struct core *c); /* frees what both remember */
