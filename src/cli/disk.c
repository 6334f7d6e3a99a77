/* A VM's drives: vm-disk-*, vm-cd-*, vm-vif-list, and VBDs. */
#include <string.h>
#include "cli/convert.h"
#include "cli/verb.h"

#define VBD_PARAMS "uuid,vm-name-label,userdevice"
#define VDI_PARAMS "uuid,name-label,sr-name-label,virtual-size"
#define DRIVES_MAX 128

static struct err *pick_vm(struct xe *x, struct rec *ret)
{
    struct noun vm;

    noun_find(x->arena, "vm", &vm);
    vm.where = "is-a-template=false,is-control-domain=false";
    return records_pick_one(x, &vm, ret);
}

/* The VM's drives of one type. */
static size_t drives_of(struct xe *x, const struct rec *vm, bool cds, struct rec *list, size_t max)
{
    const struct value *vbds = value_map_get(vm->record, "VBDs");
    size_t n = 0;

    for (size_t i = 0; vbds && i < vbds->n && n < max; i++) {
        const struct value *vbd = xe_known(x, C_VBD, vbds->items[i].s);

        if (vbd && (strcmp(value_map_str(vbd, "type"), "CD") == 0) == cds)
            list[n++] = (struct rec){ vbds->items[i].s, vbd };
    }
    return n;
}

static int by_device(const void *a, const void *b)
{
    const struct rec *x = a, *y = b;

    return strverscmp(value_map_str(x->record, "userdevice"), value_map_str(y->record, "userdevice"));
}

static struct err *print_drives(struct xe *x, const struct rec *vm, bool cds)
{
    const char *vbd_params = arg_get(&x->args, "vbd-params"), *vdi_params = arg_get(&x->args, "vdi-params");
    const char *word = cds ? "CD" : "Disk";
    struct rec list[DRIVES_MAX];
    size_t n = drives_of(x, vm, cds, list, DRIVES_MAX);
    struct noun vbd, vdi;

    noun_find(x->arena, "vbd", &vbd);
    noun_find(x->arena, "vdi", &vdi);
    qsort(list, n, sizeof(*list), by_device);
    if (x->args.minimal)
        return records_print(x, &vbd, "uuid", list, n);
    for (size_t i = 0; i < n; i++) {
        struct rec disk = { value_map_str(list[i].record, "VDI"), NULL };

        say("%s %zu VBD:", word, i);
        TRY(records_print(x, &vbd, vbd_params ? vbd_params : cds ? VBD_PARAMS ",empty" : VBD_PARAMS, &list[i], 1));
        disk.record = xe_known(x, C_VDI, disk.ref);
        if (!disk.record)
            continue;
        say("%s %zu VDI:", word, i);
        TRY(records_print(x, &vdi, vdi_params ? vdi_params : VDI_PARAMS, &disk, 1));
    }
    return NULL;
}

static struct err *print_disks(struct xe *x, const struct rec *vm)
{
    return print_drives(x, vm, false);
}

static struct err *print_cds(struct xe *x, const struct rec *vm)
{
    return print_drives(x, vm, true);
}

static struct err *vm_disk_list(struct xe *x)
{
    return each(x, "vm", print_disks);
}

static struct err *vm_cd_list(struct xe *x)
{
    return each(x, "vm", print_cds);
}

static struct err *print_vifs(struct xe *x, const struct rec *vm)
{
    const char *params = arg_get(&x->args, "params");
    const struct value *vifs = value_map_get(vm->record, "VIFs");
    struct noun vif;

    noun_find(x->arena, "vif", &vif);
    for (size_t i = 0; vifs && i < vifs->n; i++) {
        struct rec r = { vifs->items[i].s, xe_known(x, C_VIF, vifs->items[i].s) };

        if (r.record)
            TRY(records_print(x, &vif, params ? params : "uuid,device,MAC,network-uuid,network-name-label", &r, 1));
    }
    return NULL;
}

static struct err *vm_vif_list(struct xe *x)
{
    return each(x, "vm", print_vifs);
}

/* Making drives */

struct drive {
    const char *vm, *vdi, *device, *mode, *type;
    bool bootable, unpluggable;
};

static struct err *vbd_make(struct xe *x, const struct drive *d, const char **ret_ref)
{
    bool empty = strcmp(d->vdi, REF_NULL) == 0;
    struct value pairs[] = { S("VM"), S(d->vm), S("VDI"), S(d->vdi), S("userdevice"), S(d->device), S("bootable"),
        B(d->bootable), S("mode"), S(d->mode), S("type"), S(d->type), S("unpluggable"), B(d->unpluggable), S("empty"),
        B(empty), S("other_config"), value_map(NULL, 0), S("qos_algorithm_type"), S(""), S("qos_algorithm_params"),
        value_map(NULL, 0) };
    struct value ref;

    TRY(CALL(x, &ref, "VBD.create", value_map(pairs, ARRAY_LEN(pairs) / 2)));
    *ret_ref = ref.s;
    return NULL;
}

static struct err *vbd_create(struct xe *x)
{
    struct drive d = { .vdi = REF_NULL, .mode = "RW", .type = "Disk" };
    const char *text, *ref;

    TRY(need_ref(x, "vm-uuid", C_VM, &d.vm));
    TRY(arg_need(&x->args, "device", &d.device));
    text = arg_get(&x->args, "vdi-uuid");
    if (text)
        TRY(xe_find(x, C_VDI, text, &d.vdi));
    text = arg_get(&x->args, "type");
    d.type = text ? text : d.type;
    text = arg_get(&x->args, "mode");
    d.mode = text ? text : strcmp(d.type, "CD") == 0 ? "RO" : d.mode;
    TRY(arg_bool(&x->args, "bootable", false, &d.bootable));
    TRY(arg_bool(&x->args, "unpluggable", true, &d.unpluggable));
    TRY(vbd_make(x, &d, &ref));
    return say_uuid(x, C_VBD, ref);
}

static struct err *vbd_unplug(struct xe *x)
{
    const char *ref = NULL;
    bool force;

    TRY(need_ref(x, "uuid", C_VBD, &ref));
    TRY(arg_bool(&x->args, "force", false, &force));
    return RUN(x, NULL, force ? "VBD.unplug_force" : "VBD.unplug", S(ref));
}

static struct err *plug_if_running(struct xe *x, const struct rec *vm, const char *vbd)
{
    return strcmp(value_map_str(vm->record, "power_state"), "Running") == 0 ? CALL(x, NULL, "VBD.plug", S(vbd)) : NULL;
}

static struct err *default_sr(struct xe *x, const char **ret)
{
    const char *text = arg_any(&x->args, "sr-uuid,sr-name-label");
    struct value pool, sr;

    if (text)
        return xe_find(x, C_SR, text, ret);
    TRY(CALL0(x, &pool, "pool.get_all"));
    TRY(xe_field(x, C_pool, pool.items[0].s, "default_SR", &sr));
    *ret = sr.s;
    return strcmp(sr.s, REF_NULL) == 0 ? usage("the pool has no default SR: give sr-uuid=") : NULL;
}

static struct err *vm_disk_add(struct xe *x)
{
    struct drive d = { .mode = "RW", .type = "Disk", .unpluggable = true };
    const char *sr = NULL, *vbd;
    int64_t size;
    struct rec vm;
    struct value vdi;
    struct err *e;

    TRY(need_int(x, "disk-size", &size));
    TRY(arg_need(&x->args, "device", &d.device));
    TRY(default_sr(x, &sr));
    TRY(pick_vm(x, &vm));
    struct value pairs[] = { S("name_label"), S("Created by xe"), S("name_description"), S(""), S("SR"), S(sr),
        S("virtual_size"), N(size), S("type"), S("user"), S("sharable"), B(false), S("read_only"), B(false),
        S("other_config"), value_map(NULL, 0), S("xenstore_data"), value_map(NULL, 0), S("sm_config"),
        value_map(NULL, 0), S("tags"), value_set(NULL, 0) };
    TRY(CALL(x, &vdi, "VDI.create", value_map(pairs, ARRAY_LEN(pairs) / 2)));
    d.vm = vm.ref;
    d.vdi = vdi.s;
    e = vbd_make(x, &d, &vbd);
    if (!e)
        return plug_if_running(x, &vm, vbd);
    err_ignore(CALL(x, NULL, "VDI.destroy", S(vdi.s)), "the first error counts");
    return e;
}

static struct err *unplug_and_destroy(struct xe *x, const struct rec *vbd)
{
    const struct value *attached = value_map_get(vbd->record, "currently_attached");

    if (attached && attached->b)
        TRY(CALL(x, NULL, "VBD.unplug", S(vbd->ref)));
    return CALL(x, NULL, "VBD.destroy", S(vbd->ref));
}

static struct err *vm_disk_remove(struct xe *x)
{
    const char *device = NULL;
    struct rec vm, list[DRIVES_MAX];
    size_t n;

    TRY(arg_need(&x->args, "device", &device));
    TRY(pick_vm(x, &vm));
    n = drives_of(x, &vm, false, list, DRIVES_MAX);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(value_map_str(list[i].record, "userdevice"), device) != 0 &&
            strcmp(value_map_str(list[i].record, "device"), device) != 0)
            continue;
        TRY(unplug_and_destroy(x, &list[i]));
        return CALL(x, NULL, "VDI.destroy", S(value_map_str(list[i].record, "VDI")));
    }
    return usage("the VM has no disk with the device %s: see 'xe vm-disk-list'", device);
}

/* CDs: cd-name is the disc's name or uuid */

static struct err *find_cd(struct xe *x, const char **ret)
{
    const char *name = NULL;

    TRY(arg_need(&x->args, "cd-name", &name));
    return xe_find(x, C_VDI, name, ret);
}

static struct err *vm_cd_add(struct xe *x)
{
    struct drive d = { .mode = "RO", .type = "CD", .unpluggable = true };
    const char *vbd;
    struct rec vm;

    TRY(find_cd(x, &d.vdi));
    TRY(arg_need(&x->args, "device", &d.device));
    TRY(pick_vm(x, &vm));
    d.vm = vm.ref;
    TRY(vbd_make(x, &d, &vbd));
    return plug_if_running(x, &vm, vbd);
}

/* The VM's only CD drive that is empty, or is not. */
static struct err *only_drive(struct xe *x, bool empty, const char **ret)
{
    struct rec vm, list[DRIVES_MAX];
    size_t n, found = 0;

    TRY(pick_vm(x, &vm));
    n = drives_of(x, &vm, true, list, DRIVES_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct value *v = value_map_get(list[i].record, "empty");

        if (!v || v->b != empty)
            continue;
        *ret = list[i].ref;
        found++;
    }
    if (!found)
        return usage("the VM has no CD drive that is %s: see 'xe vm-cd-list'", empty ? "empty" : "loaded");
    if (found > 1)
        return usage("the VM has several CD drives that are %s: use vbd-%s", empty ? "empty" : "loaded",
            empty ? "insert" : "eject");
    return NULL;
}

static struct err *vm_cd_insert(struct xe *x)
{
    const char *vdi = NULL, *vbd = NULL;

    TRY(find_cd(x, &vdi));
    TRY(only_drive(x, true, &vbd));
    return RUN(x, NULL, "VBD.insert", S(vbd), S(vdi));
}

static struct err *vm_cd_eject(struct xe *x)
{
    const char *vbd = NULL;

    TRY(only_drive(x, false, &vbd));
    return RUN(x, NULL, "VBD.eject", S(vbd));
}

static struct err *vm_cd_remove(struct xe *x)
{
    const char *vdi = NULL;
    struct rec vm, list[DRIVES_MAX];
    size_t n;

    TRY(find_cd(x, &vdi));
    TRY(pick_vm(x, &vm));
    n = drives_of(x, &vm, true, list, DRIVES_MAX);
    for (size_t i = 0; i < n; i++)
        if (strcmp(value_map_str(list[i].record, "VDI"), vdi) == 0)
            return unplug_and_destroy(x, &list[i]);
    return usage("that CD is in no drive of the VM: see 'xe vm-cd-list'");
}

/* Discs are what lies in repositories for ISO images. */
static struct err *cd_list(struct xe *x)
{
    const char *params = arg_get(&x->args, "params");
    struct noun vdi;
    struct rec *list = NULL;
    size_t n = 0, kept = 0;

    noun_find(x->arena, "vdi", &vdi);
    TRY(records_select(x, &vdi, &list, &n));
    for (size_t i = 0; i < n; i++) {
        const struct value *sr = xe_known(x, C_SR, value_map_str(list[i].record, "SR"));

        if (sr && strcmp(value_map_str(sr, "content_type"), "iso") == 0)
            list[kept++] = list[i];
    }
    return records_print(x, &vdi, params ? params : "uuid,name-label", list, kept);
}

const struct verb disk_verbs[] = {
    { "vm-disk-list", vm_disk_list, "", "vbd-params,vdi-params", "vm", "Shows the disks of VMs." },
    { "vm-disk-add", vm_disk_add, "disk-size,device", "sr-uuid,sr-name-label", "vm",
        "Makes a disk and connects it to a VM." },
    { "vm-disk-remove", vm_disk_remove, "device", "", "vm", "Disconnects a VM's disk and destroys it." },
    { "vm-cd-list", vm_cd_list, "", "vbd-params,vdi-params", "vm", "Shows the CD drives of VMs." },
    { "vm-cd-add", vm_cd_add, "cd-name,device", "", "vm", "Gives a VM a CD drive with a disc in it." },
    { "vm-cd-insert", vm_cd_insert, "cd-name", "", "vm", "Puts a disc into the VM's empty CD drive." },
    { "vm-cd-eject", vm_cd_eject, "", "", "vm", "Takes the disc out of the VM's CD drive." },
    { "vm-cd-remove", vm_cd_remove, "cd-name", "", "vm", "Removes the CD drive that holds the disc." },
    { "vm-vif-list", vm_vif_list, "", "params", "vm", "Shows the network interfaces of VMs." },
    { "cd-list", cd_list, "", "params", "vdi", "Shows the discs that can be inserted." },
    { "vbd-create", vbd_create, "vm-uuid,device", "vdi-uuid,bootable,type,mode,unpluggable", NULL,
        "Makes a drive (type=Disk|CD, mode=RW|RO), empty without vdi-uuid. Prints its uuid." },
    { "vbd-unplug", vbd_unplug, "uuid", "force,timeout", NULL, "Disconnects a drive from the running VM." },
    { 0 },
};
