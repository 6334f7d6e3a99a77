/*
 * Rows of a damaged database: a store that opens on them must answer for every
 * field of every row. Input: per row its class, the length of its blob, the blob.
 */
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "gen/model.h"
#include "model/query.h"
#include "model/wire.h"
#include "store/backend.h"
#include "store/store.h"
#include "store/upgrade.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct disk {
    struct backend backend;
    const uint8_t *data;
    size_t len;
};

static struct err *disk_load(struct backend *b, backend_row_fn *fn, void *arg, uint64_t *ret_gen)
{
    struct disk *d = CONTAINER_OF(b, struct disk, backend);
    char ref[32];

    for (size_t at = 0, n = 0; at + 3 <= d->len && n < 64; n++) {
        size_t len = d->data[at + 1] | (size_t)d->data[at + 2] << 8;
        const struct model_class *c = model_class(d->data[at] % model_n_classes());
        char *blob;
        struct err *e;

        at += 3;
        len = len > d->len - at ? d->len - at : len;
        blob = mem_dup(d->data + at, len);
        snprintf(ref, sizeof(ref), "OpaqueRef:%zu", n);
        e = fn(arg, &(struct backend_row){ ref, c->name, n + 1, { blob, len } });
        free(blob);
        TRY(e);
        at += len;
        *ret_gen = n + 1;
    }
    return NULL;
}

static struct err *disk_commit(struct backend *b, const struct backend_change *changes, size_t n, uint64_t gen)
{
    (void)b;
    (void)changes;
    (void)n;
    (void)gen;
    return NULL;
}

static struct err *disk_schema(struct backend *b, int *ret_major, int *ret_minor)
{
    (void)b;
    *ret_major = upgrade_plan_current()->major;
    *ret_minor = upgrade_plan_current()->minor;
    return NULL;
}

static void disk_set_schema(struct backend *b, int major, int minor)
{
    (void)b;
    (void)major;
    (void)minor;
}

static void disk_free(struct backend *b)
{
    free(CONTAINER_OF(b, struct disk, backend));
}

static struct backend *disk_new(const uint8_t *data, size_t len)
{
    struct disk *d = mem_new(struct disk);

    d->backend = (struct backend){ "fuzz", disk_load, disk_commit, disk_schema, disk_set_schema, disk_free };
    d->data = data;
    d->len = len;
    return &d->backend;
}

static void read_all(const struct store *s)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < model_n_classes(); i++) {
        const struct model_class *c = model_class(i);

        for (const struct row *r = store_first(s, c); r; r = store_next(r)) {
            AUTO(arena_drop) struct arena *a = arena_new();

            for (size_t f = 0; f < c->n_fields; f++) {
                struct value v = row_value(a, r, c->fields[f]);

                wire_value(&b, ENVELOPE_XMLRPC, c->fields[f]->type, &v);
                query_text(&b, &v);
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct loop *l = loop_new_simulated(0);
    struct store *s = NULL;
    struct err *e = store_open(l, disk_new(data, len), NULL, &s);

    if (!e) {
        read_all(s);
        store_close(s);
    }
    err_ignore(e, "a damaged row is told as such");
    loop_free(l);
    return 0;
}
