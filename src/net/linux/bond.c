#include "net/linux/bond.h"
#include <linux/if_bonding.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include "base/str.h"
#include "net/linux/bridge.h"
#include "net/linux/gateway.h"
#include "net/linux/link.h"
#include "net/linux/move.h"
#include "net/linux/uplink.h"

#define CARRIER_MS 100 /* how often the kernel looks at the members' cables */

static struct nl_bond shape_of(const struct net_bond *b)
{
    if (cstr_eq(b->mode, "lacp"))
        return (struct nl_bond){ .mode = BOND_MODE_8023AD,
            .hash = b->by_ports ? BOND_XMIT_POLICY_LAYER34 : BOND_XMIT_POLICY_VLAN_SRCMAC,
            .rate = b->fast,
            .key = (uint16_t)b->key };
    return (struct nl_bond){ .mode = cstr_eq(b->mode, "active-backup") ? BOND_MODE_ACTIVEBACKUP : BOND_MODE_TLB };
}

static bool same_shape(const struct nl_bond *a, const struct nl_bond *b)
{
    if (a->mode != b->mode || a->mode != BOND_MODE_8023AD)
        return a->mode == b->mode;
    return a->hash == b->hash && a->rate == b->rate && a->key == b->key;
}

static struct err *send_new(struct nl *n, const char *name, const struct nl_bond *shape)
{
    struct nlmsghdr *m = nl_begin(n, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(m, sizeof(*ifi));
    struct nlattr *info, *data;

    ifi->ifi_family = AF_UNSPEC;
    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    info = mnl_attr_nest_start(m, IFLA_LINKINFO);
    mnl_attr_put_strz(m, IFLA_INFO_KIND, "bond");
    data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
    mnl_attr_put_u8(m, IFLA_BOND_MODE, shape->mode);
    mnl_attr_put_u32(m, IFLA_BOND_MIIMON, CARRIER_MS);
    if (shape->mode == BOND_MODE_8023AD) {
        mnl_attr_put_u8(m, IFLA_BOND_XMIT_HASH_POLICY, shape->hash);
        mnl_attr_put_u8(m, IFLA_BOND_AD_LACP_RATE, shape->rate);
        mnl_attr_put_u16(m, IFLA_BOND_AD_USER_PORT_KEY, shape->key);
    }
    mnl_attr_nest_end(m, data);
    mnl_attr_nest_end(m, info);
    return nl_send(n, m, "make a bond");
}

/* One of another shape goes: it has nothing that its bridge has not. */
static struct err *find_or_make(struct nl *n, struct nl_links *links, const struct net_network *network)
{
    struct nl_bond shape = shape_of(&network->bond);
    struct nl_link *l = nl_links_find(links, network->uplink);

    if (l && (!cstr_eq(l->kind, "bond") || (!link_is_ours(l) && !link_is_unfinished(l))))
        return err_internal("%s is somebody else's", network->uplink);
    if (l && same_shape(&l->bond, &shape))
        return link_note_set(n, l, network->bond.members[0]);
    if (l)
        TRY(link_delete(n, l->index));
    TRY(send_new(n, network->uplink, &shape));
    TRY(nl_links_read(n, links));
    l = nl_links_find(links, network->uplink);
    if (!l)
        return err_internal("bond %s vanished", network->uplink);
    return link_note_set(n, l, network->bond.members[0]);
}

static struct err *set_mac(struct nl *n, struct nl_links *links, const struct net_network *network)
{
    const struct nl_link *bond = nl_links_find(links, network->uplink);
    const struct nl_link *primary = nl_links_find(links, network->bond.members[0]);
    unsigned char mac[6];

    if (!bond || !primary)
        return err_internal("there is no interface %s", bond ? network->bond.members[0] : network->uplink);
    memcpy(mac, primary->mac, sizeof(mac));
    if (!cstr_empty(network->bond.mac) &&
        sscanf(network->bond.mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
            &mac[5]) != 6)
        return err_internal("%s is no address of a NIC", network->bond.mac);
    return memcmp(bond->mac, mac, sizeof(mac)) == 0 ? NULL : link_mac(n, bond->index, mac);
}

/* With its addresses, wherever they are: an interface has to be down to become a member. */
static struct err *take_member(struct nl *n, struct nl_links *links, int bond, int bridge, const char *name)
{
    struct nl_link *l = nl_links_find(links, name);

    if (!l)
        return err_internal("there is no interface %s", name);
    if (cstr_eq(l->kind, "tun"))
        return err_internal("%s is the way out of user-mode networking: it is no part of a bond", name);
    if (l->master == bond)
        return move_addresses(n, l->index, bridge);
    if (l->master)
        TRY(uplink_release(n, links, l));
    TRY(move_addresses(n, l->index, bridge));
    TRY(link_up(n, l->index, false));
    return link_master(n, l->index, bond);
}

static bool is_member(const struct net_bond *bond, const char *name)
{
    for (size_t i = 0; i < bond->n_members; i++)
        if (cstr_eq(bond->members[i], name))
            return true;
    return false;
}

static struct err *drop_others(struct nl *n, const struct nl_links *links, int bond, const struct net_bond *wanted)
{
    for (size_t i = 0; i < links->v.len; i++)
        if (links->v.p[i].master == bond && !is_member(wanted, links->v.p[i].name))
            TRY(link_master(n, links->v.p[i].index, 0));
    return NULL;
}

struct err *bond_set(struct nl *n, struct nl_links *links, int bridge, const struct net_network *network)
{
    const struct net_bond *bond = &network->bond;
    struct nl_link *l = nl_links_at(links, bridge);

    if (!nl_links_find(links, bond->members[0]))
        return err_internal("there is no interface %s", bond->members[0]);
    if (!cstr_eq(link_note(l), network->uplink))
        TRY(link_note_set(n, l, bond->members[0]));
    TRY(find_or_make(n, links, network));
    TRY(set_mac(n, links, network));
    int index = nl_links_find(links, network->uplink)->index;
    TRY(drop_others(n, links, index, bond));
    for (size_t i = 0; i < bond->n_members; i++)
        TRY(take_member(n, links, index, bridge, bond->members[i]));
    TRY(link_up(n, index, true));
    return nl_links_read(n, links);
}

/* Members are switched off when they leave. */
struct err *bond_dissolve(struct nl *n, const struct nl_links *links, struct nl_link *bond, struct nl_link *bridge)
{
    int primary = 0, index = bond->index;

    for (size_t i = 0; i < links->v.len; i++)
        if (cstr_eq(links->v.p[i].name, link_note(bond)))
            primary = links->v.p[i].index;
    if (bridge && primary)
        TRY(link_note_set(n, bridge, link_note(bond)));
    TRY(link_delete(n, index));
    for (size_t i = 0; i < links->v.len; i++)
        if (links->v.p[i].master == index)
            TRY(link_up(n, links->v.p[i].index, true));
    if (!bridge)
        return NULL;
    if (primary)
        TRY(move_addresses(n, bridge->index, primary));
    return link_mark(n, bridge);
}

bool bond_gateway(struct nl *n, struct nl_links *links, const struct net_bond *bond, struct in_addr *ret_gateway)
{
    for (size_t i = 0; i < bond->n_members; i++) {
        const struct nl_link *l = nl_links_find(links, bond->members[i]);

        if (l && gateway_known(n, l->master ? l->master : l->index, ret_gateway))
            return true;
    }
    return false;
}
