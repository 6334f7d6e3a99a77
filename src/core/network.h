#pragma once
#include "core/call.h"
#include "gen/ipc_net.h"

/*
 * What the net service is to make of a network. NAT stands in its other_config,
 * as "nat" and "nat6": the host's own address in it with prefix length. The
 * texts are copied into the arena.
 */
struct net_network network_plan(struct arena *a, const struct row *network);

/* The network that a new host comes with: NAT, in a range that none of its interfaces is in. */
void network_add_nat(struct arena *a, struct tx *t, const struct net_nic *nics, size_t n_nics);
