#include "net/linux/filter.h"
#include <arpa/inet.h>
#include <stdio.h>
#include "base/buf.h"
#include "base/str.h"

#define TABLE "runnymede"
#define TEXT_MAX (256UL * 1024)
#define BURST_KIB 64 /* a frame that the guest leaves to others to cut up may be as long */

/* The chain's text as it grows. */
struct chain {
    struct buf text;
    const char *tap;
};

static void chain_done(struct chain *c)
{
    buf_done(&c->text);
}

static void rule(struct chain *c, const char *fmt, ...) PRINTF(2, 3);
static void rule(struct chain *c, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    buf_printf(&c->text, "add rule netdev " TABLE " %s %s\n", c->tap, line);
}

static bool mac_parse(const char *mac, unsigned char b[6])
{
    char end;

    return sscanf(mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) == 6 &&
        strlen(mac) == 17;
}

/*
 * A receiver takes the tag of network 0 off and reads on, as often as it finds one: what is written in front of an ARP
 * packet must not hide it. One 802.1Q tag is a guest's right; below it ARP is looked at too, and nothing else is
 * tagged.
 */
static void in_its_own_name(struct chain *c, const char *mac)
{
    rule(c, "ether saddr != %s drop", mac);
    rule(c, "ether type arp arp saddr ether != %s drop", mac);
    rule(c, "ether type 8021ad drop");
    rule(c, "vlan type { 8021q, 8021ad } drop");
    rule(c, "vlan type arp arp saddr ether != %s drop", mac);
}

static struct err *allow_ipv4(struct chain *c, const struct net_lock *lock)
{
    for (size_t i = 0; i < lock->n_ipv4; i++) {
        struct in_addr ip;
        char text[INET_ADDRSTRLEN];

        if (inet_pton(AF_INET, lock->ipv4[i], &ip) != 1)
            return err_internal("%s is no IPv4 address", lock->ipv4[i]);
        inet_ntop(AF_INET, &ip, text, sizeof(text));
        rule(c, "ether type arp arp saddr ip %s accept", text);
        rule(c, "ip saddr %s accept", text);
    }
    if (lock->n_ipv4) {
        rule(c, "ether type arp arp saddr ip 0.0.0.0 accept"); /* is the address free? (RFC 5227) */
        rule(c, "ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept");
    }
    return NULL;
}

/* Neighbour discovery tells of an address in its target, which lies 8 bytes into the message. */
static void allow_one_ipv6(struct chain *c, const struct in6_addr *ip)
{
    char text[INET6_ADDRSTRLEN], target[33];

    inet_ntop(AF_INET6, ip, text, sizeof(text));
    for (size_t i = 0; i < 16; i++)
        snprintf(target + 2 * i, 3, "%02x", ip->s6_addr[i]);
    rule(c, "icmpv6 type nd-neighbor-advert @th,64,128 0x%s accept", target);
    rule(c, "ip6 saddr :: icmpv6 type nd-neighbor-solicit @th,64,128 0x%s accept", target);
}

static struct err *allow_ipv6(struct chain *c, const unsigned char mac[6], const struct net_lock *lock)
{
    struct in6_addr local = { .s6_addr = { 0xfe, 0x80, 0, 0, 0, 0, 0, 0, mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3],
                                  mac[4], mac[5] } },
                    ip;
    char text[INET6_ADDRSTRLEN];

    if (!lock->n_ipv6)
        return NULL;
    allow_one_ipv6(c, &local);
    for (size_t i = 0; i < lock->n_ipv6; i++) {
        if (inet_pton(AF_INET6, lock->ipv6[i], &ip) != 1)
            return err_internal("%s is no IPv6 address", lock->ipv6[i]);
        allow_one_ipv6(c, &ip);
    }
    rule(c, "icmpv6 type { nd-neighbor-advert, nd-router-advert, nd-redirect } drop");
    rule(c, "ip6 saddr :: icmpv6 type mld2-listener-report accept");
    rule(c, "ip6 saddr %s accept", inet_ntop(AF_INET6, &local, text, sizeof(text)));
    for (size_t i = 0; i < lock->n_ipv6; i++)
        if (inet_pton(AF_INET6, lock->ipv6[i], &ip) == 1)
            rule(c, "ip6 saddr %s accept", inet_ntop(AF_INET6, &ip, text, sizeof(text)));
    return NULL;
}

/* Flushed first: newer kernels keep a chain whose device is gone, for the next one of that name. */
struct err *filter_set(struct nft *n, const char *tap, const char *mac, const struct net_lock *lock)
{
    AUTO(chain_done) struct chain c = { .tap = tap };
    unsigned char b[6];

    if (!mac_parse(mac, b))
        return err_internal("%s is no address of a NIC", mac);
    buf_init(&c.text, TEXT_MAX);
    buf_printf(&c.text,
        "add table netdev " TABLE "\n"
        "add chain netdev " TABLE " %s { type filter hook ingress device \"%s\" priority 0; }\n"
        "flush chain netdev " TABLE " %s\n",
        tap, tap, tap);
    in_its_own_name(&c, mac);
    if (lock->kbps)
        rule(&c, "limit rate over %llu kbytes/second burst %d kbytes drop", (unsigned long long)lock->kbps, BURST_KIB);
    if (cstr_eq(lock->mode, "locked")) {
        rule(&c, "ether type 8021q drop");
        TRY(allow_ipv4(&c, lock));
        TRY(allow_ipv6(&c, b, lock));
    }
    if (!cstr_eq(lock->mode, "unlocked")) /* also a mode that we do not know */
        rule(&c, "drop");
    if (c.text.overflow)
        return err_internal("more addresses than a filter holds");
    return nft_run(n, "filter a guest's frames", "%s", c.text.p);
}
