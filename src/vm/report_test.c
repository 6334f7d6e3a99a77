#include "vm/report.h"
#include "gen/ipc_vm.h"
#include "proto/json.h"
#include "test.h"

static struct arena *a;
static struct vm_report r;
static struct vm_nic nics[] = { { .mac = "02:AA:00:00:00:01", .position = 0 },
    { .mac = "02:aa:00:00:00:07", .position = 7 } };

static struct value said(const char *json)
{
    struct value v;

    if (!a)
        a = arena_new();
    report_init(&r);
    CHECK_OK(json_parse_value(a, str_of(json), &v));
    return v;
}

static void end(void)
{
    arena_drop(&a);
}

TEST(a_debian_guest_is_described)
{
    struct value v = said("{\"id\":\"debian\",\"pretty-name\":\"Debian GNU/Linux 12 (bookworm)\",\"version-id\":\"12\","
                          "\"kernel-release\":\"6.1.0-18-amd64\"}");
    report_os(a, &v, &r);
    CHECK_STR(value_map_str(&r.os, "name"), "Debian GNU/Linux 12 (bookworm)");
    CHECK_STR(value_map_str(&r.os, "uname"), "6.1.0-18-amd64");
    CHECK_STR(value_map_str(&r.os, "distro"), "debian");
    CHECK_STR(value_map_str(&r.os, "major"), "12");
    CHECK(!value_map_get(&r.os, "minor")); /* it did not say */
    end();
}

TEST(features_are_what_the_agent_has_enabled)
{
    struct value v =
        said("{\"version\":\"8.2.1 (x)\",\"supported_commands\":[{\"name\":\"guest-shutdown\",\"enabled\":true},"
             "{\"name\":\"guest-exec\",\"enabled\":false}]}");
    report_info(a, &v, &r);
    CHECK_STR(value_map_str(&r.version, "major"), "8");
    CHECK_STR(value_map_str(&r.version, "micro"), "1");
    CHECK_STR(value_map_str(&r.version, "build"), "0");
    CHECK_STR(value_map_str(&r.features, "feature-shutdown"), "1");
    CHECK(report_can(&v, "guest-shutdown"));
    CHECK(!report_can(&v, "guest-exec"));
    CHECK(!report_can(&v, "guest-ping"));

    v = said("{\"version\":\"none\",\"supported_commands\":{}}");
    report_info(a, &v, &r);
    CHECK_STR(value_map_str(&r.version, "major"), "0");
    CHECK(!value_map_get(&r.features, "feature-shutdown"));
    end();
}

TEST(addresses_go_to_the_interface_with_their_mac)
{
    struct value v = said(
        "[{\"name\":\"lo\",\"hardware-address\":\"00:00:00:00:00:00\",\"ip-addresses\":[{\"ip-address\":\"127.0.0.1\","
        "\"ip-address-type\":\"ipv4\"}]},"
        "{\"name\":\"b\",\"hardware-address\":\"02:aa:00:00:00:07\",\"ip-addresses\":[{\"ip-address\":\"10.0.0.7\","
        "\"ip-address-type\":\"ipv4\"},{\"ip-address\":\"fe80:0:0::7\",\"ip-address-type\":\"ipv6\"}]},"
        "{\"name\":\"a\",\"hardware-address\":\"02:aa:00:00:00:01\"},"
        "{\"name\":\"vlan\",\"hardware-address\":\"02:aa:00:00:00:07\",\"ip-addresses\":[{\"ip-address\":\"10.1.0.7\","
        "\"ip-address-type\":\"ipv4\"}]}]");
    report_networks(a, &v, nics, ARRAY_LEN(nics), &r);
    CHECK_INT(r.networks.n, 4);
    CHECK_STR(value_map_str(&r.networks, "7/ip"), "10.0.0.7");
    CHECK_STR(value_map_str(&r.networks, "7/ipv4/0"), "10.0.0.7");
    CHECK_STR(value_map_str(&r.networks, "7/ipv4/1"), "10.1.0.7");
    CHECK_STR(value_map_str(&r.networks, "7/ipv6/0"), "fe80::7");
    end();
}

TEST(what_is_no_address_is_passed_over)
{
    struct value v =
        said("[7,{\"hardware-address\":\"02:aa:00:00:00:01\",\"ip-addresses\":[{\"ip-address\":\"10.0.0.1; x\","
             "\"ip-address-type\":\"ipv4\"},{\"ip-address\":\"10.0.0.1\",\"ip-address-type\":\"ipv6\"},[]]}]");
    report_networks(a, &v, nics, ARRAY_LEN(nics), &r);
    CHECK_INT(r.networks.n, 0);
    end();
}

TEST(texts_are_cut_and_cleaned)
{
    char json[2048] = "{\"host-name\":\"a\\u0007b.example.org\"}";
    struct value v = said(json);

    report_name(a, &v, &r);
    CHECK_STR(value_map_str(&r.names, "host_name"), "a b");
    CHECK_STR(value_map_str(&r.names, "domain"), "example.org");
    memset(json, 'x', sizeof(json));
    memcpy(json, "{\"host-name\":\"", 14);
    for (size_t i = 14; i < 1014; i += 2)
        memcpy(json + i, "\xc3\xa4", 2);
    memcpy(json + 1014, "\"}", 3);
    v = said(json);
    report_name(a, &v, &r);
    CHECK_INT(strlen(value_map_str(&r.names, "host_name")), 200);
    CHECK(str_is_utf8(str_of(value_map_str(&r.names, "host_name"))));
    end();
}
