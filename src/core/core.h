#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/loop.h"

/*
 * The core: what the API means. It holds the whole database in memory, answers
 * the gate's calls, and asks the host, storage and net services for what has
 * to happen in the world. It has no rights of its own.
 *
 * It starts by finding out what exists: core_start() makes or loads this
 * host's objects, then brings them in line with what the host service says
 * runs. Start and recovery are that one path.
 */
struct core;
struct store;
struct ipc_peer;

struct core_config {
    const char *product_version;
    const char *address;    /* what host.address says; empty: found from the management interface */
    const char *sr_dir;     /* folder of the SR made at first start */
    const char *iso_dir;    /* folder of the ISO library made at first start */
    const char *trust_dir;  /* folder of certificates of others */
    const char *hypervisor; /* "qemu", "xen", "sim" */
    const char *audit_dir;  /* folder of the audit log; NULL: none is kept */
    const char *blob_dir;   /* folder of the content of blobs; NULL: none is kept */
    const char *spool_dir;  /* folder for backups that come and go; NULL: there are none */
    uint16_t https_port;    /* for console.location; 443 is left out of it */
    uint64_t auth_delay_us; /* how long a failed login waits; 5 s by contract, less in tests */
    loop_fn *on_restart;    /* ends this process, which is started again; NULL: it is not */
    void *restart_arg;
};

/* The store is borrowed and must outlive the core. */
struct core *core_new(struct loop *l, struct store *store, const struct core_config *config);
void core_free(struct core *c);

/* The other services, as they come up and go; NULL when one is gone. */
void core_set_host(struct core *c, struct ipc_peer *peer);
void core_set_storage(struct core *c, struct ipc_peer *peer);
void core_set_net(struct core *c, struct ipc_peer *peer);
void core_set_metric(struct core *c, struct ipc_peer *peer); /* also serves it what it must be told */

/* Whose front door is ours; NULL when it is gone. */
void core_set_gate(struct core *c, struct ipc_peer *peer);

/* First start or recovery; needs the three services (waits for them until deadline). [waits] */
struct err *core_start(struct core *c, uint64_t deadline_us) MUST_CHECK;

/* Serves the gate's calls on this connection. Calls wait until core_start() is done. */
void core_mount(struct core *c, struct ipc_peer *gate);

/* After the host service came back: what runs now? Does nothing before core_start() is done. [waits] */
struct err *core_catch_up(struct core *c) MUST_CHECK;

/* After the gate came: its certificate, and whether it opens without one. Waits for core_start(). [waits] */
void core_catch_up_gate(struct core *c);

/* After the storage service came back: it is told which SRs are connected. [waits] */
void core_attach_again(struct core *c);
/* After the net service came back: what it had made of networks stands again. [waits] */
void core_restore_networks(struct core *c);

/* Serves what guests did by themselves on the host's connection (service vmevents). */
void core_mount_events(struct core *c, struct ipc_peer *host);
