#pragma once
#include <netinet/in.h>
#include "net/linux/nl.h"

/*
 * The way out of an interface: whether its IPv4 default gateway answers. Asked
 * before and after an interface goes into a bridge, so that a host which would
 * cut itself off is not left there.
 */

/* The gateway, and whether it was heard of lately. false: there is none, or nothing is known of it. */
bool gateway_known(struct nl *n, int index, struct in_addr *ret_gateway);
/* Lets the kernel ask for it, and blocks until it answers, for at most so long. */
bool gateway_answers(struct nl *n, int index, struct in_addr gateway, unsigned timeout_ms);
