#pragma once
#include "storage/driver.h"
#include "storage/tool.h"

/*
 * A qemu-nbd for one image and one client. It and its client are both our
 * children, so that both die with us: as nbdcopy's child it could outlive
 * everybody, waiting for a client, and keep the lease.
 *
 * state_fd is a folder where the socket has its name for a moment. What is
 * returned stands for that socket; a client that got it as descriptor N
 * connects to /proc/self/fd/N.
 */
struct err *nbd_start(
    struct tool *t, const struct sr_image *i, bool read_only, int state_fd, int *ret_socket) MUST_CHECK;
