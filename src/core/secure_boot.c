/* Secure Boot: which VMs have it, and the keys among their UEFI variables (VM.NVRAM). */
#include <string.h>
#include "core/core.h"
#include "core/efikeys.h"
#include "core/nvram.h"
#include "core/ops.h"
#include "core/vm.h"
#include "gen/ipc_host.h"
#include "proto/base64.h"
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

/* ---- the pool's own keys ---- */

#define TEXT_MAX (EFIKEYS_MAX / 3 * 4 + 4)

static struct err *read_keys(struct arena *a, const char *text, struct efikeys *ret)
{
    AUTO(buf_done) struct buf tar;
    struct base64 state = { 0 };
    const char *why = "not base64";

    buf_init(&tar, EFIKEYS_MAX);
    if (strlen(text) > TEXT_MAX)
        return err_invalid_value("value", "too large");
    if (!base64_decode(&state, &tar, str_of(text)) || !base64_done(&state) || tar.overflow ||
        !efikeys_read(a, buf_str(&tar), ret, &why))
        return err_invalid_value("value", why);
    return NULL;
}

static const char *own_keys(struct core *c)
{
    return row_str(core_pool_row(c), F_pool_custom_uefi_certificates);
}

/* Keys of the pool instead of those that the firmware comes with. */
static struct err *exchange_keys(struct call *c, const char *text, struct str *vars)
{
    char *store = arena_dup(c->arena, vars->p, vars->len);
    struct efikeys keys = { 0 };

    TRY(read_keys(c->arena, text, &keys));
    efivars_drop_keys(store, vars->len);
    for (int i = 0; i < EFI_N_KEYS; i++)
        if (keys.list[i].len)
            TRY(efivars_add_key(store, vars->len, (enum efi_key)i, keys.list[i]));
    *vars = (struct str){ store, vars->len };
    return NULL;
}

/* [waits] What a VM begins with; empty: this host has no such firmware. */
static struct err *first_vars(struct call *c, struct str *ret)
{
    struct host_secure_vars_rep rep = { 0 };
    struct ipc_peer *host = NULL;

    TRY(core_need_host(c->core, &host));
    TRY(host_secure_vars(host, c->arena, &(struct host_secure_vars_req){ 0 }, &rep));
    const char *text = arena_strdup(c->arena, own_keys(c->core));
    if (*text && efivars_valid(rep.vars))
        TRY(exchange_keys(c, text, &rep.vars));
    *ret = rep.vars;
    return NULL;
}

struct err *secure_boot_own_vars(struct call *c, struct str *ret_vars)
{
    *ret_vars = STR("");
    return *own_keys(c->core) ? first_vars(c, ret_vars) : NULL;
}

static struct err *set_custom_uefi_certificates(
    struct call *c, const struct pool_set_custom_uefi_certificates_args *a, struct value *ret)
{
    const struct row *pool = NULL;
    struct efikeys keys;

    (void)ret;
    TRY(call_row(c, C_pool, a->self, &pool));
    if (*a->value)
        TRY(read_keys(c->arena, a->value, &keys));
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, a->self, F_pool_custom_uefi_certificates, value_str(a->value));
    tx_set(t, a->self, F_pool_uefi_certificates, value_str(a->value));
    return tx_commit(t);
}

/* The contract has them still, and refuses. */
static struct err *use_the_other(void)
{
    return err_operation_not_allowed("To set UEFI certificates use pool.set_custom_uefi_certificates");
}

static struct err *pool_set_certificates(
    struct call *c, const struct pool_set_uefi_certificates_args *a, struct value *ret)
{
    const struct row *pool = NULL;

    (void)ret;
    TRY(call_row(c, C_pool, a->self, &pool));
    return use_the_other();
}

static struct err *host_set_certificates(
    struct call *c, const struct host_set_uefi_certificates_args *a, struct value *ret)
{
    const struct row *host = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->host, &host));
    return use_the_other();
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
    h->pool_set_custom_uefi_certificates = set_custom_uefi_certificates;
    h->pool_set_uefi_certificates = pool_set_certificates;
    h->host_set_uefi_certificates = host_set_certificates;
    h->pool_get_guest_secureboot_readiness = get_guest_secureboot_readiness;
}
