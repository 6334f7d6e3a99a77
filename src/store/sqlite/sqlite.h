#pragma once
#include <stdbool.h>
#include "store/backend.h"

/*
 * Rows in one SQLite file (WAL). durable: synchronous=EXTRA, so a commit that
 * returned has been synced; otherwise OFF, for files on a tmpfs. vfs: name of
 * the VFS to use, NULL for the default (the crash tests bring their own).
 */
struct err *sqlite_backend(const char *path, bool durable, const char *vfs, struct backend **ret) MUST_CHECK;
