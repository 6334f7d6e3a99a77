/*
 * host: programs that its administrator installed for clients to call
 * (docs/plugins.md). A plug-in reads an XML-RPC call and answers with an
 * XML-RPC response; an extension does the same in JSON.
 */
#include <string.h>
#include "core/machine.h"
#include "gen/ipc_machine.h"
#include "proto/json.h"
#include "proto/xmlrpc.h"

#define CALL_MAX (512UL * 1024)

static struct err *failed(struct call *c, const char *why, const struct machine_program_rep *rep)
{
    return err_xenapi_plugin_failure(why, machine_text(c->arena, rep->out), machine_text(c->arena, rep->err));
}

static struct err *run(
    struct call *c, const char *kind, const char *name, struct str text, struct machine_program_rep *rep)
{
    struct ipc_peer *peer = NULL;

    TRY(core_need_host(c->core, &peer));
    struct err *e =
        machine_program(peer, c->arena, &(struct machine_program_req){ .kind = kind, .name = name, .call = text }, rep);
    if (!e || ipc_is_interrupted(e))
        return e;
    const char *why = arena_strdup(c->arena, err_text(e));
    err_free(e);
    return err_xenapi_plugin_failure(why, "", "");
}

/* <methodCall> of the function with two parameters: the caller's session, and the arguments. */
static void write_call(struct call *c, struct buf *b, const struct host_call_plugin_args *a)
{
    static const struct type text = { .kind = TYPE_STRING, .text = "string" };
    struct value session = value_str(c->who.session);

    buf_add_c(b, "<?xml version=\"1.0\"?><methodCall><methodName>");
    for (const char *p = a->fn; *p; p++) /* a name that needs quoting is nobody's function */
        buf_add(b, strchr("<>&", *p) ? "?" : p, 1);
    buf_add_c(b, "</methodName><params><param>");
    wire_value(b, ENVELOPE_XMLRPC, &text, &session);
    buf_add_c(b, "</param><param>");
    wire_value(b, ENVELOPE_XMLRPC, c->msg->params[3].type, a->args);
    buf_add_c(b, "</param></params></methodCall>\n");
}

/* The one value in a <methodResponse>. */
static bool response_value(struct arena *a, struct str out, struct value *ret)
{
    static const char begin[] = "<value>", end[] = "</value>";
    const char *text = arena_strndup(a, out.p, out.len), *from = strstr(text, begin), *to = NULL;

    for (const char *p = from; p && (p = strstr(p, end)); p += sizeof(end) - 1)
        to = p + sizeof(end) - 1;
    if (!to || !strstr(text, "<methodResponse>"))
        return false;
    struct err *e = xmlrpc_parse_value(a, (struct str){ from, (size_t)(to - from) }, ret);
    if (!e)
        return true;
    err_ignore(e, "the caller gets to see the whole answer");
    return false;
}

/* { Status: Failure, ErrorDescription: [code, ...] } is an error of the plug-in's own choice. */
static struct err *own_error(struct call *c, const struct value *answer, const struct machine_program_rep *rep)
{
    const struct value *list = value_map_get(answer, "ErrorDescription");
    const char *params[16];
    size_t n = 0;

    if (!list || list->kind != V_SET || !list->n || list->n > ARRAY_LEN(params))
        return failed(c, "not a response", rep);
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].kind != V_STRING)
            return failed(c, "not a response", rep);
        params[n++] = list->items[i].s;
    }
    return err_new(params[0], params + 1, n - 1);
}

static struct err *call_plugin(struct call *c, const struct host_call_plugin_args *a, struct value *ret)
{
    struct machine_program_rep rep = { 0 };
    const struct row *host = NULL;
    AUTO(buf_done) struct buf text;
    struct value answer;

    buf_init(&text, CALL_MAX);
    TRY(call_row(c, C_host, a->host, &host));
    write_call(c, &text, a);
    if (text.overflow)
        return err_internal("the arguments are too long");
    TRY(run(c, "plugins", a->plugin, buf_str(&text), &rep));
    if (!rep.found)
        return err_xenapi_missing_plugin(a->plugin);
    if (rep.status)
        return failed(c, rep.status > 128 ? "task signaled" : "non-zero exit", &rep);
    if (!response_value(c->arena, rep.out, &answer) || answer.kind != V_MAP)
        return failed(c, "not a response", &rep);
    const struct value *result = value_map_get(&answer, "Value");
    if (strcmp(value_map_str(&answer, "Status"), "Success") != 0)
        return own_error(c, &answer, &rep);
    if (!result || result->kind != V_STRING)
        return failed(c, "not a response", &rep);
    *ret = *result;
    return NULL;
}

static struct err *has_extension(struct call *c, const struct host_has_extension_args *a, struct value *ret)
{
    struct machine_has_program_rep rep = { 0 };
    struct ipc_peer *peer = NULL;

    TRY(machine_peer(c, a->host, &peer));
    TRY(machine_has_program(peer, c->arena, &(struct machine_has_program_req){ "extensions", a->name }, &rep));
    *ret = value_bool(rep.found);
    return NULL;
}

static struct err *protocol_failure(const char *name, const char *why)
{
    return err_new("EXTENSION_PROTOCOL_FAILURE", (const char *const[]){ name, why }, 2);
}

static struct err *call_extension(struct call *c, const struct host_call_extension_args *a, struct value *ret)
{
    struct machine_program_rep rep = { 0 };
    const struct row *host = NULL;
    struct value answer;
    struct json_call json;

    TRY(call_row(c, C_host, a->host, &host));
    struct err *e = json_parse_call(c->arena, str_of(a->call), &json);
    if (e) {
        err_free(e);
        return err_invalid_value("call", "not a JSON-RPC call");
    }
    TRY(run(c, "extensions", json.call.method, str_of(a->call), &rep));
    if (!rep.found)
        return err_message_method_unknown(json.call.method);
    if (rep.status)
        return protocol_failure(json.call.method, machine_text(c->arena, rep.err));
    e = json_parse_value(c->arena, rep.out, &answer);
    if (e || answer.kind != V_MAP || !str_is_utf8(rep.out)) {
        err_free(e);
        return protocol_failure(json.call.method, "not a JSON-RPC response");
    }
    *ret = value_str(arena_strndup(c->arena, rep.out.p, rep.out.len));
    return NULL;
}

void host_plugin_register(struct api_handlers *h)
{
    h->host_call_plugin = call_plugin;
    h->host_has_extension = has_extension;
    h->host_call_extension = call_extension;
}
