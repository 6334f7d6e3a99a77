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
    const char *probe[] = { "/usr/sbin/ip", "link", "add", "link", "up0", "name", "probe", "type", kind, NULL, NULL,
        NULL };
    if (cstr_eq(kind, "vlan")) {
        probe[9] = "id";
        probe[10] = "1";
    }
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
