#pragma once
#include "base/subnet.h"
#include "net/linux/nft.h"
#include "net/linux/nl.h"

/*
 * A NAT network: the host's own addresses on the bridge, and rules that hide
 * the guests behind the host and keep others from reaching into them.
 * Forwarding is switched on for the whole network namespace. All of it lies in
 * the kernel; nat_up() is idempotent. Either network may be NULL, not both.
 */

struct err *nat_up(struct nl *nl, struct nft *nft, const char *bridge, int index, const struct subnet *net,
    const struct subnet6 *net6) MUST_CHECK;
struct err *nat_down(struct nft *nft, const char *bridge) MUST_CHECK; /* the address goes with the bridge */
