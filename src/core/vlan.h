#pragma once
#include "core/call.h"

/* VLANs of this host's interfaces (semantics.md 15.3), for whoever makes some by another message. */

/* *ret_vlan is in the call's arena. [waits] */
struct err *vlan_make(
    struct call *c, const char *tagged, int64_t tag, const char *network, const char **ret_vlan) MUST_CHECK;
struct err *vlan_unmake(struct call *c, const char *ref) MUST_CHECK; /* [waits] */
/* Its untagged interface, as a result. */
struct err *vlan_pif(struct call *c, const char *ref, struct value *ret) MUST_CHECK;
