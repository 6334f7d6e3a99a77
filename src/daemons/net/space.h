#pragma once
#include <sys/types.h>
#include "base/err.h"

/*
 * A network of this host's own (net = private): bridges, taps, filter and DHCP
 * lie in a user and network namespace, so nothing of the machine's network is
 * touched and no right over it is needed. A holder process keeps the namespace
 * while the net process is away: guests' taps stay in their bridges. Beside the
 * holder its parent runs pasta (Debian package passt), through which guests
 * reach the world as any program of this user would; the host's own loopback
 * they do not reach. Both live until somebody ends them.
 */

/* DNS server within the namespace: pasta hands what is sent there to the host's resolver. */
#define SPACE_DNS "192.0.0.3"

/*
 * Enters the namespace noted in dir/space, or makes it, as this user (already
 * changed to). Then this process is root within and nobody outside. Before the
 * first thread and the loop. EPERM where user namespaces are not allowed.
 */
struct err *space_enter(const char *dir) MUST_CHECK;
/* Ends the namespace: for a host that stops, and has no guest with a tap there. */
void space_leave(const char *dir);
