#pragma once
#include "net/backend.h"
#include "net/dhcp.h"

/*
 * Bridges and taps of this kernel, through rtnetlink. A bridge that we made
 * carries the alias "runnymede", so nothing needs to be remembered. When an
 * uplink with addresses goes into a bridge, its addresses and routes move to
 * the bridge, and back when the bridge is taken down.
 *
 * Needs CAP_NET_ADMIN, except for scan.
 */
struct err *linux_net_init(struct net_backend *b, const struct net_dhcp *dhcp) MUST_CHECK;

/* [waits] After a start: bridges with NAT that stand from before get their rules and their DHCP server again. */
struct err *linux_net_resume(struct net_backend *b) MUST_CHECK;
