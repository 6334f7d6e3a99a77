#pragma once
#include "core/call.h"
#include "gen/ipc_core.h"

/*
 * Figures: the metric process keeps them; this is what stands between it and
 * clients: the HTTP actions of protocol.md 11, /metrics, and the messages about
 * data sources. And it is told what it cannot know: which VMs run.
 */

/* An HTTP action: rrd_updates, host_rrd, vm_rrd, sr_rrd and their other names, own_metrics. [waits] */
struct err *metrics_http(struct core *c, struct arena *a, const struct core_http_req *req, const struct principal *who,
    struct core_http_rep *rep) MUST_CHECK;

/* Serves sample.toml to the metric process. */
void metrics_mount(struct core *c, struct ipc_peer *metric);
