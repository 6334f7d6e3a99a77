#include "net/linux/filter.h"
#include <stdio.h>
#include "base/str.h"

#define TABLE "runnymede"

static bool mac_valid(const char *mac)
{
    unsigned char b[6];
    char end;

    return sscanf(mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &end) == 6 &&
        strlen(mac) == 17;
}

/*
 * A receiver takes the tag of network 0 off and reads on, as often as it finds one: what is written in front of an ARP
 * packet must not hide it. One 802.1Q tag is a guest's right; below it ARP is looked at too, and nothing else is
 * tagged.
 *
 * Flushed first: newer kernels keep a chain whose device is gone, for the next one of that name.
 */
struct err *filter_set(struct nft *n, const char *tap, const char *mac)
{
    if (!mac_valid(mac))
        return err_internal("%s is no address of a NIC", mac);
    return nft_run(n, "filter a guest's frames",
        "add table netdev " TABLE "\n"
        "add chain netdev " TABLE " %s { type filter hook ingress device \"%s\" priority 0; }\n"
        "flush chain netdev " TABLE " %s\n"
        "add rule netdev " TABLE " %s ether saddr != %s drop\n"
        "add rule netdev " TABLE " %s ether type arp arp saddr ether != %s drop\n"
        "add rule netdev " TABLE " %s ether type 8021ad drop\n"
        "add rule netdev " TABLE " %s vlan type { 8021q, 8021ad } drop\n"
        "add rule netdev " TABLE " %s vlan type arp arp saddr ether != %s drop\n",
        tap, tap, tap, tap, mac, tap, mac, tap, tap, tap, mac);
}
