/* VIF: which addresses a guest may speak with (semantics.md 5 and 15.1). */
#include <arpa/inet.h>
#include <string.h>
#include "core/vif.h"

static struct err *check_addresses(int family, const char *parameter, const struct value *set)
{
    unsigned char ip[sizeof(struct in6_addr)];

    for (size_t i = 0; set && i < set->n; i++)
        if (inet_pton(family, set->items[i].s, ip) != 1)
            return err_invalid_ip_address_specified(parameter);
    return NULL;
}

struct err *vif_lock_check(const struct value *ipv4, const struct value *ipv6)
{
    TRY(check_addresses(AF_INET, "ipv4_allowed", ipv4));
    return check_addresses(AF_INET6, "ipv6_allowed", ipv6);
}

static struct err *change_set(struct call *c, const char *ref, const struct field *f, struct value set)
{
    TRY(f == F_VIF_ipv4_allowed ? vif_lock_check(&set, NULL) : vif_lock_check(NULL, &set));
    return vif_change(c, ref, f, set);
}

static struct err *add(struct call *c, const char *ref, const struct field *f, const char *ip)
{
    const struct row *vif = NULL;

    TRY(call_row(c, C_VIF, ref, &vif));
    if (value_set_has(row_get(vif, f), ip))
        return NULL;
    return change_set(c, ref, f, value_set_with(c->arena, row_get(vif, f), value_str(ip)));
}

static struct err *take_away(struct call *c, const char *ref, const struct field *f, const char *ip)
{
    const struct row *vif = NULL;

    TRY(call_row(c, C_VIF, ref, &vif));
    return vif_change(c, ref, f, value_set_without(c->arena, row_get(vif, f), ip));
}

static struct err *set_locking_mode(struct call *c, const struct VIF_set_locking_mode_args *a, struct value *ret UNUSED)
{
    return vif_change(c, a->self, F_VIF_locking_mode, value_str(a->value));
}

static struct err *set_ipv4_allowed(struct call *c, const struct VIF_set_ipv4_allowed_args *a, struct value *ret UNUSED)
{
    return change_set(c, a->self, F_VIF_ipv4_allowed, *a->value);
}

static struct err *add_ipv4_allowed(struct call *c, const struct VIF_add_ipv4_allowed_args *a, struct value *ret UNUSED)
{
    return add(c, a->self, F_VIF_ipv4_allowed, a->value);
}

static struct err *remove_ipv4_allowed(
    struct call *c, const struct VIF_remove_ipv4_allowed_args *a, struct value *ret UNUSED)
{
    return take_away(c, a->self, F_VIF_ipv4_allowed, a->value);
}

static struct err *set_ipv6_allowed(struct call *c, const struct VIF_set_ipv6_allowed_args *a, struct value *ret UNUSED)
{
    return change_set(c, a->self, F_VIF_ipv6_allowed, *a->value);
}

static struct err *add_ipv6_allowed(struct call *c, const struct VIF_add_ipv6_allowed_args *a, struct value *ret UNUSED)
{
    return add(c, a->self, F_VIF_ipv6_allowed, a->value);
}

static struct err *remove_ipv6_allowed(
    struct call *c, const struct VIF_remove_ipv6_allowed_args *a, struct value *ret UNUSED)
{
    return take_away(c, a->self, F_VIF_ipv6_allowed, a->value);
}

static struct err *set_default_locking_mode(
    struct call *c, const struct network_set_default_locking_mode_args *a, struct value *ret UNUSED)
{
    const struct row *network = NULL;

    TRY(call_row(c, C_network, a->network, &network));
    for (size_t i = 0; i < row_n_related(network, F_network_VIFs); i++) {
        const struct row *vif = row_related(network, F_network_VIFs, i);

        if (row_bool(vif, F_VIF_currently_attached) && strcmp(row_str(vif, F_VIF_locking_mode), "network_default") == 0)
            return err_vif_in_use(a->network, row_ref(vif));
    }
    return core_set(c->core, a->network, F_network_default_locking_mode, value_str(a->value));
}

void vif_lock_register(struct api_handlers *h)
{
    h->VIF_set_locking_mode = set_locking_mode;
    h->VIF_set_ipv4_allowed = set_ipv4_allowed;
    h->VIF_add_ipv4_allowed = add_ipv4_allowed;
    h->VIF_remove_ipv4_allowed = remove_ipv4_allowed;
    h->VIF_set_ipv6_allowed = set_ipv6_allowed;
    h->VIF_add_ipv6_allowed = add_ipv6_allowed;
    h->VIF_remove_ipv6_allowed = remove_ipv6_allowed;
    h->network_set_default_locking_mode = set_default_locking_mode;
}
