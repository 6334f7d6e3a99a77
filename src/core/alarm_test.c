#include "core/alarm.h"
#include <math.h>
#include <string.h>
#include "test.h"

TEST(a_variable_is_read_with_its_defaults_and_written_again)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct alarm_variable v[ALARM_VARIABLES_MAX];
    const char *xml = "<config><variable><name value=\"cpu_usage\"/><alarm_trigger_level value=\"0.5\"/></variable>"
                      "<variable><name value=\"a&amp;b\"/><alarm_trigger_level value=\"2\"/>"
                      "<alarm_trigger_sense value=\"low\"/><alarm_trigger_period value=\"5\"/>"
                      "<alarm_auto_inhibit_period value=\"7\"/><alarm_priority value=\"2\"/></variable></config>";

    CHECK(alarm_parse(a, xml, v) == 2);
    CHECK(cstr_eq(v[0].name, "cpu_usage") && fabs(v[0].level - 0.5) < 1e-9 && !v[0].low);
    CHECK(v[0].period_s == 60 && v[0].inhibit_s == 3600 && v[0].priority == 0);
    CHECK(v[1].low && v[1].period_s == 5 && v[1].inhibit_s == 7 && v[1].priority == 2);
    CHECK(cstr_starts(v[1].xml, "<variable>\n    <name value=\"a&amp;b\"/>\n    <alarm_trigger_level value=\"2\"/>\n"));
}

TEST(what_cannot_be_understood_is_not_watched)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct alarm_variable v[ALARM_VARIABLES_MAX];

    CHECK(alarm_parse(a, "", v) == 0);
    CHECK(alarm_parse(a, "<config><variable>", v) == 0);
    CHECK(alarm_parse(a, "<!DOCTYPE c [<!ENTITY e \"x\">]><config/>", v) == 0);
    CHECK(alarm_parse(a, "<config><variable><name value=\"x\"/></variable></config>", v) == 0);
    CHECK(alarm_parse(a,
              "<config><variable><name value=\"x\"/><alarm_trigger_level value=\"1\"/>"
              "<alarm_trigger_period value=\"-5\"/></variable></config>",
              v) == 0);
}

TEST(there_are_not_more_than_a_few)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf b;
    struct alarm_variable v[ALARM_VARIABLES_MAX];

    buf_init(&b, 65536);
    buf_add_c(&b, "<config>");
    for (int i = 0; i < 100; i++)
        buf_add_c(&b, "<variable><name value=\"x\"/><alarm_trigger_level value=\"1\"/></variable>");
    buf_add_c(&b, "</config>");
    CHECK(alarm_parse(a, b.p, v) == ALARM_VARIABLES_MAX);
}
