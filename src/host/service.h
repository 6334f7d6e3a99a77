#pragma once
#include "host/auth.h"
#include "host/broker.h"
#include "host/cell.h"
#include "host/inventory.h"
#include "host/machine.h"

/*
 * The host service (idl/ipc/host.toml). Every mounted peer is also told of what
 * guests do by themselves (vmevents), so it must serve that; who connects later
 * asks vm_list.
 */
struct host_room;

struct host_room_config {
    struct cells *cells; /* with host_room_changed() and host_room_tpm() */
    struct broker broker;
    struct auth_door *auth;
    struct inventory_source inventory; /* strings borrowed */
    struct machine machine;
    struct err *(*secure_vars)(struct buf *b); /* as in hyper/hyper.h; NULL: there are none */
    const char *power; /* program that takes "reboot" or "shutdown"; "machine": this machine's own; NULL: neither may */
};

struct host_room *host_room_new(const struct host_room_config *c);
void host_room_free(struct host_room *h);
DEFINE_DROP(host_room)

void host_room_mount(struct host_room *h, struct ipc_peer *core);
/* cells_config.on_change, on_report and on_tpm, ctx: struct host_room ** (the cells are made first). */
void host_room_reported(void *ctx, const char *uuid, const struct vm_report *report);
void host_room_changed(
    void *ctx, const char *uuid, const char *what, const char *detail, const struct vm_state *state, struct str nvram);
void host_room_tpm(void *ctx, const char *uuid, struct str memory);
