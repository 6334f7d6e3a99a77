#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/str.h"
#include "net/linux/wire_test.h"
#include "test.h"

/*
 * A NIC `up0` of the host, and at the far end of its cable a switch without a
 * mind: the bridge `lan0`, with a tap that hears and says what is on the wire.
 */
struct wire {
    struct net_backend b;
    int lan;
};

static bool wire_init(struct wire *w, const char *kind)
{
    struct net_tap_open_req req = {
        .bridge = "lan0", .vm = "lan", .mac = YOURS, .mtu = 1500, .lock = { .mode = "unlocked" }
    };
    char name[16];

    *w = (struct wire){ .lan = -1 };
    if (!in_own_network())
        return false;
    IP("link", "add", "up0", "type", "veth", "peer", "name", "far0");
    IP("link", "set", "far0", "up");
    const char *const vlan[] = { "/usr/sbin/ip", "link", "add", "link", "up0", "name", "probe", "type", "vlan", "id",
        "1", NULL };
    const char *const bond[] = { "/usr/sbin/ip", "link", "add", "name", "probe", "type", "bond", NULL };
    const char *const *probe = cstr_eq(kind, "vlan") ? vlan : bond;
    if (!succeeds(probe)) {
        skipped("this kernel has no such interface");
        return false;
    }
    IP("link", "del", "probe");
    CHECK_OK(linux_net_init(&w->b, &dhcp));
    CHECK_OK(bridge_up(&w->b, "lan0", "far0"));
    CHECK_OK(w->b.tap_open(w->b.ctx, &req, &w->lan, name));
    return true;
}

static void wire_done(struct wire *w)
{
    fd_drop(&w->lan);
    net_backend_free(&w->b);
}

static int guest(struct wire *w, const char *bridge)
{
    struct net_tap_open_req req = {
        .bridge = bridge, .vm = VM, .mac = MINE, .mtu = 1500, .lock = { .mode = "unlocked" }
    };
    char name[16];
    int tap = -1;

    CHECK_OK(w->b.tap_open(w->b.ctx, &req, &tap, name));
    return tap;
}

static struct err *vlan_up(struct wire *w, const char *bridge, uint32_t tag, uint64_t mtu)
{
    return w->b.bridge_up(w->b.ctx,
        &(struct net_network){
            .bridge = bridge, .mtu = mtu, .uplink = "up0", .tagged = true, .tag = tag, .nat = "", .nat6 = "" });
}

/* The same frame with this tag: 64 bytes. */
static void tagged(unsigned char *to, const unsigned char *f, uint16_t tag)
{
    memcpy(to, f, 12);
    memcpy(to + 12, (unsigned char[]){ 0x81, 0, (unsigned char)(tag >> 8), (unsigned char)tag }, 4);
    memcpy(to + 16, f + 12, 48);
}

#define SPOKEN 0x88b5

/* On the wire it is as it should be, and nothing else of the kind. */
static bool reaches_wire(struct wire *w, int tap, int tag)
{
    unsigned char f[64] = { 0 }, want[64] = { 0 };

    frame(f, MINE, SPOKEN);
    memcpy(want, f, 60);
    if (tag >= 0)
        tagged(want, f, (uint16_t)tag);
    return passes_as(tap, w->lan, f, 60, want, tag >= 0 ? 64 : 60);
}

static bool reaches_guest(struct wire *w, int tap, int tag)
{
    unsigned char f[64] = { 0 }, want[64] = { 0 };

    frame(want, YOURS, SPOKEN);
    memcpy(f, want, 60);
    if (tag >= 0)
        tagged(f, want, (uint16_t)tag);
    return passes_as(w->lan, tap, f, tag >= 0 ? 64 : 60, want, 60);
}

TEST(a_guest_of_a_vlan_speaks_with_its_tag_and_hears_no_other)
{
    struct wire w;

    if (!wire_init(&w, "vlan"))
        return;
    CHECK_OK(vlan_up(&w, "xapi5", 5, 1500));
    CHECK_OK(vlan_up(&w, "xapi5", 5, 1500)); /* idempotent */
    CHECK_OK(vlan_up(&w, "xapi0", 0, 1500)); /* tag 0 is a tag */
    CHECK_OK(bridge_up(&w.b, "xenbr0", "up0"));
    AUTO(fd_drop) int five = guest(&w, "xapi5");
    AUTO(fd_drop) int plain = guest(&w, "xenbr0");

    CHECK(reaches_wire(&w, five, 5));
    CHECK(!reaches_wire(&w, five, -1));
    CHECK(reaches_guest(&w, five, 5));
    CHECK(!reaches_guest(&w, five, 6));
    CHECK(!reaches_guest(&w, five, -1));
    CHECK(reaches_wire(&w, plain, -1));
    CHECK(reaches_guest(&w, plain, -1));
    CHECK(!reaches_guest(&w, plain, 5));
    wire_done(&w);
}

TEST(a_vlan_goes_with_its_network)
{
    struct wire w;

    if (!wire_init(&w, "vlan"))
        return;
    CHECK_OK(vlan_up(&w, "xapi5", 5, 1500));
    CHECK(if_nametoindex("up0.5"));
    CHECK_OK(bridge_down(&w.b, "xapi5"));
    CHECK(!if_nametoindex("up0.5"));
    CHECK(!if_nametoindex("xapi5"));

    /* what was removed from the records while nobody could tell the kernel */
    CHECK_OK(vlan_up(&w, "xapi5", 5, 1500));
    CHECK_OK(bridge_up(&w.b, "xapi5", ""));
    CHECK(!if_nametoindex("up0.5"));
    CHECK_OK(vlan_up(&w, "xapi5", 5, 1500));
    CHECK_OK(vlan_up(&w, "xapi9", 5, 1500)); /* another network has it now */
    AUTO(fd_drop) int nine = guest(&w, "xapi9");
    CHECK(reaches_wire(&w, nine, 5));
    CHECK_OK(bridge_up(&w.b, "xapi5", ""));
    CHECK(reaches_wire(&w, nine, 5));
    wire_done(&w);
}

TEST(somebody_elses_vlan_is_left_alone)
{
    struct wire w;

    if (!wire_init(&w, "vlan"))
        return;
    IP("link", "set", "up0", "up");
    IP("link", "add", "link", "up0", "name", "theirs", "type", "vlan", "id", "5");
    IP("link", "set", "theirs", "up");
    CHECK_ERR(vlan_up(&w, "xapi5", 5, 1500), "VLAN_IN_USE");
    CHECK(!if_nametoindex("xapi5"));
    CHECK(if_nametoindex("theirs"));
    wire_done(&w);
}

TEST(a_vlan_that_a_dead_process_began_is_finished)
{
    struct wire w;

    if (!wire_init(&w, "vlan"))
        return;
    IP("link", "add", "link", "up0", "name", "up0.5", "type", "vlan", "id", "5");
    CHECK_OK(vlan_up(&w, "xapi5", 5, 1500));
    AUTO(fd_drop) int five = guest(&w, "xapi5");
    CHECK(reaches_wire(&w, five, 5));
    wire_done(&w);
}

TEST(what_lies_below_a_network_carries_its_frames)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct wire w;

    if (!wire_init(&w, "vlan"))
        return;
    CHECK_OK(vlan_up(&w, "xapi5", 5, 9000));
    CHECK_INT(nic_find(a, &w.b, "up0")->mtu, 9000);
    CHECK_INT(nic_find(a, &w.b, "up0.5")->mtu, 9000);
    CHECK_INT(nic_find(a, &w.b, "xapi5")->mtu, 9000);
    CHECK_OK(vlan_up(&w, "xapi5", 5, 1500));
    CHECK_INT(nic_find(a, &w.b, "up0")->mtu, 9000); /* others may need it */
    CHECK_INT(nic_find(a, &w.b, "xapi5")->mtu, 1500);
    wire_done(&w);
}

TEST(an_interface_is_switched_off_with_its_bridge_and_on_again)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct net_backend b;

    if (!in_own_network())
        return;
    IP("link", "add", "up0", "type", "veth", "peer", "name", "far0");
    CHECK_OK(linux_net_init(&b, &dhcp));
    CHECK_OK(bridge_up(&b, "xenbr0", "up0"));
    CHECK(nic_find(a, &b, "up0")->up);
    CHECK_OK(b.bridge_down(b.ctx, &(struct net_bridge_down_req){ .bridge = "xenbr0", .nic = "up0" }));
    CHECK(!nic_find(a, &b, "up0")->up);
    CHECK_STR(nic_find(a, &b, "up0")->bridge, "");
    CHECK_OK(bridge_up(&b, "xenbr0", "up0"));
    CHECK(nic_find(a, &b, "up0")->up);
    net_backend_free(&b);
}

TEST(a_bridge_of_somebody_else_is_not_made)
{
    struct net_network theirs = {
        .bridge = "virbr0", .mtu = 1400, .uplink = "", .theirs = true, .nat = "", .nat6 = ""
    };
    struct net_backend b;

    if (!in_own_network())
        return;
    CHECK_OK(linux_net_init(&b, &dhcp));
    CHECK_ERR(b.bridge_up(b.ctx, &theirs), "BRIDGE_NOT_AVAILABLE");
    CHECK(!if_nametoindex("virbr0"));
    IP("link", "add", "virbr0", "type", "bridge");
    CHECK_OK(b.bridge_up(b.ctx, &theirs));
    CHECK_OK(bridge_down(&b, "virbr0"));
    CHECK(if_nametoindex("virbr0"));
    net_backend_free(&b);
}

/* A second cable, into the same switch. */
static void second_cable(void)
{
    IP("link", "add", "up1", "type", "veth", "peer", "name", "far1");
    IP("link", "set", "far1", "up");
    IP("link", "set", "far1", "master", "lan0");
}

static struct err *bond_up(struct net_backend *b, const char *mode, const char *mac)
{
    static const char *members[] = { "up0", "up1" };

    return b->bridge_up(b->ctx,
        &(struct net_network){ .bridge = "xapi1",
            .mtu = 1500,
            .uplink = "bond0",
            .bond = { .members = members, .n_members = 2, .mode = mode, .mac = mac, .by_ports = true },
            .nat = "",
            .nat6 = "" });
}

/* The kernel looks at the cables ten times a second. */
static bool soon(struct wire *w, int tap, bool (*reaches)(struct wire *w, int tap, int tag), int tag)
{
    for (int i = 0; i < 30; i++)
        if (reaches(w, tap, tag))
            return true;
    return false;
}

TEST(a_bond_outlives_one_of_its_cables)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct wire w;

    if (!wire_init(&w, "bond"))
        return;
    second_cable();
    CHECK_OK(bond_up(&w.b, "active-backup", "02:00:00:00:00:bb"));
    CHECK_OK(bond_up(&w.b, "active-backup", "02:00:00:00:00:bb")); /* idempotent */
    CHECK_STR(nic_find(a, &w.b, "bond0")->mac, "02:00:00:00:00:bb");
    CHECK_STR(nic_find(a, &w.b, "bond0")->bridge, "xapi1");
    AUTO(fd_drop) int tap = guest(&w, "xapi1");
    CHECK(soon(&w, tap, reaches_wire, -1));
    IP("link", "set", "far0", "down");
    CHECK(soon(&w, tap, reaches_wire, -1));
    CHECK(soon(&w, tap, reaches_guest, -1));
    IP("link", "set", "far0", "up");
    IP("link", "set", "far1", "down");
    CHECK(soon(&w, tap, reaches_wire, -1));
    CHECK(soon(&w, tap, reaches_guest, -1));
    wire_done(&w);
}

TEST(a_bond_changes_its_mode_and_carries_vlans)
{
    static const char *const modes[] = { "balance-slb", "lacp", "active-backup" };
    struct wire w;

    if (!wire_init(&w, "bond"))
        return;
    second_cable();
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        CHECK_OK(bond_up(&w.b, modes[i], ""));
        CHECK_OK(w.b.bridge_up(w.b.ctx,
            &(struct net_network){
                .bridge = "xapi5", .mtu = 1500, .uplink = "bond0", .tagged = true, .tag = 5, .nat = "", .nat6 = "" }));
        AUTO(fd_drop) int tap = guest(&w, "xapi1");
        AUTO(fd_drop) int five = guest(&w, "xapi5");
        CHECK(soon(&w, tap, reaches_wire, -1));
        CHECK(soon(&w, five, reaches_wire, 5));
        CHECK(soon(&w, five, reaches_guest, 5));
    }
    wire_done(&w);
}

static void address(const char *nic, const char *gateway)
{
    IP("link", "set", nic, "up");
    IP("addr", "add", "10.1.2.3/24", "dev", nic);
    if (*gateway)
        IP("route", "add", "default", "via", gateway, "dev", nic);
}

TEST(a_bond_takes_its_members_addresses_and_gives_them_back)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct wire w;

    if (!wire_init(&w, "bond"))
        return;
    second_cable();
    address("up0", "10.1.2.1");
    CHECK_OK(bridge_up(&w.b, "xenbr0", "up0")); /* it is in a bridge of its own by now */
    CHECK_OK(bond_up(&w.b, "active-backup", ""));
    CHECK_STR(nic_find(a, &w.b, "bond0")->ip, "10.1.2.3");
    CHECK_STR(nic_find(a, &w.b, "bond0")->gateway, "10.1.2.1");
    CHECK_STR(nic_find(a, &w.b, "bond0")->mac, nic_find(a, &w.b, "up0")->mac);
    CHECK_STR(nic_find(a, &w.b, "up0")->ip, "");
    CHECK_OK(bridge_down(&w.b, "xenbr0"));
    CHECK_OK(bridge_up(&w.b, "xapi1", "")); /* the bond is no more */
    CHECK(!if_nametoindex("bond0"));
    CHECK_STR(nic_find(a, &w.b, "up0")->ip, "10.1.2.3");
    CHECK_STR(nic_find(a, &w.b, "up0")->gateway, "10.1.2.1");
    CHECK(nic_find(a, &w.b, "up1")->up);
    CHECK_OK(bond_up(&w.b, "active-backup", ""));
    CHECK_OK(bridge_up(&w.b, "xenbr0", "up0")); /* nobody told that the bond is no more */
    CHECK(!if_nametoindex("bond0"));
    CHECK_STR(nic_find(a, &w.b, "up0")->ip, "10.1.2.3");
    CHECK_STR(nic_find(a, &w.b, "up0")->bridge, "xenbr0");
    wire_done(&w);
}

TEST(a_bond_that_a_dead_process_began_is_undone_and_then_finished)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct wire w;

    if (!wire_init(&w, "bond"))
        return;
    second_cable();
    address("up0", "10.1.2.1");
    CHECK_OK(bridge_up(&w.b, "xapi1", ""));
    IP("link", "set", "xapi1", "alias", "runnymede up0");
    IP("addr", "del", "10.1.2.3/24", "dev", "up0");
    address("xapi1", "10.1.2.1"); /* moved, and here it died */
    struct net_backend next;
    CHECK_OK(linux_net_init(&next, &dhcp));
    CHECK_STR(nic_find(a, &next, "up0")->ip, "10.1.2.3");
    CHECK_STR(nic_find(a, &next, "up0")->gateway, "10.1.2.1");
    CHECK_OK(bond_up(&next, "active-backup", ""));
    CHECK_STR(nic_find(a, &next, "bond0")->ip, "10.1.2.3");
    net_backend_free(&next);
    wire_done(&w);
}

TEST(a_bond_of_what_is_not_there_leaves_nothing)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct wire w;

    if (!wire_init(&w, "bond"))
        return;
    address("up0", "10.1.2.1");
    CHECK_ERR(bond_up(&w.b, "lacp", ""), "INTERNAL_ERROR"); /* there is no up1 */
    CHECK(!if_nametoindex("bond0") && !if_nametoindex("xapi1"));
    CHECK_STR(nic_find(a, &w.b, "up0")->ip, "10.1.2.3");
    CHECK_STR(nic_find(a, &w.b, "up0")->gateway, "10.1.2.1");
    wire_done(&w);
}
