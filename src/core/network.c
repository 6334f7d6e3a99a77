#include "core/network.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include "core/blob.h"
#include "core/bond.h"
#include "core/implicit.h"
#include "core/ops.h"
#include "core/pif.h"

/* network: a bridge, with an uplink or internal to each host (semantics.md 15.1). */

#define BRIDGE_MAX 15

const char *network_ipv6_plain(struct arena *a, const char *with_prefix)
{
    const char *plain = arena_strndup(a, with_prefix, strcspn(with_prefix, "/"));
    struct in6_addr ip;

    return inet_pton(AF_INET6, plain, &ip) == 1 && !IN6_IS_ADDR_LINKLOCAL(&ip) ? plain : "";
}

struct net_network network_plan(const struct core *c, struct arena *a, const struct row *network)
{
    const struct row *pif = pif_of_network(c, network);
    bool has_uplink = pif && row_bool(pif, F_PIF_managed) && ref_is_null(row_str(pif, F_PIF_bond_slave_of));
    int64_t tag = has_uplink ? row_int(pif, F_PIF_VLAN) : -1;

    return (struct net_network){
        .bridge = arena_strdup(a, row_str(network, F_network_bridge)),
        .mtu = (uint64_t)row_int(network, F_network_MTU),
        .uplink = has_uplink ? arena_strdup(a, row_str(pif, F_PIF_device)) : "",
        .tagged = tag >= 0,
        .tag = tag >= 0 ? (uint32_t)tag : 0,
        .theirs = !row_bool(network, F_network_managed),
        .bond = has_uplink ? bond_plan(c, a, pif) : (struct net_bond){ .mode = "", .mac = "" },
        .nat = arena_strdup(a, row_map_str(network, F_network_other_config, "nat")),
        .nat6 = arena_strdup(a, row_map_str(network, F_network_other_config, "nat6")),
    };
}

static struct err *check(struct core *c, const struct row *network, const char *op)
{
    (void)c;
    (void)op;
    return ops_conflict(&network_ops, network);
}

static const char *const listed[] = { "attaching", NULL };
const struct op_class network_ops = { .cls = C_network,
    .allowed = F_network_allowed_operations,
    .current = F_network_current_operations,
    .listed = listed,
    .check = check };

static bool bridge_taken(struct core *c, const char *name)
{
    for (const struct row *r = store_first(c->store, C_network); r; r = store_next(r))
        if (strcmp(row_str(r, F_network_bridge), name) == 0)
            return true;
    return false;
}

static struct err *check_bridge(struct core *c, const char *name)
{
    static const char *const reserved[] = { "xen", "xapi", "vif", "tap", "eth" };

    if (strlen(name) > BRIDGE_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return err_invalid_value("bridge", name);
    for (const char *p = name; *p; p++) /* what Linux names an interface, and a filter can name too */
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            return err_invalid_value("bridge", name);
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (cstr_starts(name, reserved[i]))
            return err_invalid_value("bridge", name);
    return bridge_taken(c, name) ? err_bridge_name_exists(name) : NULL;
}

static struct err *create(struct call *c, struct value *record, const char **ret_ref)
{
    const char *bridge = value_map_str(record, "bridge");
    const struct value *mtu = value_map_get(record, "MTU"), *managed = value_map_get(record, "managed");
    char name[32];

    (void)ret_ref;
    TRY(network_nat_check(value_map_get(record, "other_config"), !managed || managed->b));
    if (managed && !managed->b && !*bridge)
        return err_invalid_value("bridge", bridge);
    if (*bridge && (!managed || managed->b))
        TRY(check_bridge(c->core, bridge));
    for (int i = 0; !*bridge; i++) {
        snprintf(name, sizeof(name), "xapi%d", i);
        if (!bridge_taken(c->core, name))
            bridge = arena_strdup(c->arena, name);
    }
    *record = value_map_with(c->arena, record, value_str("bridge"), value_str(bridge));
    if (!mtu || mtu->i <= 0)
        *record = value_map_with(c->arena, record, value_str("MTU"), value_int(NETWORK_MTU));
    return NULL;
}

/* NETWORK_CONTAINS_x with every member. */
static struct err *contains(
    struct call *c, const char *code, const struct row *network, const struct field *set, const struct field *attached)
{
    size_t n = row_n_related(network, set), used = 0;
    const char **refs = arena_new_array(c->arena, n + 1, const char *);

    for (size_t i = 0; i < n; i++)
        if (!attached || row_bool(row_related(network, set, i), attached))
            refs[used++] = row_ref(row_related(network, set, i));
    return used ? err_new(code, refs, used) : NULL;
}

static struct err *destroy(struct call *c, const char *ref, bool *ret_done)
{
    const struct row *network = NULL;
    struct ipc_peer *net = NULL;

    TRY(call_row(c, C_network, ref, &network));
    TRY(ops_conflict(&network_ops, network));
    if (strcmp(row_map_str(network, F_network_other_config, "is_host_internal_management_network"), "true") == 0)
        return err_cannot_destroy_system_network(ref);
    TRY(contains(c, "NETWORK_CONTAINS_VIF", network, F_network_VIFs, F_VIF_currently_attached));
    TRY(contains(c, "NETWORK_CONTAINS_PIF", network, F_network_PIFs, NULL));
    const char *bridge = arena_strdup(c->arena, row_str(network, F_network_bridge));
    bool managed = row_bool(network, F_network_managed);
    struct tx *t = tx_begin(c->core->store);
    for (size_t i = 0; i < row_n_related(network, F_network_VIFs); i++)
        tx_destroy(t, row_ref(row_related(network, F_network_VIFs, i)));
    struct value blobs = blob_drop(c->core, t, c->arena, network, F_network_blobs);
    tx_destroy(t, ref);
    TRY(tx_commit(t));
    blob_forget(c->core, &blobs);
    *ret_done = true;
    if (!managed)
        return NULL;
    TRY(core_need_net(c->core, &net));
    return net_bridge_down(net, c->arena, &(struct net_bridge_down_req){ .bridge = bridge, .nic = "" });
}

static struct err *add_purpose(struct call *c, const struct network_add_purpose_args *a, struct value *ret)
{
    const struct row *network = NULL;
    const char *other = strcmp(a->value, "nbd") == 0 ? "insecure_nbd" : "nbd";

    (void)ret;
    TRY(call_row(c, C_network, a->self, &network));
    struct value old = value_copy(c->arena, row_get(network, F_network_purpose));
    if (value_set_has(&old, a->value))
        return NULL;
    for (const struct row *r = store_first(c->core->store, C_network); r; r = store_next(r))
        if (value_set_has(row_get(r, F_network_purpose), other) &&
            (strcmp(a->value, "nbd") == 0 || strcmp(a->value, "insecure_nbd") == 0))
            return err_network_incompatible_purposes(a->value, other);
    return core_set(c->core, a->self, F_network_purpose, value_set_with(c->arena, &old, value_str(a->value)));
}

static struct err *remove_purpose(struct call *c, const struct network_remove_purpose_args *a, struct value *ret)
{
    const struct row *network = NULL;

    (void)ret;
    TRY(call_row(c, C_network, a->self, &network));
    struct value old = value_copy(c->arena, row_get(network, F_network_purpose));
    return core_set(c->core, a->self, F_network_purpose, value_set_without(c->arena, &old, a->value));
}

static struct err *set(
    struct call *c, const struct row *network, const struct field *f, struct value *v, bool *ret_done UNUSED)
{
    return f == F_network_other_config ? network_nat_change(c, network, v) : NULL;
}

static const struct class_hooks hooks = { .create = create, .destroy = destroy, .set = set };

void network_register(struct api_handlers *h)
{
    class_hooks_set(C_network, &hooks);
    h->network_add_purpose = add_purpose;
    h->network_remove_purpose = remove_purpose;
}
