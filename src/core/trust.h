#pragma once
#include "core/call.h"

/* Files of certificates that no row knows go; once, at the start. */
void trust_tidy(struct core *c);
