#pragma once
#include "gen/ipc_net.h"
#include "net/linux/nl.h"

/*
 * What a network's frames leave the host through: an interface of the host, or
 * a VLAN of one, or a bond (bond.h), as the port of a bridge. A VLAN is an interface of its own that
 * goes with its network; its tag never shows inside of the bridge. The interface
 * below it may be in a bridge itself, which then has what comes without a tag.
 *
 * An interface with addresses takes them and its routes into the bridge, and
 * back out of it. Where the gateway is lost on the way, all is as it was.
 */

/* The bridge is ours or not, and up. Idempotent. Afterwards the bridge has this uplink and no other. */
struct err *uplink_set(
    struct nl *n, struct nl_links *links, struct nl_link *bridge, const struct net_network *network) MUST_CHECK;

/* Out of our bridge, with what it brought; a VLAN of ours is removed. Without an uplink it is success. */
struct err *uplink_clear(struct nl *n, struct nl_links *links, struct nl_link *bridge) MUST_CHECK;

/* Out of what of ours has it for a port, or a member, with what it brought. */
struct err *uplink_release(struct nl *n, struct nl_links *links, struct nl_link *port) MUST_CHECK;

/* What a process of ours left half done when it died: an uplink is in its bridge with its addresses, or it is not. */
struct err *uplink_reconcile(struct nl *n) MUST_CHECK;
