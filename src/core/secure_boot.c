/* Secure Boot: which VMs have it, and the keys among their UEFI variables (VM.NVRAM). */
#include <string.h>
#include "core/core.h"
#include "core/nvram.h"
#include "core/ops.h"
#include "core/vm.h"
#include "gen/ipc_host.h"
#include "proto/efivars.h"

static bool is_uefi(const struct row *vm)
{
    return strcmp(row_str(vm, F_VM_domain_type), "hvm") == 0 &&
        strcmp(row_map_str(vm, F_VM_HVM_boot_params, "firmware"), "uefi") == 0;
}

bool vm_wants_secure_boot(struct core *c, const struct row *vm)
{
    const char *wish = row_map_str(vm, F_VM_platform, "secureboot");

    if (strcmp(wish, "auto") == 0)
        return *row_str(core_pool_row(c), F_pool_uefi_certificates);
    return strcmp(wish, "true") == 0 || strcmp(wish, "1") == 0;
}

/* [waits] What a VM begins with; empty: this host has no such firmware. */
static struct err *first_vars(struct call *c, struct str *ret)
{
    struct host_secure_vars_rep rep = { 0 };
    struct ipc_peer *host = NULL;

    TRY(core_need_host(c->core, &host));
    TRY(host_secure_vars(host, c->arena, &(struct host_secure_vars_req){ 0 }, &rep));
    *ret = rep.vars;
    return NULL;
}

static bool has(struct str vars, enum efi_key key)
{
    struct str data;

    return efivars_key(vars, key, &data);
}

/* ---- readiness ---- */

static const char *readiness(struct call *c, const struct row *vm)
{
    if (!is_uefi(vm))
        return "not_supported";
    if (!vm_wants_secure_boot(c->core, vm))
        return "disabled";
    struct str vars = nvram_to_bytes(c->arena, row_map_str(vm, F_VM_NVRAM, "EFI-variables"));
    if (!vars.len)
        return "first_boot";
    if (!has(vars, EFI_PK))
        return "setup_mode";
    if (!has(vars, EFI_KEK) || !has(vars, EFI_DB))
        return "certs_incomplete";
    return has(vars, EFI_DBX) ? "ready" : "ready_no_dbx";
}

static struct err *get_secureboot_readiness(
    struct call *c, const struct VM_get_secureboot_readiness_args *a, struct value *ret)
{
    const struct row *vm = NULL;

    TRY(call_row(c, C_VM, a->self, &vm));
    *ret = value_str(readiness(c, vm));
    return NULL;
}

static struct err *get_guest_secureboot_readiness(
    struct call *c, const struct pool_get_guest_secureboot_readiness_args *a, struct value *ret)
{
    const struct row *pool = NULL;
    struct str vars = { "", 0 };

    TRY(call_row(c, C_pool, a->self, &pool));
    TRY(first_vars(c, &vars));
    *ret = value_str(!has(vars, EFI_PK) || !has(vars, EFI_KEK) || !has(vars, EFI_DB) ? "not_ready"
            : has(vars, EFI_DBX)                                                     ? "ready"
                                                                                     : "ready_no_dbx");
    return NULL;
}

/* ---- the mode ---- */

/* "user": with the keys that a VM begins with; "setup": with none, so the guest may bring its own. */
static struct err *changed_vars(struct call *c, const struct row *vm, bool user, struct str *ret)
{
    struct str old = nvram_to_bytes(c->arena, row_map_str(vm, F_VM_NVRAM, "EFI-variables"));
    struct str fresh = { "", 0 };

    TRY(first_vars(c, &fresh));
    if (!efivars_valid(fresh))
        return err_operation_not_allowed("This host has no firmware with Secure Boot");
    struct str from = old.len && efivars_valid(old) ? old : fresh;
    char *store = arena_dup(c->arena, from.p, from.len);
    if (user)
        TRY(efivars_take_keys(store, from.len, fresh));
    else
        efivars_drop_keys(store, from.len);
    *ret = (struct str){ store, from.len };
    return NULL;
}

static struct err *set_uefi_mode(struct call *c, const struct VM_set_uefi_mode_args *a, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *vm = NULL;
    struct str vars = { "", 0 };

    TRY(op_begin(c, &vm_ops, a->self, "changing_NVRAM", &op));
    TRY(call_row(c, C_VM, a->self, &vm));
    if (!is_uefi(vm))
        return err_operation_not_allowed("The VM does not boot by UEFI");
    TRY(changed_vars(c, vm, strcmp(a->mode, "user") == 0, &vars));
    TRY(call_row(c, C_VM, a->self, &vm));
    struct value nvram = value_map_with(
        c->arena, row_get(vm, F_VM_NVRAM), value_str("EFI-variables"), value_str(nvram_to_text(c->arena, vars)));
    *ret = value_str("");
    return core_set(c->core, a->self, F_VM_NVRAM, nvram);
}

void secure_boot_register(struct api_handlers *h)
{
    h->VM_get_secureboot_readiness = get_secureboot_readiness;
    h->VM_set_uefi_mode = set_uefi_mode;
    h->pool_get_guest_secureboot_readiness = get_guest_secureboot_readiness;
}
