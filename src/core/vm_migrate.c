/* VM: migration within the pool, which is this host: into a new process of the hypervisor (semantics.md 9). */
#include <string.h>
#include "base/log.h"
#include "core/guest.h"
#include "core/message.h"
#include "core/network.h"
#include "core/suspend.h"
#include "core/task.h"
#include "core/vdi.h"
#include "core/vm.h"
#include "gen/ipc_host.h"

/* ---- pool_migrate ---- */

static struct err *ask_host(struct call *c, const char *vm_ref, const char *uuid, struct host_vm_migrate_rep *ret_rep)
{
    struct host_vm_migrate_req req = { 0 };
    const struct row *vm = NULL;
    struct ipc_peer *host = NULL;

    TRY(call_row(c, C_VM, vm_ref, &vm));
    TRY(vm_plan_make(c, vm, false, &req.plan));
    plan_keep_attached(c->core, &req.plan);
    TRY(core_need_host(c->core, &host));
    struct vm_progress *progress = vm_progress_start(c->core, c->task, uuid);
    struct err *e = host_vm_migrate(host, c->arena, &req, ret_rep);
    vm_progress_stop(progress);
    return e;
}

/* It did not, or nobody heard that it did: where the guest is now, under which number. */
static struct err *settle(struct call *c, const char *vm_ref, const char *uuid, struct err *e)
{
    bool cancelled = fiber_interrupted() || err_is(e, "TASK_CANCELLED");
    const struct row *vm = NULL;
    struct vm_state state;

    fiber_interrupt_clear();
    struct err *lost = guest_ask(c->core, c->arena, uuid, &state);
    if (lost) {
        err_ignore(lost, "the first error tells more");
        return e;
    }
    struct tx *t = tx_begin(c->core->store);
    guest_take_state(c->core, t, vm_ref, &state);
    e = err_first(e, tx_commit(t));
    if (strcmp(state.power, "Halted") == 0) {
        err_ignore(e, "the guest is gone: that is the reason");
        TRY(call_row(c, C_VM, vm_ref, &vm));
        return vm_assert_power_state(vm, "Running");
    }
    if (!cancelled)
        return e;
    err_ignore(e, "said again with the task's name");
    return err_task_cancelled(c->task);
}

/* Within the operation: the guest goes on in a new process of the hypervisor, and an alert says so. */
static struct err *move_here(struct call *c, const char *vm_ref, const char *host_ref)
{
    struct host_vm_migrate_rep rep = { 0 };
    const struct row *vm = NULL;

    TRY(vm_assert_can_boot_here(c, vm_ref, host_ref));
    TRY(call_row(c, C_VM, vm_ref, &vm));
    const char *uuid = arena_strdup(c->arena, row_str(vm, F_VM_uuid));
    struct err *e = ask_host(c, vm_ref, uuid, &rep);
    if (e)
        return settle(c, vm_ref, uuid, e);
    struct tx *t = tx_begin(c->core->store);
    guest_take_state(c->core, t, vm_ref, &rep.state);
    TRY(tx_commit(t));
    message_raise_vm(c->core, c->arena, "VM_MIGRATED", vm_ref, "migrated into a new process");
    return NULL;
}

static struct err *pool_migrate(struct call *c, const struct VM_pool_migrate_args *a, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *vm = NULL, *host = NULL;

    (void)ret;
    TRY(call_row(c, C_VM, a->vm, &vm));
    TRY(call_row(c, C_host, a->host, &host));
    TRY(op_begin(c, &vm_ops, a->vm, "pool_migrate", &op));
    return move_here(c, a->vm, a->host);
}

/* The device models of a guest are its hypervisor's process, so it gets a new one. */
static struct err *restart_device_models(
    struct call *c, const struct VM_restart_device_models_args *a, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *vm = NULL;

    (void)ret;
    TRY(op_begin(c, &vm_ops, a->self, "pool_migrate", &op));
    TRY(call_row(c, C_VM, a->self, &vm));
    return move_here(c, a->self, arena_strdup(c->arena, row_str(vm, F_VM_resident_on)));
}

/* ---- migrate_receive ---- */

/* "" if it has none. In brackets, since it goes into a URL (RFC 3986, section 3.2.2). */
static const char *ipv6_in_url(struct arena *a, const struct row *pif)
{
    struct value all = row_value(a, pif, F_PIF_IPv6);
    const char *ipv6 = "";

    for (size_t i = 0; !*ipv6 && i < all.n; i++)
        ipv6 = network_ipv6_plain(a, all.items[i].s);
    return *ipv6 ? arena_printf(a, "[%s]", ipv6) : "";
}

static struct err *address_on(struct call *c, const char *host_ref, const struct row *network, const char **ret_ip)
{
    for (size_t i = 0; i < row_n_related(network, F_network_PIFs); i++) {
        const struct row *pif = row_related(network, F_network_PIFs, i);

        if (strcmp(row_str(pif, F_PIF_host), host_ref) != 0)
            continue;
        bool prefer6 = strcmp(row_str(pif, F_PIF_primary_address_type), "IPv6") == 0;
        const char *ipv4 = arena_strdup(c->arena, row_str(pif, F_PIF_IP)), *ipv6 = ipv6_in_url(c->arena, pif);

        *ret_ip = *ipv6 && (prefer6 || !*ipv4) ? ipv6 : ipv4;
        if (**ret_ip)
            return NULL;
        if (strcmp(row_str(pif, F_PIF_ip_configuration_mode), "None") == 0)
            return err_pif_has_no_network_configuration(row_ref(pif));
        return err_interface_has_no_ip(row_ref(pif));
    }
    return err_host_cannot_attach_network(host_ref, row_ref(network));
}

static struct err *migrate_receive(struct call *c, const struct host_migrate_receive_args *a, struct value *ret)
{
    const struct row *host = NULL, *network = NULL;
    const char *ip = NULL, *session = c->who.session;

    TRY(call_row(c, C_host, a->host, &host));
    TRY(call_row(c, C_network, a->network, &network));
    TRY(address_on(c, a->host, network, &ip));
    struct value *pairs = arena_new_array(c->arena, 10, struct value);
    const char *const texts[] = { "host", a->host, "SM",
        arena_printf(c->arena, "http://%s/services/SM?session_id=%s", ip, session), "xenops",
        arena_printf(c->arena, "http://%s/services/xenops?session_id=%s", ip, session), "master",
        arena_printf(c->arena, "http://%s", ip), "session_id", session };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        pairs[i] = value_str(texts[i]);
    *ret = value_map(pairs, ARRAY_LEN(texts) / 2);
    return NULL;
}

/* ---- assert_can_migrate: within the pool ---- */

static struct err *check_disks(struct call *c, const struct row *vm, const struct value *vdi_map)
{
    for (size_t i = 0; i < row_n_related(vm, F_VM_VBDs); i++) {
        const struct row *vbd = row_related(vm, F_VM_VBDs, i);
        const char *vdi = row_str(vbd, F_VBD_VDI);

        if (strcmp(row_str(vbd, F_VBD_type), "CD") == 0 || row_bool(vbd, F_VBD_empty) || ref_is_null(vdi))
            continue;
        if (!value_map_get(vdi_map, vdi))
            return err_vdi_not_in_map(vdi);
        const struct row *from = row_follow(c->core->store, row_follow(c->core->store, vbd, F_VBD_VDI), F_VDI_SR);
        const struct row *to = NULL;
        TRY(call_row(c, C_SR, value_map_str(vdi_map, vdi), &to));
        if (from != to) /* no driver here copies a disk that is being written */
            return err_sr_does_not_support_migration(row_ref(from ? from : to), "VDI_SNAPSHOT, VDI_MIRROR");
    }
    return NULL;
}

static struct err *assert_can_migrate(struct call *c, const struct VM_assert_can_migrate_args *a, struct value *ret)
{
    const char *host_ref = value_map_str(a->dest, "host");
    const struct row *vm = NULL;

    (void)ret;
    TRY(call_row(c, C_VM, a->vm, &vm));
    TRY(vm_ops.check(c->core, vm, "migrate_send"));
    if (strcmp(host_ref, c->core->host_ref) != 0)
        return err_not_implemented("migration to another pool");
    TRY(check_disks(c, vm, a->vdi_map));
    if (a->vif_map->n)
        return err_operation_not_allowed("VIF mapping is not allowed for a migration within the pool");
    return vm_assert_can_boot_here(c, a->vm, host_ref);
}

void vm_migrate_register(struct api_handlers *h)
{
    h->VM_pool_migrate = pool_migrate;
    h->VM_restart_device_models = restart_device_models;
    h->VM_assert_can_migrate = assert_can_migrate;
    h->host_migrate_receive = migrate_receive;
}
