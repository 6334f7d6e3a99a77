#include "base/subnet.h"
#include <arpa/inet.h>
#include <string.h>
#include "base/str.h"

#define SHORTEST 8
#define LONGEST 28

bool subnet_parse(const char *text, struct subnet *ret)
{
    char address[INET_ADDRSTRLEN] = "";
    struct str before, bits;
    uint64_t prefix = 0;
    struct subnet s;

    if (!str_cut(str_of(text), '/', &before, &bits) || before.len >= sizeof(address) || !str_to_u64(bits, &prefix))
        return false;
    memcpy(address, before.p, before.len);
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
