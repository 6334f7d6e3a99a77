#include <string.h>
#include "core/call.h"
#include "core/fixture_test.h"

/* Rules of networks. */

#define OK "\"result\":\"\""

static const char *create(struct fixture *f, const char *bridge, bool managed, const char *key, const char *nat)
{
    struct value other[] = { value_str(key), value_str(nat) };
    struct value v[] = { value_str("name_label"), value_str("n"), value_str("bridge"), value_str(bridge),
        value_str("managed"), value_bool(managed), value_str("MTU"), value_int(1500), value_str("other_config"),
        value_map(other, 1) };
    struct value record = value_map(v, ARRAY_LEN(v) / 2);

    return fixture_call_values(f, f->session, "network.create", &record, 1, false);
}

TEST_FIBER(a_nat_that_cannot_be_is_refused_when_it_is_said)
{
    static const char *const wrong[] = { "yes", "10.1.2.3", "10.1.2.0/24", "10.1.2.1/30", "fd00::1/64" };
    struct fixture f;

    fixture_init(&f, loop);
    const char *net = fixture_result(&f, create(&f, "", true, "nat", "10.1.2.1/24"));
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        CHECK(strstr(create(&f, "", true, "nat", wrong[i]), "\"INVALID_VALUE\",\"data\":[\"other_config:nat\""));
        CHECK(strstr(fixture_call(&f, f.session, "network.remove_from_other_config", net, "nat", NULL), OK));
        CHECK(strstr(
            fixture_call(&f, f.session, "network.add_to_other_config", net, "nat", wrong[i], NULL), "INVALID_VALUE"));
    }
    CHECK(strstr(create(&f, "", true, "nat6", "fd00::1/63"), "\"INVALID_VALUE\",\"data\":[\"other_config:nat6\""));
    CHECK(strstr(fixture_call(&f, f.session, "network.add_to_other_config", net, "nat6", "x", NULL), "INVALID_VALUE"));
    CHECK(strstr(fixture_call(&f, f.session, "network.add_to_other_config", net, "nat6", "fd00::1/64", NULL), OK));
    CHECK(strstr(create(&f, "br7", false, "nat", "10.1.2.1/24"), "OPERATION_NOT_ALLOWED"));
    CHECK(strstr(create(&f, "br7", false, "nat6", "fd00::1/64"), "OPERATION_NOT_ALLOWED"));
    fixture_done(&f);
}

TEST_FIBER(another_nat_is_another_bridge)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *net = fixture_result(&f, create(&f, "lab", true, "nat", "10.1.2.1/24"));
    CHECK(strstr(fixture_call(&f, f.session, "network.add_to_other_config", net, "note", "x", NULL), OK));
    CHECK(!f.bridge_down);
    CHECK(strstr(fixture_call(&f, f.session, "network.remove_from_other_config", net, "nat", NULL), OK));
    CHECK_STR(f.bridge_down, "lab");
    fixture_done(&f);
}

TEST_FIBER(a_network_of_an_interface_has_no_nat)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *net = arena_strdup(f.arena, row_str(store_first(f.store, C_PIF), F_PIF_network));
    CHECK(strstr(fixture_call(&f, f.session, "network.add_to_other_config", net, "nat", "10.1.2.1/24", NULL),
        "OPERATION_NOT_ALLOWED"));
    fixture_done(&f);
}

TEST_FIBER(a_bridge_has_a_name_that_linux_takes)
{
    static const char *const wrong[] = { "sixteen-letters!", "a/b", "a b", "a%d", "a:1", ".", "..", "vif1", "a+b" };
    struct fixture f;

    fixture_init(&f, loop);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        CHECK(strstr(create(&f, wrong[i], true, "note", "x"), "INVALID_VALUE"));
    CHECK(strstr(create(&f, "lab_1.2-3", true, "note", "x"), "OpaqueRef:"));
    CHECK(strstr(create(&f, "lab_1.2-3", true, "note", "x"), "BRIDGE_NAME_EXISTS"));
    fixture_done(&f);
}
