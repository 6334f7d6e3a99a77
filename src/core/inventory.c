/* The host's objects from what the host and net services found. */
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "core/core.h"
#include "core/host.h"
#include "core/ops.h"
#include "core/pci.h"
#include "gen/ipc_host.h"

static const struct value *sub(const struct value *info, const char *key)
{
    static const struct value nothing = { .kind = V_NIL };
    const struct value *v = value_map_get(info, key);

    return v ? v : &nothing;
}

static int64_t number(const struct value *info, const char *key)
{
    const struct value *v = sub(info, key);

    return v->kind == V_INT ? v->i : 0;
}

static struct value map_or_empty(const struct value *info, const char *key)
{
    const struct value *v = sub(info, key);

    return v->kind == V_MAP ? *v : value_map(NULL, 0);
}

static struct value set_or_empty(const struct value *info, const char *key)
{
    const struct value *v = sub(info, key);

    return v->kind == V_SET ? *v : value_set(NULL, 0);
}

struct pairs {
    struct value v[64];
    size_t n;
};

static void put(struct pairs *p, const char *key, const char *v)
{
    if (2 * p->n + 1 >= ARRAY_LEN(p->v))
        return;
    p->v[2 * p->n] = value_str(key);
    p->v[2 * p->n + 1] = value_str(v);
    p->n++;
}

/* host.software_version: what clients read it for stands in semantics.md 12 and clients.md 3. */
static struct value software_version(struct core *c, struct arena *a, const struct value *info)
{
    struct pairs *p = arena_new_of(a, struct pairs);
    const char *version = c->config->product_version;

    put(p, "product_version", version);
    put(p, "product_version_text", version);
    put(p, "product_version_text_short", version);
    put(p, "product_brand", "Runnymede");
    put(p, "build_number", version);
    put(p, "hostname", value_map_str(info, "hostname"));
    put(p, "date", RUNNYMEDE_DATE);
    put(p, "xapi", arena_printf(a, "%d.%d", MODEL_API_MAJOR, MODEL_API_MINOR));
    put(p, "xapi_build", version);
    put(p, "xen", value_map_str(info, "hypervisor_version"));
    put(p, "linux", value_map_str(info, "kernel"));
    put(p, "dbv", "");
    put(p, "db_schema", MODEL_SCHEMA);
    put(p, "network_backend", "bridge");
    put(p, "platform_name", "Runnymede");
    put(p, "platform_version", "3.4.0");
    put(p, "xencenter_min", "2.21");
    put(p, "xencenter_max", "2.21");
    put(p, "hypervisor", value_map_str(info, "hypervisor"));
    put(p, "accelerator", value_map_str(info, "accelerator"));
    put(p, "os_name", value_map_str(info, "os_name"));
    put(p, "os_version", value_map_str(info, "os_version"));
    return value_map(p->v, p->n);
}

static void set_cpus(struct core *c, struct tx *t, const char *host_ref, const struct value *info)
{
    const struct row *host = store_find_of(c->store, C_host, host_ref);
    struct value cpus = set_or_empty(info, "cpus"), cpu_info = map_or_empty(info, "cpu_info");
    int64_t family = 0, model = 0;

    str_to_i64(str_of(value_map_str(&cpu_info, "family")), &family);
    str_to_i64(str_of(value_map_str(&cpu_info, "model")), &model);
    if (host && row_n_related(host, F_host_host_CPUs) == cpus.n)
        return;
    for (size_t i = 0; host && i < row_n_related(host, F_host_host_CPUs); i++)
        tx_destroy(t, row_ref(row_related(host, F_host_host_CPUs, i)));
    for (size_t i = 0; i < cpus.n; i++) {
        const struct tx_field fields[] = {
            { F_host_cpu_host, value_str(host_ref) },
            { F_host_cpu_number, value_int(number(&cpus.items[i], "number")) },
            { F_host_cpu_vendor, value_str(value_map_str(&cpu_info, "vendor")) },
            { F_host_cpu_speed, value_int(number(&cpus.items[i], "speed")) },
            { F_host_cpu_modelname, value_str(value_map_str(&cpu_info, "modelname")) },
            { F_host_cpu_family, value_int(family) },
            { F_host_cpu_model, value_int(model) },
            { F_host_cpu_stepping, value_str(value_map_str(&cpu_info, "stepping")) },
            { F_host_cpu_flags, value_str(value_map_str(&cpu_info, "flags")) },
            { F_host_cpu_features, value_str(value_map_str(&cpu_info, "features_hvm")) },
        };
        tx_create(t, C_host_cpu, NULL, fields, ARRAY_LEN(fields));
    }
}

static const char *new_ref(struct arena *a)
{
    char uuid[UUID_LEN + 1];

    uuid_make(uuid);
    return arena_printf(a, "OpaqueRef:%s", uuid);
}

/* First start: the host, its metrics, its pool and its control domain. */
static void create_host(struct core *c, struct arena *a, struct tx *t, const struct value *info)
{
    const char *host = new_ref(a), *pool = new_ref(a), *dom0 = new_ref(a), *metrics = new_ref(a),
               *vm_metrics = new_ref(a);
    const char *name = value_map_str(info, "hostname");
    int64_t dom0_memory = 512LL << 20;

    c->host_ref = mem_strdup(host);
    c->pool_ref = mem_strdup(pool);
    const struct tx_field metrics_fields[] = { { F_host_metrics_live, value_bool(true) },
        { F_host_metrics_memory_total, value_int(0) },
        { F_host_metrics_last_updated, value_datetime(now_text(c, a)) } };
    tx_create(t, C_host_metrics, metrics, metrics_fields, ARRAY_LEN(metrics_fields));
    const struct tx_field host_fields[] = {
        { F_host_name_label, value_str(name) },
        { F_host_name_description, value_str("Default install") },
        { F_host_enabled, value_bool(true) },
        { F_host_metrics, value_str(metrics) },
        { F_host_control_domain, value_str(dom0) },
        { F_host_edition, value_str("free") },
        { F_host_sched_policy, value_str("cfs") },
        { F_host_ssl_legacy, value_bool(false) },
        { F_host_suspend_image_sr, value_str(REF_NULL) },
        { F_host_crash_dump_sr, value_str(REF_NULL) },
    };
    tx_create(t, C_host, host, host_fields, ARRAY_LEN(host_fields));
    const struct tx_field vm_metrics_fields[] = { { F_VM_metrics_install_time, value_datetime(DATETIME_EPOCH) },
        { F_VM_metrics_start_time, value_datetime(now_text(c, a)) },
        { F_VM_metrics_last_updated, value_datetime(now_text(c, a)) },
        { F_VM_metrics_memory_actual, value_int(dom0_memory) }, { F_VM_metrics_VCPUs_number, value_int(1) } };
    tx_create(t, C_VM_metrics, vm_metrics, vm_metrics_fields, ARRAY_LEN(vm_metrics_fields));
    const struct tx_field dom0_fields[] = {
        { F_VM_name_label, value_str(arena_printf(a, "Control domain on host: %s", name)) },
        { F_VM_name_description, value_str("The domain which manages physical devices and manages other domains") },
        { F_VM_power_state, value_str("Running") },
        { F_VM_is_control_domain, value_bool(true) },
        { F_VM_domid, value_int(0) },
        { F_VM_resident_on, value_str(host) },
        { F_VM_affinity, value_str(host) },
        { F_VM_metrics, value_str(vm_metrics) },
        { F_VM_VCPUs_max, value_int(1) },
        { F_VM_VCPUs_at_startup, value_int(1) },
        { F_VM_memory_static_max, value_int(dom0_memory) },
        { F_VM_memory_dynamic_max, value_int(dom0_memory) },
        { F_VM_memory_dynamic_min, value_int(dom0_memory) },
        { F_VM_memory_target, value_int(dom0_memory) },
        { F_VM_actions_after_shutdown, value_str("destroy") },
        { F_VM_actions_after_reboot, value_str("destroy") },
        { F_VM_actions_after_crash, value_str("destroy") },
        { F_VM_domain_type, value_str("pv") },
    };
    tx_create(t, C_VM, dom0, dom0_fields, ARRAY_LEN(dom0_fields));
    struct pairs *restrictions = arena_new_of(a, struct pairs);
    put(restrictions, "restrict_zstd_export", "false");
    put(restrictions, "restrict_vtpm", "false");
    put(restrictions, "restrict_cbt", "false");
    const struct tx_field pool_fields[] = {
        { F_pool_name_label, value_str("") },
        { F_pool_master, value_str(host) },
        { F_pool_default_SR, value_str(REF_NULL) },
        { F_pool_suspend_image_SR, value_str(REF_NULL) },
        { F_pool_crash_dump_SR, value_str(REF_NULL) },
        { F_pool_restrictions, value_map(restrictions->v, restrictions->n) },
    };
    tx_create(t, C_pool, pool, pool_fields, ARRAY_LEN(pool_fields));
}

/* What the machine can do for guests, and as missing:NAME the walls around guests that it cannot make. */
static struct value capabilities(struct arena *a, const struct value *info)
{
    struct value have = set_or_empty(info, "capabilities"), missing = set_or_empty(info, "capabilities_missing");
    struct value *all = arena_new_array(a, have.n + missing.n + 1, struct value);

    for (size_t i = 0; i < have.n; i++)
        all[i] = have.items[i];
    for (size_t i = 0; i < missing.n; i++)
        all[have.n + i] = value_str(arena_printf(a, "missing:%s", missing.items[i].s));
    return value_set(all, have.n + missing.n);
}

/* The kernel computes the time of its start from the clock: setting that right moves it by a second. */
static bool same_start(const char *before, int64_t now)
{
    struct str seconds, fraction;
    int64_t then;

    str_cut(str_of(before), '.', &seconds, &fraction);
    return str_to_i64(seconds, &then) && then >= now - 2 && then <= now + 2;
}

static void refresh_host(struct core *c, struct arena *a, struct tx *t, const struct value *info)
{
    const struct row *host = core_host_row(c);
    struct value cpu_info = map_or_empty(info, "cpu_info");
    struct value platforms[] = { value_int(0), value_int(1), value_int(2) };
    struct pairs *chipset = arena_new_of(a, struct pairs), *license = arena_new_of(a, struct pairs);
    const struct value *iommu = sub(info, "iommu");
    struct value old = host ? value_copy(a, row_get(host, F_host_other_config)) : value_map(NULL, 0);

    const char *boot_time = arena_printf(a, "%lld.", (long long)number(info, "boot_time"));
    c->rebooted = !same_start(value_map_str(&old, "boot_time"), number(info, "boot_time"));
    c->memory_costs = (struct memory_costs){ number(info, "overhead"), number(info, "overhead_vcpu"),
        number(info, "overhead_screen") };
    put(chipset, "iommu", iommu->kind == V_BOOL && iommu->b ? "true" : "false");
    put(license, "expiry", "20991231T00:00:00Z");
    put(license, "restrict_zstd_export", "false");
    old = value_map_with(a, &old, value_str("boot_time"), value_str(boot_time));
    old = value_map_with(a, &old, value_str("agent_start_time"),
        value_str(arena_printf(a, "%lld.", (long long)(clock_wall(c->loop) / 1000000))));
    tx_set(t, c->host_ref, F_host_hostname, value_str(value_map_str(info, "hostname")));
    tx_set(t, c->host_ref, F_host_cpu_info, cpu_info);
    tx_set(t, c->host_ref, F_host_capabilities, capabilities(a, info));
    tx_set(t, c->host_ref, F_host_software_version, software_version(c, a, info));
    tx_set(t, c->host_ref, F_host_bios_strings, map_or_empty(info, "bios_strings"));
    tx_set(t, c->host_ref, F_host_API_version_major, value_int(MODEL_API_MAJOR));
    tx_set(t, c->host_ref, F_host_API_version_minor, value_int(MODEL_API_MINOR));
    tx_set(t, c->host_ref, F_host_API_version_vendor, value_str("Runnymede"));
    tx_set(t, c->host_ref, F_host_virtual_hardware_platform_versions, value_set(platforms, ARRAY_LEN(platforms)));
    tx_set(t, c->host_ref, F_host_chipset_info, value_map(chipset->v, chipset->n));
    tx_set(t, c->host_ref, F_host_license_params, value_map(license->v, license->n));
    tx_set(t, c->host_ref, F_host_other_config, old);
    if (*c->config->address)
        tx_set(t, c->host_ref, F_host_address, value_str(c->config->address));
    const char *metrics = arena_strdup(a, tx_get(t, a, c->host_ref, F_host_metrics).s);
    tx_set(t, metrics, F_host_metrics_live, value_bool(true));
    tx_set(t, metrics, F_host_metrics_memory_total, value_int(number(info, "memory_total")));
    tx_set(t, metrics, F_host_metrics_memory_free, value_int(number(info, "memory_free")));
    tx_set(t, metrics, F_host_metrics_last_updated, value_datetime(now_text(c, a)));

    struct pairs *pool_cpu = arena_new_of(a, struct pairs);
    static const char *const keys[] = { "vendor", "cpu_count", "socket_count", "features_hvm_host",
        "features_pv_host" };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        put(pool_cpu, keys[i], value_map_str(&cpu_info, keys[i]));
    tx_set(t, c->pool_ref, F_pool_cpu_info, value_map(pool_cpu->v, pool_cpu->n));
}

struct err *host_take_inventory(struct core *c)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct host_inventory_rep rep = { 0 };
    struct ipc_peer *host = NULL;
    const struct row *pool = store_first(c->store, C_pool);

    TRY(core_need_host(c, &host));
    TRY(host_inventory(host, a, &(struct host_inventory_req){ 0 }, &rep));
    if (pool && !c->pool_ref) {
        c->pool_ref = mem_strdup(row_ref(pool));
        c->host_ref = mem_strdup(row_str(pool, F_pool_master));
    }
    struct tx *t = tx_begin(c->store);
    if (!pool)
        create_host(c, a, t, &rep.info);
    refresh_host(c, a, t, &rep.info);
    host_enable_again(c, t);
    set_cpus(c, t, c->host_ref, &rep.info);
    struct value devices = set_or_empty(&rep.info, "pci");
    pci_take(c, a, t, &devices);
    TRY(tx_commit(t));
    ops_refresh(c, &host_ops, c->host_ref);
    ops_refresh(c, &pool_ops, c->pool_ref);
    const struct row *h = core_host_row(c);
    ops_refresh_vm(c, arena_strdup(a, row_str(h, F_host_control_domain)));
    return NULL;
}
