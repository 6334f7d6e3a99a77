#pragma once
struct cells;
struct ipc_peer;

/* Serves stats.all on the core's connection. */
void host_stats_mount(struct ipc_peer *core, struct cells *cells);
