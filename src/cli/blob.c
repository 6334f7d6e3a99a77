/* Blobs: bytes beside objects. */
#include "cli/transfer.h"
#include "cli/verb.h"

#define OWNERS "vm-uuid,host-uuid,sr-uuid,network-uuid,pool-uuid"

static struct err *make(struct xe *x, const char *name, const char *mime_type, bool public, struct value *ret)
{
    static const struct {
        const char *arg, *message;
        const struct model_class *cls;
    } owners[] = { { "vm-uuid", "VM.create_new_blob", C_VM }, { "host-uuid", "host.create_new_blob", C_host },
        { "sr-uuid", "SR.create_new_blob", C_SR }, { "network-uuid", "network.create_new_blob", C_network },
        { "pool-uuid", "pool.create_new_blob", C_pool } };
    const char *message = NULL, *owner = NULL;

    for (size_t i = 0; i < ARRAY_LEN(owners); i++) {
        if (!arg_get(&x->args, owners[i].arg))
            continue;
        if (message)
            return usage("name only one of " OWNERS);
        message = owners[i].message;
        TRY(need_ref(x, owners[i].arg, owners[i].cls, &owner));
    }
    if (!message)
        return usage("name one of " OWNERS);
    return CALL(x, ret, message, S(owner), S(name), S(mime_type), B(public));
}

static struct err *blob_create(struct xe *x)
{
    const char *name = NULL, *mime_type = arg_get(&x->args, "mime-type");
    bool public = false;
    struct value blob;

    TRY(arg_need(&x->args, "name", &name));
    TRY(arg_bool(&x->args, "public", false, &public));
    TRY(make(x, name, mime_type ? mime_type : "", public, &blob));
    return say_uuid(x, C_blob, blob.s);
}

static struct err *named(struct xe *x, const char **ret_ref, const char **ret_file)
{
    TRY(need_ref(x, "uuid", C_blob, ret_ref));
    return arg_need(&x->args, "filename", ret_file);
}

static struct err *blob_get(struct xe *x)
{
    const char *pairs[2] = { "ref" }, *file = NULL;

    TRY(named(x, &pairs[1], &file));
    return transfer_download(x, "/blob", pairs, 1, file, -1, "Content of a blob");
}

static struct err *blob_put(struct xe *x)
{
    const char *pairs[2] = { "ref" }, *file = NULL;

    TRY(named(x, &pairs[1], &file));
    return transfer_upload(x, "/blob", pairs, 1, file, "Content of a blob");
}

const struct verb blob_verbs[] = {
    { "blob-create", blob_create, "name", "mime-type,public," OWNERS, NULL,
        "Makes an empty blob beside an object. Prints its uuid." },
    { "blob-get", blob_get, "uuid,filename", "", NULL, "Fetches the content of a blob." },
    { "blob-put", blob_put, "uuid,filename", "", NULL, "Makes a file the content of a blob." },
    { 0 },
};
