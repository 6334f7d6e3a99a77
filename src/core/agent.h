#pragma once
#include "core/call.h"

/*
 * This process as the API shows it: what it was asked, by whom, how long that
 * took, and its restart. Kept in memory only, and bounded.
 */
struct agent;

struct agent *agent_new(void);
void agent_free(struct agent *a);

/* This process ends soon, and is started anew; without anybody to do that it stays. */
void agent_restart(struct core *c);

/* A call began with this header of the client; it ended. */
void agent_called(struct core *c, const char *user_agent);
void agent_answered(struct core *c, const struct msg *m, uint64_t took_us);
