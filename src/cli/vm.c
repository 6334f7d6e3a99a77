/* The life of VMs, as administrators of XenServer type it. */
#include <string.h>
#include "cli/convert.h"
#include "cli/verb.h"

#define SELECT_NOTE "VMs are named by vm=UUID|NAME, uuid= or filters such as power-state=; several need --multiple."

static struct err *flag(struct xe *x, const char *name, bool *ret)
{
    return arg_bool(&x->args, name, false, ret);
}

/* Where on=, host= or host-uuid= say; NULL: nowhere in particular. */
static struct err *wanted_host(struct xe *x, const char **ret)
{
    const char *text = arg_any(&x->args, "on,host-uuid,host,host-name");

    *ret = NULL;
    return text ? xe_find(x, C_host, text, ret) : NULL;
}

static struct err *start_or_resume(struct xe *x, const struct rec *r, const char *method, const char *method_on)
{
    const char *host;
    bool paused, force;

    TRY(flag(x, "paused", &paused));
    TRY(flag(x, "force", &force));
    TRY(wanted_host(x, &host));
    if (host)
        return RUN(x, NULL, method_on, S(r->ref), S(host), B(paused), B(force));
    return RUN(x, NULL, method, S(r->ref), B(paused), B(force));
}

static struct err *start_one(struct xe *x, const struct rec *r)
{
    return start_or_resume(x, r, "VM.start", "VM.start_on");
}

static struct err *resume_one(struct xe *x, const struct rec *r)
{
    return start_or_resume(x, r, "VM.resume", "VM.resume_on");
}

static struct err *gently_or_hard(struct xe *x, const struct rec *r, const char *clean, const char *hard)
{
    bool force;

    TRY(flag(x, "force", &force));
    return RUN(x, NULL, force ? hard : clean, S(r->ref));
}

static struct err *shutdown_one(struct xe *x, const struct rec *r)
{
    return gently_or_hard(x, r, "VM.clean_shutdown", "VM.hard_shutdown");
}

static struct err *reboot_one(struct xe *x, const struct rec *r)
{
    return gently_or_hard(x, r, "VM.clean_reboot", "VM.hard_reboot");
}

static struct err *pause_one(struct xe *x, const struct rec *r)
{
    return RUN(x, NULL, "VM.pause", S(r->ref));
}

static struct err *unpause_one(struct xe *x, const struct rec *r)
{
    return RUN(x, NULL, "VM.unpause", S(r->ref));
}

static struct err *suspend_one(struct xe *x, const struct rec *r)
{
    return RUN(x, NULL, "VM.suspend", S(r->ref));
}

static struct err *reset_one(struct xe *x, const struct rec *r)
{
    bool force;

    TRY(flag(x, "force", &force));
    if (!force)
        return usage("this only changes what the database says; if the VM really does not run, say --force");
    return RUN(x, NULL, "VM.power_state_reset", S(r->ref));
}

/* What another pool would have to be told. */
#define ELSEWHERE "remote-master,remote-username,remote-password,remote-network"

static struct err *migrate_one(struct xe *x, const struct rec *r)
{
    static const char *const flags[] = { "live", "force", "copy" };
    struct value options[2 * (ARRAY_LEN(flags) + 1)];
    const char *host, *compress = arg_get(&x->args, "compress");
    size_t n = 0;

    if (arg_any(&x->args, ELSEWHERE))
        return err_new("NOT_IMPLEMENTED", (const char *[]){ "VM.migrate_send" }, 1);
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        bool live = i == 0, on = live;

        TRY(arg_bool(&x->args, flags[i], live, &on));
        if (!on && !live)
            continue;
        options[2 * n] = S(flags[i]);
        options[2 * n++ + 1] = S(on ? "true" : "false");
    }
    if (compress)
        options[2 * n] = S("compress"), options[2 * n + 1] = S(compress), n++;
    TRY(wanted_host(x, &host));
    if (!host)
        return usage("Required parameter not found: host");
    return RUN(x, NULL, "VM.pool_migrate", S(r->ref), S(host), value_map(options, n));
}

static struct err *vm_start(struct xe *x)
{
    return each(x, "vm", start_one);
}

static struct err *vm_resume(struct xe *x)
{
    return each(x, "vm", resume_one);
}

static struct err *vm_shutdown(struct xe *x)
{
    return each(x, "vm", shutdown_one);
}

static struct err *vm_reboot(struct xe *x)
{
    return each(x, "vm", reboot_one);
}

static struct err *vm_pause(struct xe *x)
{
    return each(x, "vm", pause_one);
}

static struct err *vm_unpause(struct xe *x)
{
    return each(x, "vm", unpause_one);
}

static struct err *vm_suspend(struct xe *x)
{
    return each(x, "vm", suspend_one);
}

static struct err *vm_reset(struct xe *x)
{
    return each(x, "vm", reset_one);
}

static struct err *snapshot_reset(struct xe *x)
{
    return each(x, "snapshot", reset_one);
}

static struct err *vm_migrate(struct xe *x)
{
    return each(x, "vm", migrate_one);
}

/* Making */

/* The only VM that the arguments name; templates too. */
static struct err *pick_vm(struct xe *x, const char *noun_name, const char *where, struct rec *ret)
{
    struct noun noun;

    noun_find(x->arena, noun_name, &noun);
    noun.where = where;
    return records_pick_one(x, &noun, ret);
}

static struct err *describe(struct xe *x, const char *vm)
{
    const char *text = arg_get(&x->args, "new-name-description");

    return text ? CALL(x, NULL, "VM.set_name_description", S(vm), S(text)) : NULL;
}

static struct err *clone_with(struct xe *x, const char *method)
{
    const char *name = NULL;
    struct value made;
    struct rec r;

    TRY(arg_need(&x->args, "new-name-label", &name));
    TRY(pick_vm(x, cstr_starts(x->args.verb, "snapshot") ? "snapshot" : "vm", "", &r));
    TRY(RUN(x, &made, method, S(r.ref), S(name)));
    TRY(describe(x, made.s));
    return say_uuid(x, C_VM, made.s);
}

static struct err *vm_clone(struct xe *x)
{
    return clone_with(x, "VM.clone");
}

static struct err *vm_snapshot(struct xe *x)
{
    return clone_with(x, "VM.snapshot");
}

static struct err *vm_checkpoint(struct xe *x)
{
    return clone_with(x, "VM.checkpoint");
}

static struct err *wanted_sr(struct xe *x, const char **ret)
{
    const char *text = arg_any(&x->args, "sr-uuid,sr-name-label");

    *ret = REF_NULL;
    return text ? xe_find(x, C_SR, text, ret) : NULL;
}

static struct err *vm_copy(struct xe *x)
{
    const char *name = NULL, *sr;
    struct value made;
    struct rec r;

    TRY(arg_need(&x->args, "new-name-label", &name));
    TRY(wanted_sr(x, &sr));
    TRY(pick_vm(x, cstr_starts(x->args.verb, "snapshot") ? "snapshot" : "vm", "", &r));
    TRY(RUN(x, &made, "VM.copy", S(r.ref), S(name), S(sr)));
    TRY(describe(x, made.s));
    return say_uuid(x, C_VM, made.s);
}

/* Every sr="..." of the order for disks becomes this SR. */
static const char *order_on(struct xe *x, const char *xml, const char *sr_uuid)
{
    const char *at = xml, *found;
    AUTO(buf_done) struct buf b;

    buf_init(&b, 1 << 20);
    while ((found = strstr(at, " sr=\""))) {
        found += strlen(" sr=\"");
        buf_add(&b, at, (size_t)(found - at));
        buf_add_c(&b, sr_uuid);
        at = strchr(found, '"') ? strchr(found, '"') : found + strlen(found);
    }
    buf_add_c(&b, at);
    return arena_strdup(x->arena, b.p);
}

static struct err *place_disks(struct xe *x, const char *vm, const char *sr)
{
    struct value other, uuid, pool, dflt;
    const char *xml;

    TRY(xe_field(x, C_VM, vm, "other_config", &other));
    xml = value_map_str(&other, "disks");
    if (!*xml)
        return NULL;
    if (strcmp(sr, REF_NULL) == 0) {
        TRY(CALL0(x, &pool, "pool.get_all"));
        TRY(xe_field(x, C_pool, pool.items[0].s, "default_SR", &dflt));
        sr = dflt.s;
        if (strcmp(sr, REF_NULL) == 0)
            return usage("the template has disks, but there is no sr-uuid= and the pool has no default SR");
    }
    TRY(xe_field(x, C_SR, sr, "uuid", &uuid));
    TRY(CALL(x, NULL, "VM.remove_from_other_config", S(vm), S("disks")));
    return CALL(x, NULL, "VM.add_to_other_config", S(vm), S("disks"), S(order_on(x, xml, uuid.s)));
}

static struct err *provision(struct xe *x, const char *vm, const char *sr, const char *bios_host)
{
    TRY(describe(x, vm));
    if (bios_host)
        TRY(CALL(x, NULL, "VM.copy_bios_strings", S(vm), S(bios_host)));
    TRY(place_disks(x, vm, sr));
    TRY(RUN(x, NULL, "VM.provision", S(vm)));
    return say_uuid(x, C_VM, vm);
}

static struct err *find_template(struct xe *x, const char **ret)
{
    const char *text = arg_any(&x->args, "template,template-uuid,template-name-label");
    const char *ref = NULL;
    struct value is;

    if (!text)
        return usage("Required parameter not found: template");
    TRY(xe_find(x, C_VM, text, &ref));
    TRY(xe_field(x, C_VM, ref, "is_a_template", &is));
    if (!is.b)
        return usage("%s is no template: see 'xe template-list'", text);
    *ret = ref;
    return NULL;
}

static struct err *vm_install(struct xe *x)
{
    const char *name = NULL, *template = NULL, *sr, *bios = arg_get(&x->args, "copy-bios-strings-from"), *host = NULL;
    struct value made, other;
    struct err *e;

    TRY(arg_need(&x->args, "new-name-label", &name));
    TRY(find_template(x, &template));
    if (bios)
        TRY(xe_find(x, C_host, bios, &host));
    TRY(wanted_sr(x, &sr));
    TRY(xe_field(x, C_VM, template, "other_config", &other));
    if (strcmp(sr, REF_NULL) != 0 && !value_map_get(&other, "default_template"))
        TRY(RUN(x, &made, "VM.copy", S(template), S(name), S(sr)));
    else
        TRY(RUN(x, &made, "VM.clone", S(template), S(name)));
    e = provision(x, made.s, sr, host);
    if (e)
        err_ignore(CALL(x, NULL, "VM.destroy", S(made.s)), "the first error counts");
    return e;
}

static struct err *no_archive(struct xe *x)
{
    return usage("%s: this server neither writes nor reads XVA files.\n"
                 "vdi-export and vdi-import move disks, vm-install makes a VM to connect them to (vbd-create).",
        x->args.verb);
}

/* Unmaking */

static struct err *destroy_one(struct xe *x, const struct rec *r)
{
    return RUN(x, NULL, "VM.destroy", S(r->ref));
}

static struct err *vm_destroy(struct xe *x)
{
    return each(x, cstr_starts(x->args.verb, "snapshot") ? "snapshot" : "vm", destroy_one);
}

/* Disks that are this VM's alone go with it. */
static struct err *own_disks(struct xe *x, const struct rec *r, struct rec *disks, size_t max, size_t *ret_n)
{
    const struct value *vbds = value_map_get(r->record, "VBDs");
    size_t n = 0;

    for (size_t i = 0; vbds && i < vbds->n && n < max; i++) {
        const struct value *vbd = xe_known(x, C_VBD, vbds->items[i].s), *vdi, *others, *shared;

        if (!vbd || strcmp(value_map_str(vbd, "type"), "Disk") != 0)
            continue;
        vdi = xe_known(x, C_VDI, value_map_str(vbd, "VDI"));
        others = vdi ? value_map_get(vdi, "VBDs") : NULL;
        shared = vdi ? value_map_get(vdi, "sharable") : NULL;
        if (others && others->n == 1 && shared && !shared->b)
            disks[n++] = (struct rec){ value_map_str(vbd, "VDI"), vdi };
    }
    *ret_n = n;
    return NULL;
}

#define DISKS_MAX 64

static struct err *uninstall_one(struct xe *x, const struct rec *r)
{
    struct rec disks[DISKS_MAX];
    size_t n;

    TRY(own_disks(x, r, disks, DISKS_MAX, &n));
    fprintf(stderr, "The following items are about to be destroyed:\nVM : %s (%s)\n", value_map_str(r->record, "uuid"),
        value_map_str(r->record, "name_label"));
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "VDI: %s (%s)\n", value_map_str(disks[i].record, "uuid"),
            value_map_str(disks[i].record, "name_label"));
    TRY(confirm(x));
    if (strcmp(value_map_str(r->record, "power_state"), "Halted") != 0)
        TRY(CALL(x, NULL, "VM.hard_shutdown", S(r->ref)));
    TRY(CALL(x, NULL, "VM.destroy", S(r->ref)));
    for (size_t i = 0; i < n; i++)
        TRY(CALL(x, NULL, "VDI.destroy", S(disks[i].ref)));
    fprintf(stderr, "All objects destroyed\n");
    return NULL;
}

static struct err *vm_uninstall(struct xe *x)
{
    const char *verb = x->args.verb;

    arg_get(&x->args, "force");
    return each(x,
        cstr_starts(verb, "snapshot")       ? "snapshot"
            : cstr_starts(verb, "template") ? "template"
                                            : "vm",
        uninstall_one);
}

static struct err *revert_one(struct xe *x, const struct rec *r)
{
    return RUN(x, NULL, "VM.revert", S(r->ref));
}

static struct err *snapshot_revert(struct xe *x)
{
    return each(x, "snapshot", revert_one);
}

const struct verb vm_verbs[] = {
    { "vm-start", vm_start, "", "on,host,host-uuid,paused,force", "vm",
        "Starts VMs, perhaps on=HOST, perhaps --paused. " SELECT_NOTE },
    { "vm-shutdown", vm_shutdown, "", "force", "vm",
        "Shuts VMs down: asks the guest, or with --force pulls the plug. " SELECT_NOTE },
    { "vm-reboot", vm_reboot, "", "force", "vm",
        "Reboots VMs: asks the guest, or with --force presses reset. " SELECT_NOTE },
    { "vm-pause", vm_pause, "", "", "vm", "Stops the virtual CPUs of running VMs. " SELECT_NOTE },
    { "vm-unpause", vm_unpause, "", "", "vm", "Lets paused VMs go on. " SELECT_NOTE },
    { "vm-suspend", vm_suspend, "", "", "vm", "Writes the memory of VMs to disk and stops them. " SELECT_NOTE },
    { "vm-resume", vm_resume, "", "on,host,host-uuid,paused,force", "vm", "Brings suspended VMs back. " SELECT_NOTE },
    { "vm-migrate", vm_migrate, "", "host,host-uuid,host-name,live,force,copy,compress," ELSEWHERE, "vm",
        "Moves running VMs to host=UUID|NAME. " SELECT_NOTE },
    { "vm-reset-powerstate", vm_reset, "", "force", "vm",
        "Says in the database that a VM is halted; needs --force. " SELECT_NOTE },
    { "vm-export", no_archive, "", "filename,preserve-power-state,compress", "vm",
        "Would write a VM into an XVA file, which this server does not." },
    { "template-export", no_archive, "", "filename,template-uuid", "template",
        "Would write a template into an XVA file, which this server does not." },
    { "snapshot-export-to-template", no_archive, "", "filename,snapshot-uuid,preserve-power-state", "snapshot",
        "Would write a snapshot into an XVA file, which this server does not." },
    { "vm-import", no_archive, "", "filename,url,sr-uuid,preserve,force,type,vdi:", NULL,
        "Would make a VM of an XVA file, which this server does not." },
    { "vm-install", vm_install, "new-name-label",
        "template,template-uuid,template-name-label,sr-uuid,sr-name-label,new-name-description,copy-bios-strings-from",
        NULL, "Makes a VM from template=UUID|NAME, with the disks that the template orders; prints its uuid." },
    { "vm-clone", vm_clone, "new-name-label", "new-name-description", "vm",
        "Makes a VM like another; disks are clones where the storage can. Prints its uuid. " SELECT_NOTE },
    { "vm-copy", vm_copy, "new-name-label", "new-name-description,sr-uuid,sr-name-label", "vm",
        "Makes a VM like another with full copies of its disks. Prints its uuid. " SELECT_NOTE },
    { "vm-snapshot", vm_snapshot, "new-name-label", "new-name-description,ignore-vdi-uuids", "vm",
        "Keeps the VM's disks as they are now. Prints the snapshot's uuid. " SELECT_NOTE },
    { "vm-checkpoint", vm_checkpoint, "new-name-label", "new-name-description", "vm",
        "Keeps the VM's disks and memory as they are now. Prints the checkpoint's uuid. " SELECT_NOTE },
    { "vm-destroy", vm_destroy, "", "", "vm", "Removes a VM; its disks stay. " SELECT_NOTE },
    { "vm-uninstall", vm_uninstall, "", "force", "vm",
        "Removes a VM and the disks that are its alone; asks first, unless force=true. " SELECT_NOTE },
    { "snapshot-revert", snapshot_revert, "", "uuid,snapshot-uuid", "snapshot",
        "Sets a VM back to snapshot-uuid=UUID." },
    { "snapshot-clone", vm_clone, "new-name-label", "new-name-description", "snapshot",
        "Makes a template like the snapshot. Prints its uuid." },
    { "snapshot-copy", vm_copy, "new-name-label", "new-name-description,sr-uuid,sr-name-label", "snapshot",
        "Makes a template like the snapshot with full copies of its disks. Prints its uuid." },
    { "snapshot-reset-powerstate", snapshot_reset, "", "uuid,snapshot-uuid,force", "snapshot",
        "Says in the database that a snapshot is halted; needs --force." },
    { "snapshot-destroy", vm_destroy, "", "uuid,snapshot-uuid", "snapshot", "Removes a snapshot; its disks stay." },
    { "snapshot-uninstall", vm_uninstall, "", "uuid,snapshot-uuid,force", "snapshot",
        "Removes a snapshot and its disks; asks first, unless force=true." },
    { "template-uninstall", vm_uninstall, "", "template-uuid,force", "template",
        "Removes a template and its disks; asks first, unless force=true." },
    { 0 },
};
