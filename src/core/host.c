#include <string.h>
#include <time.h>
#include "core/core.h"
#include "core/host.h"
#include "core/implicit.h"
#include "core/ops.h"
#include "gen/ipc_host.h"

/* host (semantics.md 12), as far as one host of its own has it. */

int64_t host_free_memory(struct core *c)
{
    const struct row *host = core_host_row(c);
    const struct row *metrics = host ? row_follow(c->store, host, F_host_metrics) : NULL;
    int64_t free = metrics ? row_int(metrics, F_host_metrics_memory_total) : 0;

    for (size_t i = 0; host && i < row_n_related(host, F_host_resident_VMs); i++) {
        const struct row *vm = row_related(host, F_host_resident_VMs, i);
        free -= row_int(vm, F_VM_memory_dynamic_max) + row_int(vm, F_VM_memory_overhead);
    }
    free -= c->memory_promised;
    return free > 0 ? free : 0;
}

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
    if ((strcmp(op, "provision") == 0 || strcmp(op, "vm_start") == 0) && !row_bool(host, F_host_enabled))
        return err_host_disabled(row_ref(host));
    return ops_conflict(&host_ops, host);
}

static const char *const host_listed[] = { "provision", "shutdown", "reboot", "vm_start", "enable", NULL };
const struct op_class host_ops = { .cls = C_host,
    .allowed = F_host_allowed_operations,
    .current = F_host_current_operations,
    .listed = host_listed,
    .check = host_check };

static struct err *set_enabled(struct call *c, const char *ref, bool enabled)
{
    const struct row *host = NULL;

    TRY(call_row(c, C_host, ref, &host));
    TRY(core_set(c->core, ref, F_host_enabled, value_bool(enabled)));
    ops_refresh(c->core, &host_ops, ref);
    return NULL;
}

static struct err *disable(struct call *c, const struct host_disable_args *a, struct value *ret)
{
    (void)ret;
    return set_enabled(c, a->host, false);
}

static struct err *enable(struct call *c, const struct host_enable_args *a, struct value *ret)
{
    (void)ret;
    return set_enabled(c, a->host, true);
}

static struct err *get_servertime(struct call *c, const struct host_get_servertime_args *a, struct value *ret)
{
    const struct row *host = NULL;

    TRY(call_row(c, C_host, a->host, &host));
    *ret = value_datetime(now_text(c->core, c->arena));
    return NULL;
}

static struct err *get_server_localtime(
    struct call *c, const struct host_get_server_localtime_args *a, struct value *ret)
{
    const struct row *host = NULL;
    time_t now = (time_t)(clock_wall(c->core->loop) / 1000000);
    char text[32];
    struct tm tm;

    TRY(call_row(c, C_host, a->host, &host));
    localtime_r(&now, &tm);
    strftime(text, sizeof(text), "%Y%m%dT%H:%M:%S", &tm);
    *ret = value_datetime(arena_strdup(c->arena, text));
    return NULL;
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
    *ret = value_int(host_free_memory(c->core));
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

void host_register(struct api_handlers *h)
{
    h->host_disable = disable;
    h->host_enable = enable;
    h->host_get_servertime = get_servertime;
    h->host_get_server_localtime = get_server_localtime;
    h->host_is_in_emergency_mode = is_in_emergency_mode;
    h->host_compute_free_memory = compute_free_memory;
    h->host_compute_memory_overhead = compute_memory_overhead;
    h->host_get_management_interface = get_management_interface;
    h->host_reboot = reboot_host;
    h->host_shutdown = shutdown_host;
}
