#include "net/linux/tap.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/str.h"
#include "net/backend.h"
#include "net/linux/filter.h"
#include "net/linux/link.h"

static void alias_of(char alias[64], const char *vm, int64_t position)
{
    snprintf(alias, 64, "%s/%lld", vm, (long long)position);
}

/* While a VM migrates to its own host it has two taps for one VIF. NULL: no further one. */
static const struct nl_link *next(const struct nl_links *links, const char *alias, size_t *it)
{
    while (*it < links->v.len) {
        const struct nl_link *l = &links->v.p[(*it)++];

        if (cstr_starts(l->name, NET_TAP_PREFIX) && cstr_eq(l->alias, alias))
            return l;
    }
    return NULL;
}

static struct err *find_bridge(struct nl_links *links, const char *name, const struct nl_link **ret)
{
    const struct nl_link *l = nl_links_find(links, name);

    if (!l || !cstr_eq(l->kind, "bridge"))
        return err_internal("there is no bridge %s", name);
    *ret = l;
    return NULL;
}

static uint32_t mtu_of(uint64_t wanted, const struct nl_link *bridge)
{
    return wanted >= 68 && wanted <= 65535 ? (uint32_t)wanted : bridge->mtu;
}

static struct err *filter(struct nft *nft, const char *name, const char *mac, const struct net_lock *lock)
{
    if (nft)
        return filter_set(nft, name, mac, lock);
    return cstr_eq(lock->mode, "unlocked") && !lock->kbps ? NULL : err_internal("no packet filter to hold a VIF with");
}

/* The filter holds back what the guest sends; a tap that is down also what it would get. */
static struct err *let_through(struct nl *n, int index, const struct net_lock *lock)
{
    return link_up(n, index, !cstr_eq(lock->mode, "disabled"));
}

/* Our end of the cable has the guest's address with the first byte fe: high, so that no bridge takes it for its own. */
static struct err *set_up(struct nl *n, struct nft *nft, const char *name, const struct net_tap_open_req *req)
{
    AUTO(nl_links_done) struct nl_links links = { 0 };
    const struct nl_link *tap, *bridge = NULL;
    unsigned char mac[6];
    char alias[64];

    TRY(nl_links_read(n, &links));
    tap = nl_links_find(&links, name);
    if (!tap)
        return err_internal("tap %s vanished", name);
    TRY(find_bridge(&links, req->bridge, &bridge));
    if (sscanf(req->mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) == 6) {
        mac[0] = 0xfe;
        TRY(link_mac(n, tap->index, mac));
    }
    alias_of(alias, req->vm, req->position);
    TRY(link_alias(n, tap->index, alias));
    TRY(link_mtu(n, tap->index, mtu_of(req->mtu, bridge)));
    err_ignore(link_silence(n, tap->index), "kernels without IPv6 have nothing to say");
    TRY(filter(nft, name, req->mac, &req->lock));
    TRY(link_master(n, tap->index, bridge->index));
    return let_through(n, tap->index, &req->lock);
}

struct err *tap_open(struct nl *n, struct nft *nft, const struct net_tap_open_req *req, int *ret_fd, char *ret_name)
{
    struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    AUTO(fd_drop) int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return err_errno(errno, "open /dev/net/tun");
    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name),
        NET_TAP_PREFIX "%%d"); /* the kernel finds a number; gone with the last descriptor */
    if (ioctl(fd, TUNSETIFF, &ifr) < 0)
        return err_errno(errno, "make tap");
    TRY(set_up(n, nft, ifr.ifr_name, req));
    snprintf(ret_name, 16, "%.15s", ifr.ifr_name);
    *ret_fd = fd_take(&fd);
    return NULL;
}

struct err *tap_lock(struct nl *n, struct nft *nft, const struct net_tap_lock_req *req)
{
    AUTO(nl_links_done) struct nl_links links = { 0 };
    const struct nl_link *tap;
    char alias[64];
    size_t it = 0;

    alias_of(alias, req->vm, req->position);
    TRY(nl_links_read(n, &links));
    while ((tap = next(&links, alias, &it))) {
        TRY(filter(nft, tap->name, req->mac, &req->lock));
        TRY(let_through(n, tap->index, &req->lock));
    }
    return NULL;
}

/* In no bridge while the lock changes: each network sees the guest with its own lock only. */
static struct err *move_one(struct nl *n, struct nft *nft, const struct nl_link *tap, const struct nl_link *bridge,
    const struct net_tap_move_req *req)
{
    if (tap->master && tap->master != bridge->index)
        TRY(link_master(n, tap->index, 0));
    TRY(filter(nft, tap->name, req->mac, &req->lock));
    if (tap->mtu != mtu_of(req->mtu, bridge))
        TRY(link_mtu(n, tap->index, mtu_of(req->mtu, bridge)));
    if (tap->master != bridge->index)
        TRY(link_master(n, tap->index, bridge->index));
    return let_through(n, tap->index, &req->lock);
}

struct err *tap_move(struct nl *n, struct nft *nft, const struct net_tap_move_req *req)
{
    AUTO(nl_links_done) struct nl_links links = { 0 };
    const struct nl_link *tap, *bridge = NULL;
    char alias[64];
    size_t it = 0;

    alias_of(alias, req->vm, req->position);
    TRY(nl_links_read(n, &links));
    TRY(find_bridge(&links, req->network.bridge, &bridge));
    while ((tap = next(&links, alias, &it)))
        TRY(move_one(n, nft, tap, bridge, req));
    return NULL;
}
