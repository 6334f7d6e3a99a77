#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A disk in memory under SQLite, with what a real one may do to writes that
 * were not synced when the power went: keep some sectors, lose others, tear
 * or spoil one, in any order. Everything follows from the seed.
 *
 * One disk at a time is mounted as the VFS "crash".
 */
struct crash_disk;

struct crash_disk *crash_disk_new(uint64_t seed);
void crash_disk_free(struct crash_disk *d);
void crash_disk_mount(struct crash_disk *d); /* NULL: none */

/* The power goes at the n-th call that changes something (open of a new file, write, sync, truncate, delete); 0: never.
 */
void crash_disk_crash_at(struct crash_disk *d, unsigned n);
void crash_disk_crash_now(struct crash_disk *d);
/* The n-th such call fails with the SQLite code rc; `for_good`: and all after it, until told otherwise. */
void crash_disk_fail_at(struct crash_disk *d, unsigned n, int rc, bool for_good);

unsigned crash_disk_calls(const struct crash_disk *d); /* so far, of those that change something */
bool crash_disk_crashed(const struct crash_disk *d);
bool crash_disk_failed(const struct crash_disk *d); /* the fault was used */

/* Power on again: what survived, decided now, is what there is. Counters start over. */
void crash_disk_restart(struct crash_disk *d);

uint32_t crash_random(uint64_t *state, uint32_t below);
