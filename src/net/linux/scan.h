#pragma once
#include "gen/ipc_net.h"
#include "net/linux/nl.h"

/* Every Ethernet interface but our taps; what a bridge port lacks in addresses is taken from its bridge. */
struct err *scan_interfaces(struct nl *n, struct arena *a, struct net_nic **ret_nics, size_t *ret_n) MUST_CHECK;
