#include "cli/fail.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "base/str.h"
#include "gen/xe_verbs.h"

struct err *usage(const char *fmt, ...)
{
    char text[2048];
    const char *params[] = { text };
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return err_new(XE_USAGE, params, 1);
}

/* What to do about it; where the code alone says enough there is nothing here. */
static const struct {
    const char *code, *remedy;
} remedies[] = {
    { "SESSION_AUTHENTICATION_FAILED",
        "Check user and password (-u, -pw, -pwf), and that the user is a subject with a role." },
    { "RBAC_PERMISSION_DENIED", "Ask a pool administrator to give your subject a stronger role (subject-role-add)." },
    { "VM_BAD_POWER_STATE",
        "See 'xe vm-list params=power-state,allowed-operations' and bring the VM into the state it should be in." },
    { "OTHER_OPERATION_IN_PROGRESS", "Wait for the other operation to end: see 'xe task-list'." },
    { "OPERATION_NOT_ALLOWED", "See the allowed-operations of the object." },
    { "OPERATION_BLOCKED", "Remove the block: vm-param-remove param-name=blocked-operations param-key=OPERATION." },
    { "VM_IS_TEMPLATE", "Make a VM of it first: vm-install template=UUID new-name-label=NAME." },
    { "HOST_NOT_ENOUGH_FREE_MEMORY", "Shut down another VM, or give this one less memory (vm-memory-limits-set)." },
    { "HOST_DISABLED", "Enable the host: host-enable." },
    { "SR_FULL", "Free space in the storage repository, or choose another one." },
    { "SR_NOT_EMPTY", "Destroy its disks first: vdi-list sr-uuid=UUID, vdi-destroy." },
    { "SR_HAS_PBD", "Unplug and destroy its PBDs first: pbd-list sr-uuid=UUID, pbd-unplug, pbd-destroy." },
    { "VDI_IN_USE", "See who uses it: vbd-list vdi-uuid=UUID; unplug or destroy that VBD first." },
    { "DEVICE_ALREADY_EXISTS", "Choose another device: vm-param-get param-name=allowed-VBD-devices." },
    { "DEVICE_ALREADY_ATTACHED", "Nothing needs to be done, or unplug it first." },
    { "NETWORK_CONTAINS_VIF", "Destroy its VIFs first: vif-list network-uuid=UUID, vif-destroy." },
    { "VM_MISSING_PV_DRIVERS", "Install the guest tools, or use --force." },
    { "VM_LACKS_FEATURE", "Install the guest tools, or use --force." },
    { "NOT_IMPLEMENTED", "This server does not do that; its documentation says what it does." },
    { "UUID_INVALID", "List what there is with the class's -list command." },
    { "HANDLE_INVALID", "The object is gone: list what there is with the class's -list command." },
    { "MAP_DUPLICATE_KEY", "Use param-set to replace the value, or param-remove first." },
};

static const struct xe_error *error_find(const char *code)
{
    for (size_t i = 0; i < XE_ERROR_COUNT; i++)
        if (strcmp(xe_errors[i].code, code) == 0)
            return &xe_errors[i];
    return NULL;
}

static void print_params(FILE *to, const struct err *e, const struct xe_error *known, fail_name_fn *name, void *arg)
{
    struct str rest = str_of(known ? known->params : ""), word;

    for (size_t i = 0; i < err_n_params(e); i++) {
        char param[64] = "<extra>";

        if (rest.len) {
            str_cut(rest, ',', &word, &rest);
            snprintf(param, sizeof(param), "%.*s", (int)word.len, word.p);
        } else if (!known) {
            snprintf(param, sizeof(param), "parameter %zu", i + 1);
        }
        fprintf(to, "%s: %s\n", param, name ? name(arg, param, err_param(e, i)) : err_param(e, i));
    }
}

void fail_print(FILE *to, const struct err *e, fail_name_fn *name, void *arg)
{
    const struct xe_error *known = error_find(err_code(e));

    if (err_is(e, XE_USAGE)) {
        fprintf(to, "Error: %s\n", err_param(e, 0));
        return;
    }
    if (known && *known->doc)
        fprintf(to, "%s.\n", known->doc);
    else
        fprintf(to, "The server reported an error.\n");
    fprintf(to, "Error code: %s\n", err_code(e));
    print_params(to, e, known, name, arg);
    for (size_t i = 0; i < ARRAY_LEN(remedies); i++)
        if (err_is(e, remedies[i].code))
            fprintf(to, "%s\n", remedies[i].remedy);
}
