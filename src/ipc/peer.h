#pragma once
/*
 * Inside ipc: peer.c moves frames, call.c knows what they mean. A frame comes
 * in twice: its head is asked for admission before its payload gets memory,
 * then the whole is taken.
 */
#include "base/fiber.h"
#include "base/list.h"
#include "base/vec.h"
#include "ipc/frame.h"
#include "ipc/ipc.h"

#define IPC_QUEUE_MAX ((size_t)64 << 20) /* bytes on their way out; above, callers wait */
#define IPC_SLOTS_MAX 65536U             /* open calls in one direction */

struct frame {
    struct link link;
    struct buf bytes; /* head and payload */
    size_t sent;
    struct ipc_fds fds;
    bool fds_owned;
};

struct waiting_call; /* a client's, on the stack of its fiber */
struct served_call;  /* a server's, in its own arena */

/*
 * Calls of one direction have numbers serial << 16 | slot. The slot is free
 * again when the answer has come, so the server, who mirrors them, never sees
 * two open calls in one slot.
 */
struct out_slot {
    struct waiting_call *call; /* NULL: given up, its answer will be dropped */
    uint16_t serial;
    uint16_t op;
    bool open;
};

struct service_entry {
    const struct ipc_service *service;
    const void *ops;
    void *ctx;
    unsigned flags;
};

struct closer {
    ipc_peer_fn *fn;
    void *ctx;
};

struct ipc_peer {
    struct loop *loop;
    unsigned refs; /* the owner, the open connection, each call, each deferred function */
    bool open;
    bool has_owner;

    int fd; /* owned; -1 for a pair */
    struct watch *watch;
    struct link out; /* frames not sent yet */
    struct {
        uint8_t head_bytes[IPC_HEAD_SIZE];
        struct ipc_head head;
        struct arena *arena; /* of the payload under way; NULL: reading the head */
        char *payload;
        size_t have;
        struct ipc_fds fds;
    } in;

    struct ipc_peer *other; /* of a pair; NULL once it is gone */
    struct link inbox;      /* frames from it */

    size_t queued; /* bytes in frames that the other side has not got */
    struct waitq room;

    VEC(struct service_entry) services;
    VEC(struct out_slot) calls;
    VEC(uint16_t) free_calls;
    VEC(struct served_call *) served; /* by slot */
    VEC(struct closer) closers;
};

/* peer.c */
struct frame *frame_new(void);
void frame_free(struct frame *f);
DEFINE_DROP(frame)
/* Takes the frame. Its descriptors are borrowed: sent or duplicated before this returns. */
struct err *peer_put(struct ipc_peer *p, struct frame *f) MUST_CHECK;
/* [waits] until the queue is short enough; fails when the peer is lost, or interrupted. */
struct err *peer_wait_room(struct ipc_peer *p, const char *whom) MUST_CHECK;
/* From here on the peer belongs to its connection: it dies after its closers. */
void peer_disown(struct ipc_peer *p);
/* Ends the connection. `why` is logged and freed; NULL for a plain end. */
void peer_end(struct ipc_peer *p, struct err *why);

/* call.c */
struct err *calls_admit(struct ipc_peer *p, const struct ipc_head *h) MUST_CHECK;
/* Takes the arena, in which the payload lies, and the descriptors. */
struct err *calls_take(
    struct ipc_peer *p, const struct ipc_head *h, struct arena *a, const char *payload, struct ipc_fds *fds) MUST_CHECK;
void calls_lost(struct ipc_peer *p); /* the connection has ended */
