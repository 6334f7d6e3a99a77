#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "proto/tls.h"

/*
 * The bytes of one client, plain or TLS, on a non-blocking descriptor. Both
 * belong to whoever holds the struct; stream_done() ends it.
 */
struct stream {
    int fd;
    struct tls *tls; /* NULL: plain */
};

/* Never wait. Bytes moved; 0: the client ended (read only); -EAGAIN, then stream_want(); other -errno: it is broken. */
ssize_t stream_read(struct stream *s, void *p, size_t len);
ssize_t stream_write(struct stream *s, const void *p, size_t len);
uint32_t stream_want(const struct stream *s, uint32_t plain); /* what to wait for; `plain` is it without TLS */

/* [waits] one read; 0 at the end, -ETIMEDOUT at the deadline, other -errno. */
ssize_t stream_read_until(struct stream *s, void *p, size_t len, uint64_t deadline_us);
/* [waits] for something to read, holding no memory meanwhile. */
bool stream_wait(struct stream *s, uint64_t deadline_us);
/* [waits] all of it; each piece may take stall_us. 0 or -errno. */
int stream_write_all(struct stream *s, const void *p, size_t len, uint64_t stall_us);

void stream_done(struct stream *s);
