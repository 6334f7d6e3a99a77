/* Networks and interfaces. */
#include <string.h>
#include "base/uuid.h"
#include "cli/convert.h"
#include "cli/verb.h"

static const char *text_or(struct xe *x, const char *name, const char *dflt)
{
    const char *text = arg_get(&x->args, name);

    return text ? text : dflt;
}

static struct err *network_create(struct xe *x)
{
    static const struct type number = { .kind = TYPE_INT };
    const char *name = NULL;
    struct value mtu, network;
    bool managed;

    TRY(arg_need(&x->args, "name-label", &name));
    TRY(convert(x, &number, "MTU", text_or(x, "MTU", "1500"), &mtu));
    TRY(arg_bool(&x->args, "managed", true, &managed));
    struct value pairs[] = { S("name_label"), S(name), S("name_description"), S(text_or(x, "name-description", "")),
        S("MTU"), mtu, S("bridge"), S(text_or(x, "bridge", "")), S("managed"), B(managed), S("other_config"),
        convert_map_args(x, "other-config"), S("tags"), value_set(NULL, 0) };
    TRY(CALL(x, &network, "network.create", value_map(pairs, ARRAY_LEN(pairs) / 2)));
    return say_uuid(x, C_network, network.s);
}

static const char *random_mac(struct xe *x)
{
    unsigned char m[6];

    random_bytes(m, sizeof(m));
    m[0] = (unsigned char)((m[0] & 0xfc) | 0x02); /* one station, locally administered */
    return arena_printf(x->arena, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

static struct err *vif_create(struct xe *x)
{
    static const struct type number = { .kind = TYPE_INT };
    const char *vm = NULL, *network = NULL, *device = NULL, *mac = text_or(x, "mac", "");
    struct value mtu, vif;

    TRY(need_ref(x, "vm-uuid", C_VM, &vm));
    TRY(need_ref(x, "network-uuid", C_network, &network));
    TRY(arg_need(&x->args, "device", &device));
    TRY(convert(x, &number, "mtu", text_or(x, "mtu", "1500"), &mtu));
    struct value pairs[] = { S("VM"), S(vm), S("network"), S(network), S("device"), S(device), S("MAC"),
        S(strcmp(mac, "random") == 0 ? random_mac(x) : mac), S("MTU"), mtu, S("other_config"),
        convert_map_args(x, "other-config"), S("qos_algorithm_type"), S(""), S("qos_algorithm_params"),
        value_map(NULL, 0) };
    TRY(CALL(x, &vif, "VIF.create", value_map(pairs, ARRAY_LEN(pairs) / 2)));
    return say_uuid(x, C_VIF, vif.s);
}

static struct err *vif_unplug(struct xe *x)
{
    const char *vif = NULL;
    bool force;

    TRY(need_ref(x, "uuid", C_VIF, &vif));
    TRY(arg_bool(&x->args, "force", false, &force));
    return RUN(x, NULL, force ? "VIF.unplug_force" : "VIF.unplug", S(vif));
}

static struct err *vlan_create(struct xe *x)
{
    const char *pif = NULL, *network = NULL;
    struct value vlan;
    int64_t tag;

    TRY(need_ref(x, "pif-uuid", C_PIF, &pif));
    TRY(need_ref(x, "network-uuid", C_network, &network));
    TRY(need_int(x, "vlan", &tag));
    TRY(RUN(x, &vlan, "VLAN.create", S(pif), N(tag), S(network)));
    return say_uuid(x, C_VLAN, vlan.s);
}

/* Prints the uuids of the interfaces that the hosts now have. */
static struct err *pool_vlan_create(struct xe *x)
{
    const char *pif = NULL, *network = NULL;
    struct value made;
    int64_t tag;

    TRY(need_ref(x, "pif-uuid", C_PIF, &pif));
    TRY(need_ref(x, "network-uuid", C_network, &network));
    TRY(need_int(x, "vlan", &tag));
    TRY(RUN(x, &made, "pool.create_VLAN_from_PIF", S(pif), S(network), N(tag)));
    for (size_t i = 0; i < made.n; i++)
        TRY(say_uuid(x, C_PIF, made.items[i].s));
    return NULL;
}

static struct err *bond_create(struct xe *x)
{
    const struct type pif = { .kind = TYPE_REF, .of = C_PIF }, pifs = { .kind = TYPE_SET, .elem = &pif };
    const char *network = NULL, *text = NULL;
    struct value members, bond;

    TRY(need_ref(x, "network-uuid", C_network, &network));
    TRY(arg_need(&x->args, "pif-uuids", &text));
    TRY(convert(x, &pifs, "pif-uuids", text, &members));
    TRY(RUN(x, &bond, "Bond.create", S(network), members, S(text_or(x, "mac", "")),
        S(text_or(x, "mode", "balance-slb")), convert_map_args(x, "properties")));
    return say_uuid(x, C_Bond, bond.s);
}

static struct err *bond_set_mode(struct xe *x)
{
    const char *bond = NULL, *mode = NULL;

    TRY(need_ref(x, "uuid", C_Bond, &bond));
    TRY(arg_need(&x->args, "mode", &mode));
    return RUN(x, NULL, "Bond.set_mode", S(bond), S(mode));
}

static struct err *pif_reconfigure_ip(struct xe *x)
{
    const struct msg *m = model_msg_find("PIF.reconfigure_ip");
    const char *pif = NULL, *mode = NULL;
    struct value v;

    TRY(need_ref(x, "uuid", C_PIF, &pif));
    TRY(arg_need(&x->args, "mode", &mode));
    TRY(convert(x, m->params[1].type, "mode", mode, &v));
    return RUN(x, NULL, m->name, S(pif), v, S(text_or(x, "IP", "")), S(text_or(x, "netmask", "")),
        S(text_or(x, "gateway", "")), S(text_or(x, "DNS", "")));
}

static struct err *pif_scan(struct xe *x)
{
    const char *host = NULL;

    TRY(need_ref(x, "host-uuid", C_host, &host));
    return RUN(x, NULL, "PIF.scan", S(host));
}

const struct verb network_verbs[] = {
    { "network-create", network_create, "name-label", "name-description,MTU,bridge,managed,other-config:", NULL,
        "Makes a network inside the pool. Prints its uuid." },
    { "vif-create", vif_create, "vm-uuid,network-uuid,device", "mac,mtu,other-config:", NULL,
        "Makes a VM's interface; without mac= the address follows from the VM, mac=random takes any. Prints its "
        "uuid." },
    { "vif-unplug", vif_unplug, "uuid", "force", NULL, "Disconnects an interface from the running VM." },
    { "vlan-create", vlan_create, "pif-uuid,vlan,network-uuid", "", NULL,
        "Joins a network to a VLAN of a physical interface. Prints its uuid." },
    { "pool-vlan-create", pool_vlan_create, "pif-uuid,vlan,network-uuid", "", NULL,
        "The same on every host that has such an interface. Prints the uuids of their new interfaces." },
    { "bond-create", bond_create, "network-uuid,pif-uuids", "mac,mode,properties:", NULL,
        "Makes one interface of several. Prints its uuid." },
    { "bond-set-mode", bond_set_mode, "uuid,mode", "", NULL,
        "Has a bond use its members otherwise (mode=balance-slb|active-backup|lacp)." },
    { "pif-reconfigure-ip", pif_reconfigure_ip, "uuid,mode", "IP,netmask,gateway,DNS", NULL,
        "Sets a physical interface's address (mode=None|DHCP|Static)." },
    { "pif-scan", pif_scan, "host-uuid", "", NULL, "Looks for physical interfaces that are new or gone." },
    { 0 },
};
