/* VIF: which addresses a guest may speak with (semantics.md 5 and 15.1). */
#include <arpa/inet.h>
#include <string.h>
#include "core/implicit.h"
#include "core/network.h"
#include "core/ops.h"
#include "core/vm.h"

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

static void copy_texts(struct arena *a, const struct value *set, const char ***ret, size_t *ret_n)
{
    *ret = arena_new_array(a, (size_t)set->n + 1, const char *);
    for (*ret_n = 0; *ret_n < set->n; ++*ret_n)
        (*ret)[*ret_n] = arena_strdup(a, set->items[*ret_n].s);
}

struct net_lock vif_lock(struct arena *a, const struct row *vif, const struct row *network)
{
    const char *mode = row_str(vif, F_VIF_locking_mode);
    struct net_lock lock = { 0 };

    if (strcmp(mode, "network_default") == 0)
        mode = network ? row_str(network, F_network_default_locking_mode) : "disabled";
    lock.mode = arena_strdup(a, mode);
    copy_texts(a, row_get(vif, F_VIF_ipv4_allowed), &lock.ipv4, &lock.n_ipv4);
    copy_texts(a, row_get(vif, F_VIF_ipv6_allowed), &lock.ipv6, &lock.n_ipv6);
    return lock;
}

/* What is plugged follows at once. Nothing waits between the look at the VIF and the message: the last word wins. */
static struct err *apply(struct call *c, const char *ref)
{
    struct net_tap_lock_req req = { 0 };
    struct ipc_peer *net = NULL;
    const struct row *vif = NULL;

    TRY(call_row(c, C_VIF, ref, &vif));
    if (!row_bool(vif, F_VIF_currently_attached))
        return NULL;
    TRY(core_need_net(c->core, &net));
    TRY(call_row(c, C_VIF, ref, &vif));
    const struct row *vm = row_follow(c->core->store, vif, F_VIF_VM);
    if (!vm || !str_to_i64(str_of(row_str(vif, F_VIF_device)), &req.position))
        return NULL;
    req.vm = arena_strdup(c->arena, row_str(vm, F_VM_uuid));
    req.mac = arena_strdup(c->arena, row_str(vif, F_VIF_MAC));
    req.lock = vif_lock(c->arena, vif, row_follow(c->core->store, vif, F_VIF_network));
    return net_tap_lock(net, c->arena, &req);
}

/* While it is being plugged or its VM started, the tap is made with the lock of a moment ago. */
static struct err *check_settled(const struct call *c, const struct row *vif)
{
    const struct row *vm = row_follow(c->core->store, vif, F_VIF_VM);

    if (row_bool(vif, F_VIF_currently_attached))
        return NULL;
    TRY(ops_conflict(&vif_ops, vif));
    return vm ? ops_conflict(&vm_ops, vm) : NULL;
}

/* A lock that does not hold is not told: where the network cannot follow, the old value comes back. */
static struct err *change(struct call *c, const char *ref, const struct field *f, struct value v)
{
    const struct row *vif = NULL;

    TRY(call_row(c, C_VIF, ref, &vif));
    TRY(check_settled(c, vif));
    struct value old = value_copy(c->arena, row_get(vif, f));
    TRY(core_set(c->core, ref, f, v));
    struct err *e = apply(c, ref);
    return e ? err_first(e, core_set(c->core, ref, f, old)) : NULL;
}

static struct err *change_set(struct call *c, const char *ref, const struct field *f, struct value set)
{
    TRY(f == F_VIF_ipv4_allowed ? vif_lock_check(&set, NULL) : vif_lock_check(NULL, &set));
    return change(c, ref, f, set);
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
    return change(c, ref, f, value_set_without(c->arena, row_get(vif, f), ip));
}

static struct err *set_locking_mode(struct call *c, const struct VIF_set_locking_mode_args *a, struct value *ret UNUSED)
{
    return change(c, a->self, F_VIF_locking_mode, value_str(a->value));
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
