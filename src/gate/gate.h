#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/loop.h"
#include "gate/site.h"
#include "ipc/ipc.h"
#include "proto/tls.h"

/*
 * The front door. Strangers' bytes end here: TLS, HTTP, XML-RPC and JSON-RPC
 * become one typed call to the core, whose answer goes back as it is; uploads,
 * downloads and consoles are relayed between the client and a descriptor that
 * the core hands over. The gate holds no rights and knows no secrets but the
 * key of its certificate.
 *
 * The core dials the gate, so the gate needs no path to anything. While no core
 * is connected, requests wait for one for a while and are then told 503.
 *
 * One fiber per connection, in which its requests are answered one after the
 * other; relays go on without one. Everything belongs to the loop's thread. A
 * gate ignores SIGPIPE for the whole process.
 */
struct gate;

struct gate_config {
    struct tls_server *tls;  /* borrowed; NULL: no TLS doors */
    const struct site *site; /* borrowed; NULL: no static files */
    unsigned max_conns, max_per_address;
    uint32_t handshake_s, head_s, body_s, idle_s; /* deadlines of one connection */
    uint32_t stall_s;                             /* a client that takes no byte of its answer that long is gone */
    uint32_t core_s;                              /* how long a request waits for the core to come */
};
extern const struct gate_config gate_defaults;

enum gate_door {
    GATE_PLAIN,
    GATE_TLS,
    GATE_LOCAL, /* Unix socket: whoever can open it is root */
};

struct gate *gate_new(struct loop *l, const struct gate_config *config);
void gate_close(struct gate *g); /* cuts everything; what is under way notices in the loop's next rounds */
void gate_free(struct gate *g);  /* after gate_close() and when gate_n_conns() is 0; NULL is fine */
DEFINE_DROP(gate)

/* Takes a listening socket. */
void gate_listen(struct gate *g, int fd, enum gate_door door);
/* Another certificate for new connections; those that are open keep theirs. Takes it. */
void gate_take_tls(struct gate *g, struct tls_server *tls);
/* The plain doors take nobody in, and hear no further request of those who are. */
void gate_set_tls_only(struct gate *g, bool on);
bool gate_tls_only(const struct gate *g);

/* Takes one connected socket; `client` is the address that sessions will show. */
void gate_accept(struct gate *g, int fd, enum gate_door door, const char *client);

/* Takes the listening socket at which the core arrives; only processes of `uid`, or root, are let in. */
void gate_listen_core(struct gate *g, int fd, uid_t uid);
/* The newest core is the one that is asked. It goes by itself when its connection ends,
 * which must be before gate_free(). */
void gate_add_core(struct gate *g, struct ipc_peer *core);

unsigned gate_n_conns(const struct gate *g); /* relays included */
