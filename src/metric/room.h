#pragma once
#include "base/map.h"
#include "base/vec.h"
#include "gen/ipc_sample.h"
#include "ipc/ipc.h"
#include "metric/alarm.h"
#include "metric/history.h"
#include "metric/service.h"

/* What service.c, tick.c and exposition.c share. */
struct metric {
    struct loop *loop;
    struct metric_config config;
    char *proc_root;       /* owned */
    int dir;               /* owned */
    struct map *all;       /* "vm-UUID" -> struct history, owned: those that are there */
    char host[40];         /* uuid; "" until the core told it */
    struct ipc_peer *core; /* borrowed; NULL while gone */
    struct alarms *alarms; /* owned */
    struct timer *timer;
    bool ticking;
    uint64_t n_ticks;
};

/* [waits] One sample. */
void metric_tick(struct metric *m);
struct history *metric_find(struct metric *m, const char *kind, const char *uuid); /* NULL unless it is there */

struct sink;
void metric_expose(struct metric *m, struct sink *s, bool openmetrics);
