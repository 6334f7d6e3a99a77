/* Bond: its properties, and what the net service is told of it. */
#include <string.h>
#include "base/str.h"
#include "core/bond.h"

#define KEY_MAX 1023 /* what Linux puts into an aggregation key (IEEE 802.1AX has 16 bits) */

static bool is_key(const char *text)
{
    int64_t n;

    return str_to_i64(str_of(text), &n) && n >= 0 && n <= KEY_MAX;
}

static bool is_one_of(const char *text, const char *a, const char *b)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0;
}

static struct err *check_property(const char *name, const char *value)
{
    if (strcmp(name, "hashing_algorithm") == 0 && is_one_of(value, "src_mac", "tcpudp_ports"))
        return NULL;
    if (strcmp(name, "lacp-time") == 0 && is_one_of(value, "slow", "fast"))
        return NULL;
    if (strcmp(name, "lacp-aggregation-key") == 0 && is_key(value))
        return NULL;
    if (strcmp(name, "lacp-fallback-ab") == 0 && strcmp(value, "true") == 0)
        return NULL;
    if (strcmp(name, "lacp-fallback-ab") == 0 && strcmp(value, "false") == 0)
        return err_value_not_supported(name, value, "where nobody speaks LACP, Linux uses one of the members");
    return err_invalid_value(name, value);
}

struct err *bond_properties(struct arena *a, const char *mode, const struct value *said, struct value *ret)
{
    static const char *const defaults[] = { "hashing_algorithm", "tcpudp_ports", "lacp-time", "slow",
        "lacp-aggregation-key", "0", "lacp-fallback-ab", "true" };
    struct value all = value_map(NULL, 0);

    if (strcmp(mode, "lacp") != 0) { /* the other modes have none */
        if (said->n)
            return err_invalid_value(said->items[0].s, said->items[1].s);
        *ret = all;
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(defaults); i += 2)
        all = value_map_with(a, &all, value_str(defaults[i]), value_str(defaults[i + 1]));
    for (size_t i = 0; i < said->n; i++) {
        TRY(check_property(said->items[2 * i].s, said->items[2 * i + 1].s));
        all = value_map_with(a, &all, said->items[2 * i], said->items[2 * i + 1]);
    }
    *ret = all;
    return NULL;
}

/* The primary one first. */
static void members(struct arena *a, const struct row *bond, struct net_bond *ret)
{
    size_t n = row_n_related(bond, F_Bond_slaves);
    const char *primary = row_str(bond, F_Bond_primary_slave);

    ret->members = arena_new_array(a, n + 1, const char *);
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < n; i++) {
            const struct row *slave = row_related(bond, F_Bond_slaves, i);

            if ((strcmp(row_ref(slave), primary) == 0) == (pass == 0))
                ret->members[ret->n_members++] = arena_strdup(a, row_str(slave, F_PIF_device));
        }
}

struct net_bond bond_plan(const struct core *c UNUSED, struct arena *a, const struct row *pif)
{
    struct net_bond plan = { .mode = "", .mac = "" };
    int64_t key = 0;

    if (!row_n_related(pif, F_PIF_bond_master_of) || row_int(pif, F_PIF_VLAN) >= 0)
        return plan;
    const struct row *bond = row_related(pif, F_PIF_bond_master_of, 0);
    members(a, bond, &plan);
    plan.mode = arena_strdup(a, row_str(bond, F_Bond_mode));
    plan.mac = row_bool(bond, F_Bond_auto_update_mac) ? "" : arena_strdup(a, row_str(pif, F_PIF_MAC));
    plan.by_ports = strcmp(row_map_str(bond, F_Bond_properties, "hashing_algorithm"), "tcpudp_ports") == 0;
    plan.fast = strcmp(row_map_str(bond, F_Bond_properties, "lacp-time"), "fast") == 0;
    if (str_to_i64(str_of(row_map_str(bond, F_Bond_properties, "lacp-aggregation-key")), &key))
        plan.key = (uint32_t)key;
    return plan;
}
