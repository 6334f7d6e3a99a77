/* Guests that start with their host: other_config:auto_poweron of the VM and of the pool, in the order of VM.order. */
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "core/autostart.h"
#include "core/vm.h"

struct candidate {
    const char *ref;
    int64_t order;
};

static int by_order(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    int64_t p = x->order < 0 ? INT64_MAX : x->order,
            q = y->order < 0 ? INT64_MAX : y->order; /* negative ones come last */

    return (p > q) - (p < q);
}

static void start_all(void *arg)
{
    struct core *c = arg;
    AUTO(arena_drop) struct arena *a = arena_new();
    struct candidate *list = arena_new_array(a, store_count(c->store, C_VM) + 1, struct candidate);
    size_t n = 0;

    for (const struct row *vm = store_first(c->store, C_VM); vm; vm = store_next(vm))
        if (!row_bool(vm, F_VM_is_a_template) &&
            strcmp(row_map_str(vm, F_VM_other_config, "auto_poweron"), "true") == 0 &&
            strcmp(row_str(vm, F_VM_power_state), "Halted") == 0)
            list[n++] = (struct candidate){ arena_strdup(a, row_ref(vm)), row_int(vm, F_VM_order) };
    qsort(list, n, sizeof(*list), by_order);
    for (size_t i = 0; i < n; i++) {
        AUTO(arena_drop) struct arena *mine = arena_new();
        struct call call = { .core = c,
            .arena = mine,
            .task = "",
            .who = {
                .session = "", .root = true, .role = ROLE_LOCAL_ROOT, .user = "root", .sid = "", .originator = "" } };
        struct err *e = vm_start_here(&call, list[i].ref, false);

        log_info("guest starts with its host", F("vm", list[i].ref), F("error", e ? err_text(e) : NULL));
        err_free(e);
    }
}

void autostart(struct core *c)
{
    const struct row *pool = core_pool_row(c);

    if (pool && strcmp(row_map_str(pool, F_pool_other_config, "auto_poweron"), "true") == 0)
        fiber_start(c->loop, "autostart", start_all, c);
}
