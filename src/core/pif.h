#pragma once
#include "core/call.h"

/*
 * Interfaces of this host, physical or made of others (a VLAN), each the uplink
 * of one network. currently_attached says of a physical one that it is switched
 * on, of another that it stands, with its bridge; the second is made so again
 * wherever a start finds it otherwise.
 */

/* This host's interface in the network; NULL: none. */
const struct row *pif_of_network(const struct core *c, const struct row *network);
/* A cable ends in this network, so its uplink stands. */
void pif_note_plugged(const struct core *c, struct tx *t, const char *network);

/* NETWORK_UNMANAGED, NETWORK_ALREADY_CONNECTED, OPERATION_NOT_ALLOWED: may an interface become its uplink? */
struct err *pif_check_network(const struct core *c, const struct row *network) MUST_CHECK;

/* These check nothing but what the net service does. [waits] */
struct err *pif_bring_up(struct call *c, const char *ref) MUST_CHECK;
struct err *pif_take_down(struct call *c, const char *bridge, const char *nic) MUST_CHECK;
/* What stands in the way of an unplug: management, cables that end in its network, disallow_unplug. */
struct err *pif_check_unplug(const struct core *c, const struct row *pif) MUST_CHECK;

/* After a start of ours or of the net service: what was plugged is so again, or is not told to be. [waits] */
void pif_restore(struct core *c);
