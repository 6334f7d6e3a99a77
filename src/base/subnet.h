#pragma once
#include <netinet/in.h>
#include <stdbool.h>

/* A host's own address in a network of IPv4, as 10.1.2.1/24, and what it leaves to others. */
struct subnet {
    struct in_addr host, mask, first, last; /* first to last: on the longer side of the host's own */
    unsigned prefix;
};

/* Prefixes of 8 to 28 bits, the address being one for a host; false, and *ret as it was, for anything else. */
bool subnet_parse(const char *text, struct subnet *ret);
