#include <string.h>
#include "core/implicit.h"
#include "core/ops.h"

/* pool: of one host, so far. */

static struct err *check(struct core *c, const struct row *pool, const char *op)
{
    (void)c;
    (void)op;
    return ops_conflict(&pool_ops, pool);
}

static const char *const listed[] = { NULL };
const struct op_class pool_ops = { .cls = C_pool,
    .allowed = F_pool_allowed_operations,
    .current = F_pool_current_operations,
    .listed = listed,
    .check = check };

static struct err *set(struct call *c, const struct row *pool, const struct field *f, struct value *v, bool *ret_done)
{
    const struct row *sr = NULL;

    (void)pool;
    (void)ret_done;
    if ((f == F_pool_default_SR || f == F_pool_suspend_image_SR || f == F_pool_crash_dump_SR) && !ref_is_null(v->s))
        return call_row(c, C_SR, v->s, &sr);
    return NULL;
}

/* No licences: everything there is may be used. */
static struct err *get_license_state(struct call *c, const struct pool_get_license_state_args *a, struct value *ret)
{
    const struct row *pool = NULL;
    struct value *pairs = arena_new_array(c->arena, 4, struct value);

    TRY(call_row(c, C_pool, a->self, &pool));
    pairs[0] = value_str("edition");
    pairs[1] = value_str("free");
    pairs[2] = value_str("expiry");
    pairs[3] = value_str("never");
    *ret = value_map(pairs, 2);
    return NULL;
}

/* What guests' agents are to do: VMs find it from their next start on (vm_plan.c). */
static struct err *add_to_guest_agent_config(
    struct call *c, const struct pool_add_to_guest_agent_config_args *a, struct value *ret)
{
    const struct row *pool = NULL;

    (void)ret;
    TRY(call_row(c, C_pool, a->self, &pool));
    const struct value *config = row_get(pool, F_pool_guest_agent_config);
    if (value_map_get(config, a->key))
        return err_map_duplicate_key("pool", "guest_agent_config", a->self, a->key);
    return core_set(c->core, a->self, F_pool_guest_agent_config,
        value_map_with(c->arena, config, value_str(a->key), value_str(a->value)));
}

static struct err *remove_from_guest_agent_config(
    struct call *c, const struct pool_remove_from_guest_agent_config_args *a, struct value *ret)
{
    const struct row *pool = NULL;

    (void)ret;
    TRY(call_row(c, C_pool, a->self, &pool));
    return core_set(c->core, a->self, F_pool_guest_agent_config,
        value_map_without(c->arena, row_get(pool, F_pool_guest_agent_config), a->key));
}

/* Every commit is durable before it is answered: a flush finds nothing to do but to wait for those under way. */
static struct err *sync_database(struct call *c, const struct pool_sync_database_args *a, struct value *ret)
{
    (void)a;
    (void)ret;
    return store_wait_durable(c->core->store, store_gen(c->core->store));
}

static const struct class_hooks hooks = { .set = set };

void pool_register(struct api_handlers *h)
{
    class_hooks_set(C_pool, &hooks);
    h->pool_add_to_guest_agent_config = add_to_guest_agent_config;
    h->pool_remove_from_guest_agent_config = remove_from_guest_agent_config;
    h->pool_get_license_state = get_license_state;
    h->pool_sync_database = sync_database;
}
