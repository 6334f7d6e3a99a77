#pragma once
#include "core/call.h"

void event_done(struct core *c); /* frees what the old interface remembers */
