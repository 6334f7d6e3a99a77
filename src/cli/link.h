#pragma once
#include <stdbool.h>
#include <sys/types.h>
#include "base/err.h"
#include "base/str.h"

/*
 * A connection to the server: the local Unix socket, TCP, or TLS over TCP.
 * Blocking; a signal ends a wait with EINTR.
 *
 * Hosts make their certificates themselves, so TLS trusts on first use: a
 * certificate that the system's authorities do not vouch for is remembered by
 * its fingerprint in ~/.xe_known_hosts, and another one under the same name is
 * refused from then on.
 */
struct link;

struct link_address {
    const char *socket; /* NULL: the next two */
    const char *host, *port;
    bool plain;             /* no TLS */
    const char *known_file; /* NULL: nothing is remembered */
};

struct err *link_open(const struct link_address *to, struct link **ret_link) MUST_CHECK;
void link_free(struct link *l);
DEFINE_DROP(link)

struct err *link_read(struct link *l, void *p, size_t len, size_t *ret_len) MUST_CHECK; /* 0: the other side ended */
struct err *link_write(struct link *l, const void *p, size_t len) MUST_CHECK;           /* everything */
void link_end_write(struct link *l);     /* the other side reads the end */
int link_fd(const struct link *l);       /* to wait for */
bool link_pending(const struct link *l); /* bytes wait inside */
