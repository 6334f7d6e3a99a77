/* Start and recovery: one path. Finds out what exists, makes what is missing, and tells the truth about the rest. */
#include <string.h>
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "base/vec.h"
#include "core/autostart.h"
#include "core/blob.h"
#include "core/certificate.h"
#include "core/core.h"
#include "core/guest.h"
#include "core/host.h"
#include "core/host_backup.h"
#include "core/machine.h"
#include "core/ops.h"
#include "core/pif.h"
#include "core/guest_report.h"
#include "core/suspend.h"
#include "core/task.h"
#include "core/trust.h"
#include "core/vdi.h"
#include "core/vif.h"
#include "core/vm.h"
#include "gen/ipc_host.h"
#include "gen/ipc_storage.h"

#define GATE_WAIT_US (120UL * 1000 * 1000)

/* Roles; their references are fixed, as subjects' default role names one. */

static const struct {
    enum role role;
    const char *uuid, *description;
} roles[] = {
    { ROLE_POOL_ADMIN, "0165f154-ba3e-034e-6b27-5d271af109ba", "May do everything" },
    { ROLE_POOL_OPERATOR, "b9ce9791-0604-50cd-0649-09b3284c7dfd", "Manages hosts, storage, networks and the pool" },
    { ROLE_VM_POWER_ADMIN, "7955168d-7bec-10ed-105f-c6a7e6e63249", "Manages VMs and where they run" },
    { ROLE_VM_ADMIN, "aaa00ab5-7340-bfbc-0d1b-7cf342639a6e", "Makes, changes and removes VMs" },
    { ROLE_VM_OPERATOR, "fb8d4ff9-310c-a959-0613-54101535d3d5", "Starts and stops VMs and uses their consoles" },
    { ROLE_READ_ONLY, "7233b8e3-eacb-d7da-2c95-f2e581cdbf4e", "Reads" },
};

struct err *bootstrap_roles(struct core *c)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct tx *t = tx_begin(c->store);

    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        const struct tx_field fields[] = {
            { F_role_uuid, value_str(roles[i].uuid) },
            { F_role_name_label, value_str(role_name(roles[i].role)) },
            { F_role_name_description, value_str(roles[i].description) },
        };
        if (!store_by_uuid(c->store, C_role, roles[i].uuid))
            tx_create(t, C_role, arena_printf(a, "OpaqueRef:%s", roles[i].uuid), fields, ARRAY_LEN(fields));
    }
    return tx_commit(t);
}

/* Storage: SM records follow the drivers; the first start makes a local SR and an ISO library. */

static const char *new_ref(struct arena *a)
{
    char uuid[UUID_LEN + 1];

    uuid_make(uuid);
    return arena_printf(a, "OpaqueRef:%s", uuid);
}

static const struct row *sm_of_type(struct core *c, const char *type)
{
    for (const struct row *r = store_first(c->store, C_SM); r; r = store_next(r))
        if (strcmp(row_str(r, F_SM_type), type) == 0)
            return r;
    return NULL;
}

static void set_driver(struct core *c, struct arena *a, struct tx *t, const struct storage_driver *d)
{
    const struct row *known = sm_of_type(c, d->type);
    const char *ref = known ? arena_strdup(a, row_ref(known)) : new_ref(a);
    struct value *features = arena_new_array(a, 2 * d->n_features + 2, struct value);
    struct value *names = arena_new_array(a, d->n_features + 1, struct value);

    for (size_t i = 0; i < d->n_features; i++) {
        names[i] = features[2 * i] = value_str(d->features[i]);
        features[2 * i + 1] = value_int(1);
    }
    if (!known)
        tx_create(t, C_SM, ref, NULL, 0);
    tx_set(t, ref, F_SM_name_label, value_str(d->name));
    tx_set(t, ref, F_SM_name_description, value_str(d->description));
    tx_set(t, ref, F_SM_type, value_str(d->type));
    tx_set(t, ref, F_SM_vendor, value_str(d->vendor));
    tx_set(t, ref, F_SM_version, value_str(d->version));
    tx_set(t, ref, F_SM_required_api_version, value_str("1.0"));
    tx_set(t, ref, F_SM_capabilities, value_set(names, d->n_features));
    tx_set(t, ref, F_SM_features, value_map(features, d->n_features));
    if (d->configuration.kind == V_MAP)
        tx_set(t, ref, F_SM_configuration, d->configuration);
}

static const char *add_sr(struct core *c, struct arena *a, struct tx *t, const char *name, const char *description,
    const char *type, const char *content, const char *folder)
{
    const char *sr = new_ref(a);
    struct value config[2] = { value_str("location"), value_str(folder) };
    const struct tx_field fields[] = {
        { F_SR_name_label, value_str(name) },
        { F_SR_name_description, value_str(description) },
        { F_SR_type, value_str(type) },
        { F_SR_content_type, value_str(content) },
        { F_SR_physical_size, value_int(-1) },
    };
    const struct tx_field pbd[] = {
        { F_PBD_host, value_str(c->host_ref) },
        { F_PBD_SR, value_str(sr) },
        { F_PBD_device_config, value_map(config, 1) },
    };

    tx_create(t, C_SR, sr, fields, ARRAY_LEN(fields));
    tx_create(t, C_PBD, NULL, pbd, ARRAY_LEN(pbd));
    return sr;
}

struct err *bootstrap_storage(struct core *c)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct storage_drivers_rep rep = { 0 };
    struct ipc_peer *storage = NULL;

    TRY(core_need_storage(c, &storage));
    TRY(storage_drivers(storage, a, &(struct storage_drivers_req){ 0 }, &rep));
    struct tx *t = tx_begin(c->store);
    for (size_t i = 0; i < rep.n_drivers; i++)
        set_driver(c, a, t, &rep.drivers[i]);
    if (!store_first(c->store, C_SR)) {
        const char *sr =
            add_sr(c, a, t, "Local storage", "Disks in a folder of this host", "dir", "user", c->config->sr_dir);
        add_sr(c, a, t, "ISO library", "Images in a folder of this host", "iso", "iso", c->config->iso_dir);
        tx_set(t, c->pool_ref, F_pool_default_SR, value_str(sr));
        tx_set(t, c->pool_ref, F_pool_suspend_image_SR, value_str(sr));
        tx_set(t, c->pool_ref, F_pool_crash_dump_SR, value_str(sr));
        tx_set(t, c->host_ref, F_host_suspend_image_sr, value_str(sr));
        tx_set(t, c->host_ref, F_host_crash_dump_sr, value_str(sr));
    }
    TRY(tx_commit(t));
    pbd_plug_all(c);
    return NULL;
}

/* Guests: the host says what runs; the database follows. */

static bool is_guest(const struct row *vm)
{
    return !row_bool(vm, F_VM_is_control_domain) && !row_bool(vm, F_VM_is_a_template);
}

static void clear_operations(struct core *c, struct tx *t)
{
    for (size_t k = 0; k < model_n_classes(); k++) {
        const struct model_class *cls = model_class(k);
        const struct field *current = model_field_find(cls, "current_operations");
        if (!cls->in_database || !current)
            continue;
        for (const struct row *r = store_first(c->store, cls); r; r = store_next(r))
            if (row_get(r, current)->n)
                tx_set(t, row_ref(r), current, value_map(NULL, 0));
    }
}

/* The object that a task of an earlier life of ours worked on, with what it wanted; NULL if none. */
static const struct row *worked_on(struct core *c, const char *task, const char **ret_op)
{
    for (const struct row *vm = store_first(c->store, C_VM); vm; vm = store_next(vm)) {
        const struct value *op = value_map_get(row_get(vm, F_VM_current_operations), task);
        if (op) {
            *ret_op = op->s;
            return vm;
        }
    }
    return NULL;
}

static const char *state_wanted(const char *op)
{
    static const struct {
        const char *op, *state;
    } wants[] = { { "start", "Running" }, { "start_on", "Running" }, { "unpause", "Running" }, { "pause", "Paused" },
        { "clean_shutdown", "Halted" }, { "hard_shutdown", "Halted" }, { "suspend", "Suspended" },
        { "resume", "Running" }, { "resume_on", "Running" }, { "shutdown", "Halted" } };

    for (size_t i = 0; i < ARRAY_LEN(wants); i++)
        if (strcmp(wants[i].op, op) == 0)
            return wants[i].state;
    return "";
}

/* Tasks that were open when this process died: what they wanted is so, or it is not. */
struct open_task {
    char *ref;
    char *vm;   /* NULL: unknown */
    char *want; /* power state */
};

static void end_open_tasks(struct core *c, struct open_task *tasks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct row *vm = tasks[i].vm ? store_find_of(c->store, C_VM, tasks[i].vm) : NULL;
        bool done = vm && *tasks[i].want && strcmp(row_str(vm, F_VM_power_state), tasks[i].want) == 0;

        task_finish(c, tasks[i].ref, done ? "<value></value>" : "",
            done ? NULL : err_internal("interrupted by a restart of the toolstack"));
        free(tasks[i].ref);
        free(tasks[i].vm);
        free(tasks[i].want);
    }
}

static void adopt(struct core *c, struct tx *t, const struct row *vm, const struct vm_state *s)
{
    guest_take_state(c, t, row_ref(vm), s);
    if (s->domid >= (int64_t)c->next_domid)
        c->next_domid = (uint64_t)s->domid + 1;
}

/* With an operation of ours under way, its end looks again (guest_catch_up). */
static bool is_busy(struct core *c, const struct row *vm)
{
    if (!row_get(vm, F_VM_current_operations)->n)
        return false;
    free(map_put(c->missed, row_str(vm, F_VM_uuid), mem_strdup("unknown")));
    return true;
}

static bool is_suspended(const struct map *others, const struct row *vm)
{
    const char *power = map_get(others, row_str(vm, F_VM_uuid));

    return power && strcmp(power, "Suspended") == 0;
}

/* The host's word on every guest into the database. */
static struct err *take_guests(struct core *c)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(map_drop) struct map *alive = map_new();
    AUTO(map_drop) struct map *others = map_new(); /* uuid -> power state of those without a guest */
    struct host_vm_list_rep rep = { 0 };
    struct ipc_peer *host = NULL;

    TRY(core_need_host(c, &host));
    TRY(host_vm_list(host, a, &(struct host_vm_list_req){ 0 }, &rep)); /* waits for what is under way there */
    for (size_t i = 0; i < rep.n_vms; i++)
        if (strcmp(rep.vms[i].power, "Halted") != 0 && strcmp(rep.vms[i].power, "Suspended") != 0)
            map_put(alive, rep.vms[i].vm, &rep.vms[i]);
    TRY(suspend_truths(c, a, alive, others));
    struct tx *t = tx_begin(c->store);
    for (const struct row *vm = store_first(c->store, C_VM); vm; vm = store_next(vm)) {
        const char *power = row_str(vm, F_VM_power_state);
        const struct vm_state *s = is_guest(vm) ? map_get(alive, row_str(vm, F_VM_uuid)) : NULL;

        if (!is_guest(vm) || is_busy(c, vm))
            continue;
        if (s) {
            adopt(c, t, vm, s);
        } else if (is_suspended(others, vm)) {
            vm_set_suspended(c, t, row_ref(vm));
        } else if (strcmp(power, "Halted") != 0) {
            log_info("guest ended while nobody looked", F("vm", row_str(vm, F_VM_uuid)));
            vm_set_halted(c, t, row_ref(vm));
        }
    }
    return tx_commit(t);
}

static void refresh_all(struct core *c)
{
    VEC(char *) vms = { 0 };

    for (const struct row *vm = store_first(c->store, C_VM); vm; vm = store_next(vm))
        if (!row_bool(vm, F_VM_is_default_template))
            vec_push(&vms, mem_strdup(row_ref(vm)));
    for (size_t i = 0; i < vms.len; i++) {
        ops_refresh_vm(c, vms.p[i]);
        free(vms.p[i]);
    }
    vec_done(&vms);
}

void core_attach_again(struct core *c)
{
    if (!c->ready)
        return;
    pbd_attach_again(c);
    suspend_tidy(c);
}

void core_restore_networks(struct core *c)
{
    if (c->ready)
        pif_restore(c);
}

void core_catch_up_gate(struct core *c)
{
    if (!c->ready && !waitq_wait(&c->started, clock_now(c->loop) + GATE_WAIT_US))
        return; /* a core that does not start ends, and the next one asks again */
    log_err(LOG_WARN_, "the door's certificate is not known", certificate_catch_up(c));
}

struct err *core_catch_up(struct core *c)
{
    if (!c->ready)
        return NULL;
    TRY(take_guests(c));
    refresh_all(c);
    suspend_tidy(c);
    guest_report_catch_up(c);
    return NULL;
}

/* Operations of an earlier life of ours are over; their tasks end as what they wanted turned out. */
static struct err *recover(struct core *c)
{
    VEC(struct open_task) open = { 0 };

    for (const struct row *r = store_first(c->store, C_task); r; r = store_next(r)) {
        const char *op = "";
        if (!task_was_worked_on(r)) /* a client's own: it ends that itself */
            continue;
        const struct row *vm = worked_on(c, row_ref(r), &op);
        struct open_task task = { mem_strdup(row_ref(r)), vm ? mem_strdup(row_ref(vm)) : NULL,
            mem_strdup(state_wanted(op)) };
        vec_push(&open, task);
    }
    struct tx *t = tx_begin(c->store);
    clear_operations(c, t);
    struct err *e = tx_apply(t, NULL);
    if (!e)
        e = take_guests(c);
    end_open_tasks(c, open.p, open.len);
    vec_done(&open);
    return e;
}

struct err *core_start(struct core *c, uint64_t deadline_us)
{
    while (!c->host || !c->storage || !c->net)
        if (!waitq_wait(&c->peers, deadline_us))
            return err_internal("the services of this host did not come up: host %s, storage %s, net %s",
                c->host ? "up" : "missing", c->storage ? "up" : "missing", c->net ? "up" : "missing");
    TRY(host_backup_catch_up(c));
    c->next_domid = 1;
    c->memory_squeezed = true; /* perhaps: the first look tells */
    TRY(bootstrap_roles(c));
    TRY(host_take_inventory(c));
    TRY(machine_take_facts(c));
    TRY(host_scan_pifs(c));
    pif_restore(c);
    TRY(bootstrap_templates(c));
    TRY(bootstrap_storage(c));
    TRY(recover(c));
    refresh_all(c);
    trust_tidy(c);
    TRY(blob_catch_up(c));
    c->ready = true;
    suspend_tidy(c);
    guest_report_catch_up(c);
    vif_catch_up(c);
    waitq_wake_all(&c->started);
    if (c->rebooted)
        autostart(c);
    log_info("ready", FI("vms", store_count(c->store, C_VM)));
    return NULL;
}
