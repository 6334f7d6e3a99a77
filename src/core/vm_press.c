/* VM: the buttons of its front panel, and the kernel's own keys. */
#include <ctype.h>
#include <string.h>
#include "core/vm.h"
#include "gen/ipc_host.h"

static struct err *press(struct call *c, const char *vm_ref, const char *op_name, const char *what, const char *key)
{
    AUTO(op_end) struct op op = { 0 };
    struct ipc_peer *host = NULL;
    const struct row *vm = NULL;

    TRY(op_begin(c, &vm_ops, vm_ref, op_name, &op));
    TRY(call_row(c, C_VM, vm_ref, &vm));
    const char *uuid = arena_strdup(c->arena, row_str(vm, F_VM_uuid));
    TRY(core_need_host(c->core, &host));
    return host_vm_press(host, c->arena, &(struct host_vm_press_req){ .vm = uuid, .what = what, .key = key });
}

/* As Xen names them. "init" and "sleep" are not among what a hypervisor here could send. */
static struct err *send_trigger(struct call *c, const struct VM_send_trigger_args *a, struct value *ret)
{
    static const char *const triggers[][2] = { { "nmi", "nmi" }, { "power", "power" }, { "s3resume", "wakeup" } };
    const struct row *vm = NULL;

    (void)ret;
    TRY(call_row(c, C_VM, a->vm, &vm));
    for (size_t i = 0; i < ARRAY_LEN(triggers); i++)
        if (strcmp(a->trigger, triggers[i][0]) == 0)
            return press(c, a->vm, "send_trigger", triggers[i][1], "");
    if (strcmp(a->trigger, "reset") == 0)
        return vm_reset_hard(c, a->vm, "send_trigger");
    return err_invalid_value("trigger", a->trigger);
}

static struct err *send_sysrq(struct call *c, const struct VM_send_sysrq_args *a, struct value *ret)
{
    const struct row *vm = NULL;
    unsigned char key = (unsigned char)a->key[0];

    (void)ret;
    TRY(call_row(c, C_VM, a->vm, &vm));
    if (!(islower(key) || isdigit(key)) || a->key[1])
        return err_invalid_value("key", a->key);
    return press(c, a->vm, "send_sysrq", "sysrq", a->key);
}

void vm_press_register(struct api_handlers *h)
{
    h->VM_send_trigger = send_trigger;
    h->VM_send_sysrq = send_sysrq;
}
