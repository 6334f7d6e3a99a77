/* Generated from idl/xenapi/errors.toml by gen/xenapi_gen.py. Do not edit. */
#pragma once
#include "base/err.h"

/* BOX_LOCKED: The box is locked */
struct err *err_box_locked(const char *box, const char *default_) MUST_CHECK;
/* NEW: A name that is taken */
struct err *err_new_code(void) MUST_CHECK;
/* LID_LOST */
struct err *err_lid_lost(void) MUST_CHECK;
