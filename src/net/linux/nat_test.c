#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "net/linux/wire_test.h"
#include "test.h"

/* NAT networks, and IPv6 of the host among guests. */

static void has_setting(const char *interface, const char *name, const char *want)
{
    AUTO(mem_drop) char *path = mem_printf("/proc/sys/net/ipv6/conf/%s/%s", interface, name);
    AUTO(buf_done) struct buf b;

    buf_init(&b, 64);
    CHECK_OK(file_read(AT_FDCWD, path, &b));
    buf_add_char(&b, 0);
    b.p[strcspn(b.p, "\n")] = 0;
    CHECK_STR(b.p, want);
}

TEST(the_host_believes_no_router_among_guests)
{
    struct net_backend b;

    if (!in_own_network())
        return;
    CHECK_OK(linux_net_init(&b, &dhcp));
    CHECK_OK(bridge_up(&b, "xapi0", ""));
    has_setting("xapi0", "disable_ipv6", "1");
    /* Its network gets an interface of the host, and loses it. */
    IP("link", "add", "up0", "type", "veth", "peer", "name", "gw0");
    IP("link", "set", "up0", "up");
    IP("addr", "add", "2001:db8::9/64", "dev", "up0", "nodad");
    CHECK_OK(bridge_up(&b, "xapi0", "up0"));
    has_setting("xapi0", "disable_ipv6", "0");
    IP("addr", "show", "dev", "xapi0", "to", "2001:db8::9/128");
    net_backend_free(&b);
}

TEST(a_nat_network_of_ipv6_forwards_and_interfaces_go_on_to_believe_their_routers)
{
    static const char *const table[] = { "/usr/sbin/nft", "list", "table", "inet", "runnymede-nat0", NULL };
    struct net_network n = { .bridge = "nat0", .mtu = 1500, .uplink = "", .nat = "", .nat6 = "fd00:1:2:3::1/64" };
    struct net_backend b;
    char text[INET6_ADDRSTRLEN];

    if (!in_own_network())
        return;
    IP("link", "add", "up0", "type", "veth", "peer", "name", "gw0");
    CHECK_OK(linux_net_init(&b, &dhcp));
    CHECK_OK(b.bridge_up(b.ctx, &n));
    CHECK_OK(b.bridge_up(b.ctx, &n)); /* idempotent */
    CHECK_STR(inet_ntop(AF_INET6, &served.net6, text, sizeof(text)), "fd00:1:2:3::");
    CHECK_INT(served.mask.s_addr, 0);
    IP("addr", "show", "dev", "nat0", "to", "fd00:1:2:3::1/128");
    run(table, 0);
    has_setting("all", "forwarding", "1");
    has_setting("up0", "accept_ra", "2");
    has_setting("nat0", "accept_ra", "0");

    net_backend_free(&b);
    served = (struct net_range){ 0 };
    CHECK_OK(linux_net_init(&b, &dhcp));
    CHECK_OK(linux_net_resume(&b));
    CHECK_STR(inet_ntop(AF_INET6, &served.net6, text, sizeof(text)), "fd00:1:2:3::");
    CHECK_OK(bridge_down(&b, "nat0"));
    run(table, 1);
    net_backend_free(&b);
}

TEST(a_nat_network_has_an_address_and_rules_of_its_own)
{
    struct net_backend b;
    struct net_network n = { .bridge = "nat0", .mtu = 1500, .uplink = "", .nat = "10.87.5.1/24", .nat6 = "" };

    if (!in_own_network())
        return;
    CHECK_OK(linux_net_init(&b, &dhcp));
    CHECK_OK(b.bridge_up(b.ctx, &n));
    CHECK_OK(b.bridge_up(b.ctx, &n)); /* idempotent */
    CHECK_INT(ntohl(served.mask.s_addr), 0xffffff00);
    IP("addr", "show", "dev", "nat0", "to", "10.87.5.1/32");
    run((const char *const[]){ "/usr/sbin/nft", "list", "table", "inet", "runnymede-nat0", NULL }, 0);

    /* another process takes over what stands */
    net_backend_free(&b);
    served = (struct net_range){ 0 };
    CHECK_OK(linux_net_init(&b, &dhcp));
    CHECK_OK(bridge_up(&b, "xapi0", ""));
    CHECK_OK(linux_net_resume(&b));
    CHECK_INT(ntohl(served.gateway.s_addr), 0x0a570501);
    CHECK_INT(ntohl(served.last.s_addr), 0x0a5705fe);

    n.nat = "10.87.5.1";
    CHECK_ERR(b.bridge_up(b.ctx, &n), "INTERNAL_ERROR");
    CHECK_OK(bridge_down(&b, "nat0"));
    CHECK_INT(served.mask.s_addr, 0);
    run((const char *const[]){ "/usr/sbin/nft", "list", "table", "inet", "runnymede-nat0", NULL }, 1);
    net_backend_free(&b);
}

static void settle(struct sockaddr_in6 *a, const char *text)
{
    *a = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(9) };
    CHECK_INT(inet_pton(AF_INET6, text, &a->sin6_addr), 1);
}

TEST(guests_of_a_nat_network_of_ipv6_hide_behind_the_host)
{
    struct net_network n = { .bridge = "nat0", .mtu = 1500, .uplink = "", .nat = "", .nat6 = "fd00:1:2:3::1/64" };
    struct net_backend b;
    struct sockaddr_in6 outside, from;
    socklen_t len = sizeof(from);
    char text[INET6_ADDRSTRLEN];

    if (!in_own_network())
        return;
    pid_t guest = elsewhere_make(), world = elsewhere_make();
    char guest_ns[16], world_ns[16];
    snprintf(guest_ns, sizeof(guest_ns), "%d", (int)guest);
    snprintf(world_ns, sizeof(world_ns), "%d", (int)world);
    CHECK_OK(linux_net_init(&b, &dhcp));
    CHECK_OK(b.bridge_up(b.ctx, &n));
    IP("link", "add", "port0", "master", "nat0", "type", "veth", "peer", "name", "in0", "netns", guest_ns);
    IP("link", "set", "port0", "up");
    IP_THERE(guest, "addr", "add", "fd00:1:2:3::2/64", "dev", "in0", "nodad");
    IP_THERE(guest, "link", "set", "in0", "up");
    IP_THERE(guest, "route", "add", "default", "via", "fd00:1:2:3::1");
    IP("link", "add", "up0", "type", "veth", "peer", "name", "out0", "netns", world_ns);
    IP("addr", "add", "2001:db8::9/64", "dev", "up0", "nodad");
    IP("link", "set", "up0", "up");
    IP_THERE(world, "addr", "add", "2001:db8::1/64", "dev", "out0", "nodad");
    IP_THERE(world, "link", "set", "out0", "up");

    /* The world has no way back to the guest's own address. */
    AUTO(fd_drop) int server = socket_there(world), client = socket_there(guest);
    settle(&outside, "2001:db8::1");
    CHECK(bind(server, (struct sockaddr *)&outside, sizeof(outside)) == 0);
    CHECK(listen(server, 1) == 0);
    CHECK(connect(client, (struct sockaddr *)&outside, sizeof(outside)) == 0);
    AUTO(fd_drop) int taken = accept(server, (struct sockaddr *)&from, &len);
    CHECK(taken >= 0);
    CHECK_STR(inet_ntop(AF_INET6, &from.sin6_addr, text, sizeof(text)), "2001:db8::9");

    /* Nor does it get in when it takes the host for its way. */
    IP_THERE(world, "route", "add", "fd00:1:2:3::/64", "via", "2001:db8::9");
    AUTO(fd_drop) int inside = socket_there(guest), knocks = socket_there(world);
    settle(&outside, "fd00:1:2:3::2");
    CHECK(bind(inside, (struct sockaddr *)&outside, sizeof(outside)) == 0);
    CHECK(listen(inside, 1) == 0);
    CHECK(setsockopt(knocks, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){ .tv_usec = 500000 }, sizeof(struct timeval)) ==
        0);
    CHECK(connect(knocks, (struct sockaddr *)&outside, sizeof(outside)) < 0);

    elsewhere_end(guest);
    elsewhere_end(world);
    net_backend_free(&b);
}
