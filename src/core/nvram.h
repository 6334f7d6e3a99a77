#pragma once
#include "base/arena.h"
#include "base/str.h"

/*
 * UEFI variables as VM.NVRAM["EFI-variables"] holds them: base64 of a zlib
 * stream. The firmware's variable store is half a MiB of mostly 0xff, and the
 * record of a VM travels often.
 */
#define NVRAM_MAX (1024 * 1024) /* bytes of a variable store */

const char *nvram_to_text(struct arena *a, struct str bytes); /* "" if there is nothing to keep */
struct str nvram_to_bytes(
    struct arena *a, const char *text); /* empty if it is none of ours: the firmware then starts afresh */
