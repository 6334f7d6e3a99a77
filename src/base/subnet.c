#include "base/subnet.h"
#include <arpa/inet.h>
#include <string.h>
#include "base/str.h"

#define SHORTEST 8
#define LONGEST 28

/* "ADDRESS/BITS" into text of `size` bytes and a number. */
static bool take_apart(const char *text, char *ret_address, size_t size, uint64_t *ret_bits)
{
    struct str before, bits;

    if (!str_cut(str_of(text), '/', &before, &bits) || before.len >= size || !str_to_u64(bits, ret_bits))
        return false;
    memcpy(ret_address, before.p, before.len);
    ret_address[before.len] = 0;
    return true;
}

bool subnet_parse(const char *text, struct subnet *ret)
{
    char address[INET_ADDRSTRLEN];
    uint64_t prefix = 0;
    struct subnet s;

    if (!take_apart(text, address, sizeof(address), &prefix))
        return false;
    if (inet_pton(AF_INET, address, &s.host) != 1 || prefix < SHORTEST || prefix > LONGEST)
        return false;
    uint32_t mask = 0xffffffffU << (32 - prefix), host = ntohl(s.host.s_addr);
    uint32_t first = (host & mask) + 1, last = (host | ~mask) - 1;
    if (host < first || host > last)
        return false;
    if (host - first > last - host)
        last = host - 1;
    else
        first = host + 1;
    s.prefix = (unsigned)prefix;
    s.mask.s_addr = htonl(mask);
    s.first.s_addr = htonl(first);
    s.last.s_addr = htonl(last);
    *ret = s;
    return true;
}

bool subnet6_parse(const char *text, struct subnet6 *ret)
{
    static const uint8_t router[8];
    char address[INET6_ADDRSTRLEN];
    uint64_t prefix = 0;
    struct subnet6 s;

    if (!take_apart(text, address, sizeof(address), &prefix))
        return false;
    if (inet_pton(AF_INET6, address, &s.host) != 1 || prefix != SUBNET6_PREFIX)
        return false;
    if (IN6_IS_ADDR_MULTICAST(&s.host) || IN6_IS_ADDR_LINKLOCAL(&s.host) || IN6_IS_ADDR_V4MAPPED(&s.host) ||
        !s.host.s6_addr[0] || memcmp(s.host.s6_addr + 8, router, sizeof(router)) == 0)
        return false;
    s.net = s.host;
    memset(s.net.s6_addr + 8, 0, 8);
    *ret = s;
    return true;
}
