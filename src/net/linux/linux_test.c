#include "net/linux/linux.h"
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/proc.h"
#include "base/str.h"
#include "test.h"

/* Each test has a network namespace of its own; without the right to make one it is skipped, visibly. */
static bool in_own_network(void)
{
    if (unshare(CLONE_NEWNET) == 0)
        return true;
    printf("SKIP: no right to make a network namespace\n");
    return false;
}

static void ip(const char *const *argv)
{
    AUTO(fd_drop) int pidfd = -1;
    int status = -1;
    pid_t pid;

    CHECK_OK(proc_spawn(&(struct proc_spec){ .argv = argv }, &pid, &pidfd));
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_INT(status, 0);
}
#define IP(...) ip((const char *const[]){ "/usr/sbin/ip", __VA_ARGS__, NULL })

static const struct net_nic *nic_find(struct arena *a, struct net_backend *b, const char *name)
{
    struct net_nic *nics;
    size_t n;

    CHECK_OK(b->scan(b->ctx, a, &nics, &n));
    for (size_t i = 0; i < n; i++)
        if (cstr_eq(nics[i].device, name))
            return &nics[i];
    return NULL;
}

static struct err *bridge_up(struct net_backend *b, const char *name, const char *uplink)
{
    return b->bridge_up(
        b->ctx, &(struct net_network){ .bridge = name, .mtu = 1500, .uplink = uplink, .nat = "", .nat6 = "" });
}

TEST(a_tap_joins_the_bridge_and_vanishes_with_its_descriptor)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct net_backend b;
    char name[16];
    int tap = -1;

    if (!in_own_network())
        return;
    CHECK_OK(linux_net_init(&b));
    struct net_tap_open_req req = {
        .bridge = "xapi0", .vm = "b0b", .position = 0, .mac = "52:54:00:12:34:56", .mtu = 1400
    };
    CHECK_ERR(b.tap_open(b.ctx, &req, &tap, name), "INTERNAL_ERROR");
    CHECK_OK(bridge_up(&b, "xapi0", ""));
    CHECK_OK(bridge_up(&b, "xapi0", ""));
    CHECK_OK(b.tap_open(b.ctx, &req, &tap, name));
    CHECK(tap > 0);
    CHECK(if_nametoindex(name));
    CHECK_ERR(b.bridge_down(b.ctx, "xapi0"), "INTERNAL_ERROR"); /* a port is left */
    fd_drop(&tap);
    CHECK(!if_nametoindex(name));
    CHECK_OK(b.bridge_down(b.ctx, "xapi0"));
    CHECK_OK(b.bridge_down(b.ctx, "xapi0"));
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
    CHECK_OK(linux_net_init(&b));
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

    CHECK_OK(b.bridge_down(b.ctx, "xenbr0"));
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
    CHECK_OK(linux_net_init(&b));
    IP("link", "add", "virbr0", "type", "bridge");
    IP("link", "set", "virbr0", "alias", "theirs", "up");
    CHECK_OK(bridge_up(&b, "virbr0", ""));
    CHECK_OK(b.bridge_down(b.ctx, "virbr0"));
    CHECK(nic_find(a, &b, "virbr0"));
    net_backend_free(&b);
}
