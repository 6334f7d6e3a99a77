#pragma once
#include "cli/xe.h"

/*
 * A text console in this terminal: bytes to and from the guest's serial line
 * until Ctrl-] or the guest's end. The terminal is put back in every case.
 */
struct err *console_attach(struct xe *x, const char *console_uuid) MUST_CHECK;
