#pragma once
#include "net/linux/nl.h"

/*
 * Bridges, and what is ours: an interface that we made has the alias
 * "runnymede", or "runnymede OTHER" where it goes with another one. So nothing needs to
 * be remembered, and nobody else's is changed or removed.
 */
bool link_is_ours(const struct nl_link *l);
/* What was made, but not to the end, by a process that died: it carries no traffic and no note. */
bool link_is_unfinished(const struct nl_link *l);
struct err *link_mark(struct nl *n, struct nl_link *l) MUST_CHECK; /* ours, without a note */

/* Ours, and what belongs to it: a bridge's uplink, a bond's primary member. "" for none. */
const char *link_note(const struct nl_link *l);
struct err *link_note_set(struct nl *n, struct nl_link *l, const char *note) MUST_CHECK;

/* The bridge of this name; made if it is missing (*ret_made). The links are read again then. */
struct err *bridge_find_or_make(
    struct nl *n, struct nl_links *links, const char *name, struct nl_link **ret, bool *ret_made) MUST_CHECK;
