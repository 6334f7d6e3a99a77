#pragma once
#include "base/arena.h"
#include "base/loop.h"
#include "core/core.h"
#include "gate/gate.h"
#include "host/launch_local.h"
#include "host/service.h"
#include "ipc/ipc.h"
#include "net/backend.h"
#include "storage/service.h"
#include "store/store.h"

/*
 * The whole product in one process: gate, core, host with simulated guests,
 * storage and net, each mounted as its daemon mounts it, over the in-process
 * transport that still encodes and decodes. On a simulated loop a run is
 * replayed from its seed.
 */
struct house {
    struct loop *loop;
    struct arena *arena;
    struct store *store;
    struct core_config core_config;
    struct core *core;
    struct gate *gate;
    struct vm_local local;
    struct launcher launcher;
    struct cells *cells;
    struct auth_door auth;
    struct host_room *host;
    struct storage_service *storage;
    struct net_backend net;
    struct ipc_peer *core_host, *host_core; /* what each side holds */
    struct ipc_peer *core_storage, *storage_core;
    struct ipc_peer *host_storage, *storage_host;
    struct ipc_peer *core_net, *net_core;
    struct ipc_peer *host_net, *net_host;
    struct ipc_peer *gate_core, *core_gate;
};

void house_open(struct house *h, struct loop *l); /* [waits] */
void house_close(struct house *h);                /* [waits] */

/* The core dies and a new one starts on the same store, as after kill -9. */
void house_restart_core(struct house *h);

/* One HTTP request to the local door of the gate; the body of the answer, in the house's arena. [waits] */
const char *house_post(struct house *h, const char *path, const char *body);
/* A JSON-RPC call; params is the JSON text of the parameters after the session. The answer's body. */
const char *house_call(struct house *h, const char *method, const char *params);
/* The text result of such a call; the test fails when it is an error. */
const char *house_text(struct house *h, const char *method, const char *params);
