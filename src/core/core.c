#include "core/core.h"
#include <string.h>
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/agent.h"
#include "core/audit.h"
#include "core/blob.h"
#include "core/call.h"
#include "core/event.h"
#include "core/metrics.h"
#include "core/role.h"
#include "core/session.h"
#include "core/task.h"

#define PEER_WAIT_US (10 * 1000 * 1000)
#define COLLECT_US (30 * 1000 * 1000) /* protocol.md section 5 */

static void collect(void *arg)
{
    struct core *c = arg;

    session_collect(c);
    task_collect(c);
    timer_set(c->gc, clock_now(c->loop) + COLLECT_US);
}

static void store_changed(void *arg)
{
    struct core *c = arg;

    event_changed(c);
    waitq_wake_all(&c->changed);
}

struct core *core_new(struct loop *l, struct store *store, const struct core_config *config)
{
    struct core *c = mem_new(struct core);

    c->loop = l;
    c->store = store;
    c->config = config;
    waitq_init(&c->peers);
    waitq_init(&c->changed);
    waitq_init(&c->ops);
    waitq_init(&c->started);
    waitq_init(&c->auth_ended);
    c->agent = agent_new();
    c->audit = audit_new(config->audit_dir);
    c->blobs = blobs_new(config->blob_dir);
    c->principals = map_new();
    c->tasks = map_new();
    c->streams = map_new();
    c->reports = map_new();
    c->consoles = map_new();
    c->registrations = map_new();
    c->missed = map_new();
    c->gc = timer_new(l, collect, c);

    session_register(&c->handlers);
    subject_register(&c->handlers);
    role_register(&c->handlers);
    task_register(&c->handlers);
    event_register(&c->handlers);
    pool_register(&c->handlers);
    pool_settings_register(&c->handlers);
    host_register(&c->handlers);
    host_evacuate_register(&c->handlers);
    agent_register(&c->handlers);
    diagnostics_register(&c->handlers);
    machine_register(&c->handlers);
    machine_time_register(&c->handlers);
    ssh_register(&c->handlers);
    host_plugin_register(&c->handlers);
    certificate_register(&c->handlers);
    trust_register(&c->handlers);
    status_register(&c->handlers);
    vm_register(&c->handlers);
    vm_power_register(&c->handlers);
    vm_clone_register(&c->handlers);
    vm_suspend_register(&c->handlers);
    guest_plugin_register(&c->handlers);
    vm_migrate_register(&c->handlers);
    vm_params_register(&c->handlers);
    vbd_register(&c->handlers);
    vif_register(&c->handlers);
    vif_cable_register(&c->handlers);
    vif_lock_register(&c->handlers);
    vtpm_register(&c->handlers);
    vm_press_register(&c->handlers);
    secure_boot_register(&c->handlers);
    agile_register(&c->handlers);
    pci_register(&c->handlers);
    boot_record_register(&c->handlers);
    vm_memory_register(&c->handlers);
    vm_vcpus_register(&c->handlers);
    vdi_register(&c->handlers);
    sr_register(&c->handlers);
    pbd_register(&c->handlers);
    network_register(&c->handlers);
    pif_register(&c->handlers);
    vlan_register(&c->handlers);
    bond_register(&c->handlers);
    secret_register(&c->handlers);
    message_register(&c->handlers);
    metrics_register(&c->handlers);
    appliance_register(&c->handlers);
    group_register(&c->handlers);
    blob_register(&c->handlers);
    store_on_change(store, store_changed, c);
    timer_set(c->gc, clock_now(l) + COLLECT_US);
    return c;
}

static void free_values(struct map *m)
{
    const char *key;
    void *v;

    for (size_t it = 0; map_next(m, &it, &key, &v);)
        free(v);
    map_free(m);
}

void core_free(struct core *c)
{
    if (!c)
        return;
    store_off_change(c->store, store_changed, c);
    timer_free(c->gc);
    timer_free(c->ssh);
    timer_free(c->memory_timer);
    agent_free(c->agent);
    audit_free(c->audit);
    blobs_free(c->blobs);
    permissions_free(c->permissions);
    session_done(c);
    task_done(c);
    map_free(c->streams);
    free_values(c->reports);
    free_values(c->consoles);
    event_done(c);
    free_values(c->missed);
    free(c->host_ref);
    free(c->pool_ref);
    free(c);
}

void core_set_host(struct core *c, struct ipc_peer *peer)
{
    c->host = peer;
    waitq_wake_all(&c->peers);
}

void core_set_storage(struct core *c, struct ipc_peer *peer)
{
    c->storage = peer;
    waitq_wake_all(&c->peers);
}

void core_set_net(struct core *c, struct ipc_peer *peer)
{
    c->net = peer;
    waitq_wake_all(&c->peers);
}

void core_set_metric(struct core *c, struct ipc_peer *peer)
{
    c->metric = peer;
    if (peer)
        metrics_mount(c, peer);
    waitq_wake_all(&c->peers);
}

void core_set_gate(struct core *c, struct ipc_peer *peer)
{
    c->gate = peer;
    waitq_wake_all(&c->peers);
}

static struct err *need(struct core *c, struct ipc_peer *const *slot, const char *name, struct ipc_peer **ret)
{
    uint64_t deadline = clock_now(c->loop) + PEER_WAIT_US;

    while (!*slot)
        if (!waitq_wait(&c->peers, deadline))
            return err_internal("the %s service is not there", name);
    *ret = *slot;
    return NULL;
}

struct err *core_need_host(struct core *c, struct ipc_peer **ret)
{
    return need(c, &c->host, "host", ret);
}

struct err *core_need_storage(struct core *c, struct ipc_peer **ret)
{
    return need(c, &c->storage, "storage", ret);
}

struct err *core_need_net(struct core *c, struct ipc_peer **ret)
{
    return need(c, &c->net, "net", ret);
}

struct err *core_need_gate(struct core *c, struct ipc_peer **ret)
{
    return need(c, &c->gate, "gate", ret);
}

struct err *core_need_metric(struct core *c, struct ipc_peer **ret)
{
    return need(c, &c->metric, "metric", ret);
}

bool ref_is_null(const char *ref)
{
    return cstr_empty(ref) || strcmp(ref, REF_NULL) == 0;
}

const struct row *core_row(const struct core *c, const char *ref)
{
    return store_find(c->store, ref);
}

struct err *call_row(const struct call *c, const struct model_class *cls, const char *ref, const struct row **ret)
{
    const struct row *r = store_find_of(c->core->store, cls, ref);

    if (!r)
        return err_handle_invalid(cls->name, ref);
    *ret = r;
    return NULL;
}

const struct row *core_host_row(const struct core *c)
{
    return store_find(c->store, c->host_ref);
}

const struct row *core_pool_row(const struct core *c)
{
    return store_find(c->store, c->pool_ref);
}

const char *now_text(const struct core *c, struct arena *a)
{
    return datetime_text(a, clock_wall(c->loop));
}

struct err *core_set(struct core *c, const char *ref, const struct field *f, struct value v)
{
    struct tx *t = tx_begin(c->store);

    tx_set(t, ref, f, v);
    return tx_commit(t);
}
