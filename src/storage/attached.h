#pragma once
#include "base/map.h"
#include "storage/repo.h"

/*
 * Which SRs are attached, written down for the next process of this service:
 * a disk is opened at the host's word, who only knows an SR's uuid, so an SR
 * that was forgotten by a restart would refuse guests until the core comes by.
 * The file holds device configurations, which may hold secrets: mode 0600.
 */
#define ATTACHED_FILE "attached"

/* uuid -> struct sr. state_fd is borrowed; -1: nothing is written. */
struct err *attached_write(int state_fd, const struct map *srs) MUST_CHECK;
/* A map: uuid -> map of "type" and "config" (encoded). Empty where there is no file, or one that nobody understands. */
struct value attached_read(int state_fd, struct arena *a);
