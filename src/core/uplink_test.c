#include <string.h>
#include "core/call.h"
#include "core/fixture_test.h"
#include "core/host.h"
#include "core/pif.h"

/* Rules of interfaces, and of what is made of them. */

#define OK "\"result\":\"\""

static const char *network(struct fixture *f, const char *nat)
{
    struct value other[] = { value_str("nat"), value_str(nat) };
    struct value v[] = { value_str("name_label"), value_str("n"), value_str("MTU"), value_int(1400),
        value_str("other_config"), value_map(other, *nat ? 1 : 0) };
    struct value record = value_map(v, ARRAY_LEN(v) / 2);

    return fixture_result(f, fixture_call_values(f, f->session, "network.create", &record, 1, false));
}

static const char *nic(struct fixture *f)
{
    return arena_strdup(f->arena, row_ref(store_first(f->store, C_PIF)));
}

static const char *vlan(struct fixture *f, const char *pif, const char *tag, const char *net)
{
    return fixture_call(f, f->session, "VLAN.create", pif, tag, net, NULL);
}

static const struct row *pif_of_vlan(struct fixture *f, const char *ref)
{
    return row_follow(f->store, store_find_of(f->store, C_VLAN, ref), F_VLAN_untagged_PIF);
}

TEST_FIBER(a_vlan_is_an_interface_on_another)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *net = network(&f, ""), *ref = fixture_result(&f, vlan(&f, nic(&f), "#5", net));
    const struct row *pif = pif_of_vlan(&f, ref);
    CHECK_STR(row_str(pif, F_PIF_device), "eth0");
    CHECK_STR(row_str(pif, F_PIF_MAC), "fe:ff:ff:ff:ff:ff");
    CHECK_STR(row_str(pif, F_PIF_network), net);
    CHECK_STR(row_str(pif, F_PIF_VLAN_master_of), ref);
    CHECK_INT(row_int(pif, F_PIF_VLAN), 5);
    CHECK_INT(row_int(pif, F_PIF_MTU), 1400);
    CHECK(!row_bool(pif, F_PIF_physical) && row_bool(pif, F_PIF_currently_attached));
    CHECK_INT(row_n_related(store_find(f.store, nic(&f)), F_PIF_VLAN_slave_of), 1);
    CHECK_STR(f.network.uplink, "eth0");
    CHECK(f.network.tagged && f.network.tag == 5 && f.network.mtu == 1400);
    CHECK(strstr(fixture_call(&f, f.session, "VLAN.destroy", ref, NULL), OK));
    CHECK(f.bridge_down);
    CHECK_INT(store_count(f.store, C_VLAN), 0);
    CHECK_INT(store_count(f.store, C_PIF), 1);
    CHECK_INT(store_count(f.store, C_PIF_metrics), 1); /* it had none of its own */
    fixture_done(&f);
}

TEST_FIBER(a_vlan_that_cannot_be_is_refused)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *net = network(&f, ""), *other = network(&f, ""), *nat = network(&f, "10.1.2.1/24");
    const char *eth0 = nic(&f), *its = arena_strdup(f.arena, row_str(store_find(f.store, eth0), F_PIF_network));
    CHECK(strstr(vlan(&f, eth0, "#-1", net), "\"VLAN_TAG_INVALID\",\"data\":[\"-1\"]"));
    CHECK(strstr(vlan(&f, eth0, "#4095", net), "VLAN_TAG_INVALID"));
    CHECK(strstr(vlan(&f, "OpaqueRef:none", "#5", net), "HANDLE_INVALID"));
    CHECK(strstr(vlan(&f, eth0, "#5", "OpaqueRef:none"), "HANDLE_INVALID"));
    CHECK(strstr(vlan(&f, eth0, "#5", its), "NETWORK_ALREADY_CONNECTED"));
    CHECK(strstr(vlan(&f, eth0, "#5", nat), "OPERATION_NOT_ALLOWED"));
    const char *five = fixture_result(&f, vlan(&f, eth0, "#5", net));
    const char *pif = arena_strdup(f.arena, row_ref(pif_of_vlan(&f, five)));
    CHECK(strstr(vlan(&f, eth0, "#5", other), "\"PIF_VLAN_EXISTS\",\"data\":[\"eth0\"]"));
    CHECK(strstr(vlan(&f, pif, "#6", other), "PIF_IS_VLAN"));
    CHECK(strstr(fixture_call(&f, f.session, "PIF.forget", pif, NULL), "PIF_VLAN_STILL_EXISTS"));
    CHECK(strstr(fixture_call(&f, f.session, "PIF.destroy", eth0, NULL), "PIF_IS_PHYSICAL"));
    CHECK(strstr(fixture_call(&f, f.session, "PIF.destroy", pif, NULL), OK));
    CHECK_INT(store_count(f.store, C_VLAN), 0);
    fixture_done(&f);
}

TEST_FIBER(a_vlan_that_the_kernel_refuses_leaves_nothing)
{
    struct fixture f;

    fixture_init(&f, loop);
    f.n_bridge_failures = 1;
    CHECK(strstr(vlan(&f, nic(&f), "#5", network(&f, "")), "PIF_CONFIGURATION_ERROR"));
    CHECK_INT(store_count(f.store, C_VLAN), 0);
    CHECK_INT(store_count(f.store, C_PIF), 1);
    fixture_done(&f);
}

TEST_FIBER(a_plugged_vlan_stands_again_after_a_restart_or_is_not_told_to)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *ref = fixture_result(&f, vlan(&f, nic(&f), "#5", network(&f, "")));
    f.network.tag = 0;
    core_restore_networks(f.core);
    CHECK_INT(f.network.tag, 5);
    CHECK(row_bool(pif_of_vlan(&f, ref), F_PIF_currently_attached));
    f.n_bridge_failures = 1;
    core_restore_networks(f.core);
    CHECK(!row_bool(pif_of_vlan(&f, ref), F_PIF_currently_attached));
    f.network.tag = 0;
    core_restore_networks(f.core);
    CHECK_INT(f.network.tag, 0);
    fixture_done(&f);
}

TEST_FIBER(an_interface_is_unplugged_where_nothing_needs_it)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *net = network(&f, ""), *eth0 = nic(&f), *ref = fixture_result(&f, vlan(&f, eth0, "#5", net));
    const char *pif = arena_strdup(f.arena, row_ref(pif_of_vlan(&f, ref)));
    CHECK(strstr(fixture_call(&f, f.session, "PIF.unplug", eth0, NULL), "PIF_IS_MANAGEMENT_INTERFACE"));
    CHECK_OK(core_set(f.core, eth0, F_PIF_management, value_bool(false)));
    CHECK(strstr(fixture_call(&f, f.session, "PIF.unplug", eth0, NULL), "PIF_VLAN_STILL_EXISTS"));
    CHECK(strstr(fixture_call(&f, f.session, "PIF.set_disallow_unplug", pif, "?t", NULL), OK));
    CHECK(strstr(fixture_call(&f, f.session, "PIF.unplug", pif, NULL), "PIF_DOES_NOT_ALLOW_UNPLUG"));
    CHECK(strstr(fixture_call(&f, f.session, "VLAN.destroy", ref, NULL), "PIF_DOES_NOT_ALLOW_UNPLUG"));
    CHECK(strstr(fixture_call(&f, f.session, "PIF.set_disallow_unplug", pif, "?f", NULL), OK));
    CHECK(strstr(fixture_call(&f, f.session, "PIF.unplug", pif, NULL), OK));
    CHECK(!row_bool(store_find(f.store, pif), F_PIF_currently_attached));
    CHECK(strstr(fixture_call(&f, f.session, "PIF.unplug", eth0, NULL), OK));
    CHECK(!row_bool(store_find(f.store, eth0), F_PIF_currently_attached));
    f.n_bridge_failures = 1;
    CHECK(strstr(fixture_call(&f, f.session, "PIF.plug", pif, NULL), "PIF_CONFIGURATION_ERROR"));
    CHECK(!row_bool(store_find(f.store, pif), F_PIF_currently_attached));
    CHECK(strstr(fixture_call(&f, f.session, "PIF.plug", pif, NULL), OK));
    CHECK(row_bool(store_find(f.store, pif), F_PIF_currently_attached));
    CHECK(strstr(fixture_call(&f, f.session, "PIF.plug", "OpaqueRef:none", NULL), "HANDLE_INVALID"));
    fixture_done(&f);
}

static const char *bond(struct fixture *f, const char *net, const char *pif, const char *mac, const char *mode)
{
    struct value member = value_str(pif);
    struct value args[] = { value_str(net), value_set(&member, *pif ? 1 : 0), value_str(mac), value_str(mode),
        value_map(NULL, 0) };

    return fixture_call_values(f, f->session, "Bond.create", args, ARRAY_LEN(args), false);
}

TEST_FIBER(a_bond_has_what_was_its_members_and_gives_it_back)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *eth0 = nic(&f), *net = network(&f, ""),
               *tagged = fixture_result(&f, vlan(&f, eth0, "#5", network(&f, "")));
    const char *own = arena_strdup(f.arena, row_str(store_find(f.store, eth0), F_PIF_network));
    const char *ref = fixture_result(&f, bond(&f, net, eth0, "", "lacp"));
    const struct row *r = store_find_of(f.store, C_Bond, ref), *master = row_follow(f.store, r, F_Bond_master);
    CHECK_STR(row_str(master, F_PIF_device), "bond0");
    CHECK_STR(row_str(master, F_PIF_MAC), "02:00:00:00:00:01");
    CHECK(row_bool(master, F_PIF_management) && row_bool(master, F_PIF_currently_attached));
    CHECK_STR(row_str(master, F_PIF_network), net);
    CHECK_STR(row_str(r, F_Bond_primary_slave), eth0);
    CHECK_STR(row_map_str(r, F_Bond_properties, "hashing_algorithm"), "tcpudp_ports");
    CHECK_INT(row_int(r, F_Bond_links_up), 1);
    CHECK_STR(row_str(store_find(f.store, eth0), F_PIF_bond_slave_of), ref);
    CHECK(!row_bool(store_find(f.store, eth0), F_PIF_management));
    CHECK_STR(row_str(store_find_of(f.store, C_VLAN, tagged), F_VLAN_tagged_PIF), row_ref(master));
    CHECK_STR(f.network.uplink, "bond0");
    CHECK(f.network.tagged); /* its VLAN was the last to be brought up */
    CHECK(strstr(fixture_call(&f, f.session, "PIF.plug", eth0, NULL), "CANNOT_PLUG_BOND_SLAVE"));
    CHECK(strstr(bond(&f, network(&f, ""), eth0, "", "lacp"), "PIF_ALREADY_BONDED"));
    CHECK(strstr(vlan(&f, eth0, "#6", network(&f, "")), "CANNOT_ADD_VLAN_TO_BOND_SLAVE"));

    CHECK(strstr(fixture_call(&f, f.session, "Bond.set_property", ref, "lacp-time", "fast", NULL), OK));
    CHECK(strstr(fixture_call(&f, f.session, "Bond.set_property", ref, "lacp-time", "soon", NULL), "INVALID_VALUE"));
    CHECK(strstr(fixture_call(&f, f.session, "Bond.set_property", ref, "lacp-fallback-ab", "false", NULL),
        "VALUE_NOT_SUPPORTED"));
    f.n_bridge_failures = 1;
    CHECK(strstr(fixture_call(&f, f.session, "Bond.set_mode", ref, "balance-slb", NULL), "PIF_CONFIGURATION_ERROR"));
    r = store_find_of(f.store, C_Bond, ref);
    CHECK_STR(row_str(r, F_Bond_mode), "lacp");
    CHECK_STR(row_map_str(r, F_Bond_properties, "lacp-time"), "fast");
    CHECK(strstr(fixture_call(&f, f.session, "Bond.set_mode", ref, "balance-slb", NULL), OK));
    CHECK_INT(row_get(store_find_of(f.store, C_Bond, ref), F_Bond_properties)->n, 0);

    CHECK(strstr(fixture_call(&f, f.session, "Bond.destroy", ref, NULL), OK));
    CHECK_INT(store_count(f.store, C_Bond), 0);
    CHECK_INT(store_count(f.store, C_PIF), 2);
    CHECK_INT(store_count(f.store, C_PIF_metrics), 1);
    CHECK(row_bool(store_find(f.store, eth0), F_PIF_management));
    CHECK_STR(row_str(store_find(f.store, eth0), F_PIF_network), own);
    CHECK_STR(row_str(store_find_of(f.store, C_VLAN, tagged), F_VLAN_tagged_PIF), eth0);
    CHECK_STR(row_str(pif_of_vlan(&f, tagged), F_PIF_device), "eth0");
    fixture_done(&f);
}

TEST_FIBER(a_bond_that_cannot_be_leaves_nothing)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *eth0 = nic(&f), *net = network(&f, ""),
               *tagged = fixture_result(&f, vlan(&f, eth0, "#5", network(&f, "")));
    const char *untagged = arena_strdup(f.arena, row_ref(pif_of_vlan(&f, tagged)));
    CHECK(strstr(bond(&f, net, "", "", "lacp"), "PIF_BOND_NEEDS_MORE_MEMBERS"));
    CHECK(strstr(bond(&f, net, eth0, "01:00:00:00:00:01", "lacp"), "MAC_INVALID"));
    CHECK(strstr(bond(&f, net, untagged, "", "lacp"), "PIF_IS_VLAN"));
    CHECK(strstr(bond(&f, network(&f, "10.1.2.1/24"), eth0, "", "lacp"), "OPERATION_NOT_ALLOWED"));
    f.n_bridge_failures = 1;
    CHECK(strstr(bond(&f, net, eth0, "", "lacp"), "PIF_CONFIGURATION_ERROR"));
    CHECK_INT(store_count(f.store, C_Bond), 0);
    CHECK_INT(store_count(f.store, C_PIF), 2);
    CHECK(row_bool(store_find(f.store, eth0), F_PIF_management));
    CHECK_STR(row_str(store_find(f.store, eth0), F_PIF_bond_slave_of), REF_NULL);
    CHECK_STR(row_str(store_find_of(f.store, C_VLAN, tagged), F_VLAN_tagged_PIF), eth0);
    CHECK_STR(row_str(store_find(f.store, untagged), F_PIF_device), "eth0");
    fixture_done(&f);
}
