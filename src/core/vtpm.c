#include "core/vtpm.h"
#include <openssl/evp.h>
#include <string.h>
#include "base/mem.h"
#include "base/uuid.h"
#include "core/ops.h"
#include "core/vm.h"

#define CONTENTS_MAX (512UL * 1024) /* of base64 */

/* ---- what it remembers ---- */

static const char *contents_of(const struct core *c, const struct row *vtpm)
{
    const struct row *secret = store_by_uuid(c->store, C_secret, row_str(vtpm, F_VTPM_uuid));

    return secret ? row_str(secret, F_secret_value) : "";
}

static void put_contents(struct core *c, struct tx *t, const char *uuid, const char *contents)
{
    const struct row *secret = store_by_uuid(c->store, C_secret, uuid);
    const struct tx_field fields[] = { { F_secret_uuid, value_str(uuid) }, { F_secret_value, value_str(contents) } };

    if (secret)
        tx_set(t, row_ref(secret), F_secret_value, value_str(contents));
    else
        tx_create(t, C_secret, NULL, fields, ARRAY_LEN(fields));
}

static const char *to_text(struct arena *a, struct str bytes)
{
    char *text = arena_alloc(a, bytes.len / 3 * 4 + 8);

    EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)bytes.p, (int)bytes.len);
    return text;
}

/* False if it is no base64. */
static bool to_bytes(struct arena *a, const char *text, struct str *ret)
{
    size_t len = strlen(text);

    *ret = STR("");
    if (!len)
        return true;
    if (len > CONTENTS_MAX)
        return false;
    unsigned char *bytes = arena_alloc(a, len + 4);
    int n = EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)len);
    for (size_t i = len; n > 0 && i > 0 && i > len - 2 && text[i - 1] == '='; i--)
        n--; /* the block's padding counts as bytes there */
    if (n <= 0)
        return false;
    *ret = (struct str){ (const char *)bytes, (size_t)n };
    return true;
}

void vtpm_plan(struct call *c, const struct row *vm, struct vm_plan *plan)
{
    plan->vtpm = row_n_related(vm, F_VM_VTPMs) > 0;
    plan->tpm = STR("");
    if (plan->vtpm && !to_bytes(c->arena, contents_of(c->core, row_related(vm, F_VM_VTPMs, 0)), &plan->tpm))
        plan->tpm = STR("?"); /* refused by the TPM: a fresh one would lose the guest's keys without a word */
}

struct err *vtpm_on_keep(struct ipc_call *ic, struct vmevents_tpm_keep_req *req)
{
    struct core *c = ic->ctx;
    const struct row *vm = store_by_uuid(c->store, C_VM, req->vm);

    if (!vm || row_n_related(vm, F_VM_VTPMs) == 0)
        return NULL;
    struct tx *t = tx_begin(c->store);
    put_contents(c, t, arena_strdup(ic->arena, row_str(row_related(vm, F_VM_VTPMs, 0), F_VTPM_uuid)),
        to_text(ic->arena, req->memory));
    return tx_commit(t);
}

/* ---- coming and going ---- */

const char *vtpm_add(struct call *c, struct tx *t, const char *vm_ref, bool is_unique, const char *contents)
{
    char made[UUID_LEN + 1];

    uuid_make(made);
    const char *uuid = arena_strdup(c->arena, made);
    const struct tx_field fields[] = {
        { F_VTPM_uuid, value_str(uuid) },
        { F_VTPM_VM, value_str(vm_ref) },
        { F_VTPM_is_unique, value_bool(is_unique) },
    };
    if (*contents)
        put_contents(c->core, t, uuid, contents);
    return tx_create(t, C_VTPM, NULL, fields, ARRAY_LEN(fields));
}

void vtpm_copy(struct call *c, struct tx *t, const struct row *from_vm, const char *to_vm)
{
    for (size_t i = 0; i < row_n_related(from_vm, F_VM_VTPMs); i++) {
        const struct row *vtpm = row_related(from_vm, F_VM_VTPMs, i);
        bool unique = row_bool(vtpm, F_VTPM_is_unique);

        vtpm_add(c, t, to_vm, unique, unique ? "" : arena_strdup(c->arena, contents_of(c->core, vtpm)));
    }
}

void vtpm_remove(struct core *c, struct tx *t, const struct row *vtpm)
{
    const struct row *secret = store_by_uuid(c->store, C_secret, row_str(vtpm, F_VTPM_uuid));

    if (secret)
        tx_destroy(t, row_ref(secret));
    tx_destroy(t, row_ref(vtpm));
}

/* ---- the class ---- */

static struct err *check(struct core *c, const struct row *vtpm, const char *op)
{
    const struct row *vm = row_follow(c->store, vtpm, F_VTPM_VM);

    (void)op;
    TRY(ops_conflict(&vtpm_ops, vtpm));
    return vm ? vm_assert_at_rest(vm) : NULL;
}

static const char *const listed[] = { "destroy", NULL };
const struct op_class vtpm_ops = { .cls = C_VTPM,
    .allowed = F_VTPM_allowed_operations,
    .current = F_VTPM_current_operations,
    .listed = listed,
    .check = check };

static struct err *create(struct call *c, const struct VTPM_create_args *a, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };

    TRY(op_begin(c, &vm_ops, a->vM, "create_vtpm", &op));
    struct tx *t = tx_begin(c->core->store);
    *ret = value_str(arena_strdup(c->arena, vtpm_add(c, t, a->vM, a->is_unique, "")));
    return tx_commit(t);
}

static struct err *destroy(struct call *c, const struct VTPM_destroy_args *a, struct value *ret)
{
    AUTO(op_end) struct op op = { 0 };
    const struct row *vtpm = NULL;

    (void)ret;
    TRY(op_begin(c, &vtpm_ops, a->self, "destroy", &op));
    TRY(call_row(c, C_VTPM, a->self, &vtpm));
    const char *vm = arena_strdup(c->arena, row_str(vtpm, F_VTPM_VM));
    struct tx *t = tx_begin(c->core->store);
    vtpm_remove(c->core, t, vtpm);
    TRY(tx_commit(t));
    ops_refresh_vm(c->core, vm);
    return NULL;
}

static struct err *get_contents(struct call *c, const struct VTPM_get_contents_args *a, struct value *ret)
{
    const struct row *vtpm = NULL;

    TRY(call_row(c, C_VTPM, a->self, &vtpm));
    *ret = value_str(arena_strdup(c->arena, contents_of(c->core, vtpm)));
    return NULL;
}

static struct err *set_contents(struct call *c, const struct VTPM_set_contents_args *a, struct value *ret)
{
    const struct row *vtpm = NULL;
    struct str bytes;

    (void)ret;
    TRY(call_row(c, C_VTPM, a->self, &vtpm));
    TRY(check(c->core, vtpm, "destroy")); /* a TPM at work would write over it */
    if (!to_bytes(c->arena, a->contents, &bytes))
        return err_invalid_value("contents", "not base64");
    struct tx *t = tx_begin(c->core->store);
    put_contents(c->core, t, arena_strdup(c->arena, row_str(vtpm, F_VTPM_uuid)), a->contents);
    return tx_commit(t);
}

void vtpm_register(struct api_handlers *h)
{
    h->VTPM_create = create;
    h->VTPM_destroy = destroy;
    h->VTPM_get_contents = get_contents;
    h->VTPM_set_contents = set_contents;
}
