#include "store/test_backend.h"
#include <stdlib.h>
#include "base/map.h"
#include "base/mem.h"

struct test_row {
    char *class;
    uint64_t created;
    void *blob;
    size_t len;
};

struct test_backend {
    struct backend backend;
    struct test_disk *disk;
    int major, minor;
};

static struct test_disk *disk_of(struct backend *b)
{
    return CONTAINER_OF(b, struct test_backend, backend)->disk;
}

static void row_free(struct test_row *r)
{
    if (!r)
        return;
    free(r->class);
    free(r->blob);
    free(r);
}

static int by_creation(const void *a, const void *b)
{
    const struct backend_row *x = a, *y = b;

    return x->created < y->created ? -1 : x->created > y->created;
}

static struct err *load(struct backend *b, backend_row_fn *fn, void *arg, uint64_t *ret_gen)
{
    struct test_disk *d = disk_of(b);
    struct backend_row *rows = mem_new_array(map_len(d->rows), struct backend_row);
    struct err *e = NULL;
    size_t it = 0, n = 0;
    const char *ref;
    void *v;

    while (map_next(d->rows, &it, &ref, &v)) {
        struct test_row *r = v;
        rows[n++] = (struct backend_row){ ref, r->class, r->created, { r->blob, r->len } };
    }
    qsort(rows, n, sizeof(rows[0]), by_creation);
    for (size_t i = 0; i < n && !e; i++)
        e = fn(arg, &rows[i]);
    free(rows);
    *ret_gen = d->gen;
    return e;
}

static void apply(struct test_disk *d, const struct backend_change *c)
{
    struct test_row *r = NULL;

    if (!c->class) {
        row_free(map_remove(d->rows, c->ref));
        return;
    }
    r = mem_new(struct test_row);
    r->class = mem_strdup(c->class);
    r->created = c->created;
    r->blob = mem_dup(c->blob.p, c->blob.len);
    r->len = c->blob.len;
    row_free(map_put(d->rows, c->ref, r));
}

static struct err *commit(struct backend *b, const struct backend_change *changes, size_t n, uint64_t gen)
{
    struct test_backend *t = CONTAINER_OF(b, struct test_backend, backend);
    struct test_disk *d = t->disk;
    bool fail = d->fail_in > 0 && --d->fail_in == 0;

    d->n_commits++;
    if (fail && !d->fail_but_keep)
        return err_internal("told to fail");
    for (size_t i = 0; i < n; i++)
        apply(d, &changes[i]);
    d->largest = n > d->largest ? n : d->largest;
    d->gen = gen > d->gen ? gen : d->gen;
    d->major = t->major;
    d->minor = t->minor;
    return fail ? err_internal("told to fail") : NULL;
}

static struct err *schema(struct backend *b, int *ret_major, int *ret_minor)
{
    *ret_major = disk_of(b)->major;
    *ret_minor = disk_of(b)->minor;
    return NULL;
}

static void set_schema(struct backend *b, int major, int minor)
{
    CONTAINER_OF(b, struct test_backend, backend)->major = major;
    CONTAINER_OF(b, struct test_backend, backend)->minor = minor;
}

static void backend_free(struct backend *b)
{
    free(CONTAINER_OF(b, struct test_backend, backend));
}

struct backend *test_backend(struct test_disk *d)
{
    struct test_backend *t = mem_new(struct test_backend);

    t->disk = d;
    t->major = d->major;
    t->minor = d->minor;
    t->backend = (struct backend){ "test", load, commit, schema, set_schema, backend_free };
    return &t->backend;
}

void test_disk_init(struct test_disk *d)
{
    *d = (struct test_disk){ .rows = map_new() };
}

void test_disk_done(struct test_disk *d)
{
    const char *ref;
    void *v;
    size_t it = 0;

    while (map_next(d->rows, &it, &ref, &v))
        row_free(v);
    map_free(d->rows);
}

size_t test_disk_len(const struct test_disk *d)
{
    return map_len(d->rows);
}

bool test_disk_has(const struct test_disk *d, const char *ref)
{
    return map_get(d->rows, ref);
}
