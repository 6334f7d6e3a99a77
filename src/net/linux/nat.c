#include "net/linux/nat.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <unistd.h>
#include "base/fd.h"

static struct err *address_add(struct nl *nl, int index, const struct subnet *net)
{
    struct nlmsghdr *m = nl_begin(nl, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
    struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(m, sizeof(*ifa));

    ifa->ifa_family = AF_INET;
    ifa->ifa_prefixlen = (uint8_t)net->prefix;
    ifa->ifa_scope = RT_SCOPE_UNIVERSE;
    ifa->ifa_index = (unsigned)index;
    mnl_attr_put_u32(m, IFA_LOCAL, net->host.s_addr);
    mnl_attr_put_u32(m, IFA_ADDRESS, net->host.s_addr);
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

struct err *nat_up(struct nl *nl, struct nft *nft, const char *bridge, int index, const struct subnet *net)
{
    char gateway[INET_ADDRSTRLEN];

    TRY(address_add(nl, index, net));
    TRY(forward());
    inet_ntop(AF_INET, &net->host, gateway, sizeof(gateway));
    /* A table for each bridge, replaced as a whole. */
    return nft_run(nft, "hide a network's guests behind the host",
        "add table inet runnymede-%s\n"
        "delete table inet runnymede-%s\n"
        "table inet runnymede-%s {\n"
        "  chain out { type nat hook postrouting priority srcnat;\n"
        "    ip saddr %s/%u oifname != \"%s\" masquerade\n"
        "  }\n"
        "  chain through { type filter hook forward priority filter;\n"
        "    oifname \"%s\" ct state established,related accept\n"
        "    oifname \"%s\" iifname != \"%s\" drop\n"
        "  }\n"
        "}\n",
        bridge, bridge, bridge, gateway, net->prefix, bridge, bridge, bridge, bridge);
}

struct err *nat_down(struct nft *nft, const char *bridge)
{
    return nft_run(
        nft, "let go of a network", "add table inet runnymede-%s\ndelete table inet runnymede-%s\n", bridge, bridge);
}
