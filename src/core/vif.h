#pragma once
#include "core/call.h"
#include "gen/ipc_net.h"

/* What the files about VIFs share. */

/* INVALID_IP_ADDRESS_SPECIFIED; a set may be NULL. */
struct err *vif_lock_check(const struct value *ipv4, const struct value *ipv6) MUST_CHECK;

/* INVALID_VALUE unless it is no limit or one that can be held; params may be NULL. */
struct err *vif_qos_check(const char *type, const struct value *params) MUST_CHECK;
struct value vif_qos_supported(struct arena *a);
uint64_t vif_qos_kbps(const struct row *vif); /* 0: no limit */

/* What may pass it in this network, in the arena. */
struct net_lock vif_lock(struct arena *a, const struct row *vif, const struct row *network);

/* A field that a plugged VIF follows at once: what does not hold is not told, the old value comes back. [waits] */
struct err *vif_change(struct call *c, const char *ref, const struct field *f, struct value v) MUST_CHECK;

/* A plugged VIF as its record says; of another one nothing is asked. [waits] */
struct err *vif_reconnect(struct call *c, const char *ref) MUST_CHECK;

/* Every plugged VIF as its record says, in a fiber of its own: a change may have been cut off between the two. */
void vif_catch_up(struct core *c);
