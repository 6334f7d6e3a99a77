/* VIF: how much it may send, as qos_algorithm_type and qos_algorithm_params say. */
#include <string.h>
#include "core/vif.h"

#define RATELIMIT "ratelimit"
#define KBPS_MAX 10000000 /* 80 Gbit/s */

static bool kbps_of(const struct value *params, uint64_t *ret)
{
    const struct value *kbps = params ? value_map_get(params, "kbps") : NULL;

    *ret = 0;
    return !kbps || (str_to_u64(str_of(kbps->s), ret) && *ret <= KBPS_MAX);
}

struct err *vif_qos_check(const char *type, const struct value *params)
{
    uint64_t kbps;

    if (*type && strcmp(type, RATELIMIT) != 0)
        return err_invalid_value("qos_algorithm_type", type);
    return kbps_of(params, &kbps) ? NULL : err_invalid_value("qos_algorithm_params", value_map_str(params, "kbps"));
}

struct value vif_qos_supported(struct arena *a)
{
    struct value *names = arena_new_array(a, 1, struct value);

    names[0] = value_str(RATELIMIT);
    return value_set(names, 1);
}

uint64_t vif_qos_kbps(const struct row *vif)
{
    uint64_t kbps = 0;

    if (strcmp(row_str(vif, F_VIF_qos_algorithm_type), RATELIMIT) != 0)
        return 0;
    return kbps_of(row_get(vif, F_VIF_qos_algorithm_params), &kbps) ? kbps : 0;
}
