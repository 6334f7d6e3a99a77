#pragma once
#include <netinet/in.h>
#include "gen/ipc_net.h"
#include "net/linux/nl.h"

/*
 * A bond: interfaces of the host under another one, which is the uplink of a
 * bridge. Their addresses and routes go to that bridge, and when the bond ends
 * to its primary member, whose name the bond has for a note. All along the
 * bridge notes who has them next, so that a death of ours loses none.
 *
 * Modes: lacp is 802.3ad, active-backup is what it is called here, and
 * balance-slb is balance-tlb: it needs nothing of a switch, spreads what is
 * sent, and receives on one member at a time.
 */

/* The bond of this network with these members and no others, up; not yet in the bridge. The links are read again. */
struct err *bond_set(struct nl *n, struct nl_links *links, int bridge, const struct net_network *network) MUST_CHECK;

/* Its members are on their own again. bridge NULL: it is in none. */
struct err *bond_dissolve(
    struct nl *n, const struct nl_links *links, struct nl_link *bond, struct nl_link *bridge) MUST_CHECK;

/* The gateway that was heard of behind one of the members; false: there is none. */
bool bond_gateway(struct nl *n, struct nl_links *links, const struct net_bond *bond, struct in_addr *ret_gateway);
