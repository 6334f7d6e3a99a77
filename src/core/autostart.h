#pragma once
#include "core/call.h"

/* Starts, one after the other, the guests marked to start with their host. Returns at once. */
void autostart(struct core *c);
