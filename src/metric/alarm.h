#pragma once
#include "gen/ipc_sample.h"
#include "metric/history.h"

/*
 * Thresholds under watch. A figure that stays across its level for the period
 * raises an alarm, and then none for the time of its inhibition. Kept in
 * memory: a new process begins to watch anew.
 */
struct alarms;

struct alarms *alarms_new(void);
void alarms_free(struct alarms *a);

/* The figure that a variable of that name is about; NAN: there is none now. */
double alarms_value(const struct history *h, const char *name);

/* A sample, NAN if it is not known, at that time of the loop's clock. Is there an alarm? Then with the mean of the
 * time that it was across. */
bool alarms_feed(struct alarms *a, const struct sample_watch *w, double value, uint64_t now_us, double *ret_mean);
void alarms_sweep(struct alarms *a); /* forgets what was not fed since the last sweep */
