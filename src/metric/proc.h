#pragma once
#include "base/vec.h"
#include "metric/history.h"

/*
 * What the kernel tells in /proc and /sys, as readings. root is "" but in
 * tests. Nothing here fails: what cannot be read has no reading.
 */
void proc_read_cpus(const char *root, struct readings *to);
void proc_read_load(const char *root, struct readings *to);
void proc_read_memory(uint64_t ret_kib[2], const char *root); /* total, available */
/* One physical interface; adds to the sums. */
void proc_read_pif(const char *root, const char *device, struct readings *to, double sums[2]);

/* Time that a thread of that process ran, in seconds; NAN if it is gone. */
double proc_thread_s(const char *root, int64_t pid, int64_t thread);
double proc_process_s(const char *root, int64_t pid);

/* The taps of guests, by what their alias says: fn for each with "UUID" and position. */
typedef void tap_fn(void *ctx, const char *vm, int64_t position, const char *device);
void proc_each_tap(const char *root, tap_fn *fn, void *ctx);
double proc_net_counter(const char *root, const char *device, const char *counter); /* "rx_bytes"; NAN */

void reading_add(struct readings *to, enum kind_id kind, const char *instance, double raw);
