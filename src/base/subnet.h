#pragma once
#include <netinet/in.h>
#include <stdbool.h>

/* A host's own address in a network of IPv4, as 10.1.2.1/24, and what it leaves to others. */
struct subnet {
    struct in_addr host, mask, first, last; /* first to last: on the longer side of the host's own */
    unsigned prefix;
};

/* The same for IPv6, as fd12:3456:789a::1/64. The prefix has 64 bits, as guests want that make their addresses by
 * themselves (RFC 4862, section 5.5.3). */
struct subnet6 {
    struct in6_addr host, net;
};
#define SUBNET6_PREFIX 64U

/* Prefixes of 8 to 28 bits, the address being one for a host; false, and *ret as it was, for anything else. */
bool subnet_parse(const char *text, struct subnet *ret);
/* A unicast address beyond one link, and not the one that stands for all routers (RFC 4291, section 2.6.1). */
bool subnet6_parse(const char *text, struct subnet6 *ret);
