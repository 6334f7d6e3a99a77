#include "core/bond.h"
#include <ctype.h>
#include <string.h>
#include "base/log.h"
#include "base/uuid.h"
#include "core/host.h"
#include "core/network.h"
#include "core/ops.h"
#include "core/pif.h"
#include "core/vif.h"

/*
 * Bond: interfaces of the host under another one (semantics.md 15.4). The
 * records come first, plugged: a start of ours that finds a bond makes it
 * stand. What was its members' moves with them: the host's addresses by the net
 * service, VIFs and VLANs here.
 */

/* Records that were changed, to be set back. */
struct changes {
    struct arena *a;
    struct changed {
        const char *ref;
        const struct field *field;
        struct value old;
    } * v;
    size_t n, size;
};

/* A bond on its way. */
struct making {
    const char *bond, *master, *metrics, *network; /* refs */
    const char *device, *mac, *mode;
    const char **members;
    size_t n_members;
    const char *primary;
    bool management, own_mac;
    struct value properties;
    struct changes changes;
};

static void set(struct tx *t, struct changes *log, const char *ref, const struct field *f, struct value v)
{
    if (log->n == log->size) {
        struct changed *more = arena_new_array(log->a, 2 * log->size + 16, struct changed);
        if (log->n)
            memcpy(more, log->v, log->n * sizeof(*more));
        log->v = more;
        log->size = 2 * log->size + 16;
    }
    const char *kept = arena_strdup(log->a, ref);
    struct value old = tx_get(t, log->a, ref, f);
    log->v[log->n++] = (struct changed){ kept, f, value_copy(log->a, &old) };
    tx_set(t, kept, f, v);
}

static const char *new_ref(struct arena *a)
{
    char uuid[UUID_LEN + 1];

    uuid_make(uuid);
    return arena_printf(a, "OpaqueRef:%s", uuid);
}

static bool is_mac(const char *mac)
{
    for (size_t i = 0; i < 17; i++)
        if (i % 3 == 2 ? mac[i] != ':' : !isxdigit((unsigned char)mac[i]))
            return false;
    return !mac[17] && !strchr("13579bdfBDF", mac[1]);
}

/* Nobody is just plugging something into the network. */
static struct err *check_settled(const struct core *c, const struct row *network)
{
    for (size_t i = 0; i < row_n_related(network, F_network_VIFs); i++) {
        const struct row *vif = row_related(network, F_network_VIFs, i), *vm = row_follow(c->store, vif, F_VIF_VM);

        TRY(ops_conflict(&vif_ops, vif));
        if (vm)
            TRY(ops_conflict(&vm_ops, vm));
    }
    return NULL;
}

static struct err *check_member(struct call *c, const struct row *pif)
{
    const struct row *network = row_follow(c->core->store, pif, F_PIF_network);

    if (!row_bool(pif, F_PIF_managed))
        return err_pif_unmanaged(row_ref(pif));
    if (!ref_is_null(row_str(pif, F_PIF_bond_slave_of)) || row_n_related(pif, F_PIF_bond_master_of))
        return err_pif_already_bonded(row_ref(pif));
    if (row_int(pif, F_PIF_VLAN) >= 0)
        return err_pif_is_vlan(row_ref(pif));
    if (row_n_related(pif, F_PIF_tunnel_access_PIF_of))
        return err_is_tunnel_access_pif(row_ref(pif));
    if (strcmp(row_str(pif, F_PIF_host), c->core->host_ref) != 0)
        return err_pif_cannot_bond_cross_host();
    return network ? check_settled(c->core, network) : NULL;
}

static bool has_ip(const struct row *pif)
{
    return *row_str(pif, F_PIF_IP) || strcmp(row_str(pif, F_PIF_ip_configuration_mode), "None") != 0;
}

/* The management interface, else the one that has an address, else the first. */
static struct err *choose_primary(struct call *c, struct making *m)
{
    const struct row *first = store_find(c->core->store, m->members[0]);
    const struct row *with_ip = NULL;

    for (size_t i = 0; i < m->n_members; i++) {
        const struct row *pif = store_find(c->core->store, m->members[i]);

        if (!value_eq(row_get(pif, F_PIF_properties), row_get(first, F_PIF_properties)))
            return err_incompatible_pif_properties();
        if (has_ip(pif) && with_ip)
            return err_pif_bond_more_than_one_ip();
        if (has_ip(pif))
            with_ip = pif;
        if (row_bool(pif, F_PIF_management)) {
            m->management = true;
            m->primary = m->members[i];
        }
    }
    for (size_t i = 0; i < m->n_members; i++) {
        const struct row *pif = store_find(c->core->store, m->members[i]);

        if (strcmp(row_str(pif, F_PIF_primary_address_type), row_str(first, F_PIF_primary_address_type)) != 0)
            return err_pif_incompatible_primary_address_type(m->members[i]);
    }
    if (!m->primary)
        m->primary = with_ip ? arena_strdup(c->arena, row_ref(with_ip)) : m->members[0];
    return NULL;
}

static struct err *take_members(struct call *c, const struct value *refs, struct making *m)
{
    m->members = arena_new_array(c->arena, refs->n + 1, const char *);
    for (size_t i = 0; i < refs->n; i++) {
        const struct row *pif = NULL;
        bool twice = false;

        TRY(call_row(c, C_PIF, refs->items[i].s, &pif));
        for (size_t k = 0; k < m->n_members; k++)
            twice = twice || strcmp(m->members[k], refs->items[i].s) == 0;
        if (twice)
            continue;
        TRY(check_member(c, pif));
        m->members[m->n_members++] = arena_strdup(c->arena, row_ref(pif));
    }
    return m->n_members ? choose_primary(c, m) : err_pif_bond_needs_more_members();
}

static struct err *prepare(struct call *c, const struct Bond_create_args *a, struct making *m)
{
    const struct row *network = NULL;

    TRY(call_row(c, C_network, a->network, &network));
    TRY(pif_check_network(c->core, network));
    if (*a->MAC && !is_mac(a->MAC))
        return err_mac_invalid(a->MAC);
    TRY(take_members(c, a->members, m));
    TRY(check_settled(c->core, network));
    TRY(bond_properties(c->arena, a->mode, a->properties, &m->properties));
    m->network = a->network;
    m->mode = a->mode;
    m->own_mac = *a->MAC;
    m->mac = m->own_mac ? a->MAC : arena_strdup(c->arena, row_str(store_find(c->core->store, m->primary), F_PIF_MAC));
    for (int i = 0; !m->device; i++) {
        const char *name = arena_printf(c->arena, "bond%d", i);
        if (!host_pif_find(c->core, name))
            m->device = name;
    }
    m->bond = new_ref(c->arena);
    m->master = new_ref(c->arena);
    m->metrics = new_ref(c->arena);
    m->changes.a = c->arena;
    return NULL;
}

/* The VIFs of one interface's network, and the VLANs on it, are another's. */
static void move_what_is_on(struct call *c, struct tx *t, struct changes *log, const struct row *from, const char *to,
    const char *to_device, const char *to_network)
{
    const struct row *network = row_follow(c->core->store, from, F_PIF_network);

    for (size_t i = 0; network && i < row_n_related(network, F_network_VIFs); i++)
        set(t, log, row_ref(row_related(network, F_network_VIFs, i)), F_VIF_network, value_str(to_network));
    for (size_t i = 0; i < row_n_related(from, F_PIF_VLAN_slave_of); i++) {
        const struct row *vlan = row_related(from, F_PIF_VLAN_slave_of, i);

        set(t, log, row_str(vlan, F_VLAN_untagged_PIF), F_PIF_device, value_str(to_device));
        set(t, log, row_ref(vlan), F_VLAN_tagged_PIF, value_str(to));
    }
}

/* Two members may not bring the same tag. */
static struct err *check_tags(struct call *c, const struct making *m)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value seen = value_set(NULL, 0);

    for (size_t i = 0; i < m->n_members; i++) {
        const struct row *pif = store_find(c->core->store, m->members[i]);

        for (size_t k = 0; k < row_n_related(pif, F_PIF_VLAN_slave_of); k++) {
            int64_t number = row_int(row_related(pif, F_PIF_VLAN_slave_of, k), F_VLAN_tag);
            const char *tag = arena_printf(a, "%lld", (long long)number);

            if (value_set_has(&seen, tag))
                return err_pif_vlan_exists(row_str(pif, F_PIF_device));
            seen = value_set_with(a, &seen, value_str(tag));
        }
    }
    return NULL;
}

static struct err *add_records(struct call *c, struct making *m)
{
    const struct row *primary = store_find(c->core->store, m->primary);
    const struct row *network = store_find(c->core->store, m->network);
    const struct tx_field metrics[] = { { F_PIF_metrics_vendor_name, value_str("") } };
    const struct tx_field pif[] = {
        { F_PIF_device, value_str(m->device) },
        { F_PIF_network, value_str(m->network) },
        { F_PIF_host, value_str(c->core->host_ref) },
        { F_PIF_MAC, value_str(m->mac) },
        { F_PIF_MTU, value_int(row_int(network, F_network_MTU)) },
        { F_PIF_VLAN, value_int(-1) },
        { F_PIF_metrics, value_str(m->metrics) },
        { F_PIF_physical, value_bool(false) },
        { F_PIF_currently_attached, value_bool(true) },
        { F_PIF_management, value_bool(m->management) },
        { F_PIF_primary_address_type, value_copy(c->arena, row_get(primary, F_PIF_primary_address_type)) },
        { F_PIF_properties, value_copy(c->arena, row_get(primary, F_PIF_properties)) },
    };
    const struct tx_field bond[] = {
        { F_Bond_master, value_str(m->master) },
        { F_Bond_primary_slave, value_str(m->primary) },
        { F_Bond_mode, value_str(m->mode) },
        { F_Bond_properties, m->properties },
        { F_Bond_auto_update_mac, value_bool(!m->own_mac) },
    };
    struct tx *t = tx_begin(c->core->store);

    tx_create(t, C_PIF_metrics, m->metrics, metrics, ARRAY_LEN(metrics));
    tx_create(t, C_PIF, m->master, pif, ARRAY_LEN(pif));
    tx_create(t, C_Bond, m->bond, bond, ARRAY_LEN(bond));
    for (size_t i = 0; i < m->n_members; i++) {
        set(t, &m->changes, m->members[i], F_PIF_bond_slave_of, value_str(m->bond));
        set(t, &m->changes, m->members[i], F_PIF_management, value_bool(false));
        move_what_is_on(c, t, &m->changes, store_find(c->core->store, m->members[i]), m->master, m->device, m->network);
    }
    return tx_commit(t);
}

/* As it was, but for what ended meanwhile. */
static struct err *take_records_back(struct call *c, const struct making *m)
{
    const char *const made[] = { m->bond, m->master, m->metrics };
    struct tx *t = tx_begin(c->core->store);

    for (size_t i = m->changes.n; i-- > 0;)
        if (tx_exists(t, m->changes.v[i].ref))
            tx_set(t, m->changes.v[i].ref, m->changes.v[i].field, m->changes.v[i].old);
    for (size_t i = 0; i < ARRAY_LEN(made); i++)
        if (tx_exists(t, made[i]))
            tx_destroy(t, made[i]);
    return tx_commit(t);
}

/* Cables and VLANs that are where the records say, each by itself: what fails is told in the log. */
static void catch_up(struct call *c, const char *pif_ref)
{
    const struct row *pif = store_find_of(c->core->store, C_PIF, pif_ref);
    const struct row *network = pif ? row_follow(c->core->store, pif, F_PIF_network) : NULL;
    size_t n_vifs = network ? row_n_related(network, F_network_VIFs) : 0;
    size_t n_vlans = pif ? row_n_related(pif, F_PIF_VLAN_slave_of) : 0;
    const char **refs = arena_new_array(c->arena, n_vifs + n_vlans + 1, const char *);

    for (size_t i = 0; i < n_vifs; i++)
        refs[i] = arena_strdup(c->arena, row_ref(row_related(network, F_network_VIFs, i)));
    for (size_t i = 0; i < n_vlans; i++)
        refs[n_vifs + i] =
            arena_strdup(c->arena, row_str(row_related(pif, F_PIF_VLAN_slave_of, i), F_VLAN_untagged_PIF));
    for (size_t i = 0; i < n_vifs; i++)
        if (store_find_of(c->core->store, C_VIF, refs[i]))
            log_err(LOG_WARN_, "a plugged VIF may not be as its record says", vif_reconnect(c, refs[i]));
    for (size_t i = n_vifs; i < n_vifs + n_vlans; i++) {
        const struct row *vlan = store_find_of(c->core->store, C_PIF, refs[i]);
        if (vlan && row_bool(vlan, F_PIF_currently_attached))
            log_err(LOG_WARN_, "a VLAN does not stand as its record says", pif_bring_up(c, refs[i]));
    }
}

static const char *bridge_of(struct call *c, const char *pif_ref)
{
    const struct row *pif = store_find_of(c->core->store, C_PIF, pif_ref);
    const struct row *network = pif ? row_follow(c->core->store, pif, F_PIF_network) : NULL;

    return network ? arena_strdup(c->arena, row_str(network, F_network_bridge)) : "";
}

static struct err *create(struct call *c, const struct Bond_create_args *a, struct value *ret)
{
    struct making m = { 0 };

    TRY(prepare(c, a, &m));
    TRY(check_tags(c, &m));
    TRY(add_records(c, &m));
    struct err *e = pif_bring_up(c, m.master);
    if (e) {
        e = err_first(e, take_records_back(c, &m));
        for (size_t i = 0; i < m.n_members; i++)
            catch_up(c, m.members[i]);
        return e;
    }
    catch_up(c, m.master);
    for (size_t i = 0; i < m.n_members; i++) {
        const char *bridge = bridge_of(c, m.members[i]);
        if (*bridge)
            log_err(LOG_WARN_, "the bridge of a bond's member stays", pif_take_down(c, bridge, ""));
    }
    log_err(LOG_WARN_, "the host's interfaces are not known anew", host_scan_pifs(c->core));
    *ret = value_str(m.bond);
    return NULL;
}

static struct err *remove_records(
    struct call *c, const struct row *bond, const struct row *master, const struct row *primary)
{
    struct changes log = { .a = c->arena };
    struct tx *t = tx_begin(c->core->store);

    move_what_is_on(
        c, t, &log, master, row_ref(primary), row_str(primary, F_PIF_device), row_str(primary, F_PIF_network));
    if (row_bool(master, F_PIF_management))
        tx_set(t, row_ref(primary), F_PIF_management, value_bool(true));
    if (!ref_is_null(row_str(master, F_PIF_metrics)))
        tx_destroy(t, row_str(master, F_PIF_metrics));
    for (size_t i = 0; i < row_n_related(bond, F_Bond_slaves); i++)
        tx_set(t, row_ref(row_related(bond, F_Bond_slaves, i)), F_PIF_bond_slave_of, value_str(REF_NULL));
    tx_destroy(t, row_ref(master));
    tx_destroy(t, row_ref(bond));
    return tx_commit(t);
}

static struct err *rows(struct call *c, const char *ref, const struct row **ret_bond, const struct row **ret_master)
{
    TRY(call_row(c, C_Bond, ref, ret_bond));
    return call_row(c, C_PIF, row_str(*ret_bond, F_Bond_master), ret_master);
}

/* A network without its uplink has the net service take the bond apart, which gives the addresses back. */
static struct err *destroy(struct call *c, const struct Bond_destroy_args *a, struct value *ret UNUSED)
{
    struct net_bridge_up_req req = { 0 };
    const struct row *bond = NULL, *master = NULL, *primary = NULL, *network = NULL;
    struct ipc_peer *net = NULL;

    TRY(core_need_net(c->core, &net));
    TRY(rows(c, a->self, &bond, &master));
    TRY(call_row(c, C_PIF, row_str(bond, F_Bond_primary_slave), &primary));
    TRY(call_row(c, C_network, row_str(master, F_PIF_network), &network));
    TRY(check_settled(c->core, network));
    const char *network_ref = arena_strdup(c->arena, row_ref(network));
    const char *primary_ref = arena_strdup(c->arena, row_ref(primary));
    TRY(remove_records(c, bond, master, primary));
    TRY(call_row(c, C_network, network_ref, &network));
    req.network = network_plan(c->core, c->arena, network);
    struct err *e = net_bridge_up(net, c->arena, &req);
    catch_up(c, primary_ref);
    if (!e)
        e = pif_take_down(c, req.network.bridge, "");
    return err_first(e, host_scan_pifs(c->core));
}

/* In one step, and where it cannot be done all is as it was. */
static struct err *change(struct call *c, const char *ref, const char *mode, struct value properties)
{
    const struct row *bond = NULL, *master = NULL;
    struct changes log = { .a = c->arena };

    TRY(rows(c, ref, &bond, &master));
    const char *pif = arena_strdup(c->arena, row_ref(master));
    bool stands = row_bool(master, F_PIF_currently_attached);
    struct tx *t = tx_begin(c->core->store);
    set(t, &log, ref, F_Bond_mode, value_str(mode));
    set(t, &log, ref, F_Bond_properties, properties);
    TRY(tx_commit(t));
    struct err *e = stands ? pif_bring_up(c, pif) : NULL;
    if (!e || !store_find_of(c->core->store, C_Bond, ref))
        return e;
    t = tx_begin(c->core->store);
    for (size_t i = 0; i < log.n; i++)
        tx_set(t, ref, log.v[i].field, log.v[i].old);
    e = err_first(e, tx_commit(t));
    return err_first(e, pif_bring_up(c, pif));
}

static struct err *set_mode(struct call *c, const struct Bond_set_mode_args *a, struct value *ret UNUSED)
{
    const struct row *bond = NULL;
    struct value none = value_map(NULL, 0), properties;

    TRY(call_row(c, C_Bond, a->self, &bond));
    if (strcmp(row_str(bond, F_Bond_mode), a->value) == 0)
        return NULL;
    TRY(bond_properties(c->arena, a->value, &none, &properties));
    TRY(change(c, a->self, a->value, properties));
    const struct row *master =
        row_follow(c->core->store, store_find_of(c->core->store, C_Bond, a->self), F_Bond_master);
    if (master)
        catch_up(c, arena_strdup(c->arena, row_ref(master))); /* VLANs went with the interface that they were on */
    return NULL;
}

static struct err *set_property(struct call *c, const struct Bond_set_property_args *a, struct value *ret UNUSED)
{
    const struct row *bond = NULL;
    struct value one[] = { value_str(a->name), value_str(a->value) }, said = value_map(one, 1), all;

    TRY(call_row(c, C_Bond, a->self, &bond));
    const char *mode = arena_strdup(c->arena, row_str(bond, F_Bond_mode));
    TRY(bond_properties(c->arena, mode, &said, &all));
    struct value old = value_copy(c->arena, row_get(bond, F_Bond_properties));
    TRY(change(c, a->self, mode, value_map_with(c->arena, &old, one[0], one[1])));
    const struct row *master =
        row_follow(c->core->store, store_find_of(c->core->store, C_Bond, a->self), F_Bond_master);
    if (master)
        catch_up(c, arena_strdup(c->arena, row_ref(master)));
    return NULL;
}

void bond_register(struct api_handlers *h)
{
    h->Bond_create = create;
    h->Bond_destroy = destroy;
    h->Bond_set_mode = set_mode;
    h->Bond_set_property = set_property;
}
