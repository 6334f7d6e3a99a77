#pragma once
#include "core/call.h"
#include "gen/ipc_sample.h"

/*
 * Thresholds. other_config:perfmon of a VM or a host lists variables in XML,
 * each with a level that it may not cross for longer than a period. The metric
 * process watches them; one that crosses becomes the alert ALARM.
 */
#define ALARM_VARIABLES_MAX 32

struct alarm_variable {
    const char *name;
    double level;
    bool low; /* crossed downwards */
    uint32_t period_s, inhibit_s;
    int64_t priority; /* 0: the contract's */
    const char *xml;  /* the variable again, for the alert's body */
};

/* How many there are: 0 if the text cannot be understood, and without those that lack a name or a level. In the arena.
 */
size_t alarm_parse(struct arena *a, const char *xml, struct alarm_variable ret[ALARM_VARIABLES_MAX]);

/* What there is to watch of the host and of the VMs that are in the sample. */
void alarm_fill(struct core *c, struct arena *a, struct sample_take_rep *rep);
void alarm_crossed(struct core *c, struct arena *a, const struct sample_crossed_req *req);
