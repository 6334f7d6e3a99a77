#pragma once
#include <stdbool.h>
#include "base/err.h"
#include "net/dhcp.h"

/*
 * The keeper: a child of the net process that may do what that one must not,
 * start programs. It starts dnsmasq for each NAT network, starts it again when
 * it dies, and ends what an earlier keeper left. It reads nothing but the net
 * process's messages (idl/ipc/dhcp.toml); what guests send is read by dnsmasq,
 * which runs as a user of its own, or within the private namespace.
 */
struct keeper_config {
    const char *dir;       /* <run>/net: leases, and who serves */
    bool private_space;    /* all happens in a user namespace of ours, whose root is nobody outside */
    const char *forwarder; /* DNS server that dnsmasq asks; NULL: those of the host's resolv.conf */
};

/* Forks it; *ret_fd speaks to it, and its end ends it. Before the first thread and the loop. */
struct err *keeper_fork(const struct keeper_config *config, int *ret_fd) MUST_CHECK;

/* The other side: what linux_net_init() wants, over the connection. */
struct ipc_peer;
struct net_dhcp keeper_dhcp(struct ipc_peer *peer); /* borrows it */
