#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "gen/ipc_net.h"

/*
 * What makes bridges and taps: linux/ does, sim/ remembers. The operations are
 * short and do not wait; their meaning is that of idl/ipc/net.toml.
 */
struct net_backend {
    const char *name;
    void *ctx;
    struct err *(*scan)(void *ctx, struct arena *a, struct net_nic **ret_nics, size_t *ret_n);
    struct err *(*bridge_up)(void *ctx, const struct net_network *network);
    struct err *(*bridge_down)(void *ctx, const struct net_bridge_down_req *req);
    /* *ret_fd may be -1: the link stays down. ret_name has 16 bytes. */
    struct err *(*tap_open)(void *ctx, const struct net_tap_open_req *req, int *ret_fd, char *ret_name);
    struct err *(*tap_lock)(void *ctx, const struct net_tap_lock_req *req);
    struct err *(*tap_move)(void *ctx, const struct net_tap_move_req *req); /* the bridge is up */
    void (*free)(void *ctx);
};

void net_backend_free(struct net_backend *b); /* the members, not b itself */

/* The interface of user-mode networking within a private network (daemons/net/space.h): a host's only NIC there. */
#define NET_UPLINK "uplink0"
#define NET_TAG_MAX 4094        /* of IEEE 802.1Q; 4095 is nobody's */
#define NET_TAP_PREFIX "rnytap" /* of guests' taps, each of which goes with its last descriptor */

/* A name that Linux takes for an interface: 1 to 15 bytes, no blank, no '/', neither "." nor "..", no '%'. */
bool net_name_valid(const char *name);

/* Serves the net service on this connection; the back end is borrowed. */
void net_mount(struct ipc_peer *peer, struct net_backend *b);
