/* From a VM record to the plan of its start. */
#include <openssl/evp.h>
#include <string.h>
#include "base/mem.h"
#include "core/generation.h"
#include "core/network.h"
#include "core/nvram.h"
#include "core/vdi.h"
#include "core/vif.h"
#include "core/vm.h"
#include "core/vtpm.h"
#include "gen/ipc_host.h"

#define NODES_MAX 8 /* that a guest is shown */

/* Device numbers: "3", "xvdd", "hdd", "sdd" and "d3" name the same place. */

static bool letters_position(const char *s, int64_t *ret)
{
    int64_t n = 0;

    if (!*s || strlen(s) > 2)
        return false;
    for (; *s; s++) {
        if (*s < 'a' || *s > 'z')
            return false;
        n = n * 26 + (*s - 'a' + 1);
    }
    *ret = n - 1;
    return true;
}

bool vbd_position(const char *userdevice, int64_t *ret)
{
    static const char *const prefixes[] = { "xvd", "hd", "sd" };

    if (str_to_i64(str_of(userdevice), ret))
        return *ret >= 0 && *ret <= 255;
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (cstr_starts(userdevice, prefixes[i]))
            return letters_position(userdevice + strlen(prefixes[i]), ret) && *ret <= 255;
    return false;
}

void vif_mac(const char *seed, int64_t device, char ret_mac[18])
{
    unsigned char h[16], t[16];
    size_t len = strlen(seed);

    /* semantics.md 5: 2*device rounds over the seed, one more gives S; T = MD5(S). */
    EVP_Q_digest(NULL, "MD5", NULL, seed, len, h, NULL);
    for (int64_t i = 0; i < 2 * device; i++)
        EVP_Q_digest(NULL, "MD5", NULL, h, sizeof(h), h, NULL);
    EVP_Q_digest(NULL, "MD5", NULL, h, sizeof(h), t, NULL);
    unsigned char first = (unsigned char)((h[0] & ~1u) | 2u);
    snprintf(ret_mac, 18, "%02x:%02x:%02x:%02x:%02x:%02x", first, h[1], h[2], h[3], t[1], t[2]);
}

/*
 * Devices that a guest without drivers of ours finds, as XenServer's guests do
 * before they have theirs: the first four disks and drives on an IDE controller,
 * and a NIC that every system knows. platform:disk_type and nic_type say which;
 * where they do not, Windows gets them ("viridian", which "Other install media"
 * has as well), and whatever else is virtio.
 */
#define IDE_PLACES 4

static bool is_windows(const struct row *vm)
{
    return strcmp(row_str(vm, F_VM_domain_type), "hvm") == 0 &&
        strcmp(row_map_str(vm, F_VM_platform, "viridian"), "true") == 0;
}

bool vm_disk_is_ide(const struct row *vm, int64_t position)
{
    const char *type = row_map_str(vm, F_VM_platform, "disk_type");

    return position < IDE_PLACES && (*type ? strcmp(type, "ide") == 0 : is_windows(vm));
}

static const char *nic_model(const struct row *vm)
{
    static const char *const models[] = { "virtio", "e1000", "rtl8139" };
    const char *type = row_map_str(vm, F_VM_platform, "nic_type");

    for (size_t i = 0; i < ARRAY_LEN(models); i++)
        if (strcmp(type, models[i]) == 0)
            return models[i];
    return is_windows(vm) ? "e1000" : "virtio";
}

struct err *vm_plan_disk(struct call *c, const struct row *vbd, struct vm_disk *ret)
{
    struct store *s = c->core->store;
    const struct row *vdi = row_follow(s, vbd, F_VBD_VDI), *vm = row_follow(s, vbd, F_VBD_VM);
    int64_t position = 0;

    if (!vbd_position(row_str(vbd, F_VBD_userdevice), &position))
        return err_invalid_device(row_str(vbd, F_VBD_userdevice));
    *ret = (struct vm_disk){
        .vbd = arena_strdup(c->arena, row_ref(vbd)),
        .position = position,
        .device = arena_printf(c->arena, position < 26 ? "xvd%c" : "xvd%c%c",
            position < 26 ? (char)('a' + position) : (char)('a' + position / 26 - 1), (char)('a' + position % 26)),
        .cd = strcmp(row_str(vbd, F_VBD_type), "CD") == 0,
        .read_only = strcmp(row_str(vbd, F_VBD_mode), "RO") == 0,
        .bootable = row_bool(vbd, F_VBD_bootable),
        .sr = "",
        .vdi = "",
        .format = "",
        .bus = vm && vm_disk_is_ide(vm, position) ? "ide" : "virtio",
        .image = -1,
        .lease = -1,
    };
    if (row_bool(vbd, F_VBD_empty) || !vdi)
        return NULL;
    const struct row *sr = row_follow(s, vdi, F_VDI_SR);
    if (!sr || !sr_is_plugged(c->core, sr))
        return err_vm_requires_sr(row_str(vbd, F_VBD_VM), row_str(vdi, F_VDI_SR));
    ret->sr = arena_strdup(c->arena, row_str(sr, F_SR_uuid));
    ret->vdi = arena_strdup(c->arena, row_str(vdi, F_VDI_uuid));
    ret->size = (uint64_t)row_int(vdi, F_VDI_virtual_size);
    ret->read_only = ret->read_only || ret->cd || row_bool(vdi, F_VDI_read_only);
    return NULL;
}

struct err *vm_plan_nic(struct call *c, const struct row *vif, struct vm_nic *ret)
{
    const struct row *network = row_follow(c->core->store, vif, F_VIF_network);
    const struct row *vm = row_follow(c->core->store, vif, F_VIF_VM);
    int64_t position = 0, mtu = row_int(vif, F_VIF_MTU);

    if (!str_to_i64(str_of(row_str(vif, F_VIF_device)), &position))
        return err_invalid_device(row_str(vif, F_VIF_device));
    if (!network)
        return err_handle_invalid("network", row_str(vif, F_VIF_network));
    *ret = (struct vm_nic){
        .vif = arena_strdup(c->arena, row_ref(vif)),
        .position = position,
        .mac = arena_strdup(c->arena, row_str(vif, F_VIF_MAC)),
        .network = network_plan(c->core, c->arena, network),
        .lock = vif_lock(c->arena, vif, network),
        .mtu = mtu > 0 ? mtu : row_int(network, F_network_MTU),
        .model = vm ? nic_model(vm) : "virtio",
        .tap = -1,
    };
    return NULL;
}

static struct err *plan_devices(struct call *c, const struct row *vm, struct vm_plan *p)
{
    size_t n_vbds = row_n_related(vm, F_VM_VBDs), n_vifs = row_n_related(vm, F_VM_VIFs);

    p->disks = arena_new_array(c->arena, n_vbds + 1, struct vm_disk);
    for (size_t i = 0; i < n_vbds; i++)
        TRY(vm_plan_disk(c, row_related(vm, F_VM_VBDs, i), &p->disks[p->n_disks++]));
    p->nics = arena_new_array(c->arena, n_vifs + 1, struct vm_nic);
    for (size_t i = 0; i < n_vifs; i++)
        TRY(vm_plan_nic(c, row_related(vm, F_VM_VIFs, i), &p->nics[p->n_nics++]));
    return NULL;
}

static const char *action(const struct row *vm, const struct field *f)
{
    return strcmp(row_str(vm, f), "restart") == 0 || strcmp(row_str(vm, f), "coredump_and_restart") == 0 ? "restart"
                                                                                                         : "destroy";
}

/* Of VM.xenstore_data a guest sees what XenServer shows it; the other keys are clients' own notes. And what the pool
 * says to its agent. */
static struct value guest_data(struct arena *a, const struct value *data, const struct value *config)
{
    struct value *pairs = arena_new_array(a, 2 * ((size_t)data->n + config->n), struct value);
    size_t n = 0;

    for (size_t i = 0; i < config->n; i++) {
        pairs[2 * n] = value_str(arena_printf(a, "guest_agent_config/%s", config->items[2 * i].s));
        pairs[2 * n++ + 1] = value_copy(a, &config->items[2 * i + 1]);
    }

    for (size_t i = 0; i < data->n; i++) {
        if (!cstr_starts(data->items[2 * i].s, "vm-data/") && !cstr_starts(data->items[2 * i].s, "FIST/"))
            continue;
        pairs[2 * n] = value_copy(a, &data->items[2 * i]);
        pairs[2 * n++ + 1] = value_copy(a, &data->items[2 * i + 1]);
    }
    return value_map(pairs, n);
}

/* The machine with all the memory that it may ever have, and the balloon that keeps it from that; or just what it has.
 */
void vm_plan_memory(struct vm_plan *plan, const struct row *vm, int64_t target)
{
    bool balloon = !vm_is_pinned(vm);

    plan->memory = (uint64_t)(balloon ? row_int(vm, F_VM_memory_static_max) : target);
    plan->memory_target = balloon ? (uint64_t)target : 0;
}

/* platform:numa-nodes, and whether the host is to choose nodes of its own. */
static struct err *plan_nodes(struct call *c, const struct row *vm, struct vm_plan *p)
{
    const char *text = row_map_str(vm, F_VM_platform, "numa-nodes");
    uint32_t max = p->vcpus_max > p->vcpus ? p->vcpus_max : p->vcpus;
    int64_t nodes = 1;

    if (*text && (!str_to_i64(str_of(text), &nodes) || nodes < 1 || nodes > NODES_MAX || nodes > max))
        return err_invalid_value("platform:numa-nodes", text);
    p->nodes = (uint32_t)nodes;
    p->numa = strcmp(row_str(core_host_row(c->core), F_host_numa_affinity_policy), "best_effort") == 0;
    return NULL;
}

struct err *vm_plan_make(struct call *c, const struct row *vm, bool paused, struct vm_plan *ret)
{
    bool hvm = strcmp(row_str(vm, F_VM_domain_type), "hvm") == 0;
    const char *firmware = row_map_str(vm, F_VM_HVM_boot_params, "firmware");
    const char *order = row_map_str(vm, F_VM_HVM_boot_params, "order");
    int64_t cores = 1;
    struct vm_plan p = {
        .vm = arena_strdup(c->arena, row_str(vm, F_VM_uuid)),
        .ref = arena_strdup(c->arena, row_ref(vm)),
        .name = arena_strdup(c->arena, row_str(vm, F_VM_name_label)),
        .domid = (int64_t)c->core->next_domid++,
        .vcpus = (uint32_t)row_int(vm, F_VM_VCPUs_at_startup),
        .vcpus_max = (uint32_t)row_int(vm, F_VM_VCPUs_max),
        .firmware = !hvm                    ? "direct"
            : strcmp(firmware, "uefi") == 0 ? "uefi"
                                            : "bios",
        .secure_boot = hvm && strcmp(firmware, "uefi") == 0 && vm_wants_secure_boot(c->core, vm),
        .boot_order = *order ? arena_strdup(c->arena, order) : "cd",
        .kernel_path = hvm ? "" : arena_strdup(c->arena, row_str(vm, F_VM_PV_kernel)),
        .initrd_path = hvm ? "" : arena_strdup(c->arena, row_str(vm, F_VM_PV_ramdisk)),
        .kernel = -1,
        .initrd = -1,
        .cmdline = hvm ? "" : arena_strdup(c->arena, row_str(vm, F_VM_PV_args)),
        .nvram = nvram_to_bytes(c->arena, row_map_str(vm, F_VM_NVRAM, "EFI-variables")),
        .platform = value_copy(c->arena, row_get(vm, F_VM_platform)),
        .guest_data = guest_data(
            c->arena, row_get(vm, F_VM_xenstore_data), row_get(core_pool_row(c->core), F_pool_guest_agent_config)),
        .bios_strings = value_copy(c->arena, row_get(vm, F_VM_bios_strings)),
        .generation_id = generation_guid(c->arena, row_str(vm, F_VM_generation_id)),
        .on_shutdown = action(vm, F_VM_actions_after_shutdown),
        .on_reboot = action(vm, F_VM_actions_after_reboot),
        .on_crash = strcmp(row_str(vm, F_VM_actions_after_crash), "preserve") == 0
            ? "preserve"
            : action(vm, F_VM_actions_after_crash),
        .paused = paused,
    };
    vm_plan_memory(&p, vm, row_int(vm, F_VM_memory_target));
    if (!hvm && !*p.kernel_path)
        return err_internal("the VM has no PV_kernel, and boot loaders that look into disks are not supported");
    str_to_i64(str_of(row_map_str(vm, F_VM_platform, "cores-per-socket")), &cores);
    p.cores_per_socket = cores > 0 && cores <= (int64_t)p.vcpus_max ? (uint32_t)cores : 1;
    TRY(vm_cpu_params(c->core, c->arena, row_get(vm, F_VM_VCPUs_params), &p.cpu));
    TRY(plan_nodes(c, vm, &p));
    vtpm_plan(c, vm, &p);
    TRY(plan_devices(c, vm, &p));
    *ret = p;
    return NULL;
}
