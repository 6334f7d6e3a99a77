#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"

/*
 * TLS 1.2 and 1.3, the server's side, over OpenSSL 3, and the self-signed
 * certificate that a host shows until its owner installs another.
 *
 * A connection works on a non-blocking descriptor, which it borrows. Calls
 * never wait: they answer -EAGAIN, and tls_want() tells which epoll event to
 * wait for. The owner ignores SIGPIPE.
 */
struct tls_server;
struct tls;

/* Certificate chain and key in one PEM text. */
struct err *tls_server_new(struct str pem, struct tls_server **ret_server) MUST_CHECK;
void tls_server_free(struct tls_server *s); /* open connections go on; NULL is fine */
DEFINE_DROP(tls_server)

struct err *tls_server_certificate(const struct tls_server *s, struct buf *ret_pem) MUST_CHECK; /* without its key */

struct tls *tls_new(struct tls_server *s, int fd);
void tls_free(struct tls *t); /* the descriptor stays open; NULL is fine */
DEFINE_DROP(tls)

int tls_handshake(struct tls *t);                     /* 0 done, -EAGAIN, -EPROTO */
ssize_t tls_read(struct tls *t, void *p, size_t len); /* 0: the other side ended; -EAGAIN; -EPROTO, -ECONNRESET */
ssize_t tls_write(struct tls *t, const void *p, size_t len); /* may take a part */
void tls_end(struct tls *t);                                 /* says goodbye if that needs no waiting */
bool tls_pending(const struct tls *t);                       /* bytes wait inside, so the descriptor may be silent */
uint32_t tls_want(const struct tls *t);                      /* after -EAGAIN: EPOLLIN or EPOLLOUT */

/* Appends key (RSA 2048) and certificate for the host name and addresses, valid for ten years, as PEM. */
struct err *tls_make_self_signed(
    const char *hostname, const char *const *addresses, size_t n_addresses, struct buf *pem) MUST_CHECK;

/* Fingerprint of the first certificate in a PEM text: "AB:CD:..", by "sha256" or "sha1". */
struct err *tls_thumbprint(struct str pem, const char *digest, struct buf *ret_text) MUST_CHECK;
