#pragma once
#include "net/backend.h"

/* Bridges that are only remembered; needs no rights. with_taps: taps are sockets that lead nowhere, else absent. */
void sim_net_init(struct net_backend *b, bool with_taps);
