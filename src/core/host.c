#include <string.h>
#include "core/core.h"
#include "core/host.h"
#include "core/implicit.h"
#include "core/memory.h"
#include "core/ops.h"
#include "gen/ipc_host.h"

/* host (semantics.md 12), as far as one host of its own has it. */

bool host_has_capability(const struct row *host, const char *prefix)
{
    const struct value *capabilities = row_get(host, F_host_capabilities);

    for (size_t i = 0; i < capabilities->n; i++)
        if (cstr_starts(capabilities->items[i].s, prefix))
            return true;
    return false;
}

/* Reboot and shutdown end everything that runs here. */
static struct err *check_unused(struct core *c, const struct row *host)
{
    for (size_t i = 0; i < row_n_related(host, F_host_resident_VMs); i++)
        if (!row_bool(row_related(host, F_host_resident_VMs, i), F_VM_is_control_domain))
            return err_host_in_use(row_ref(host), "vm", row_ref(row_related(host, F_host_resident_VMs, i)));
    const struct row *dom0 = row_follow(c->store, host, F_host_control_domain);
    for (size_t i = 0; dom0 && i < row_n_related(dom0, F_VM_VBDs); i++)
        if (row_bool(row_related(dom0, F_VM_VBDs, i), F_VBD_currently_attached))
            return err_host_in_use(row_ref(host), "vbd", row_ref(row_related(dom0, F_VM_VBDs, i)));
    return NULL;
}

static bool is_start(const char *op)
{
    return strcmp(op, "provision") == 0 || strcmp(op, "vm_start") == 0 || strcmp(op, "vm_resume") == 0;
}

/* Operations: listed when nothing of the kind is under way. */
static struct err *host_check(struct core *c, const struct row *host, const char *op)
{
    bool power = strcmp(op, "shutdown") == 0 || strcmp(op, "reboot") == 0;

    if (power && row_bool(host, F_host_enabled))
        return err_host_not_disabled();
    if (power)
        TRY(check_unused(c, host));
    if (strcmp(op, "enable") == 0 && row_bool(host, F_host_enabled))
        return err_operation_not_allowed("The host is enabled");
    if (is_start(op) && !row_bool(host, F_host_enabled))
        return err_host_disabled(row_ref(host));
    return ops_conflict(&host_ops, host);
}

static const char *const host_listed[] = { "provision", "evacuate", "shutdown", "reboot", "vm_start", "vm_resume",
    "vm_migrate", "enable", NULL };
const struct op_class host_ops = { .cls = C_host,
    .allowed = F_host_allowed_operations,
    .current = F_host_current_operations,
    .listed = host_listed,
    .check = host_check };

/*
 * A disabled host is enabled again by the next start of the core, unless whoever
 * disabled it said no to that; the mark stands in other_config.
 */
#define STAYS_DISABLED "host_auto_enable"

static struct err *set_enabled(struct call *c, const char *ref, bool enabled, bool stays)
{
    const struct row *host = NULL;

    TRY(call_row(c, C_host, ref, &host));
    struct value config = value_map_without(c->arena, row_get(host, F_host_other_config), STAYS_DISABLED);
    if (stays)
        config = value_map_with(c->arena, &config, value_str(STAYS_DISABLED), value_str("false"));
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, ref, F_host_enabled, value_bool(enabled));
    tx_set(t, ref, F_host_other_config, config);
    TRY(tx_commit(t));
    ops_refresh(c->core, &host_ops, ref);
    return NULL;
}

static struct err *disable(struct call *c, const struct host_disable_args *a, struct value *ret)
{
    (void)ret;
    return set_enabled(c, a->host, false, !a->auto_enable);
}

static struct err *enable(struct call *c, const struct host_enable_args *a, struct value *ret)
{
    (void)ret;
    return set_enabled(c, a->host, true, false);
}

void host_enable_again(struct core *c, struct tx *t)
{
    const struct row *host = core_host_row(c);

    if (host && !row_bool(host, F_host_enabled) && !*row_map_str(host, F_host_other_config, STAYS_DISABLED))
        tx_set(t, c->host_ref, F_host_enabled, value_bool(true));
}

static struct err *is_in_emergency_mode(
    struct call *c, const struct host_is_in_emergency_mode_args *a, struct value *ret)
{
    (void)c;
    (void)a;
    *ret = value_bool(false);
    return NULL;
}

static struct err *compute_free_memory(struct call *c, const struct host_compute_free_memory_args *a, struct value *ret)
{
    const struct row *host = NULL;

    TRY(call_row(c, C_host, a->host, &host));
    *ret = value_int(memory_free(c->core));
    return NULL;
}

static struct err *compute_memory_overhead(
    struct call *c, const struct host_compute_memory_overhead_args *a, struct value *ret)
{
    const struct row *host = NULL;

    TRY(call_row(c, C_host, a->host, &host));
    *ret = value_int(row_int(host, F_host_memory_overhead));
    return NULL;
}

static struct err *get_management_interface(
    struct call *c, const struct host_get_management_interface_args *a, struct value *ret)
{
    const struct row *host = NULL;

    TRY(call_row(c, C_host, a->host, &host));
    for (size_t i = 0; i < row_n_related(host, F_host_PIFs); i++) {
        const struct row *pif = row_related(host, F_host_PIFs, i);
        if (row_bool(pif, F_PIF_management)) {
            *ret = value_str(arena_strdup(c->arena, row_ref(pif)));
            return NULL;
        }
    }
    return err_new("HOST_HAS_NO_MANAGEMENT_IP", NULL, 0);
}

/* Reboot and shutdown: disabled, and without guests. */
static struct err *power_host(struct call *c, const char *ref, const char *op)
{
    AUTO(op_end) struct op op_under_way = { 0 };
    struct ipc_peer *peer = NULL;

    TRY(op_begin(c, &host_ops, ref, op, &op_under_way));
    TRY(core_need_host(c->core, &peer));
    return host_power(peer, c->arena, &(struct host_power_req){ .op = op });
}

static struct err *reboot_host(struct call *c, const struct host_reboot_args *a, struct value *ret)
{
    (void)ret;
    return power_host(c, a->host, "reboot");
}

static struct err *shutdown_host(struct call *c, const struct host_shutdown_args *a, struct value *ret)
{
    (void)ret;
    return power_host(c, a->host, "shutdown");
}

/* This host is the only one there is, and who is asked lives. */
static struct err *check_dead(struct call *c, const char *ref)
{
    const struct row *host = NULL;

    TRY(call_row(c, C_host, ref, &host));
    const struct row *metrics = row_follow(c->core->store, host, F_host_metrics);
    if (metrics && row_bool(metrics, F_host_metrics_live))
        return err_host_is_live(ref);
    return NULL;
}

static struct err *destroy(struct call *c, const struct host_destroy_args *a, struct value *ret)
{
    (void)ret;
    TRY(check_dead(c, a->self));
    return err_host_cannot_destroy_self(a->self);
}

static struct err *declare_dead(struct call *c, const struct host_declare_dead_args *a, struct value *ret)
{
    (void)ret;
    TRY(check_dead(c, a->host));
    return err_host_is_live(a->host);
}

static struct err *set_power_on_mode(struct call *c, const struct host_set_power_on_mode_args *a, struct value *ret)
{
    const struct row *host = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->self, &host));
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, a->self, F_host_power_on_mode, value_str(a->power_on_mode));
    tx_set(t, a->self, F_host_power_on_config, *a->power_on_config);
    return tx_commit(t);
}

static struct err *power_on(struct call *c, const struct host_power_on_args *a, struct value *ret)
{
    const struct row *host = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->host, &host));
    if (!*row_str(host, F_host_power_on_mode))
        return err_host_power_on_mode_disabled();
    return check_dead(c, a->host);
}

/* ---- licences: everything there is may be used, and there is one edition ---- */

static struct err *set_edition(struct call *c, const char *ref)
{
    struct value free_one = value_str("free");
    const struct row *host = NULL;

    TRY(call_row(c, C_host, ref, &host));
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, ref, F_host_edition, free_one);
    tx_set(t, ref, F_host_editions, value_set(&free_one, 1));
    return tx_commit(t);
}

static struct err *apply_edition(struct call *c, const struct host_apply_edition_args *a, struct value *ret)
{
    const struct row *host = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->host, &host));
    return strcmp(a->edition, "free") == 0 ? set_edition(c, a->host) : err_invalid_edition(a->edition);
}

static struct err *license_remove(struct call *c, const struct host_license_remove_args *a, struct value *ret)
{
    (void)ret;
    return set_edition(c, a->host);
}

static struct err *license_add(struct call *c, const struct host_license_add_args *a, struct value *ret)
{
    const struct row *host = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->host, &host));
    return err_license_processing_error(); /* no text is a licence here */
}

/* Which nodes a VM gets is chosen when it starts. */
static struct err *set_numa_affinity_policy(
    struct call *c, const struct host_set_numa_affinity_policy_args *a, struct value *ret)
{
    const struct row *host = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->self, &host));
    return core_set(c->core, a->self, F_host_numa_affinity_policy, value_str(a->value));
}

void host_register(struct api_handlers *h)
{
    h->host_set_numa_affinity_policy = set_numa_affinity_policy;
    h->host_disable = disable;
    h->host_enable = enable;
    h->host_is_in_emergency_mode = is_in_emergency_mode;
    h->host_compute_free_memory = compute_free_memory;
    h->host_compute_memory_overhead = compute_memory_overhead;
    h->host_get_management_interface = get_management_interface;
    h->host_reboot = reboot_host;
    h->host_shutdown = shutdown_host;
    h->host_apply_edition = apply_edition;
    h->host_license_remove = license_remove;
    h->host_license_add = license_add;
    h->host_destroy = destroy;
    h->host_declare_dead = declare_dead;
    h->host_set_power_on_mode = set_power_on_mode;
    h->host_power_on = power_on;
}
