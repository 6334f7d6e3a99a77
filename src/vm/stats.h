#pragma once
struct ipc_peer;
struct vm_service;

/* Serves stats.one on the peer. */
void vm_stats_mount(struct vm_service *s, struct ipc_peer *p);
