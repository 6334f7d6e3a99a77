#include <string.h>
#include "core/call.h"
#include "core/fixture_test.h"

/* Rules of VIFs, and what the net service is told of them. */

#define OK "\"result\":\"\""

static const char *new_vm(struct fixture *f)
{
    const struct row *template = store_first(f->store, C_VM);

    while (template && strcmp(row_str(template, F_VM_name_label), "Other install media") != 0)
        template = store_next(template);
    const char *vm =
        fixture_result(f, fixture_call(f, f->session, "VM.clone", template ? row_ref(template) : "", "web1", NULL));
    CHECK(strstr(fixture_call(f, f->session, "VM.provision", vm, NULL), OK));
    return vm;
}

static const char *vif_new(struct fixture *f, const char *vm, const char *device, const char *mac, const char *locking)
{
    const char *network = row_ref(store_first(f->store, C_network));
    struct value v[] = { value_str("VM"), value_str(vm), value_str("network"), value_str(network), value_str("device"),
        value_str(device), value_str("MAC"), value_str(mac), value_str("MTU"), value_int(1500),
        value_str("other_config"), value_map(NULL, 0), value_str("qos_algorithm_type"), value_str(""),
        value_str("qos_algorithm_params"), value_map(NULL, 0), value_str("locking_mode"), value_str(locking) };
    struct value record = value_map(v, ARRAY_LEN(v) / 2);

    return fixture_call_values(f, f->session, "VIF.create", &record, 1, false);
}

TEST_FIBER(a_vif_is_not_locked_while_its_cable_is_laid)
{
    struct value starting[] = { value_str("OpaqueRef:task"), value_str("start") };
    struct fixture f;
    uint64_t gen = 0;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f);
    const char *vif = fixture_result(&f, vif_new(&f, vm, "0", "", "network_default"));
    struct tx *t = tx_begin(f.store);
    tx_set(t, vm, F_VM_current_operations, value_map(starting, 1));
    CHECK_OK(tx_apply(t, &gen));
    CHECK(strstr(
        fixture_call(&f, f.session, "VIF.set_locking_mode", vif, "locked", NULL), "OTHER_OPERATION_IN_PROGRESS"));
    t = tx_begin(f.store);
    tx_set(t, vm, F_VM_current_operations, value_map(NULL, 0));
    CHECK_OK(tx_apply(t, &gen));
    CHECK(strstr(fixture_call(&f, f.session, "VIF.set_locking_mode", vif, "locked", NULL), OK));
    fixture_done(&f);
}

TEST_FIBER(a_vif_is_checked_to_the_letter)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f);
    CHECK(strstr(vif_new(&f, vm, "0", " 2:00:00:00:00:01", "network_default"), "MAC_INVALID"));
    CHECK(strstr(vif_new(&f, vm, "0", "03:00:00:00:00:01", "network_default"), "MAC_INVALID"));
    CHECK(strstr(vif_new(&f, vm, "+0", "", "network_default"), "INVALID_DEVICE"));
    CHECK(strstr(vif_new(&f, vm, "0", "", "locked"), "OpaqueRef:"));
    CHECK(strstr(vif_new(&f, vm, "1", "", "network_default"), "OpaqueRef:"));
    CHECK(strstr(vif_new(&f, vm, "00", "", "network_default"), "DEVICE_ALREADY_EXISTS"));
    fixture_done(&f);
}

static const char *network_new(struct fixture *f, const char *bridge)
{
    struct value v[] = { value_str("name_label"), value_str(bridge), value_str("bridge"), value_str(bridge),
        value_str("managed"), value_bool(true), value_str("MTU"), value_int(1400), value_str("other_config"),
        value_map(NULL, 0) };
    struct value record = value_map(v, ARRAY_LEN(v) / 2);

    return fixture_result(f, fixture_call_values(f, f->session, "network.create", &record, 1, false));
}

static const char *network_of(struct fixture *f, const char *vif)
{
    return row_str(store_find(f->store, vif), F_VIF_network);
}

TEST_FIBER(a_vif_moves_with_its_cable_or_not_at_all)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f), *one = network_new(&f, "one"), *two = network_new(&f, "two");
    const char *vif = fixture_result(&f, vif_new(&f, vm, "3", "", "unlocked"));
    CHECK(strstr(fixture_call(&f, f.session, "VIF.move", one, one, NULL), "HANDLE_INVALID"));
    CHECK(strstr(fixture_call(&f, f.session, "VIF.move", vif, vif, NULL), "HANDLE_INVALID"));
    CHECK(strstr(fixture_call(&f, f.session, "VIF.move", vif, one, NULL), OK));
    CHECK_STR(network_of(&f, vif), one);
    CHECK(!f.cable.bridge); /* it has none yet */

    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), OK));
    CHECK(strstr(fixture_call(&f, f.session, "VIF.move", vif, two, NULL), OK));
    CHECK_STR(network_of(&f, vif), two);
    CHECK_STR(f.cable.bridge, "two");
    CHECK_INT(f.cable.position, 3);
    CHECK_STR(f.cable.vm, row_str(store_find(f.store, vm), F_VM_uuid));

    f.cable.n_failures = 1;
    CHECK(strstr(fixture_call(&f, f.session, "VIF.move", vif, one, NULL), "INTERNAL_ERROR"));
    CHECK_STR(network_of(&f, vif), two);
    CHECK_STR(f.cable.bridge, "two"); /* whatever was done of it is undone */
    fixture_done(&f);
}

TEST_FIBER(a_vif_does_not_move_under_an_operation)
{
    struct value pair[] = { value_str("OpaqueRef:task"), value_str("pool_migrate") };
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f), *one = network_new(&f, "one");
    const char *vif = fixture_result(&f, vif_new(&f, vm, "0", "", "unlocked"));
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), OK));
    struct tx *t = tx_begin(f.store);
    tx_set(t, vm, F_VM_current_operations, value_map(pair, 1));
    CHECK_OK(tx_apply(t, NULL));
    CHECK(strstr(fixture_call(&f, f.session, "VIF.move", vif, one, NULL), "OTHER_OPERATION_IN_PROGRESS"));
    t = tx_begin(f.store);
    tx_set(t, vm, F_VM_current_operations, value_map(NULL, 0));
    pair[1] = value_str("unplug");
    tx_set(t, vif, F_VIF_current_operations, value_map(pair, 1));
    CHECK_OK(tx_apply(t, NULL));
    CHECK(strstr(fixture_call(&f, f.session, "VIF.move", vif, one, NULL), "OTHER_OPERATION_IN_PROGRESS"));
    CHECK(!f.cable.bridge);
    fixture_done(&f);
}

TEST_FIBER(a_core_that_starts_lays_the_cables_as_it_knows_them)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f), *one = network_new(&f, "one");
    const char *vif = fixture_result(&f, vif_new(&f, vm, "0", "", "unlocked"));
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), OK));
    CHECK_OK(core_set(f.core, vif, F_VIF_network, value_str(one))); /* and here it died */
    CHECK_OK(core_start(f.core, clock_now(loop) + 1000000));
    for (int i = 0; i < 100 && !f.cable.bridge; i++)
        fiber_sleep(1000);
    CHECK_STR(f.cable.bridge, "one");
    fixture_done(&f);
}

static const char *set_kbps(struct fixture *f, const char *vif, const char *kbps)
{
    struct value pair[] = { value_str("kbps"), value_str(kbps) };
    const struct value args[] = { value_str(vif), value_map(pair, 1) };

    return fixture_call_values(f, f->session, "VIF.set_qos_algorithm_params", args, 2, false);
}

TEST_FIBER(a_limit_is_one_that_can_be_held_and_holds_at_once)
{
    static const char *const wrong[] = { "", "-1", "+1", "1.5", "1k", " 1", "10000001", "99999999999999999999" };
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f), *vif = fixture_result(&f, vif_new(&f, vm, "0", "", "unlocked"));
    CHECK(strstr(fixture_call(&f, f.session, "VIF.get_qos_supported_algorithms", vif, NULL), "[\"ratelimit\"]"));
    CHECK(strstr(fixture_call(&f, f.session, "VIF.set_qos_algorithm_type", vif, "htb", NULL), "INVALID_VALUE"));
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        CHECK(strstr(set_kbps(&f, vif, wrong[i]), "INVALID_VALUE"));
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), OK));
    CHECK(strstr(set_kbps(&f, vif, "100"), OK));
    CHECK_INT(f.cable.kbps, 0); /* by no method */
    CHECK(strstr(fixture_call(&f, f.session, "VIF.set_qos_algorithm_type", vif, "ratelimit", NULL), OK));
    CHECK_INT(f.cable.kbps, 100);
    f.cable.n_failures = 1;
    CHECK(strstr(set_kbps(&f, vif, "200"), "INTERNAL_ERROR"));
    CHECK_INT(f.cable.kbps, 100);
    CHECK_STR(row_map_str(store_find(f.store, vif), F_VIF_qos_algorithm_params, "kbps"), "100");
    CHECK(strstr(fixture_call(&f, f.session, "VIF.remove_from_qos_algorithm_params", vif, "kbps", NULL), OK));
    CHECK_INT(f.cable.kbps, 0);
    fixture_done(&f);
}
