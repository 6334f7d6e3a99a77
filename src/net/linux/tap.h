#pragma once
#include "gen/ipc_net.h"
#include "net/linux/nft.h"
#include "net/linux/nl.h"

/*
 * The host's end of a VIF's cable. A tap says by its alias whose it is, so that
 * any process of ours finds it; it goes with the last holder of its descriptor.
 * nft NULL: no packet filter, so nothing can be locked.
 */

/* A new one, in a bridge that is there. ret_name has 16 bytes. */
struct err *tap_open(
    struct nl *n, struct nft *nft, const struct net_tap_open_req *req, int *ret_fd, char *ret_name) MUST_CHECK;

/* These find a VIF's tap; where it has none, there is nothing to do. */
struct err *tap_lock(struct nl *n, struct nft *nft, const struct net_tap_lock_req *req) MUST_CHECK;
/* The bridge is there. One that is in it already is not cut off for a moment. */
struct err *tap_move(struct nl *n, struct nft *nft, const struct net_tap_move_req *req) MUST_CHECK;
