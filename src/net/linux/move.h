#pragma once
#include "net/linux/nl.h"

/*
 * Moves the addresses (IPv4, and IPv6 but for link-local ones) and the routes
 * of the main table that somebody set from one interface to another that is
 * up. What cannot be set there is set back, and the first error returned.
 */
struct err *move_addresses(struct nl *n, int from, int to) MUST_CHECK;
