#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "net/linux/nl.h"

/* One change to one interface, each a single message to the kernel. */
struct err *link_up(struct nl *n, int index, bool up) MUST_CHECK;
struct err *link_master(struct nl *n, int port, int bridge) MUST_CHECK; /* bridge 0: out of the one that it is in */
struct err *link_mtu(struct nl *n, int index, uint32_t mtu) MUST_CHECK;
struct err *link_mac(struct nl *n, int index, const uint8_t mac[6]) MUST_CHECK;
struct err *link_alias(struct nl *n, int index, const char *alias) MUST_CHECK;
/* The host itself says nothing there: no link-local address. */
struct err *link_silence(struct nl *n, int index) MUST_CHECK;
/* A VLAN of the interface: what leaves through it carries the tag, and it hears what comes with it. */
struct err *link_vlan(struct nl *n, int parent, uint32_t tag, const char *name) MUST_CHECK;
struct err *link_delete(struct nl *n, int index) MUST_CHECK;
