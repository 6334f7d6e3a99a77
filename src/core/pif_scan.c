/* PIF: what interfaces the host has, as the net service finds them. */
#include <string.h>
#include "base/uuid.h"
#include "core/core.h"
#include "core/host.h"
#include "core/network.h"
#include "gen/ipc_net.h"

static const char *new_ref(struct arena *a)
{
    char uuid[UUID_LEN + 1];

    uuid_make(uuid);
    return arena_printf(a, "OpaqueRef:%s", uuid);
}

const struct row *host_pif_find(struct core *c, const char *device)
{
    const struct row *host = core_host_row(c);

    for (size_t i = 0; i < row_n_related(host, F_host_PIFs); i++) {
        const struct row *pif = row_related(host, F_host_PIFs, i);
        if (strcmp(row_str(pif, F_PIF_device), device) == 0 && row_int(pif, F_PIF_VLAN) < 0)
            return pif;
    }
    return NULL;
}

static const char *ipv6_of(struct arena *a, const struct net_nic *nic)
{
    const char *ret = "";

    for (size_t i = 0; !*ret && i < nic->n_ipv6; i++)
        ret = network_ipv6_plain(a, nic->ipv6[i]);
    return ret;
}

static const char *create_pif(struct core *c, struct arena *a, struct tx *t, const struct net_nic *nic, bool management)
{
    const char *network = new_ref(a), *metrics = new_ref(a), *pif = new_ref(a);
    /* The bridge is the one the interface is in already; else it is only made when a VIF needs it. */
    const char *bridge = *nic->bridge
        ? nic->bridge
        : arena_printf(a, "xenbr%s", cstr_starts(nic->device, "eth") ? nic->device + 3 : nic->device);
    const struct tx_field network_fields[] = {
        { F_network_name_label, value_str(arena_printf(a, "Pool-wide network associated with %s", nic->device)) },
        { F_network_bridge, value_str(arena_strndup(a, bridge, strnlen(bridge, 15))) },
        { F_network_MTU, value_int((int64_t)nic->mtu) },
    };
    const struct tx_field metrics_fields[] = {
        { F_PIF_metrics_vendor_name, value_str(nic->vendor) },
        { F_PIF_metrics_device_name, value_str(nic->product) },
        { F_PIF_metrics_pci_bus_path, value_str(nic->pci) },
    };
    const struct tx_field pif_fields[] = {
        { F_PIF_device, value_str(nic->device) },
        { F_PIF_network, value_str(network) },
        { F_PIF_host, value_str(c->host_ref) },
        { F_PIF_VLAN, value_int(-1) },
        { F_PIF_metrics, value_str(metrics) },
        { F_PIF_physical, value_bool(nic->physical) },
        { F_PIF_management, value_bool(management) },
        { F_PIF_primary_address_type, value_str(!*nic->ip && *ipv6_of(a, nic) ? "IPv6" : "IPv4") },
    };

    tx_create(t, C_network, network, network_fields, ARRAY_LEN(network_fields));
    tx_create(t, C_PIF_metrics, metrics, metrics_fields, ARRAY_LEN(metrics_fields));
    tx_create(t, C_PIF, pif, pif_fields, ARRAY_LEN(pif_fields));
    return pif;
}

static void refresh_pif(struct core *c, struct arena *a, struct tx *t, const char *pif, const struct net_nic *nic)
{
    struct value *v6 = arena_new_array(a, nic->n_ipv6 + 1, struct value);

    for (size_t i = 0; i < nic->n_ipv6; i++)
        v6[i] = value_str(nic->ipv6[i]);
    tx_set(t, pif, F_PIF_MAC, value_str(nic->mac));
    tx_set(t, pif, F_PIF_MTU, value_int((int64_t)nic->mtu));
    tx_set(t, pif, F_PIF_currently_attached, value_bool(nic->up));
    tx_set(t, pif, F_PIF_IP, value_str(nic->ip));
    tx_set(t, pif, F_PIF_netmask, value_str(nic->netmask));
    tx_set(t, pif, F_PIF_gateway, value_str(nic->gateway));
    tx_set(t, pif, F_PIF_DNS, value_str(nic->dns));
    tx_set(t, pif, F_PIF_IPv6, value_set(v6, nic->n_ipv6));
    tx_set(t, pif, F_PIF_ipv6_gateway, value_str(nic->gateway6));
    tx_set(t, pif, F_PIF_ip_configuration_mode, value_str(*nic->ip ? "Static" : "None"));
    tx_set(t, pif, F_PIF_ipv6_configuration_mode, value_str(nic->n_ipv6 ? "Static" : "None"));
    const char *metrics = tx_get(t, a, pif, F_PIF_metrics).s;
    tx_set(t, metrics, F_PIF_metrics_carrier, value_bool(nic->carrier));
    tx_set(t, metrics, F_PIF_metrics_speed, value_int(nic->speed > 0 ? nic->speed : 0));
    tx_set(t, metrics, F_PIF_metrics_duplex, value_bool(nic->duplex));
    tx_set(t, metrics, F_PIF_metrics_last_updated, value_datetime(now_text(c, a)));
}

/* Where clients reach the host on this interface: in the family that is its primary one, if it has an address there. */
static const char *address_of(struct arena *a, struct tx *t, const char *pif, const struct net_nic *nic)
{
    const char *ipv6 = ipv6_of(a, nic);
    bool prefer6 = strcmp(tx_get(t, a, pif, F_PIF_primary_address_type).s, "IPv6") == 0;

    return *ipv6 && (prefer6 || !*nic->ip) ? ipv6 : nic->ip;
}

static void set_links_up(struct core *c, struct tx *t, const struct net_nic *nics, size_t n_nics)
{
    for (const struct row *bond = store_first(c->store, C_Bond); bond; bond = store_next(bond)) {
        int64_t n = 0;

        for (size_t i = 0; i < n_nics; i++) {
            const struct row *pif = host_pif_find(c, nics[i].device);

            n += pif && nics[i].carrier && strcmp(row_str(pif, F_PIF_bond_slave_of), row_ref(bond)) == 0;
        }
        tx_set(t, row_ref(bond), F_Bond_links_up, value_int(n));
    }
}

/* The interface that has an address is the management interface, unless one is it already. */
struct err *host_scan_pifs(struct core *c)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct net_scan_rep rep = { 0 };
    struct ipc_peer *net = NULL;
    const struct row *host = core_host_row(c);
    bool managed = false;
    const char *address = "";

    TRY(core_need_net(c, &net));
    TRY(net_scan(net, a, &(struct net_scan_req){ 0 }, &rep));
    host = core_host_row(c);
    for (size_t i = 0; i < row_n_related(host, F_host_PIFs); i++)
        managed = managed || row_bool(row_related(host, F_host_PIFs, i), F_PIF_management);
    struct tx *t = tx_begin(c->store);
    if (!store_count(c->store, C_network)) /* a new host */
        network_add_nat(a, t, rep.nics, rep.n_nics);
    for (size_t i = 0; i < rep.n_nics; i++) {
        const struct net_nic *nic = &rep.nics[i];
        const struct row *known = host_pif_find(c, nic->device);

        if (!nic->physical && !known) /* of others we know what we made */
            continue;
        bool management = !managed && (*nic->ip || *ipv6_of(a, nic));
        const char *pif = known ? arena_strdup(a, row_ref(known)) : create_pif(c, a, t, nic, management);
        managed = managed || management;
        refresh_pif(c, a, t, pif, nic);
        if (tx_get(t, a, pif, F_PIF_management).b)
            address = address_of(a, t, pif, nic);
    }
    set_links_up(c, t, rep.nics, rep.n_nics);
    if (!*c->config->address)
        tx_set(t, c->host_ref, F_host_address, value_str(*address ? address : "127.0.0.1"));
    return tx_commit(t);
}
