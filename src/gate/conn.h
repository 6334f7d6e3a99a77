#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/list.h"
#include "gate/gate.h"
#include "gate/relay.h"
#include "gate/stream.h"
#include "model/model.h"
#include "proto/http.h"

/*
 * Inside the gate: one connection, and what its requests share. Only gate.c,
 * conn.c, rpc.c and action.c know this.
 */
#define RPC_BODY_MAX (300 * 1024)
#define CLI_BODY_MAX (200 * 1024)

struct conn {
    struct gate *gate;
    struct stream stream;
    enum gate_door door;
    char *client;         /* address text */
    struct address *from; /* NULL: not counted by address */
    struct buf in;        /* read and not yet eaten; no memory while idle */
    bool refused;         /* over the limit: gets a 503 and no more */
    bool unread;          /* more of the body is coming that nobody will read */
    bool served;          /* had a request already */
    struct link link;     /* in gate's list */
    struct relay *relay;  /* once handed over */
};

/* gate.c */
struct conn *conn_new(struct gate *g, int fd, enum gate_door door, const char *client);
void conn_free(struct conn *c);
struct loop *gate_loop(const struct gate *g);
const struct gate_config *gate_config(const struct gate *g);
struct ipc_peer *gate_core(struct gate *g); /* [waits] a reference, or NULL when none came in time */

/* What was asked for how often, one for each action. */
#define ACTIONS_MAX 128
struct gate_count {
    const struct http_action *action; /* NULL: not yet */
    uint64_t requests, connections;
};
struct gate_count *gate_counts(struct gate *g); /* ACTIONS_MAX of them */

/* door.c */
void door_mount(struct gate *g, struct ipc_peer *core); /* serves it what it may ask of the gate */

/* conn.c */
void conn_main(void *conn); /* the fiber; frees the connection or hands it to a relay */
uint64_t conn_deadline(const struct conn *c, uint32_t seconds);
int conn_send(struct conn *c, const struct buf *b);                /* [waits] 0 or -errno */
int conn_send_error(struct conn *c, int status, const char *text); /* [waits] */
int conn_read_body(struct conn *c, const struct http_request *r, size_t max,
    struct str *ret_body); /* [waits] 0, a status, or -errno */

/* What became of a request. */
enum outcome { CONN_NEXT, CONN_CLOSE, CONN_RELAYED };

/* rpc.c: POST of an XML-RPC or JSON-RPC call. */
enum outcome rpc_serve(struct conn *c, struct arena *a, const struct http_request *r, bool json);

/* action.c: one of the HTTP actions. */
enum outcome action_serve(struct conn *c, struct arena *a, const struct http_request *r, const char *action);
