#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

/*
 * The configuration file: one `key = value` per line, `#` starts a comment.
 * Only the supervisor reads it; the daemons get explicit options from it. An
 * unknown key or a value out of range is an error that names its line.
 *
 *   state_dir    /var/lib/runnymede    what outlives a restart of the machine
 *   run_dir      /run/runnymede        sockets, pid files, the folders of running VMs
 *   listen       0.0.0.0 [::]          addresses of the HTTP and HTTPS ports, blank separated
 *   http_port    80                    0: no port; any: one that is free, named in the ready line
 *   https_port   443                   the same
 *   hypervisor   qemu                  qemu, sim
 *   auth         pam                   pam, file:PATH
 *   net          linux                 linux: this machine's network; private: one of its own, without rights; sim;
 *                                      without a line sim goes with hypervisor sim
 *   novnc_dir    /usr/share/novnc
 *   web_dir      (empty)               folder of the web interface
 *   users        system                system: runnymede-gate, -core, -storage, -net; none: all as the caller
 *   power        no                    what host.reboot and host.shutdown do: yes (the machine itself), or the path
 *                                      of a program that takes "reboot" or "shutdown"; no: they fail
 *   machine      no                    whose settings (host name, clock, services) clients may change, and whose
 * plug-ins they may call: yes (the machine itself), or the path of a folder that is taken for one; no: nobody's
 *   log_level    info                  debug, info, warn, error
 *   log_dir      (empty)               folder of one log per daemon; empty: state_dir/log; "-": stderr
 *   bin_dir      (empty)               where the daemons are; empty: beside the supervisor
 */
#define CONFIG_PORT_ANY (-1)

struct config {
    char *state_dir, *run_dir, *listen, *hypervisor, *auth, *net, *novnc_dir, *web_dir, *users, *power, *machine,
        *log_level, *log_dir, *bin_dir;
    int http_port, https_port; /* 0: none, or CONFIG_PORT_ANY */
};

void config_init(struct config *c); /* defaults */
void config_done(struct config *c);
struct err *config_parse(struct config *c, struct str text) MUST_CHECK;
struct err *config_load(struct config *c, const char *path) MUST_CHECK;
/* One setting as on a line; for options of the command line too. */
struct err *config_set(struct config *c, struct str key, struct str value) MUST_CHECK;
/* What holds between settings; call after the last one. */
struct err *config_check(struct config *c) MUST_CHECK;
