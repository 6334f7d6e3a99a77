#pragma once
#include "core/call.h"

/* What the messages about the machine itself share (idl/ipc/machine.toml). */

/* HANDLE_INVALID unless it is a host; then the process that may change its machine. [waits] */
struct err *machine_peer(struct call *c, const char *host_ref, struct ipc_peer **ret_peer) MUST_CHECK;

/* What the machine says of itself into the host's fields; it may have been changed while nobody looked. [waits] */
struct err *machine_take_facts(struct core *c) MUST_CHECK;

/* A name or an address as a host may have one. */
bool machine_is_host_name(const char *s);

/* Text of a program of the machine: what is no printable ASCII becomes '?'. */
const char *machine_text(struct arena *a, struct str bytes);

/* SSH that is on for a while only: its end is looked after again. */
void ssh_watch(struct core *c);
