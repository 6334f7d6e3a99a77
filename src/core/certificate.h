#pragma once
#include "core/call.h"

/*
 * Class Certificate. Which one the front door shows is the gate's to say, so
 * its row follows what the gate says whenever one connects. Those of others
 * that this pool trusts, and revocation lists, are files in a folder of the
 * core's own; a file that no row knows is what a killed core left.
 */

/* A gate is there: the door is as the database has it, the row as the door has it. [waits] */
struct err *certificate_catch_up(struct core *c) MUST_CHECK;

/* One more row of the class; `host` REF_NULL unless it is a host's own, purpose NULL: none. */
struct door_facts;
void certificate_create(struct tx *t, struct arena *a, const char *uuid, const char *type, const char *name,
    const char *host, const struct door_facts *f, const struct value *purpose);
struct value certificate_time(struct arena *a, int64_t seconds);
