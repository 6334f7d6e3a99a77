/* Disks and storage repositories. */
#include <string.h>
#include "cli/convert.h"
#include "cli/transfer.h"
#include "cli/verb.h"

static const char *text_or(struct xe *x, const char *name, const char *dflt)
{
    const char *text = arg_get(&x->args, name);

    return text ? text : dflt;
}

static struct err *vdi_create(struct xe *x)
{
    const char *sr = NULL, *name = NULL, **tags;
    bool sharable, read_only;
    int64_t size;
    struct value vdi;

    TRY(need_ref(x, "sr-uuid", C_SR, &sr));
    TRY(arg_need(&x->args, "name-label", &name));
    TRY(need_int(x, "virtual-size", &size));
    TRY(arg_bool(&x->args, "sharable", false, &sharable));
    TRY(arg_bool(&x->args, "read-only", false, &read_only));
    size_t n_tags = comma_split(x->arena, text_or(x, "tags", ""), &tags);
    struct value *set = arena_new_array(x->arena, n_tags + 1, struct value);
    for (size_t i = 0; i < n_tags; i++)
        set[i] = S(tags[i]);
    struct value pairs[] = { S("name_label"), S(name), S("name_description"), S(text_or(x, "name-description", "")),
        S("SR"), S(sr), S("virtual_size"), N(size), S("type"), S(text_or(x, "type", "user")), S("sharable"),
        B(sharable), S("read_only"), B(read_only), S("other_config"), convert_map_args(x, "other-config"),
        S("xenstore_data"), convert_map_args(x, "xenstore-data"), S("sm_config"), convert_map_args(x, "sm-config"),
        S("tags"), value_set(set, n_tags) };
    TRY(RUN(x, &vdi, "VDI.create", value_map(pairs, ARRAY_LEN(pairs) / 2)));
    return say_uuid(x, C_VDI, vdi.s);
}

static struct err *vdi_resize(struct xe *x)
{
    const char *vdi = NULL;
    bool online;
    int64_t size;

    TRY(need_ref(x, "uuid", C_VDI, &vdi));
    TRY(need_int(x, "disk-size", &size));
    TRY(arg_bool(&x->args, "online", false, &online));
    return RUN(x, NULL, online ? "VDI.resize_online" : "VDI.resize", S(vdi), N(size));
}

static struct err *name_it(struct xe *x, const char *vdi)
{
    const char *name = arg_get(&x->args, "new-name-label"), *text = arg_get(&x->args, "new-name-description");

    if (name)
        TRY(CALL(x, NULL, "VDI.set_name_label", S(vdi), S(name)));
    if (text)
        TRY(CALL(x, NULL, "VDI.set_name_description", S(vdi), S(text)));
    return say_uuid(x, C_VDI, vdi);
}

static struct err *optional_ref(struct xe *x, const char *arg, const struct model_class *c, const char **ret)
{
    const char *text = arg_get(&x->args, arg);

    *ret = REF_NULL;
    return text ? xe_find(x, c, text, ret) : NULL;
}

static struct err *vdi_copy(struct xe *x)
{
    const char *vdi = NULL, *sr, *base, *into;
    struct value made;

    TRY(need_ref(x, "uuid", C_VDI, &vdi));
    TRY(optional_ref(x, "sr-uuid", C_SR, &sr));
    TRY(optional_ref(x, "base-vdi-uuid", C_VDI, &base));
    TRY(optional_ref(x, "into-vdi-uuid", C_VDI, &into));
    TRY(RUN(x, &made, "VDI.copy", S(vdi), S(sr), S(base), S(into)));
    return name_it(x, made.s);
}

static struct err *derive(struct xe *x, const char *method)
{
    const char *vdi = NULL;
    struct value made;

    TRY(need_ref(x, "uuid", C_VDI, &vdi));
    TRY(RUN(x, &made, method, S(vdi), convert_map_args(x, "driver-params")));
    return name_it(x, made.s);
}

static struct err *vdi_clone(struct xe *x)
{
    return derive(x, "VDI.clone");
}

static struct err *vdi_snapshot(struct xe *x)
{
    return derive(x, "VDI.snapshot");
}

static struct err *raw_only(struct xe *x)
{
    const char *format = text_or(x, "format", "raw");

    return strcmp(format, "raw") == 0 || strcmp(format, "vhd") == 0 ? NULL : usage("format is raw or vhd");
}

static struct err *vdi_import(struct xe *x)
{
    const char *vdi = NULL, *file = NULL;

    TRY(need_ref(x, "uuid", C_VDI, &vdi));
    TRY(arg_need(&x->args, "filename", &file));
    TRY(raw_only(x));
    const char *const pairs[] = { "vdi", vdi, "format", text_or(x, "format", "raw") };
    return transfer_upload(x, "/import_raw_vdi", pairs, 2, file, "import of a disk");
}

static struct err *vdi_export(struct xe *x)
{
    const char *vdi = NULL, *file = NULL;
    struct value size;

    TRY(need_ref(x, "uuid", C_VDI, &vdi));
    TRY(arg_need(&x->args, "filename", &file));
    TRY(raw_only(x));
    const char *const pairs[] = { "vdi", vdi, "format", text_or(x, "format", "raw") };
    TRY(xe_field(x, C_VDI, vdi, "virtual_size", &size));
    return transfer_download(
        x, "/export_raw_vdi", pairs, 2, file, strcmp(pairs[3], "raw") ? -1 : size.i, "export of a disk");
}

/* Repositories */

/* host-uuid=, or the only host there is. */
static struct err *the_host(struct xe *x, const char **ret)
{
    const char *text = arg_any(&x->args, "host-uuid,host");
    struct value all;

    if (text)
        return xe_find(x, C_host, text, ret);
    TRY(CALL0(x, &all, "host.get_all"));
    if (all.n != 1)
        return usage("the pool has %u hosts: name one with host-uuid=", all.n);
    *ret = all.items[0].s;
    return NULL;
}

static struct err *sr_create(struct xe *x)
{
    const char *name = NULL, *type = NULL, *host = NULL, *text;
    static const struct type number = { .kind = TYPE_INT };
    struct value sr, size = N(0);
    bool shared;

    TRY(arg_need(&x->args, "name-label", &name));
    TRY(arg_need(&x->args, "type", &type));
    TRY(the_host(x, &host));
    TRY(arg_bool(&x->args, "shared", false, &shared));
    text = arg_get(&x->args, "physical-size");
    if (text)
        TRY(convert(x, &number, "physical-size", text, &size));
    TRY(RUN(x, &sr, "SR.create", S(host), convert_map_args(x, "device-config"), size, S(name),
        S(text_or(x, "name-description", "")), S(type), S(text_or(x, "content-type", "user")), B(shared),
        convert_map_args(x, "sm-config")));
    return say_uuid(x, C_SR, sr.s);
}

static struct err *sr_introduce(struct xe *x)
{
    const char *name = NULL, *type = NULL, *uuid = NULL;
    struct value sr;
    bool shared;

    TRY(arg_need(&x->args, "name-label", &name));
    TRY(arg_need(&x->args, "type", &type));
    TRY(arg_need(&x->args, "uuid", &uuid));
    TRY(arg_bool(&x->args, "shared", false, &shared));
    TRY(RUN(x, &sr, "SR.introduce", S(uuid), S(name), S(text_or(x, "name-description", "")), S(type),
        S(text_or(x, "content-type", "")), B(shared), convert_map_args(x, "sm-config")));
    return say_uuid(x, C_SR, sr.s);
}

static struct err *sr_probe(struct xe *x)
{
    const char *type = NULL, *host = NULL;
    struct value text;

    TRY(arg_need(&x->args, "type", &type));
    TRY(the_host(x, &host));
    TRY(RUN(x, &text, "SR.probe", S(host), convert_map_args(x, "device-config"), S(type),
        convert_map_args(x, "sm-config")));
    say("%s", text.kind == V_STRING ? text.s : "");
    return NULL;
}

static struct err *pbd_create(struct xe *x)
{
    const char *host = NULL, *sr = NULL;
    struct value pbd;

    TRY(need_ref(x, "host-uuid", C_host, &host));
    TRY(need_ref(x, "sr-uuid", C_SR, &sr));
    struct value pairs[] = { S("host"), S(host), S("SR"), S(sr), S("device_config"),
        convert_map_args(x, "device-config"), S("other_config"), convert_map_args(x, "other-config") };
    TRY(CALL(x, &pbd, "PBD.create", value_map(pairs, ARRAY_LEN(pairs) / 2)));
    return say_uuid(x, C_PBD, pbd.s);
}

const struct verb storage_verbs[] = {
    { "vdi-create", vdi_create, "sr-uuid,name-label,virtual-size",
        "name-description,type,sharable,read-only,tags,sm-config:,other-config:,xenstore-data:", NULL,
        "Makes a disk; virtual-size takes MiB, GiB, TiB. Prints its uuid." },
    { "vdi-resize", vdi_resize, "uuid,disk-size", "online", NULL, "Makes a disk larger." },
    { "vdi-copy", vdi_copy, "uuid", "sr-uuid,base-vdi-uuid,into-vdi-uuid,new-name-label,new-name-description", NULL,
        "Copies a disk, perhaps to another SR, or into a disk that is there. Prints the copy's uuid." },
    { "vdi-clone", vdi_clone, "uuid", "new-name-label,new-name-description,driver-params:", NULL,
        "Makes a writable clone of a disk. Prints its uuid." },
    { "vdi-snapshot", vdi_snapshot, "uuid", "new-name-label,new-name-description,driver-params:", NULL,
        "Keeps a disk as it is now. Prints the snapshot's uuid." },
    { "vdi-import", vdi_import, "uuid,filename", "format,progress", NULL,
        "Fills a disk from a file; filename=- reads standard input." },
    { "vdi-export", vdi_export, "uuid,filename", "format,progress", NULL,
        "Writes a disk to a new file; filename=- writes to standard output." },
    { "sr-create", sr_create, "name-label,type",
        "host-uuid,name-description,content-type,shared,physical-size,device-config:,sm-config:", NULL,
        "Makes a storage repository and connects the host to it. Prints its uuid." },
    { "sr-introduce", sr_introduce, "uuid,name-label,type", "name-description,content-type,shared,sm-config:", NULL,
        "Makes a repository that exists known again. Prints its uuid." },
    { "sr-probe", sr_probe, "type", "host-uuid,device-config:,sm-config:", NULL,
        "Looks what a new repository could use." },
    { "pbd-create", pbd_create, "host-uuid,sr-uuid", "device-config:,other-config:", NULL,
        "Says how a host reaches a repository. Prints its uuid." },
    { 0 },
};
