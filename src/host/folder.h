#pragma once
#include <sys/types.h>
#include "base/err.h"

/* The folder of a VM: private to its uid (0: ours). What an earlier one left under that name is removed first. */
struct err *folder_make(const char *path, uid_t uid) MUST_CHECK;

/* With all that is in it; follows no links. A folder that is not there is success. */
struct err *folder_remove(const char *path) MUST_CHECK;
