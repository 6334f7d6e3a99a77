#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/str.h"
#include "base/value.h"
#include "ipc/type.h"

/*
 * Talk between our own processes. A peer is one connection; both sides may call
 * and serve, several services at once. The calls are generated from
 * idl/ipc/<service>.toml into "gen/ipc_<service>.h":
 *
 *     TRY(vm_console(peer, arena, &(struct vm_console_req){ .protocol = "rfb" }, &rep));
 *
 *     static const struct vm_ops ops = { .console = on_console };
 *     ipc_serve(peer, &vm_service, &ops, my_context);
 *
 * Two transports behave alike: a unix stream socket, and a pair within one
 * process and loop (ipc_pair()) that still encodes, decodes and duplicates
 * descriptors. A frame that is malformed, unknown or too large ends the peer.
 *
 * Descriptors. Client: those of a request are borrowed, those of a reply belong
 * to the caller. Server: those of a request belong to the call (fd_take() what
 * is kept, the rest is closed after the handler), those of a reply are closed
 * once the handler has returned. 0 and -1 both mean none.
 *
 * Memory. A reply lives in the caller's arena. Request and reply of a handler
 * live until it returns: copy out what stays (<service>_<struct>_take()).
 */
struct ipc_peer;
struct ipc_service;
struct ipc_listener;
struct ipc_dialer;
typedef void ipc_peer_fn(void *ctx, struct ipc_peer *p);

/* Takes the socket, also on failure. The peer belongs to the caller until ipc_close(), even after it was lost. */
struct err *ipc_peer_new(struct loop *l, int fd, struct ipc_peer **ret_peer) MUST_CHECK;
/* Two ends of one connection in this process; frames arrive by loop_defer(). Both belong to the caller. */
void ipc_pair(struct loop *l, struct ipc_peer **ret_a, struct ipc_peer **ret_b);
/* Ends the connection; open calls fail with "connection lost". The caller's pointer is dead. NULL is fine. */
void ipc_close(struct ipc_peer *p);
static inline UNUSED void ipc_peer_drop(struct ipc_peer **p)
{
    ipc_close(*p);
    *p = NULL;
}

/* For those who keep a peer across a wait without owning it. A closed peer may still be asked. */
struct ipc_peer *ipc_ref(struct ipc_peer *p);
void ipc_unref(struct ipc_peer *p); /* NULL is fine */

bool ipc_is_open(const struct ipc_peer *p);
struct loop *ipc_loop(const struct ipc_peer *p);
/* Who is at the other end, by the kernel's word. */
struct err *ipc_peer_creds(const struct ipc_peer *p, uid_t *ret_uid, pid_t *ret_pid) MUST_CHECK;

/*
 * Calls fn once when the connection has ended: in a round of the loop of its
 * own if the other side went away, before ipc_close() returns if this one did.
 */
void ipc_on_close(struct ipc_peer *p, ipc_peer_fn *fn, void *ctx);

/*
 * Serving. Each call runs in a fiber of its own. When the client gives up, its
 * fiber is interrupted and `cancelled` set. When the peer goes, handlers finish
 * and their replies are dropped, unless flags say otherwise.
 */
struct ipc_call {
    struct arena *arena; /* ends with the call */
    struct ipc_peer *peer;
    void *ctx; /* as given to ipc_serve() */
    bool cancelled;
};
#define IPC_INTERRUPT_ON_CLOSE 1U
/* ops: struct <service>_ops, borrowed like ctx until the peer's last handler has ended. */
void ipc_serve(struct ipc_peer *p, const struct ipc_service *s, const void *ops, void *ctx);
void ipc_serve_with(struct ipc_peer *p, const struct ipc_service *s, const void *ops, void *ctx, unsigned flags);

/* Accepts on a listening socket, which it takes. Peers belong to the runtime: they die after their on_close. */
struct ipc_listener *ipc_listen(struct loop *l, int fd, ipc_peer_fn *on_peer, void *ctx);
void ipc_listener_free(struct ipc_listener *li); /* accepted peers stay; NULL is fine */
DEFINE_DROP(ipc_listener)

/*
 * Keeps a connection to a unix path and redials when it is lost, after 10 ms at
 * first and up to 1 s. on_up is the place for ipc_serve() and greetings without
 * a wait; on_down follows each on_up, also from ipc_dialer_free(). Both may be NULL.
 */
struct ipc_dialer *ipc_dialer_new(
    struct loop *l, const char *path, ipc_peer_fn *on_up, ipc_peer_fn *on_down, void *ctx);
void ipc_dialer_free(struct ipc_dialer *d); /* nobody may be waiting; NULL is fine */
DEFINE_DROP(ipc_dialer)
/* [waits] until connected. The peer is the dialer's: use it at once, ask again next time. */
struct err *ipc_dialer_peer(struct ipc_dialer *d, uint64_t deadline_us, struct ipc_peer **ret_peer) MUST_CHECK;

/*
 * What calls fail with beyond the handler's own errors. A lost call may or may
 * not have happened; an interrupted one was told to stop. Both are true as well
 * if the handler failed so, on a call of its own.
 */
bool ipc_is_lost(const struct err *e);        /* INTERNAL_ERROR ["connection to <service> lost"] */
bool ipc_is_interrupted(const struct err *e); /* TASK_CANCELLED [""]: this fiber was interrupted */
struct err *ipc_lost(const char *whom) MUST_CHECK;
struct err *ipc_interrupted(void) MUST_CHECK;
struct err *ipc_refused(const char *op) MUST_CHECK;

/* For generated code. */
typedef struct err *ipc_run_fn(const void *ops, struct ipc_call *c, void *req, void *rep);
struct ipc_op {
    const char *name; /* "service.op" */
    const struct ipc_type *req, *rep;
    uint32_t max; /* bytes of payload of a request */
    bool oneway;
    ipc_run_fn *run;
};
struct ipc_service {
    const char *name;
    uint8_t id;
    unsigned n_ops;
    const struct ipc_op *ops;
};
/* [waits] ret_rep may be NULL; it stays untouched on failure. */
struct err *ipc_invoke(struct ipc_peer *p, const struct ipc_service *s, unsigned op, struct arena *a, const void *req,
    void *ret_rep) MUST_CHECK;
/* Fails when the peer is gone or does not read. */
struct err *ipc_post(struct ipc_peer *p, const struct ipc_service *s, unsigned op, const void *req) MUST_CHECK;
