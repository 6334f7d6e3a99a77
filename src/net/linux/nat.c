#include "net/linux/nat.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <unistd.h>
#include "base/fd.h"
#include "net/linux/ipv6.h"

static struct err *address_add(
    struct nl *nl, int index, uint8_t family, unsigned prefix, const void *address, size_t len)
{
    struct nlmsghdr *m = nl_begin(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
    struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(m, sizeof(*ifa));

    ifa->ifa_family = family;
    ifa->ifa_prefixlen = (uint8_t)prefix;
    ifa->ifa_scope = RT_SCOPE_UNIVERSE;
    ifa->ifa_index = (unsigned)index;
    ifa->ifa_flags = IFA_F_NODAD; /* nobody else may have it: it is there at once */
    mnl_attr_put(m, IFA_LOCAL, len, address);
    mnl_attr_put(m, IFA_ADDRESS, len, address);
    return nl_send(nl, m, "give the bridge its address");
}

static struct err *forward(void)
{
    AUTO(fd_drop) int fd = open("/proc/sys/net/ipv4/ip_forward", O_RDWR | O_CLOEXEC);
    char now = 0;

    if (fd < 0)
        return err_errno(errno, "open ip_forward");
    if (read(fd, &now, 1) == 1 && now == '1')
        return NULL; /* writing it again would reset other settings of the host */
    return pwrite(fd, "1\n", 2, 0) == 2 ? NULL : err_errno(errno, "switch forwarding on");
}

static struct err *addresses(
    struct nl *nl, const char *bridge, int index, const struct subnet *net, const struct subnet6 *net6)
{
    if (net) {
        TRY(address_add(nl, index, AF_INET, net->prefix, &net->host, sizeof(net->host)));
        TRY(forward());
    }
    if (net6) {
        TRY(ipv6_own(bridge));
        TRY(address_add(nl, index, AF_INET6, SUBNET6_PREFIX, &net6->host, sizeof(net6->host)));
        TRY(ipv6_forward());
    }
    return NULL;
}

struct err *nat_up(
    struct nl *nl, struct nft *nft, const char *bridge, int index, const struct subnet *net, const struct subnet6 *net6)
{
    char hide[256] = "", hide6[256] = "", text[INET6_ADDRSTRLEN];

    TRY(addresses(nl, bridge, index, net, net6));
    if (net)
        snprintf(hide, sizeof(hide), "    ip saddr %s/%u oifname != \"%s\" masquerade\n",
            inet_ntop(AF_INET, &net->host, text, sizeof(text)), net->prefix, bridge);
    if (net6)
        snprintf(hide6, sizeof(hide6), "    ip6 saddr %s/%u oifname != \"%s\" masquerade\n",
            inet_ntop(AF_INET6, &net6->net, text, sizeof(text)), SUBNET6_PREFIX, bridge);
    /* A table for each bridge, replaced as a whole. */
    return nft_run(nft, "hide a network's guests behind the host",
        "add table inet runnymede-%s\n"
        "delete table inet runnymede-%s\n"
        "table inet runnymede-%s {\n"
        "  chain out { type nat hook postrouting priority srcnat;\n"
        "%s%s"
        "  }\n"
        "  chain through { type filter hook forward priority filter;\n"
        "    oifname \"%s\" ct state established,related accept\n"
        "    oifname \"%s\" iifname != \"%s\" drop\n"
        "  }\n"
        "}\n",
        bridge, bridge, bridge, hide, hide6, bridge, bridge, bridge);
}

struct err *nat_down(struct nft *nft, const char *bridge)
{
    return nft_run(
        nft, "let go of a network", "add table inet runnymede-%s\ndelete table inet runnymede-%s\n", bridge, bridge);
}
