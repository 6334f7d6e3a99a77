/* network: NAT, as other_config says it. */
#include <arpa/inet.h>
#include <string.h>
#include "base/subnet.h"
#include "base/uuid.h"
#include "core/network.h"
#include "core/ops.h"

static bool overlaps(const struct net_nic *nic, uint32_t net)
{
    struct in_addr ip, mask;

    return inet_pton(AF_INET, nic->ip, &ip) == 1 && inet_pton(AF_INET, nic->netmask, &mask) == 1 &&
        (ntohl(ip.s_addr) & ntohl(mask.s_addr) & 0xffffff00U) == (net & ntohl(mask.s_addr) & 0xffffff00U);
}

void network_add_nat(struct arena *a, struct tx *t, const struct net_nic *nics, size_t n_nics)
{
    uint32_t net = 0x0a570000; /* 10.87.0.0/24, and the 255 after it */
    struct value keys[4] = { value_str("nat"), VALUE_NIL, value_str("nat6") };
    struct in6_addr own = { .s6_addr = { 0xfd, [15] = 1 } };
    char text[INET6_ADDRSTRLEN];

    for (size_t i = 0; i < n_nics && (net & 0xff00) != 0xff00; i++)
        if (overlaps(&nics[i], net)) {
            net += 0x100;
            i = (size_t)-1; /* all of them once more */
        }
    keys[1] = value_str(arena_printf(a, "10.87.%u.1/24", net >> 8 & 0xff));
    random_bytes(own.s6_addr + 1, 7); /* a global ID of one's own, and a subnet (RFC 4193, section 3) */
    keys[3] = value_str(arena_printf(a, "%s/64", inet_ntop(AF_INET6, &own, text, sizeof(text))));
    const struct tx_field fields[] = {
        { F_network_name_label, value_str("Host NAT network") },
        { F_network_name_description, value_str("Guests get an address by DHCP and reach out through their host") },
        { F_network_bridge, value_str("nat0") },
        { F_network_MTU, value_int(NETWORK_MTU) },
        { F_network_managed, value_bool(true) },
        { F_network_other_config, value_map(keys, 2) },
    };
    tx_create(t, C_network, NULL, fields, ARRAY_LEN(fields));
}

struct err *network_nat_check(const struct value *other_config, bool ours)
{
    const char *nat = other_config ? value_map_str(other_config, "nat") : "";
    const char *nat6 = other_config ? value_map_str(other_config, "nat6") : "";
    struct subnet net;
    struct subnet6 net6;

    if (*nat && !subnet_parse(nat, &net))
        return err_invalid_value("other_config:nat", nat);
    if (*nat6 && !subnet6_parse(nat6, &net6))
        return err_invalid_value("other_config:nat6", nat6);
    if ((*nat || *nat6) && !ours)
        return err_operation_not_allowed("a network with an interface of the host, or with somebody else's bridge, "
                                         "has no NAT");
    return NULL;
}

struct err *network_check_unused(const struct core *c, const struct row *network)
{
    for (size_t i = 0; i < row_n_related(network, F_network_VIFs); i++) {
        const struct row *vif = row_related(network, F_network_VIFs, i), *vm = row_follow(c->store, vif, F_VIF_VM);

        if (row_bool(vif, F_VIF_currently_attached))
            return err_vif_in_use(row_ref(network), row_ref(vif));
        TRY(ops_conflict(&vif_ops, vif));
        if (vm)
            TRY(ops_conflict(&vm_ops, vm));
    }
    return NULL;
}

static bool same(const struct row *network, const struct value *other_config, const char *key)
{
    return strcmp(row_map_str(network, F_network_other_config, key), value_map_str(other_config, key)) == 0;
}

struct err *network_nat_change(struct call *c, const struct row *network, const struct value *other_config)
{
    bool ours = row_bool(network, F_network_managed) && !row_n_related(network, F_network_PIFs);
    const char *ref = arena_strdup(c->arena, row_ref(network));
    struct ipc_peer *net = NULL;

    if (same(network, other_config, "nat") && same(network, other_config, "nat6"))
        return NULL;
    TRY(network_nat_check(other_config, ours));
    if (!ours) /* there was none */
        return NULL;
    TRY(core_need_net(c->core, &net));
    TRY(call_row(c, C_network, ref, &network));
    TRY(network_check_unused(c->core, network));
    const char *bridge = arena_strdup(c->arena, row_str(network, F_network_bridge));
    return net_bridge_down(net, c->arena, &(struct net_bridge_down_req){ .bridge = bridge, .nic = "" });
}
