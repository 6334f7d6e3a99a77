#include "net/linux/scan.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/str.h"
#include "net/backend.h"

/* What the kernel calls an address or a gateway of an interface. */
struct fact {
    int index;
    uint8_t family, prefix;
    bool gateway;
    char text[INET6_ADDRSTRLEN];
};

struct facts {
    VEC(struct fact) v;
};

static void facts_done(struct facts *f)
{
    vec_done(&f->v);
}

static size_t family_size(uint8_t family)
{
    return family == AF_INET ? 4 : family == AF_INET6 ? 16 : 0;
}

static void on_address(void *arg, const struct nlmsghdr *m)
{
    struct facts *facts = arg;
    const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(m);
    struct fact f = { (int)ifa->ifa_index, ifa->ifa_family, ifa->ifa_prefixlen, false, "" };
    const struct nlattr *attr, *found = NULL;

    if (!family_size(f.family) || ifa->ifa_scope >= RT_SCOPE_HOST)
        return;
    mnl_attr_for_each(attr, m, sizeof(*ifa)) if (mnl_attr_get_type(attr) == IFA_LOCAL ||
        (mnl_attr_get_type(attr) == IFA_ADDRESS && !found)) found = attr;
    if (!found || mnl_attr_get_payload_len(found) != family_size(f.family))
        return;
    inet_ntop(f.family, mnl_attr_get_payload(found), f.text, sizeof(f.text));
    vec_push(&facts->v, f);
}

static void on_route(void *arg, const struct nlmsghdr *m)
{
    struct facts *facts = arg;
    const struct rtmsg *rtm = mnl_nlmsg_get_payload(m);
    struct fact f = { 0, rtm->rtm_family, 0, true, "" };
    const struct nlattr *attr;

    if (rtm->rtm_dst_len || rtm->rtm_table != RT_TABLE_MAIN || rtm->rtm_type != RTN_UNICAST || !family_size(f.family))
        return;
    mnl_attr_for_each(attr, m, sizeof(*rtm))
    {
        if (mnl_attr_get_type(attr) == RTA_OIF)
            f.index = (int)mnl_attr_get_u32(attr);
        else if (mnl_attr_get_type(attr) == RTA_GATEWAY && mnl_attr_get_payload_len(attr) == family_size(f.family))
            inet_ntop(f.family, mnl_attr_get_payload(attr), f.text, sizeof(f.text));
    }
    if (*f.text)
        vec_push(&facts->v, f);
}

/* First line of /sys/class/net/NAME/FILE, "" if there is none. */
static const char *sysfs(struct arena *a, const char *name, const char *file)
{
    AUTO(buf_done) struct buf b = { 0 };
    struct str line, rest;

    buf_init(&b, 4096);
    struct err *e = file_read(AT_FDCWD, arena_printf(a, "/sys/class/net/%s/%s", name, file), &b);
    if (e) {
        err_ignore(e, "interfaces without hardware have no such file");
        return "";
    }
    str_cut(buf_str(&b), '\n', &line, &rest);
    return str_is_utf8(line) ? arena_strndup(a, line.p, line.len) : "";
}

static const char *dns_first(struct arena *a)
{
    AUTO(buf_done) struct buf b = { 0 };
    struct str rest, line, key, value;

    buf_init(&b, 64 * 1024);
    struct err *e = file_read(AT_FDCWD, "/etc/resolv.conf", &b);
    if (e) {
        err_ignore(e, "no resolver is set");
        return "";
    }
    for (rest = buf_str(&b); rest.len;) {
        str_cut(rest, '\n', &line, &rest);
        if (str_cut(str_trim(line), ' ', &key, &value) && str_eq_c(key, "nameserver")) {
            value = str_trim(value);
            return arena_strndup(a, value.p, value.len);
        }
    }
    return "";
}

static void hardware(struct arena *a, const struct nl_link *l, struct net_nic *nic)
{
    char target[PATH_MAX];
    int64_t speed = -1;
    ssize_t n = readlink(arena_printf(a, "/sys/class/net/%s/device", l->name), target, sizeof(target) - 1);

    nic->physical = n > 0;
    str_to_i64(str_of(sysfs(a, l->name, "speed")), &speed);
    nic->speed = speed > 0 ? speed : -1;
    nic->duplex = !cstr_eq(sysfs(a, l->name, "duplex"), "half");
    nic->vendor = sysfs(a, l->name, "device/vendor");
    nic->product = sysfs(a, l->name, "device/device");
    nic->pci = "";
    if (n > 0) {
        target[n] = 0;
        const char *last = strrchr(target, '/');
        nic->pci = arena_strdup(a, last ? last + 1 : target);
    }
}

static void addresses(struct arena *a, const struct facts *facts, int index, struct net_nic *nic)
{
    const char **v6 = arena_new_array(a, facts->v.len + 1, const char *);

    nic->ip = nic->netmask = nic->gateway = nic->gateway6 = nic->dns = "";
    for (size_t i = 0; i < facts->v.len; i++) {
        const struct fact *f = &facts->v.p[i];
        if (f->index != index)
            continue;
        if (f->gateway) {
            const char **gateway = f->family == AF_INET ? &nic->gateway : &nic->gateway6;
            if (!**gateway)
                *gateway = arena_strdup(a, f->text);
        } else if (f->family == AF_INET6) {
            v6[nic->n_ipv6++] = arena_printf(a, "%s/%u", f->text, f->prefix);
        } else if (!*nic->ip) {
            char mask[INET_ADDRSTRLEN];
            struct in_addr in = { htonl(f->prefix ? 0xffffffffU << (32 - f->prefix) : 0) };
            nic->ip = arena_strdup(a, f->text);
            nic->netmask = arena_strdup(a, inet_ntop(AF_INET, &in, mask, sizeof(mask)));
        }
    }
    nic->ipv6 = v6;
    if (*nic->gateway || *nic->gateway6)
        nic->dns = dns_first(a);
}

static bool has_address(const struct facts *facts, int index)
{
    for (size_t i = 0; i < facts->v.len; i++)
        if (facts->v.p[i].index == index && !facts->v.p[i].gateway && facts->v.p[i].family == AF_INET)
            return true;
    return false;
}

struct err *scan_interfaces(struct nl *n, struct arena *a, struct net_nic **ret_nics, size_t *ret_n)
{
    AUTO(nl_links_done) struct nl_links links = { 0 };
    AUTO(facts_done) struct facts facts = { 0 };
    struct net_nic *nics;
    size_t len = 0;

    TRY(nl_links_read(n, &links));
    TRY(nl_dump(n, RTM_GETADDR, AF_UNSPEC, on_address, &facts));
    TRY(nl_dump(n, RTM_GETROUTE, AF_UNSPEC, on_route, &facts));
    nics = arena_new_array(a, links.v.len + 1, struct net_nic);
    for (size_t i = 0; i < links.v.len; i++) {
        const struct nl_link *l = &links.v.p[i];
        const struct nl_link *master = l->master ? nl_links_at(&links, l->master) : NULL;
        struct net_nic *nic = &nics[len];
        bool port = master && cstr_eq(master->kind, "bridge");

        bool way_out = cstr_eq(l->kind, "tun") && cstr_eq(l->name, NET_UPLINK); /* stands for the host's NIC there */

        if (!l->ethernet || (cstr_eq(l->kind, "tun") && !way_out))
            continue;
        nic->device = arena_strdup(a, l->name);
        nic->mac = arena_printf(
            a, "%02x:%02x:%02x:%02x:%02x:%02x", l->mac[0], l->mac[1], l->mac[2], l->mac[3], l->mac[4], l->mac[5]);
        nic->mtu = l->mtu;
        nic->up = l->up;
        nic->carrier = l->carrier && l->up;
        nic->bridge = port ? arena_strdup(a, master->name) : "";
        hardware(a, l, nic);
        nic->physical = nic->physical || way_out;
        addresses(a, &facts, port && !has_address(&facts, l->index) ? l->master : l->index, nic);
        len++;
    }
    *ret_nics = nics;
    *ret_n = len;
    return NULL;
}
