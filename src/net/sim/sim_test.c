#include "net/sim/sim.h"
#include "base/fd.h"
#include "base/str.h"
#include "ipc/ipc.h"
#include "test.h"

TEST_FIBER(bridges_are_remembered_and_taps_opened)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct net_backend b;
    struct ipc_peer *server, *client;
    struct net_tap_open_rep tap;
    struct net_scan_rep scan;

    sim_net_init(&b, true);
    ipc_pair(loop, &server, &client);
    net_mount(server, &b);

    struct net_tap_open_req tap_req = { .bridge = "xenbr0", .vm = "vm", .mac = "02:00:00:00:00:01" };
    CHECK_ERR(net_tap_open(client, a, &tap_req, &tap), "INTERNAL_ERROR");
    CHECK_OK(
        net_bridge_up(client, a, &(struct net_bridge_up_req){ { .bridge = "xenbr0", .mtu = 1500, .uplink = "eth0" } }));
    struct net_bridge_up_req vlan = { { .bridge = "xapi5", .mtu = 1500, .uplink = "eth0", .tagged = true, .tag = 5 } };
    CHECK_OK(net_bridge_up(client, a, &vlan)); /* of an interface that is in a bridge itself */
    vlan.network.bridge = "xapi6";
    CHECK_ERR(net_bridge_up(client, a, &vlan), "INTERNAL_ERROR");
    vlan.network.tag = 4095;
    CHECK_ERR(net_bridge_up(client, a, &vlan), "INTERNAL_ERROR");
    vlan.network.tag = 6;
    CHECK_OK(net_bridge_up(client, a, &vlan));
    vlan.network.uplink = "eth7";
    CHECK_ERR(net_bridge_up(client, a, &vlan), "INTERNAL_ERROR");
    CHECK_OK(net_tap_open(client, a, &tap_req, &tap));
    CHECK(tap.tap > 0);
    fd_drop(&tap.tap);
    struct net_tap_move_req move = { .network = { .bridge = "xenbr1", .uplink = "" }, .vm = "vm" };
    CHECK_OK(net_tap_move(client, a, &move)); /* the network comes up with it */
    tap_req.bridge = "xenbr1";
    CHECK_OK(net_tap_open(client, a, &tap_req, &tap));
    fd_drop(&tap.tap);
    tap_req.bridge = "xenbr0";
    move.network.bridge = "a/b";
    CHECK_ERR(net_tap_move(client, a, &move), "INTERNAL_ERROR");

    CHECK_OK(net_scan(client, a, &(struct net_scan_req){ 0 }, &scan));
    CHECK_INT(scan.n_nics, 2);
    CHECK_STR(scan.nics[0].bridge, "xenbr0");
    CHECK_STR(scan.nics[1].bridge, "");
    CHECK(scan.nics[0].physical);

    CHECK_OK(net_bridge_down(client, a, &(struct net_bridge_down_req){ .bridge = "xenbr0" }));
    CHECK_OK(net_bridge_down(client, a, &(struct net_bridge_down_req){ .bridge = "xenbr0" }));
    CHECK_ERR(net_tap_open(client, a, &tap_req, &tap), "INTERNAL_ERROR");

    ipc_close(client);
    ipc_close(server);
    net_backend_free(&b);
}

TEST_FIBER(names_that_are_no_interfaces_are_refused)
{
    static const char *const names[] = { "", ".", "..", "a/b", "a b", "a%d", "sixteen-letters!", "a:1" };
    AUTO(arena_drop) struct arena *a = arena_new();
    struct net_backend b;
    struct ipc_peer *server, *client;

    sim_net_init(&b, false);
    ipc_pair(loop, &server, &client);
    net_mount(server, &b);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        CHECK_ERR(net_bridge_up(client, a, &(struct net_bridge_up_req){ { .bridge = names[i], .uplink = "" } }),
            "INTERNAL_ERROR");
    ipc_close(client);
    ipc_close(server);
    net_backend_free(&b);
}

TEST_FIBER(a_bond_has_what_its_first_interface_had)
{
    static const char *members[] = { "eth0", "eth1" };
    AUTO(arena_drop) struct arena *a = arena_new();
    struct net_network bond = { .bridge = "xapi1",
        .mtu = 1500,
        .uplink = "bond0",
        .bond = { .members = members, .n_members = 2, .mode = "balance-slb" } };
    struct net_network eth0 = { .bridge = "xenbr0", .mtu = 1500, .uplink = "eth0" };
    struct net_nic *nics;
    struct net_backend b;
    size_t n;

    sim_net_init(&b, false);
    CHECK_OK(b.bridge_up(b.ctx, &eth0));
    CHECK_OK(b.bridge_up(b.ctx, &bond));
    CHECK_OK(b.scan(b.ctx, a, &nics, &n));
    CHECK_INT(n, 3);
    CHECK_STR(nics[0].ip, "");
    CHECK_STR(nics[0].bridge, "");
    CHECK_STR(nics[2].device, "bond0");
    CHECK_STR(nics[2].ip, "192.0.2.10");
    CHECK_STR(nics[2].mac, nics[0].mac);
    CHECK_STR(nics[2].bridge, "xapi1");
    struct net_network vlan = { .bridge = "xapi5", .mtu = 1500, .uplink = "bond0", .tagged = true, .tag = 5 };
    CHECK_OK(b.bridge_up(b.ctx, &vlan));
    CHECK_OK(b.bridge_up(b.ctx, &eth0)); /* the bond is no more */
    CHECK_OK(b.scan(b.ctx, a, &nics, &n));
    CHECK_INT(n, 2);
    CHECK_STR(nics[0].ip, "192.0.2.10");
    vlan.tag = 6;
    CHECK_ERR(b.bridge_up(b.ctx, &vlan), "INTERNAL_ERROR");
    net_backend_free(&b);
}
