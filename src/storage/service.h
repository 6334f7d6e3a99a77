#pragma once
#include "ipc/ipc.h"
#include "storage/driver.h"

/*
 * The storage service (idl/ipc/storage.toml) over a set of drivers. Which SRs
 * are attached is written down (storage/attached.h); the core tells it again
 * when it comes by, which changes nothing where it is so already.
 */
struct storage_service;

/* state_fd: a folder, borrowed (-1: nothing is remembered); so is the NULL-terminated list of drivers. */
struct storage_service *storage_service_new(struct loop *l, const struct sr_driver *const *drivers, int state_fd);
/* Attaches again what an earlier process of this service had attached. Before the first peer is mounted. [waits] */
void storage_service_restore(struct storage_service *s);
void storage_service_free(struct storage_service *s); /* after its peers are closed and their calls have ended */
DEFINE_DROP(storage_service)

void storage_mount(struct ipc_peer *p, struct storage_service *s);
