#include "host/tpm.h"
#include <string.h>
#include "base/arena.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "gen/ipc_vmevents.h"

struct tpm {
    size_t len;
    char memory[];
};

struct tpms {
    struct ipc_peer *(*core)(void *ctx);
    void *ctx;
    struct map *waiting; /* VM's uuid -> struct tpm, owned */
    bool delivering;
    bool closed; /* the fiber frees */
};

struct tpms *tpms_new(struct ipc_peer *(*core)(void *ctx), void *ctx)
{
    struct tpms *t = mem_new(struct tpms);

    *t = (struct tpms){ .core = core, .ctx = ctx, .waiting = map_new() };
    return t;
}

void tpms_free(struct tpms *t)
{
    const char *vm;
    void *value;

    if (!t)
        return;
    t->closed = true;
    if (t->delivering)
        return;
    for (size_t it = 0; map_next(t->waiting, &it, &vm, &value);)
        free(value);
    map_free(t->waiting);
    free(t);
}

/* False: whatever it was, the next core is asked. */
static bool deliver(struct tpms *t, struct ipc_peer *core, const char *vm, const struct tpm *m)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(mem_drop) char *uuid = mem_strdup(vm);
    struct vmevents_tpm_keep_req req = { .vm = uuid, .memory = { m->memory, m->len } };
    struct err *e = vmevents_tpm_keep(core, a, &req);

    if (e) {
        log_err(LOG_WARN_, "memory of a TPM is not kept yet, told again to the next core", e);
        return false;
    }
    if (map_get(t->waiting, uuid) == m)
        free(map_remove(t->waiting, uuid));
    return true;
}

static void deliver_main(void *arg)
{
    struct tpms *t = arg;
    const char *vm;
    void *m;

    for (bool on = true; on && !t->closed;) {
        size_t it = 0;
        struct ipc_peer *core = t->core(t->ctx);

        on = core && map_next(t->waiting, &it, &vm, &m) && deliver(t, core, vm, m);
    }
    t->delivering = false;
    if (t->closed)
        tpms_free(t);
}

void tpms_deliver(struct tpms *t)
{
    struct ipc_peer *core = t->core(t->ctx);

    if (t->delivering || map_len(t->waiting) == 0 || !core)
        return;
    t->delivering = true;
    fiber_start(ipc_loop(core), "tpms", deliver_main, t);
}

void tpms_put(struct tpms *t, const char *vm, struct str memory)
{
    struct tpm *m = mem_alloc(sizeof(*m) + memory.len);

    m->len = memory.len;
    memcpy(m->memory, memory.p, memory.len);
    free(map_put(t->waiting, vm, m));
    tpms_deliver(t);
}

bool tpms_newest(const struct tpms *t, const char *vm, struct str *ret)
{
    const struct tpm *m = map_get(t->waiting, vm);

    if (m)
        *ret = (struct str){ m->memory, m->len };
    return m != NULL;
}
