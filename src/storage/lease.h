#pragma once
#include <stdbool.h>
#include "base/err.h"

/*
 * A lease: the right to open one disk, alone for writing or beside others for
 * reading. It is a lock on the open file description of <uuid>.lease, so it
 * ends when the last descriptor of that description is closed, in whatever
 * process: passed on to a guest's QEMU it lives exactly as long as QEMU does,
 * and neither our restart nor anybody's crash needs a clean-up.
 *
 * The lock is on two bytes. A writer must get both and then keeps one, a reader
 * keeps both: so the other byte is free for the next home of the same guest,
 * and whichever of the two QEMUs ends, the lease goes on.
 */

/* Fails with VDI_IN_USE [uuid, op]. dir_fd is borrowed. */
struct err *lease_take(int dir_fd, const char *uuid, bool write, const char *op, int *ret_fd) MUST_CHECK;
/* Beside the one who holds the write lease, which is passed to this one: nobody else gets it in between. */
struct err *lease_take_beside(int dir_fd, const char *uuid, const char *op, int *ret_fd) MUST_CHECK;
/* Removes the file, while the write lease is held. */
void lease_remove(int dir_fd, const char *uuid);
