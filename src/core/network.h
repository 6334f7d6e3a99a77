#pragma once
#include "core/call.h"
#include "gen/ipc_net.h"

/*
 * What the net service is to make of a network. NAT stands in its other_config,
 * as "nat" and "nat6": the host's own address in it with prefix length. The
 * texts are copied into the arena.
 */
struct net_network network_plan(struct arena *a, const struct row *network);
