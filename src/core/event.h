#pragma once
#include "core/call.h"

void event_session_ended(struct core *c, const char *session); /* its subscription of the old interface goes */
void event_done(struct core *c);                               /* frees what the old interface remembers */
