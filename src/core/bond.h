#pragma once
#include "core/call.h"
#include "gen/ipc_net.h"

/* What the net service is to make of the bond that this interface is the master of; none, if it is of none. */
struct net_bond bond_plan(const struct core *c, struct arena *a, const struct row *pif);

/* INVALID_VALUE, VALUE_NOT_SUPPORTED. Every property of the mode, with what is said here of it. */
struct err *bond_properties(struct arena *a, const char *mode, const struct value *said, struct value *ret) MUST_CHECK;
