#pragma once
#include "daemons/lib/config.h"

/*
 * The ports of a configuration that says `any`: chosen once per life of the
 * supervisor, so that a gate that starts again opens the same ones.
 *
 * A chosen port is kept by bound sockets that never listen. Both sides say
 * SO_REUSEADDR, so the gate can bind and listen beside them, while the kernel
 * gives the port to nobody who asks for any.
 */
#define PORTS_KEPT_MAX 32

struct ports {
    int fds[PORTS_KEPT_MAX];
    size_t n;
};

/* Replaces CONFIG_PORT_ANY in *c by ports that are free on all addresses of c->listen. */
struct err *ports_choose(struct ports *p, struct config *c) MUST_CHECK;
void ports_done(struct ports *p);
