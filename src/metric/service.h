#pragma once
#include "base/err.h"
#include "base/loop.h"

/*
 * The metric service (idl/ipc/metric.toml): every 5 seconds, on the grid of
 * the wall clock, it reads /proc and /sys, asks the core for the rest (service
 * sample), and takes it into the histories of the host, its running VMs and
 * SRs. Between two ticks it does nothing unless it is asked.
 *
 * Histories of objects that are not there stay in files; what the core does
 * not know any more is removed. While there is no core, only the host's own
 * figures go on.
 */
struct ipc_peer;
struct metric;

struct metric_config {
    const char *dir;       /* of the files, existing */
    const char *proc_root; /* "" but in tests */
    uint64_t save_us;      /* each history is written that often; 0: 5 minutes */
};

struct err *metric_new(struct loop *l, const struct metric_config *config, struct metric **ret_metric) MUST_CHECK;
void metric_start(struct metric *m);                        /* the ticks */
void metric_mount(struct metric *m, struct ipc_peer *core); /* the newest core is the one that is asked */
void metric_save(struct metric *m);                         /* everything, at the end */
void metric_free(struct metric *m);                         /* no tick may be under way; NULL is fine */
DEFINE_DROP(metric)
