/* How much a guest has: what its balloon leaves it, and its vCPUs. */
#include "base/str.h"
#include "gen/errors.h"
#include "hyper/qemu/private.h"
#include "hyper/qemu/qemu.h"

struct err *qemu_balloon_ask(struct qemu *q)
{
    AUTO(json_drop) json_t *value = NULL;
    struct err *e = qemu_call(q, "query-balloon", NULL, -1, &value);

    if (qmp_refused(e)) {
        err_ignore(e, "this guest has none");
        q->memory = 0;
        return NULL;
    }
    TRY(e);
    json_int_t actual = json_integer_value(json_object_get(value, "actual"));
    q->memory = actual > 0 ? (uint64_t)actual : 0;
    return NULL;
}

struct err *qemu_balloon(struct hyper_guest *g, uint64_t target)
{
    return qemu_call(qemu_of(g), "balloon", json_pack("{s:I}", "value", (json_int_t)target), -1, NULL);
}

/*
 * QEMU lists the places for vCPUs from the last to the first, those taken with
 * the path of what is in them. They are filled from the first, as -smp does: a
 * QEMU that is started with so many vCPUs then has the same ones, and memory
 * from here fits in.
 */
struct err *qemu_vcpus_add(struct hyper_guest *g, uint32_t count)
{
    struct qemu *q = qemu_of(g);
    AUTO(json_drop) json_t *places = NULL;

    TRY(qemu_call(q, "query-hotpluggable-cpus", NULL, -1, &places));
    size_t n = json_array_size(places);
    if (count > n)
        return err_internal("a machine with room for %zu vCPUs", n);
    for (size_t i = 0; i < count; i++) {
        json_t *place = json_array_get(places, n - 1 - i);

        if (json_object_get(place, "qom-path"))
            continue;
        json_t *args = json_pack("{s:s*, s:o}", "driver", json_string_value(json_object_get(place, "type")), "id",
            json_sprintf("vcpu%zu", i));
        json_object_update(args, json_object_get(place, "props"));
        TRY(qemu_call(q, "device_add", args, -1, NULL));
    }
    return NULL;
}
