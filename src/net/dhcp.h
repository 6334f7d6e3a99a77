#pragma once
#include <netinet/in.h>
#include "base/err.h"

/*
 * Who hands out addresses on a NAT network: the net process starts no program,
 * so somebody else runs the server (daemons/net/keeper.h), and a back end only
 * says what is to be served. Both calls are idempotent and do not wait for the
 * server. [waits]
 */
struct net_range {
    const char *bridge;
    struct in_addr gateway, first, last, mask; /* all zero: no IPv4 */
    struct in6_addr net6;                      /* of 64 bits, told to guests as their router; ::, no IPv6 */
};
struct net_dhcp {
    void *ctx;
    struct err *(*serve)(void *ctx, const struct net_range *range);
    struct err *(*end)(void *ctx, const char *bridge);
};
