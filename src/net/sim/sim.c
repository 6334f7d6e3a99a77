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
};

static void bridge_free(struct bridge *b)
{
    free(b->uplink);
    free(b);
}

static bool has_uplink(const struct bridge *b, const struct net_network *n)
{
    return cstr_eq(b->uplink, n->uplink) && b->tagged == n->tagged && (!b->tagged || b->tag == n->tag);
}

/* One wired interface with an address, in the bridge that took it. */
static struct err *sim_scan(void *ctx, struct arena *a, struct net_nic **ret_nics, size_t *ret_n)
{
    struct sim *s = ctx;
    struct net_nic *nics = arena_new_array(a, N_NICS, struct net_nic);
    size_t it = 0;
    const char *name;
    void *value;

    for (int i = 0; i < N_NICS; i++) {
        nics[i] = (struct net_nic){ .device = i ? "eth1" : "eth0",
            .mac = i ? "02:00:00:00:01:01" : "02:00:00:00:01:00",
            .mtu = 1500,
            .up = !s->off[i],
            .carrier = !s->off[i],
            .speed = 10000,
            .duplex = true,
            .ip = i ? "" : "192.0.2.10",
            .netmask = i ? "" : "255.255.255.0",
            .gateway = i ? "" : "192.0.2.1",
            .dns = i ? "" : "192.0.2.1",
            .gateway6 = "",
            .vendor = "Runnymede",
            .product = "Simulated Ethernet",
            .pci = i ? "0000:00:04.0" : "0000:00:03.0",
            .bridge = "",
            .physical = true };
        for (it = 0; map_next(s->bridges, &it, &name, &value);)
            if (has_uplink(value, &(struct net_network){ .uplink = nics[i].device }))
                nics[i].bridge = arena_strdup(a, name);
    }
    *ret_nics = nics;
    *ret_n = N_NICS;
    return NULL;
}

static int nic_find(const char *name)
{
    return cstr_eq(name, "eth0") ? 0 : cstr_eq(name, "eth1") ? 1 : -1;
}

/* An interface, or a VLAN of it, is in one bridge only. */
static struct err *check_uplink(struct sim *s, const struct net_network *network)
{
    const char *name;
    void *value;

    if (cstr_empty(network->uplink))
        return NULL;
    if (nic_find(network->uplink) < 0)
        return err_internal("there is no interface %s", network->uplink);
    for (size_t it = 0; map_next(s->bridges, &it, &name, &value);)
        if (!cstr_eq(name, network->bridge) && has_uplink(value, network))
            return err_internal("interface %s belongs to something else already", network->uplink);
    return NULL;
}

static struct err *sim_bridge_up(void *ctx, const struct net_network *network)
{
    struct sim *s = ctx;
    struct bridge *b = map_get(s->bridges, network->bridge);

    if (network->theirs && !b)
        return err_bridge_not_available(network->bridge);
    TRY(check_uplink(s, network));
    if (!cstr_empty(network->uplink))
        s->off[nic_find(network->uplink)] = false;
    if (!b) {
        b = mem_new(struct bridge);
        map_put(s->bridges, network->bridge, b);
    }
    if (network->mtu)
        b->mtu = network->mtu;
    free(b->uplink);
    b->uplink = mem_strdup(cstr_empty(network->uplink) ? "" : network->uplink);
    b->tagged = network->tagged;
    b->tag = network->tag;
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
