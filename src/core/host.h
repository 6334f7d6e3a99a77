#pragma once
#include "core/call.h"

/* This host's objects, and what a new database holds. */

bool host_has_capability(const struct row *host, const char *prefix);

/* Makes or refreshes pool, host, host_metrics, host_cpu and control domain from the inventory. [waits] */
struct err *host_take_inventory(struct core *c) MUST_CHECK;
/* PIFs and their networks from the host's interfaces. [waits] */
struct err *host_scan_pifs(struct core *c) MUST_CHECK;
/* This host's PIF of that name, no VLAN; NULL. */
const struct row *host_pif_find(struct core *c, const char *device);

struct err *bootstrap_roles(struct core *c) MUST_CHECK;
struct err *bootstrap_templates(struct core *c) MUST_CHECK;
/* SM records; at the first start a local SR and an ISO library. [waits] */
struct err *bootstrap_storage(struct core *c) MUST_CHECK;

/* A host that was disabled until the next start of the core. */
void host_enable_again(struct core *c, struct tx *t);
