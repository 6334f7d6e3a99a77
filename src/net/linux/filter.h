#pragma once
#include "net/linux/nft.h"

/*
 * What a guest may send: frames from its own address only, with one VLAN tag at
 * most, and no ARP in another one's name, tagged or not. The rules are a chain at
 * the ingress of the guest's tap (nftables, family netdev), so they cost a frame
 * the same however many guests there are, and nothing of them is kept by us: what
 * a killed process had set goes on.
 */

/* For the tap of this name, before it goes up. mac: as on the wire, xx:xx:xx:xx:xx:xx. Idempotent. */
struct err *filter_set(struct nft *n, const char *tap, const char *mac) MUST_CHECK;
