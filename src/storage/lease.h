#pragma once
#include <stdbool.h>
#include "base/err.h"

/*
 * A lease: the right to open one disk, alone for writing or beside others for
 * reading. It is a lock on the open file description of <uuid>.lease, so it
 * ends when the last descriptor of that description is closed, in whatever
 * process: passed on to a guest's QEMU it lives exactly as long as QEMU does,
 * and neither our restart nor anybody's crash needs a clean-up.
 */

/* Fails with VDI_IN_USE [uuid, op]. dir_fd is borrowed. */
struct err *lease_take(int dir_fd, const char *uuid, bool write, const char *op, int *ret_fd) MUST_CHECK;
/* Removes the file, while the write lease is held. */
void lease_remove(int dir_fd, const char *uuid);
