#pragma once
#include "core/core.h"
#include "gen/ipc_net.h"
#include "ipc/ipc.h"
#include "store/store.h"
#include "test.h"

/*
 * A core in one process with the tests: store in memory, and host, storage and
 * net services of a few lines that keep what they are told.
 */
struct fixture {
    struct loop *loop;
    struct store *store;
    struct core *core;
    struct core_config config;
    struct ipc_peer *gate, *gate_core;     /* test's side, core's side */
    struct ipc_peer *host, *storage, *net; /* the core's sides */
    struct ipc_peer *host_far, *storage_far, *net_far;
    struct map *guests; /* VM uuid -> struct vm_state in the arena */
    size_t n_starts;
    const char *fail_start; /* error code for the next host.vm_start */
    uint64_t balloon;       /* what a guest has left before the answer to its start comes, which says twice as much */
    struct {                /* what net was told last of a plugged VIF; the texts are in the arena */
        const char *vm, *bridge;
        int64_t position;
        uint64_t kbps;
        size_t n_failures; /* so many are refused first */
    } cable;
    size_t n_destroy_failures;  /* so many disks are not destroyed first */
    const char *bridge_down;    /* the last that net was to remove */
    struct net_network network; /* the last that it was to bring up; the texts are in the arena */
    size_t n_bridge_failures;   /* so many are refused first */
    struct {                    /* passwords that the host looks at: how long that takes, and how many at once */
        uint64_t us;
        size_t now, most;
    } auth;
    struct arena *arena;
    const char *session;
};

void fixture_init(struct fixture *f, struct loop *l); /* [waits] */
void fixture_done(struct fixture *f);

/* A call as the gate makes it, JSON-RPC 2.0; the body of the answer. args: NULL-terminated texts, "#1" an int, "?t" a
 * bool. [waits] */
const char *fixture_call(struct fixture *f, const char *session, const char *method, ...) __attribute__((sentinel));
const char *fixture_call_values(
    struct fixture *f, const char *session, const char *method, const struct value *args, size_t n, bool async);
const char *fixture_result(struct fixture *f, const char *body); /* text of a string result */
/* What the host tells of a guest by itself. */
void fixture_guest_changed(struct fixture *f, const char *vm_ref, const char *what, const char *power);
