#pragma once
#include "base/err.h"
#include "base/loop.h"

/*
 * Consoles of simulated guests: the other end of a socket, served by a fiber
 * until it is closed. The screen is RFB 3.8 without authentication and shows a
 * still picture in whatever true-colour format the client asks for; the line
 * echoes.
 */
struct err *sim_screen_open(struct loop *l, const char *name, int *ret_fd) MUST_CHECK;
struct err *sim_line_open(struct loop *l, const char *name, int *ret_fd) MUST_CHECK;
