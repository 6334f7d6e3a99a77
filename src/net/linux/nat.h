#pragma once
#include <netinet/in.h>
#include "net/linux/nft.h"
#include "net/linux/nl.h"

/*
 * A NAT network of IPv4: the host's own address on the bridge, and rules that
 * hide the guests behind the host and keep others from reaching into them.
 * Forwarding is switched on for the whole network namespace. All of it lies in
 * the kernel; nat_up() is idempotent.
 */

/* The network of a gateway address with prefix length, as 10.1.2.1/24. */
struct nat_net {
    struct in_addr gateway, first, last, mask; /* first to last: what guests may get */
    unsigned prefix;
};
/* Prefixes of 8 to 28 bits, the gateway being an address for a host. */
struct err *nat_parse(const char *gateway, struct nat_net *ret) MUST_CHECK;

struct err *nat_up(struct nl *nl, struct nft *nft, const char *bridge, int index, const struct nat_net *net) MUST_CHECK;
struct err *nat_down(struct nft *nft, const char *bridge) MUST_CHECK; /* the address goes with the bridge */
