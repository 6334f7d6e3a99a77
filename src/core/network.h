#pragma once
#include "core/call.h"
#include "gen/ipc_net.h"

#define NETWORK_MTU 1500 /* unless it is said */

/*
 * What the net service is to make of a network. NAT stands in its other_config,
 * as "nat": the host's own address in it with prefix length. The texts are
 * copied into the arena.
 */
struct net_network network_plan(const struct core *c, struct arena *a, const struct row *network);

/* VIF_IN_USE, or OTHER_OPERATION_IN_PROGRESS: no cable ends in it, nor will one of which it is said already. */
struct err *network_check_unused(const struct core *c, const struct row *network) MUST_CHECK;

/* An address as fields IPv6 have it, without its prefix length; "" for one of the link only (RFC 4291, section 2.5.6).
 */
const char *network_ipv6_plain(struct arena *a, const char *with_prefix);

/* The network that a new host comes with: NAT, in a range that none of its interfaces is in. */
void network_add_nat(struct arena *a, struct tx *t, const struct net_nic *nics, size_t n_nics);

/* INVALID_VALUE unless it can be done: `ours`, no bridge of somebody else's and no uplink. */
struct err *network_nat_check(const struct value *other_config, bool ours) MUST_CHECK;

/* Before a network gets this other_config: where its NAT changes, the bridge goes that was made for the old one, to be
 * made anew for the next VIF. VIF_IN_USE while there is one. [waits] */
struct err *network_nat_change(struct call *c, const struct row *network, const struct value *other_config) MUST_CHECK;
