/*
 * VM.call_plugin: what the agent in a guest does for clients. There is one
 * plug-in, guest-agent-operation, as XenServer has it; of its functions,
 * run-script works with every agent that may execute programs, and those about
 * remote desktops want an agent of another kind.
 */
#include <string.h>
#include "core/machine.h"
#include "core/rbac.h"
#include "core/vm.h"
#include "gen/ipc_host.h"

#define SCRIPT_MAX 1024
#define SCRIPT_MS (120UL * 1000)

/* Everybody who may call plug-ins would else be root in each guest: the pool's administrator allows it first. */
static struct err *check_script(struct call *c, const struct VM_call_plugin_args *a)
{
    static const char *const required[] = { "username", "password", "script" };
    const struct row *pool = core_pool_row(c->core);

    if (!pool || strcmp(row_map_str(pool, F_pool_other_config, "allow_guest_agent_run_script"), "true") != 0)
        return err_feature_restricted();
    for (size_t i = 0; i < ARRAY_LEN(required); i++)
        if (!value_map_get(a->args, required[i]))
            return err_xenapi_plugin_failure(
                "missing argument", "", arena_printf(c->arena, "Argument %s is required.", required[i]));
    TRY(rbac_check_role(&c->who, ROLE_VM_POWER_ADMIN, "vm.call_plugin"));
    if (strlen(value_map_str(a->args, "script")) > SCRIPT_MAX)
        return err_xenapi_plugin_failure("length restriction", "", "The script length must not exceed 1024 bytes");
    return NULL;
}

/* {"rc": 0, "stdout": "...", "stderr": "..."} */
static const char *result_text(struct call *c, const struct host_vm_run_rep *rep)
{
    static const struct type text = { .kind = TYPE_STRING, .text = "string" };
    struct value out = value_str(machine_text(c->arena, rep->out)), err = value_str(machine_text(c->arena, rep->err));
    AUTO(buf_done) struct buf b;

    buf_init(&b, 4 * 1024 * 1024);
    buf_printf(&b, "{\"rc\": %lld, \"stdout\": ", (long long)rep->exit);
    wire_value(&b, ENVELOPE_JSONRPC2, &text, &out);
    buf_add_c(&b, ", \"stderr\": ");
    wire_value(&b, ENVELOPE_JSONRPC2, &text, &err);
    buf_add_c(&b, "}");
    return b.overflow ? "" : arena_strdup(c->arena, b.p);
}

static struct err *run_script(struct call *c, const struct VM_call_plugin_args *a, struct value *ret)
{
    struct host_vm_run_req req = { .script = value_map_str(a->args, "script"), .timeout_ms = SCRIPT_MS };
    struct host_vm_run_rep rep = { 0 };
    struct ipc_peer *host = NULL;
    const struct row *vm = NULL;

    TRY(check_script(c, a));
    TRY(call_row(c, C_VM, a->vm, &vm));
    req.vm = arena_strdup(c->arena, row_str(vm, F_VM_uuid));
    TRY(core_need_host(c->core, &host));
    TRY(host_vm_run(host, c->arena, &req, &rep));
    *ret = value_str(result_text(c, &rep));
    return NULL;
}

static struct err *call_plugin(struct call *c, const struct VM_call_plugin_args *a, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };

    TRY(op_begin(c, &vm_ops, a->vm, "call_plugin", &op));
    if (strcmp(a->plugin, "guest-agent-operation") != 0)
        return err_xenapi_missing_plugin(a->plugin);
    if (strcmp(a->fn, "run-script") == 0)
        return run_script(c, a, ret);
    if (strcmp(a->fn, "request-rdp-on") == 0 || strcmp(a->fn, "request-rdp-off") == 0)
        return err_vm_lacks_feature(a->vm);
    const char *why = arena_printf(c->arena, "There is no function \"%s\" in plug-in \"%s\".", a->fn, a->plugin);
    return err_xenapi_plugin_failure("failed to find fn", why, why);
}

void guest_plugin_register(struct api_handlers *h)
{
    h->VM_call_plugin = call_plugin;
}
