#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/loop.h"
#include "gate/stream.h"
#include "proto/websocket.h"

/*
 * A relay between a client and a descriptor of the core's: disks coming and
 * going, consoles. Driven by watches, not by a fiber, because thousands of
 * consoles may be open: an idle one holds no buffer and no stack. What one
 * side does not take, the other is not asked for.
 */
enum relay_direction {
    RELAY_DOWN = 1, /* descriptor to client until its end */
    RELAY_UP,       /* client to descriptor; then waits until the other end closes, for that is when the work is done */
    RELAY_BOTH,
};

typedef void relay_done_fn(void *ctx, uint64_t bytes, bool complete);

struct relay_spec {
    struct loop *loop;
    struct stream client; /* taken */
    int fd;               /* taken; socket, pipe or file */
    enum relay_direction direction;
    struct buf early; /* taken: what the client sent already */
    int64_t up_bytes; /* RELAY_UP: that many make it complete; -1: the client's end does */
    bool websocket;
    enum ws_protocol protocol;
    uint32_t idle_timeout_s; /* 0: none */
    relay_done_fn *done;     /* called once; the relay and its descriptors are gone by then */
    void *ctx;
};

struct relay;
struct relay *relay_start(const struct relay_spec *spec);
void relay_stop(struct relay *r); /* cuts it: done is called, incomplete */
