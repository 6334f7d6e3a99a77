#pragma once
#include <stdbool.h>
#include "metric/rrd.h"

/*
 * What can be measured (protocol.md 11.4): for each kind its name, what it
 * means, and how its values are read. A kind with an instance ("cpu%s" of "0")
 * may occur several times in one object.
 */
enum kind_id {
    K_CPU,
    K_CPU_AVG,
    K_LOADAVG,
    K_HOSTLOAD,
    K_RUNNING_VCPUS,
    K_RUNNING_DOMAINS,
    K_MEMORY_TOTAL_KIB,
    K_MEMORY_FREE_KIB,
    K_PIF_RX,
    K_PIF_TX,
    K_PIF_RX_ERRORS,
    K_PIF_TX_ERRORS,
    K_PIF_AGGR_RX,
    K_PIF_AGGR_TX,
    K_SESSIONS,
    K_TASKS,
    K_SR_READ,
    K_SR_WRITE,
    K_SR_TOTAL,
    K_SR_IOPS_READ,
    K_SR_IOPS_WRITE,
    K_SR_IOPS_TOTAL,
    K_CPU_USAGE,
    K_MEMORY,
    K_MEMORY_TARGET,
    K_MEMORY_INTERNAL_FREE,
    K_VIF_RX,
    K_VIF_TX,
    K_VIF_RX_ERRORS,
    K_VIF_TX_ERRORS,
    K_VBD_READ,
    K_VBD_WRITE,
    K_VBD_READ_LATENCY,
    K_VBD_WRITE_LATENCY,
    K_VBD_IOPS_READ,
    K_VBD_IOPS_WRITE,
    K_VBD_IOPS_TOTAL,
    K_VBD_MIB_READ,
    K_VBD_MIB_WRITE,
    K_VBD_MIB_TOTAL,
    K_PHYSICAL_SIZE,
    K_PHYSICAL_UTILISATION,
    K_VIRTUAL_ALLOCATION,
    KINDS_N
};

struct kind {
    const char *before, *after; /* of the instance, in the source's name; before alone if it has none */
    const char *label;          /* what an instance is, for Prometheus; NULL: it has none */
    const char *family;         /* Prometheus' name, after runnymede_<object>_ */
    const char *units, *description;
    double min, max;
    enum rrd_type type;
    bool standard; /* recorded unless somebody says otherwise */
    bool ratio;    /* growth of one counter over that of another */
};
extern const struct kind kinds[KINDS_N];

#define INSTANCE_MAX 31

/* One value as read. */
struct reading {
    enum kind_id kind;
    char instance[INSTANCE_MAX + 1];
    double raw;
    double by;    /* of a ratio: the other counter */
    double value; /* the rate, or the level; NAN if there is none */
};

/* The source's name; up to RRD_NAME_MAX characters, else cut. */
void reading_name(const struct reading *r, char ret_name[RRD_NAME_MAX + 1]);
