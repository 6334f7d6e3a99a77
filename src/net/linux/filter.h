#pragma once
#include "gen/ipc_net.h"
#include "net/linux/nft.h"

/*
 * What a guest may send: frames from its own address only, with one VLAN tag at
 * most, and no ARP in another one's name, tagged or not. Locked to addresses, it
 * sends untagged ARP, IPv4 and IPv6 from these only, and asks for a lease; in
 * IPv6 it speaks for these and its link-local address (RFC 4861, 4862), announces
 * no router, and is silent where it has no IPv6 address allowed. The rules are a
 * chain at the ingress of the guest's tap (nftables, family netdev), so they cost
 * a frame the same however many guests there are, and nothing of them is kept by
 * us: what a killed process had set goes on.
 */

/* For the tap of this name. mac: as on the wire, xx:xx:xx:xx:xx:xx. Replaces what was set, all at once. */
struct err *filter_set(struct nft *n, const char *tap, const char *mac, const struct net_lock *lock) MUST_CHECK;
