#pragma once
#include "net/linux/nl.h"

/*
 * Bridges, and what is ours: an interface that we made has the alias
 * "runnymede", a bridge with an uplink "runnymede UPLINK". So nothing needs to
 * be remembered, and nobody else's is changed or removed.
 */
bool link_is_ours(const struct nl_link *l);
/* What was made, but not to the end, by a process that died: it carries no traffic and no note. */
bool link_is_unfinished(const struct nl_link *l);
struct err *link_mark(struct nl *n, struct nl_link *l) MUST_CHECK; /* ours, without an uplink */

const char *bridge_uplink(const struct nl_link *bridge); /* "" for none */
struct err *bridge_note_uplink(struct nl *n, struct nl_link *bridge, const char *uplink) MUST_CHECK;

/* The bridge of this name; made if it is missing (*ret_made). The links are read again then. */
struct err *bridge_find_or_make(
    struct nl *n, struct nl_links *links, const char *name, struct nl_link **ret, bool *ret_made) MUST_CHECK;
