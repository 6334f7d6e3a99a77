#include "base/subnet.h"
#include <arpa/inet.h>
#include "test.h"

TEST(others_have_the_longer_side_of_the_hosts_own_address)
{
    struct subnet s;

    CHECK(subnet_parse("10.1.2.1/24", &s));
    CHECK_INT(s.prefix, 24);
    CHECK_INT(ntohl(s.mask.s_addr), 0xffffff00);
    CHECK_INT(ntohl(s.host.s_addr), 0x0a010201);
    CHECK_INT(ntohl(s.first.s_addr), 0x0a010202);
    CHECK_INT(ntohl(s.last.s_addr), 0x0a0102fe);
    CHECK(subnet_parse("10.1.2.254/24", &s));
    CHECK_INT(ntohl(s.first.s_addr), 0x0a010201);
    CHECK_INT(ntohl(s.last.s_addr), 0x0a0102fd);
    CHECK(subnet_parse("10.1.2.18/28", &s));
    CHECK_INT(ntohl(s.first.s_addr), 0x0a010213);
    CHECK(subnet_parse("10.1.2.1/8", &s));
}

TEST(what_is_no_hosts_address_is_refused)
{
    static const char *const wrong[] = { "", "/", "10.1.2.3", "10.1.2.0/24", "10.1.2.255/24", "10.1.2.1/7",
        "10.1.2.1/29", "10.1.2.1/24/1", "10.1.2.1/ 24", "10.1.2.1/+24", "x/24", "10.1.2.1/", "::1/24", "10.1.2.1.1/24",
        "255.255.255.255.255/24", "10.1.2.1/99999999999999999999" };
    struct subnet s = { .prefix = 1 };

    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        CHECK(!subnet_parse(wrong[i], &s));
    CHECK_INT(s.prefix, 1);
}

TEST(a_network_of_ipv6_has_64_bits)
{
    static const char *const wrong[] = { "", "fd00::1", "fd00::1/63", "fd00::1/65", "fd00::/64", "fe80::1/64",
        "ff02::1/64", "::1/64", "::ffff:10.0.0.1/64", "10.1.2.1/64", "fd00::1%eth0/64", "fd00::g/64" };
    struct subnet6 s;
    char text[INET6_ADDRSTRLEN];

    CHECK(subnet6_parse("fd12:3456:789a:7::1/64", &s));
    CHECK_STR(inet_ntop(AF_INET6, &s.host, text, sizeof(text)), "fd12:3456:789a:7::1");
    CHECK_STR(inet_ntop(AF_INET6, &s.net, text, sizeof(text)), "fd12:3456:789a:7::");
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        CHECK(!subnet6_parse(wrong[i], &s));
}
