#include "net/sim/sim.h"
#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "gen/errors.h"

#define N_NICS 2

struct sim {
    struct map *bridges; /* name -> struct bridge */
    bool off[N_NICS];    /* interfaces that were switched off */
    bool with_taps;
    unsigned taps;
};

struct bridge {
    uint64_t mtu;
    char *uplink; /* owned; "" for none */
    bool tagged;
    uint32_t tag;
    bool members[N_NICS]; /* of the bond that is its uplink */
    char *mac;            /* of that bond; owned */
};

static void bridge_free(struct bridge *b)
{
    free(b->uplink);
    free(b->mac);
    free(b);
}

static bool has_uplink(const struct bridge *b, const struct net_network *n)
{
    return cstr_eq(b->uplink, n->uplink) && b->tagged == n->tagged && (!b->tagged || b->tag == n->tag);
}

static const char *nic_name(int nic)
{
    return nic ? "eth1" : "eth0";
}

static int nic_find(const char *name)
{
    return cstr_eq(name, "eth0") ? 0 : cstr_eq(name, "eth1") ? 1 : -1;
}

/* The bridge with the bond that this interface is in; NULL. */
static struct bridge *bond_of(struct sim *s, int nic)
{
    const char *name;
    void *value;

    for (size_t it = 0; map_next(s->bridges, &it, &name, &value);)
        if (((struct bridge *)value)->members[nic])
            return value;
    return NULL;
}

static bool has_bond(const struct bridge *b)
{
    for (int i = 0; i < N_NICS; i++)
        if (b->members[i])
            return true;
    return false;
}

static const char *bridge_of(struct sim *s, struct arena *a, const char *uplink)
{
    const char *name;
    void *value;

    for (size_t it = 0; map_next(s->bridges, &it, &name, &value);)
        if (has_uplink(value, &(struct net_network){ .uplink = uplink }))
            return arena_strdup(a, name);
    return "";
}

/* The first interface has an address, and takes it into a bond. */
static void set_address(struct net_nic *nic, bool has_one)
{
    nic->ip = has_one ? "192.0.2.10" : "";
    nic->netmask = has_one ? "255.255.255.0" : "";
    nic->gateway = nic->dns = has_one ? "192.0.2.1" : "";
}

static struct net_nic nic_of(struct sim *s, struct arena *a, int i)
{
    struct net_nic nic = { .device = nic_name(i),
        .mac = i ? "02:00:00:00:01:01" : "02:00:00:00:01:00",
        .mtu = 1500,
        .up = !s->off[i],
        .carrier = !s->off[i],
        .speed = 10000,
        .duplex = true,
        .gateway6 = "",
        .vendor = "Runnymede",
        .product = "Simulated Ethernet",
        .pci = i ? "0000:00:04.0" : "0000:00:03.0",
        .physical = true };

    set_address(&nic, i == 0 && !bond_of(s, 0));
    nic.bridge = bridge_of(s, a, nic.device);
    return nic;
}

static struct net_nic bond_nic(struct arena *a, const char *bridge, const struct bridge *b)
{
    struct net_nic nic = { .device = arena_strdup(a, b->uplink),
        .mac = arena_strdup(a, b->mac),
        .mtu = b->mtu,
        .up = true,
        .carrier = true,
        .speed = 10000,
        .duplex = true,
        .gateway6 = "",
        .vendor = "",
        .product = "",
        .pci = "",
        .bridge = arena_strdup(a, bridge) };

    set_address(&nic, b->members[0]);
    return nic;
}

static struct err *sim_scan(void *ctx, struct arena *a, struct net_nic **ret_nics, size_t *ret_n)
{
    struct sim *s = ctx;
    struct net_nic *nics = arena_new_array(a, N_NICS + map_len(s->bridges), struct net_nic);
    const char *name;
    void *value;
    size_t n = 0;

    for (int i = 0; i < N_NICS; i++)
        nics[n++] = nic_of(s, a, i);
    for (size_t it = 0; map_next(s->bridges, &it, &name, &value);)
        if (has_bond(value))
            nics[n++] = bond_nic(a, name, value);
    *ret_nics = nics;
    *ret_n = n;
    return NULL;
}

static bool is_there(struct sim *s, struct arena *a, const struct net_network *network)
{
    return nic_find(network->uplink) >= 0 || network->bond.n_members || *bridge_of(s, a, network->uplink);
}

/* An interface, or a VLAN of it, is in one bridge only. */
static struct err *check_uplink(struct sim *s, const struct net_network *network)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const char *name;
    void *value;

    if (cstr_empty(network->uplink))
        return NULL;
    if (!is_there(s, a, network))
        return err_internal("there is no interface %s", network->uplink);
    for (size_t i = 0; i < network->bond.n_members; i++)
        if (nic_find(network->bond.members[i]) < 0)
            return err_internal("there is no interface %s", network->bond.members[i]);
    for (size_t it = 0; map_next(s->bridges, &it, &name, &value);)
        if (!cstr_eq(name, network->bridge) && has_uplink(value, network))
            return err_internal("interface %s belongs to something else already", network->uplink);
    return NULL;
}

static void uplink_clear(struct bridge *b)
{
    free(b->uplink);
    free(b->mac);
    b->uplink = mem_strdup("");
    b->mac = mem_strdup("");
    b->tagged = false;
    memset(b->members, 0, sizeof(b->members));
}

/* Where it was before, as itself or within a bond, it is no more. */
static void take_nic(struct sim *s, int nic)
{
    const char *name;
    struct bridge *bond = bond_of(s, nic);
    void *value;

    if (bond)
        uplink_clear(bond);
    for (size_t it = 0; map_next(s->bridges, &it, &name, &value);)
        if (has_uplink(value, &(struct net_network){ .uplink = nic_name(nic) }))
            uplink_clear(value);
    s->off[nic] = false;
}

static void uplink_set(struct sim *s, struct bridge *b, const struct net_network *network)
{
    const struct net_bond *bond = &network->bond;
    int nic = nic_find(network->uplink);

    if (nic >= 0 && !network->tagged)
        take_nic(s, nic);
    for (size_t i = 0; i < bond->n_members; i++)
        take_nic(s, nic_find(bond->members[i]));
    uplink_clear(b);
    if (cstr_empty(network->uplink))
        return;
    free(b->uplink);
    b->uplink = mem_strdup(network->uplink);
    b->tagged = network->tagged;
    b->tag = network->tag;
    for (size_t i = 0; i < bond->n_members; i++)
        b->members[nic_find(bond->members[i])] = true;
    if (!bond->n_members)
        return;
    free(b->mac);
    b->mac = mem_printf("%s",
        !cstr_empty(bond->mac)                ? bond->mac
            : nic_find(bond->members[0]) == 0 ? "02:00:00:00:01:00"
                                              : "02:00:00:00:01:01");
}

static struct err *sim_bridge_up(void *ctx, const struct net_network *network)
{
    struct sim *s = ctx;
    struct bridge *b = map_get(s->bridges, network->bridge);

    if (network->theirs && !b)
        return err_bridge_not_available(network->bridge);
    TRY(check_uplink(s, network));
    if (!b) {
        b = mem_new(struct bridge);
        map_put(s->bridges, network->bridge, b);
    }
    if (network->mtu)
        b->mtu = network->mtu;
    uplink_set(s, b, network);
    return NULL;
}

static struct err *sim_bridge_down(void *ctx, const struct net_bridge_down_req *req)
{
    struct sim *s = ctx;
    struct bridge *b = map_remove(s->bridges, req->bridge);

    if (b)
        bridge_free(b);
    if (nic_find(req->nic) >= 0)
        s->off[nic_find(req->nic)] = true;
    return NULL;
}

static struct err *sim_tap_open(void *ctx, const struct net_tap_open_req *req, int *ret_fd, char *ret_name)
{
    struct sim *s = ctx;
    int fds[2];

    if (!map_get(s->bridges, req->bridge))
        return err_internal("there is no bridge %s", req->bridge);
    snprintf(ret_name, 16, "tap%u", s->taps++ % 1000000);
    if (!s->with_taps) {
        *ret_fd = -1;
        return NULL;
    }
    TRY(socket_pair(fds));
    fd_drop(&fds[1]); /* nobody is at the other end of a simulated cable */
    *ret_fd = fds[0];
    return NULL;
}

/* No frame passes here that could be held back. */
static struct err *sim_tap_lock(void *ctx UNUSED, const struct net_tap_lock_req *req UNUSED)
{
    return NULL;
}

/* Nor does it matter where a cable ends that nothing passes. */
static struct err *sim_tap_move(void *ctx UNUSED, const struct net_tap_move_req *req UNUSED)
{
    return NULL;
}

static void sim_free(void *ctx)
{
    struct sim *s = ctx;
    size_t it = 0;
    const char *name;
    void *value;

    while (map_next(s->bridges, &it, &name, &value))
        bridge_free(value);
    map_free(s->bridges);
    free(s);
}

void sim_net_init(struct net_backend *b, bool with_taps)
{
    struct sim *s = mem_new(struct sim);

    s->bridges = map_new();
    s->with_taps = with_taps;
    *b = (struct net_backend){ "sim", s, sim_scan, sim_bridge_up, sim_bridge_down, sim_tap_open, sim_tap_lock,
        sim_tap_move, sim_free };
}
