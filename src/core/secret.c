#include "base/uuid.h"
#include "core/call.h"

static struct err *introduce(struct call *c, const struct secret_introduce_args *a, struct value *ret)
{
    if (!uuid_valid(a->uuid))
        return err_uuid_invalid("secret", a->uuid);
    if (store_by_uuid(c->core->store, C_secret, a->uuid))
        return err_uuid_invalid("secret", a->uuid);
    const struct tx_field fields[] = {
        { F_secret_uuid, value_str(a->uuid) },
        { F_secret_value, value_str(a->value) },
        { F_secret_other_config, *a->other_config },
    };
    struct tx *t = tx_begin(c->core->store);
    *ret = value_str(arena_strdup(c->arena, tx_create(t, C_secret, NULL, fields, ARRAY_LEN(fields))));
    return tx_commit(t);
}

void secret_register(struct api_handlers *h)
{
    h->secret_introduce = introduce;
}
