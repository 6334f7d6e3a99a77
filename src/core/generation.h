#pragma once
#include "base/arena.h"

/*
 * VM.generation_id: "a:b", two 64-bit numbers in decimal, which a guest sees as
 * 16 bytes (Microsoft, "Virtual Machine Generation ID"): a new one tells it that
 * it may run from an older state than it thinks. "0:0" asks for a fresh one at
 * the next start; "" shows the guest none.
 */
const char *generation_fresh(struct arena *a);

/* The same as the text of a GUID, as QEMU wants it; "" for "" and for what is none. */
const char *generation_guid(struct arena *a, const char *id);
