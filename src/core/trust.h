#pragma once
#include "core/call.h"

/* A plain file name, as those of revocation lists are. */
bool trust_is_name(const char *s);
/* Files of certificates that no row knows go; once, at the start. */
void trust_tidy(struct core *c);
