#include "net/linux/linux.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/linux/gateway.h"
#include "net/linux/wire_test.h"
#include "test.h"

TEST(a_tap_joins_the_bridge_and_vanishes_with_its_descriptor)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct net_backend b;
    char name[16];
    int tap = -1;

    if (!in_own_network())
        return;
    CHECK_OK(linux_net_init(&b, &dhcp));
    struct net_tap_open_req req = {
        .bridge = "xapi0", .vm = "b0b", .position = 0, .mac = "52:54:00:12:34:56", .mtu = 1400
    };
    CHECK_ERR(b.tap_open(b.ctx, &req, &tap, name), "INTERNAL_ERROR");
    CHECK_OK(bridge_up(&b, "xapi0", ""));
    CHECK_OK(bridge_up(&b, "xapi0", ""));
    CHECK_OK(b.tap_open(b.ctx, &req, &tap, name));
    CHECK(tap > 0);
    CHECK(if_nametoindex(name));
    CHECK_ERR(bridge_down(&b, "xapi0"), "INTERNAL_ERROR"); /* a port is left */
    fd_drop(&tap);
    CHECK(!if_nametoindex(name));
    CHECK_OK(bridge_down(&b, "xapi0"));
    CHECK_OK(bridge_down(&b, "xapi0"));
    CHECK(!nic_find(a, &b, "xapi0"));
    net_backend_free(&b);
}

TEST(addresses_and_routes_move_to_the_bridge_and_back)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct net_nic *nic;
    struct net_backend b;

    if (!in_own_network())
        return;
    CHECK_OK(linux_net_init(&b, &dhcp));
    IP("link", "add", "up0", "type", "veth");
    IP("link", "set", "up0", "address", "02:00:00:00:00:aa", "up");
    IP("address", "add", "10.1.2.3/24", "dev", "up0");
    IP("address", "add", "10.1.2.4/24", "dev", "up0");
    IP("-6", "address", "add", "fd00::5/64", "dev", "up0", "nodad");
    IP("route", "add", "default", "via", "10.1.2.1", "dev", "up0");

    CHECK_OK(bridge_up(&b, "xenbr0", "up0"));
    nic = nic_find(a, &b, "xenbr0");
    CHECK(nic);
    CHECK_STR(nic->ip, "10.1.2.3");
    CHECK_STR(nic->netmask, "255.255.255.0");
    CHECK_STR(nic->gateway, "10.1.2.1");
    CHECK_STR(nic->mac, "02:00:00:00:00:aa");
    nic = nic_find(a, &b, "up0");
    CHECK_STR(nic->bridge, "xenbr0");
    CHECK_STR(nic->ip, "10.1.2.3"); /* told for its port */
    CHECK_OK(bridge_up(&b, "xenbr0", "up0"));
    CHECK_ERR(bridge_up(&b, "xenbr1", "up0"), "INTERNAL_ERROR"); /* it is taken */
    CHECK(!nic_find(a, &b, "xenbr1"));

    CHECK_OK(bridge_down(&b, "xenbr0"));
    nic = nic_find(a, &b, "up0");
    CHECK_STR(nic->bridge, "");
    CHECK_STR(nic->ip, "10.1.2.3");
    CHECK_STR(nic->gateway, "10.1.2.1");
    bool v6 = false;
    for (size_t i = 0; i < nic->n_ipv6; i++)
        v6 = v6 || cstr_eq(nic->ipv6[i], "fd00::5/64");
    CHECK(v6);
    CHECK(!nic_find(a, &b, "xenbr0"));
    net_backend_free(&b);
}

TEST(somebody_elses_bridge_is_used_but_not_removed)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct net_backend b;

    if (!in_own_network())
        return;
    CHECK_OK(linux_net_init(&b, &dhcp));
    IP("link", "add", "virbr0", "type", "bridge");
    IP("link", "set", "virbr0", "alias", "theirs", "up");
    CHECK_OK(bridge_up(&b, "virbr0", ""));
    CHECK_OK(bridge_down(&b, "virbr0"));
    CHECK(nic_find(a, &b, "virbr0"));
    net_backend_free(&b);
}

/* An interface up0 with the gateway 192.0.2.1 behind it, in a namespace of that one's own, heard of once. */
static pid_t gateway_make(void)
{
    pid_t pid = elsewhere_make();
    char ns[16];
    snprintf(ns, sizeof(ns), "%d", (int)pid);
    IP("link", "add", "up0", "type", "veth", "peer", "name", "gw0", "netns", ns);
    IP_THERE(pid, "addr", "add", "192.0.2.1/24", "dev", "gw0");
    IP_THERE(pid, "link", "set", "gw0", "up");
    IP("addr", "add", "192.0.2.9/24", "dev", "up0");
    IP("link", "set", "up0", "up");
    IP("route", "add", "default", "via", "192.0.2.1");
    AUTO(nl_drop) struct nl *nl = NULL;
    CHECK_OK(nl_open(&nl));
    CHECK(gateway_answers(nl, (int)if_nametoindex("up0"), (struct in_addr){ htonl(0xc0000201) }, 3000));
    return pid;
}

TEST(a_bridge_that_would_cut_the_host_off_is_taken_back)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct net_backend b;

    if (!in_own_network())
        return;
    pid_t gateway = gateway_make();
    CHECK_OK(linux_net_init(&b, &dhcp));
    /* within a bridge, and only there, the gateway's answers are lost */
    run((const char *const[]){ "/usr/sbin/nft",
            "add table bridge lost; add chain bridge lost in { type filter hook "
            "prerouting priority 0; }; add rule bridge lost in ether type arp drop",
            NULL },
        0);
    CHECK_ERR(bridge_up(&b, "xenbr0", "up0"), "INTERNAL_ERROR");
    const struct net_nic *nic = nic_find(a, &b, "up0");
    CHECK_STR(nic->bridge, "");
    CHECK_STR(nic->ip, "192.0.2.9");
    CHECK_STR(nic->gateway, "192.0.2.1");
    CHECK(!if_nametoindex("xenbr0"));
    run((const char *const[]){ "/usr/sbin/nft", "delete", "table", "bridge", "lost", NULL }, 0);
    CHECK_OK(bridge_up(&b, "xenbr0", "up0"));
    nic = nic_find(a, &b, "up0");
    CHECK_STR(nic->bridge, "xenbr0");
    CHECK_STR(nic->gateway, "192.0.2.1");
    net_backend_free(&b);
    elsewhere_end(gateway);
}

TEST(a_move_that_a_dead_process_began_is_finished)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct net_backend b;

    if (!in_own_network())
        return;
    IP("link", "add", "up0", "type", "veth", "peer", "name", "far0");
    IP("link", "set", "up0", "up");
    IP("addr", "add", "192.0.2.9/24", "dev", "up0");
    IP("link", "add", "xenbr0", "type", "bridge");
    IP("link", "set", "xenbr0", "alias", "runnymede up0");
    IP("link", "set", "xenbr0", "up");
    IP("route", "add", "default", "via", "192.0.2.1");
    IP("link", "set", "up0", "master", "xenbr0"); /* and here it died: the host is cut off */
    CHECK_OK(linux_net_init(&b, &dhcp));
    const struct net_nic *nic = nic_find(a, &b, "up0");
    CHECK_STR(nic->bridge, "xenbr0");
    CHECK_STR(nic->ip, "192.0.2.9");
    CHECK_STR(nic->gateway, "192.0.2.1");
    IP("addr", "show", "dev", "xenbr0", "to", "192.0.2.9/32");
    net_backend_free(&b);
    IP("link", "set", "up0", "nomaster"); /* died while the bridge was taken down */
    CHECK_OK(linux_net_init(&b, &dhcp));
    nic = nic_find(a, &b, "up0");
    CHECK_STR(nic->bridge, "");
    CHECK_STR(nic->ip, "192.0.2.9");
    net_backend_free(&b);
}

static const struct net_tap_open_req yours = {
    .bridge = "xapi0", .vm = "b", .mac = YOURS, .mtu = 1500, .lock = { .mode = "unlocked" }
};

/* Two guests in one network: `a`, who is watched, and `c`, who listens. */
struct pair {
    struct net_backend b;
    int a, c;
};

static void pair_init(struct pair *p, struct net_lock lock)
{
    struct net_tap_open_req mine = { .bridge = "xapi0", .vm = VM, .mac = MINE, .mtu = 1500, .lock = lock };
    char name[16];

    CHECK_OK(linux_net_init(&p->b, &dhcp));
    CHECK_OK(bridge_up(&p->b, "xapi0", ""));
    CHECK_OK(p->b.tap_open(p->b.ctx, &mine, &p->a, name));
    CHECK_OK(p->b.tap_open(p->b.ctx, &yours, &p->c, name));
}

static void pair_done(struct pair *p)
{
    fd_drop(&p->a);
    fd_drop(&p->c);
    net_backend_free(&p->b);
}

TEST(a_guest_speaks_with_its_own_address_only)
{
    unsigned char f[60];
    char name[16];
    struct pair p;

    if (!in_own_network())
        return;
    pair_init(&p, (struct net_lock){ .mode = "unlocked" });
    frame(f, MINE, 0x88b5);
    send_frame(p.a, f);
    CHECK(hears(p.c, 0x88b5));
    frame(f, YOURS, 0x88b6);
    send_frame(p.a, f);
    CHECK(!hears(p.c, 0x88b6));
    frame(f, MINE, 0x0806); /* ARP that tells of somebody else's address */
    memcpy(f + 14, "\0\1\x8\0\6\4\0\2", 8);
    memcpy(f + 22, "\x52\x54\0\0\0\2", 6);
    send_frame(p.a, f);
    CHECK(!hears(p.c, 0x0806));
    memcpy(f + 22, f + 6, 6);
    send_frame(p.a, f);
    CHECK(hears(p.c, 0x0806));
    fd_drop(&p.a);
    CHECK_OK(p.b.tap_open(p.b.ctx, &yours, &p.a, name)); /* the first one's name, and another address */
    frame(f, YOURS, 0x88b7);
    send_frame(p.a, f);
    CHECK(hears(p.c, 0x88b7));
    pair_done(&p);
}

/* ARP behind these tags, in the guest's own frame, that tells of this address. */
static void tagged_arp(unsigned char *f, const char *from, const uint16_t *tags, size_t n_tags, const char *teller)
{
    size_t at = 12;

    frame(f, from, 0);
    for (size_t i = 0; i < n_tags; i++, at += 4) {
        f[at] = (unsigned char)(tags[2 * i] >> 8);
        f[at + 1] = (unsigned char)tags[2 * i];
        f[at + 3] = (unsigned char)tags[2 * i + 1];
    }
    memcpy(f + at, "\x8\6\0\1\x8\0\6\4\0\2", 10);
    CHECK(sscanf(teller, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &f[at + 10], &f[at + 11], &f[at + 12], &f[at + 13],
              &f[at + 14], &f[at + 15]) == 6);
}

TEST(no_tag_hides_what_a_guest_says_of_others)
{
    static const struct {
        size_t n;
        uint16_t tags[6]; /* type and number of each */
        bool own;         /* heard if it tells of the sender */
    } cases[] = {
        { 1, { 0x8100, 0 }, true },
        { 1, { 0x8100, 5 }, true },
        { 2, { 0x8100, 0, 0x8100, 0 }, false },
        { 2, { 0x8100, 5, 0x8100, 0 }, false },
        { 3, { 0x8100, 0, 0x8100, 0, 0x8100, 0 }, false },
        { 2, { 0x8100, 0, 0x88a8, 0 }, false },
        { 1, { 0x88a8, 0 }, false },
        { 2, { 0x88a8, 0, 0x8100, 0 }, false },
    };
    unsigned char f[60];
    struct pair p;

    if (!in_own_network())
        return;
    pair_init(&p, (struct net_lock){ .mode = "unlocked" });
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        tagged_arp(f, MINE, cases[i].tags, cases[i].n, YOURS);
        send_frame(p.a, f);
        CHECK(!hears(p.c, cases[i].tags[0]));
        tagged_arp(f, MINE, cases[i].tags, cases[i].n, MINE);
        send_frame(p.a, f);
        CHECK_INT(hears(p.c, cases[i].tags[0]), cases[i].own);
    }
    pair_done(&p);
}

/* IPv4 from this address, UDP where ports are given. */
static void ipv4_frame(unsigned char *f, const char *from, const char *ip, uint16_t sport, uint16_t dport)
{
    frame(f, from, 0x0800);
    memset(f + 14, 0, 46);
    f[14] = 0x45;
    f[17] = 46;
    f[22] = 64;
    f[23] = sport ? 17 : 253;
    CHECK(inet_pton(AF_INET, ip, f + 26) == 1);
    memset(f + 30, 255, 4);
    f[34] = (unsigned char)(sport >> 8);
    f[35] = (unsigned char)sport;
    f[36] = (unsigned char)(dport >> 8);
    f[37] = (unsigned char)dport;
    f[39] = 26;
    uint32_t sum = 0; /* a bridge drops what has a wrong one */
    for (size_t i = 14; i < 34; i += 2)
        sum += (uint32_t)(f[i] << 8 | f[i + 1]);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = ~(sum + (sum >> 16));
    f[24] = (unsigned char)(sum >> 8);
    f[25] = (unsigned char)sum;
}

static void arp_frame(unsigned char *f, const char *from, const char *ip)
{
    frame(f, from, 0x0806);
    memcpy(f + 14, "\0\1\x8\0\6\4\0\2", 8);
    memcpy(f + 22, f + 6, 6);
    CHECK(inet_pton(AF_INET, ip, f + 28) == 1);
}

/* ICMPv6 of this type, that tells of a target, or another protocol (type 0). */
static void ipv6_frame(unsigned char *f, const char *from, const char *ip, uint8_t type, const char *target)
{
    frame(f, from, 0x86dd);
    memset(f + 14, 0, 64);
    f[14] = 0x60;
    f[19] = 24;
    f[20] = type ? 58 : 59;
    f[21] = 255;
    CHECK(inet_pton(AF_INET6, ip, f + 22) == 1);
    CHECK(inet_pton(AF_INET6, "ff02::1", f + 38) == 1);
    f[54] = type;
    if (target)
        CHECK(inet_pton(AF_INET6, target, f + 62) == 1);
}

#define NS 135
#define NA 136

TEST(a_locked_guest_speaks_with_the_addresses_it_was_given)
{
    static const char *const v4[] = { "10.0.0.1" }, *const v6[] = { "fd00::1" };
    struct net_tap_lock_req lock = {
        .vm = VM, .mac = MINE, .lock = { .mode = "locked", .ipv4 = (const char **)v4, .n_ipv4 = 1 }
    };
    unsigned char f[80];
    struct pair p;

    if (!in_own_network())
        return;
    pair_init(&p, lock.lock);

    ipv4_frame(f, MINE, "10.0.0.1", 0, 0);
    CHECK(passes(p.a, p.c, f));
    ipv4_frame(f, MINE, "10.0.0.2", 0, 0);
    CHECK(!passes(p.a, p.c, f));
    ipv4_frame(f, MINE, "0.0.0.0", 68, 67); /* asks for a lease */
    CHECK(passes(p.a, p.c, f));
    ipv4_frame(f, MINE, "0.0.0.0", 68, 53);
    CHECK(!passes(p.a, p.c, f));
    arp_frame(f, MINE, "10.0.0.1");
    CHECK(passes(p.a, p.c, f));
    arp_frame(f, MINE, "10.0.0.2");
    CHECK(!passes(p.a, p.c, f));
    ipv6_frame(f, MINE, "fe80::5054:ff:fe00:1", 0, NULL); /* no IPv6 address was given */
    CHECK(!passes(p.a, p.c, f));
    frame(f, MINE, 0x88b5); /* nor any other protocol */
    CHECK(!passes(p.a, p.c, f));

    lock.lock.ipv6 = (const char **)v6;
    lock.lock.n_ipv6 = 1;
    CHECK_OK(p.b.tap_lock(p.b.ctx, &lock));
    ipv6_frame(f, MINE, "fd00::1", 0, NULL);
    CHECK(passes(p.a, p.c, f));
    ipv6_frame(f, MINE, "fd00::2", 0, NULL);
    CHECK(!passes(p.a, p.c, f));
    ipv6_frame(f, MINE, "fe80::5054:ff:fe00:1", 0, NULL);
    CHECK(passes(p.a, p.c, f));
    ipv6_frame(f, MINE, "fd00::1", NA, "fd00::1");
    CHECK(passes(p.a, p.c, f));
    ipv6_frame(f, MINE, "fd00::1", NA, "fd00::2"); /* takes a neighbour's address */
    CHECK(!passes(p.a, p.c, f));
    ipv6_frame(f, MINE, "::", NS, "fd00::1"); /* is it free? */
    CHECK(passes(p.a, p.c, f));
    ipv6_frame(f, MINE, "::", NS, "fd00::2"); /* says that a neighbour's is not */
    CHECK(!passes(p.a, p.c, f));
    ipv6_frame(f, MINE, "fe80::5054:ff:fe00:1", 134, NULL); /* a router it is not */
    CHECK(!passes(p.a, p.c, f));

    lock.lock.mode = "disabled";
    CHECK_OK(p.b.tap_lock(p.b.ctx, &lock));
    ipv4_frame(f, MINE, "10.0.0.1", 0, 0);
    CHECK(!passes(p.a, p.c, f));
    ipv4_frame(f, YOURS, "10.0.0.9", 0, 0);
    CHECK(!passes(p.c, p.a, f)); /* and hears nothing */
    lock.lock.mode = "unlocked";
    CHECK_OK(p.b.tap_lock(p.b.ctx, &lock));
    ipv4_frame(f, MINE, "10.0.0.2", 0, 0);
    CHECK(passes(p.a, p.c, f));
    lock.lock.mode = "locked";
    lock.lock.ipv4 = (const char *[]){ "10.0.0.1; drop" };
    CHECK_ERR(p.b.tap_lock(p.b.ctx, &lock), "INTERNAL_ERROR");
    CHECK(passes(p.a, p.c, f)); /* what was, stays */
    pair_done(&p);
}

TEST(a_plugged_vif_moves_to_another_network)
{
    static const char *const v4[] = { "10.0.0.1" };
    struct net_tap_open_req theirs = yours;
    struct net_tap_move_req move = { .network = { .bridge = "xapi1" },
        .vm = VM,
        .mac = MINE,
        .mtu = 1400,
        .lock = { .mode = "locked", .ipv4 = (const char **)v4, .n_ipv4 = 1 } };
    AUTO(fd_drop) int there = -1;
    unsigned char f[80];
    char name[16];
    struct pair p;

    if (!in_own_network())
        return;
    pair_init(&p, (struct net_lock){ .mode = "unlocked" });
    CHECK_OK(bridge_up(&p.b, "xapi1", ""));
    theirs.bridge = "xapi1";
    CHECK_OK(p.b.tap_open(p.b.ctx, &theirs, &there, name));
    ipv4_frame(f, MINE, "10.0.0.2", 0, 0);
    CHECK(passes(p.a, p.c, f));
    CHECK(!passes(p.a, there, f));

    CHECK_OK(p.b.tap_move(p.b.ctx, &move));
    CHECK(!passes(p.a, there, f)); /* locked there */
    ipv4_frame(f, MINE, "10.0.0.1", 0, 0);
    CHECK(passes(p.a, there, f));
    CHECK(!passes(p.a, p.c, f));
    CHECK_OK(p.b.tap_move(p.b.ctx, &move)); /* idempotent */
    CHECK(passes(p.a, there, f));

    move.network.bridge = "none";
    CHECK_ERR(p.b.tap_move(p.b.ctx, &move), "INTERNAL_ERROR");
    CHECK(passes(p.a, there, f)); /* what was, stays */
    move.network.bridge = "xapi0";
    move.position = 1; /* another VIF, that has no tap */
    CHECK_OK(p.b.tap_move(p.b.ctx, &move));
    CHECK(passes(p.a, there, f));
    move.position = 0;
    CHECK_OK(p.b.tap_move(p.b.ctx, &move));
    CHECK(passes(p.a, p.c, f));
    CHECK(!passes(p.a, there, f));
    pair_done(&p);
}

/* How many of so many frames come out of the other tap, which holds only some that nobody took. */
static int count_passed(int from, int to, int n)
{
    unsigned char f[60], got[2048];
    int passed = 0;

    frame(f, MINE, 0x88b5);
    for (int i = 0; i < n; i++) {
        send_frame(from, f);
        while (read(to, got, sizeof(got)) > 0)
            passed += got[22] == 0x88 && got[23] == 0xb5;
    }
    while (hears(to, 0x88b5))
        passed++;
    return passed;
}

TEST(a_limit_holds_back_what_is_sent_above_it)
{
    struct net_tap_lock_req lock = { .vm = VM, .mac = MINE, .lock = { .mode = "unlocked", .kbps = 1 } };
    struct pair p;

    if (!in_own_network())
        return;
    pair_init(&p, lock.lock);
    int passed = count_passed(p.a, p.c, 4000); /* of 46 bytes; 65 KiB may pass at once */
    CHECK(passed >= 1000 && passed < 4000);
    lock.lock.kbps = 10000000;
    CHECK_OK(p.b.tap_lock(p.b.ctx, &lock));
    CHECK_INT(count_passed(p.a, p.c, 500), 500);
    lock.lock.kbps = 0;
    CHECK_OK(p.b.tap_lock(p.b.ctx, &lock));
    CHECK_INT(count_passed(p.a, p.c, 4000), 4000);
    pair_done(&p);
}
