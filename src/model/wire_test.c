#include "model/wire.h"
#include <math.h>
#include "base/arena.h"
#include "base/value.h"
#include "gen/errors.h"
#include "gen/model.h"
#include "test.h"

static void gives(enum envelope e, const struct type *t, struct value v, const char *want)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 65536);
    wire_value(&b, e, t, &v);
    buf_add_char(&b, '\0');
    CHECK_STR(b.p, want);
}

#define GIVES_XML(t, v, want) gives(ENVELOPE_XMLRPC, (t), (v), (want))
#define GIVES_JSON(t, v, want) gives(ENVELOPE_JSONRPC2, (t), (v), (want))

TEST(xml_scalars_are_written_as_the_reference_does)
{
    GIVES_XML(NULL, value_str("a<b>&\"c'"), "<value>a&lt;b&gt;&amp;&quot;c'</value>");
    GIVES_XML(NULL, value_str(""), "<value></value>");
    GIVES_XML(NULL, value_str("a\x01\tb\x1f\n"), "<value>a\tb\n</value>");
    GIVES_XML(NULL, value_str("z\xc3\xbc"), "<value>z\xc3\xbc</value>");
    GIVES_XML(NULL, value_str("\xff\xc3"), "<value>\xef\xbf\xbd\xef\xbf\xbd</value>");
    GIVES_XML(NULL, value_int(8589934592), "<value>8589934592</value>");
    GIVES_XML(NULL, value_float(0.25), "<value><double>0.25</double></value>");
    GIVES_XML(NULL, value_float(1), "<value><double>1</double></value>");
    GIVES_XML(NULL, value_bool(true), "<value><boolean>1</boolean></value>");
    GIVES_XML(NULL, value_bool(false), "<value><boolean>0</boolean></value>");
    GIVES_XML(NULL, value_datetime("20260131T09:05:00Z"),
        "<value><dateTime.iso8601>20260131T09:05:00Z</dateTime.iso8601></value>");
    GIVES_XML(NULL, VALUE_NIL, "<value><nil/></value>");
}

TEST(json_scalars_are_written_as_the_reference_does)
{
    GIVES_JSON(NULL, value_str("a\"\\\n\x01/"), "\"a\\\"\\\\\\n\\u0001/\"");
    GIVES_JSON(NULL, value_int(8589934592), "8589934592");
    GIVES_JSON(NULL, value_float(0.5), "0.5");
    GIVES_JSON(NULL, value_float(1), "1.0");
    GIVES_JSON(NULL, value_float(0.1), "0.1");
    GIVES_JSON(NULL, value_float(1e300), "1e+300");
    GIVES_JSON(NULL, value_float(NAN), "NaN");
    GIVES_JSON(NULL, value_float(-INFINITY), "-Infinity");
    GIVES_JSON(NULL, value_bool(false), "false");
    GIVES_JSON(NULL, value_datetime("20260131T09:05:00Z"), "\"20260131T09:05:00Z\"");
    GIVES_JSON(M_VM_start->result, value_str(""), "\"\"");
}

TEST(containers_stringify_keys)
{
    struct value items[] = { value_str("a"), value_str("b") };
    struct value pairs[] = { value_int(0), value_float(0.5), value_int(1), value_int(1) };
    const struct type *t = F_VM_metrics_VCPUs_utilisation->type;

    GIVES_XML(NULL, value_set(items, 2), "<value><array><data><value>a</value><value>b</value></data></array></value>");
    GIVES_XML(NULL, value_set(NULL, 0), "<value><array><data></data></array></value>");
    GIVES_JSON(NULL, value_set(items, 2), "[\"a\",\"b\"]");
    GIVES_XML(t, value_map(pairs, 2),
        "<value><struct><member><name>0</name><value><double>0.5</double></value></member>"
        "<member><name>1</name><value><double>1</double></value></member></struct></value>");
    GIVES_JSON(t, value_map(pairs, 2), "{\"0\":0.5,\"1\":1.0}");
}

TEST(member_names_are_escaped)
{
    struct value pairs[] = { value_str("a<\""), value_str("") };

    GIVES_XML(NULL, value_map(pairs, 1),
        "<value><struct><member><name>a&lt;&quot;</name><value></value></member></struct></value>");
    GIVES_JSON(NULL, value_map(pairs, 1), "{\"a<\\\"\":\"\"}");
}

TEST(empty_options_are_left_out_of_records)
{
    const struct type *t = M_SR_probe_ext->result->elem;
    struct value pairs[] = { value_str("complete"), value_bool(true), value_str("sr"), VALUE_NIL };

    CHECK_INT(t->kind, TYPE_RECORD);
    GIVES_JSON(t, value_map(pairs, 2), "{\"complete\":true}");
    GIVES_JSON(model_field_find(t->of, "sr")->type, VALUE_NIL, "[]");
    GIVES_JSON(F_sr_stat_uuid->type, value_str("u"), "[\"u\"]");
}

TEST(only_reference_counts_travel_as_i4)
{
    struct value counts[] = { value_str("vm"), value_int(31) };
    struct value ev[] = { value_str("id"), value_str("1") };
    struct value events[] = { value_map(ev, 1) };
    struct value batch[] = { value_str("events"), value_set(events, 1), value_str("valid_ref_counts"),
        value_map(counts, 1), value_str("token"), value_str("7,0") };

    GIVES_XML(M_event_from->result, value_map(batch, 3),
        "<value><struct><member><name>events</name><value><array><data><value><struct><member><name>id</name>"
        "<value>1</value></member></struct></value></data></array></value></member>"
        "<member><name>valid_ref_counts</name><value><struct><member><name>vm</name><value><i4>31</i4></value></member>"
        "</struct></value></member><member><name>token</name><value>7,0</value></member></struct></value>");
    GIVES_JSON(M_event_from->result, value_map(batch, 3),
        "{\"events\":[{\"id\":\"1\"}],\"valid_ref_counts\":{\"vm\":31},\"token\":\"7,0\"}");
}

static void reply_is(enum envelope e, bool bare, const char *want)
{
    AUTO(buf_done) struct buf b;
    struct value v = value_int(4);

    buf_init(&b, 65536);
    wire_begin(&b, e, bare);
    wire_value(&b, e, NULL, &v);
    wire_end(&b, e, bare, STR("7"));
    buf_add_char(&b, '\0');
    CHECK_STR(b.p, want);
}

TEST(success_has_the_envelope_of_its_protocol)
{
    reply_is(ENVELOPE_XMLRPC, false,
        "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>Status</name>"
        "<value>Success</value></member><member><name>Value</name><value>4</value></member></struct></value></param>"
        "</params></methodResponse>");
    reply_is(ENVELOPE_XMLRPC, true,
        "<?xml version=\"1.0\"?><methodResponse><params><param><value>4</value></param></params></methodResponse>");
    reply_is(ENVELOPE_JSONRPC1, false, "{\"result\":4,\"error\":null,\"id\":7}");
    reply_is(ENVELOPE_JSONRPC2, false, "{\"jsonrpc\":\"2.0\",\"result\":4,\"id\":7}");
}

static void error_is(enum envelope e, struct err *err, const char *want)
{
    AUTO(err_drop) struct err *owned = err;
    AUTO(buf_done) struct buf b;

    buf_init(&b, 65536);
    wire_error(&b, e, STR("\"a\""), owned);
    buf_add_char(&b, '\0');
    CHECK_STR(b.p, want);
}

TEST(failure_has_the_envelope_of_its_protocol)
{
    error_is(ENVELOPE_XMLRPC, err_handle_invalid("VM", "OpaqueRef:55aa-vm"),
        "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>Status</name>"
        "<value>Failure</value></member><member><name>ErrorDescription</name><value><array><data>"
        "<value>HANDLE_INVALID</value><value>VM</value><value>OpaqueRef:55aa-vm</value></data></array></value></member>"
        "</struct></value></param></params></methodResponse>");
    error_is(ENVELOPE_JSONRPC1, err_session_invalid("r"),
        "{\"result\":null,\"error\":[\"SESSION_INVALID\",\"r\"],\"id\":\"a\"}");
    error_is(ENVELOPE_JSONRPC2, err_session_invalid("r"),
        "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":1,\"message\":\"SESSION_INVALID\",\"data\":[\"r\"]},\"id\":\"a\"}");
    error_is(ENVELOPE_JSONRPC2, err_message_removed(),
        "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":1,\"message\":\"MESSAGE_REMOVED\",\"data\":[]},\"id\":\"a\"}");
}
