/*
 * Random transactions against a model too simple to be wrong: a list of rows
 * with their stored refs, from which every derived set, index and feed is
 * worked out by looking at everything. Replay with STORE_SEED.
 */
#include "store/store.h"
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/map.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "base/vec.h"
#include "gen/model.h"
#include "store/test_backend.h"
#include "test.h"

#define N_REFS 24
#define N_STEPS 4000

struct naive_row {
    bool exists;
    int class;     /* 0 VM, 1 VBD, 2 VM_group */
    int one;       /* VBD.VM or VM.parent: ref number, -1 none */
    unsigned many; /* VM.groups: bits of ref numbers */
    int name;      /* VM name_label */
};

struct naive {
    struct naive_row rows[N_REFS];
};

static uint64_t seed_state;

static uint32_t rnd(uint32_t n)
{
    seed_state ^= seed_state << 13;
    seed_state ^= seed_state >> 7;
    seed_state ^= seed_state << 17;
    return (uint32_t)(seed_state >> 33) % n;
}

static const struct model_class *class_of(int c)
{
    return c == 0 ? C_VM : c == 1 ? C_VBD : C_VM_group;
}

static const char *ref_name(int i)
{
    static char names[N_REFS][16];

    snprintf(names[i], sizeof(names[i]), "r%d", i);
    return names[i];
}

static struct value one_value(int one)
{
    return value_str(one < 0 ? "OpaqueRef:NULL" : ref_name(one));
}

static struct value many_value(struct arena *a, unsigned many)
{
    struct value *v = arena_new_array(a, N_REFS, struct value);
    size_t n = 0;

    for (int i = 0; i < N_REFS; i++)
        if (many >> i & 1)
            v[n++] = value_str(ref_name(i));
    return value_set(v, n);
}

static struct value name_value(int name)
{
    return value_str(name == 0 ? "zero" : name == 1 ? "one" : "two");
}

static void naive_destroy(struct naive *m, int i)
{
    for (int k = 0; k < N_REFS; k++) {
        struct naive_row *r = &m->rows[k];
        if (!r->exists)
            continue;
        /* only relations whose target is of the right class let go */
        if (r->one == i && r->class < 2 && m->rows[i].class == 0)
            r->one = -1;
        if (r->class == 0 && m->rows[i].class == 2)
            r->many &= ~(1u << i);
    }
    m->rows[i].exists = false;
}

static void random_create(struct naive *m, struct tx *t, struct arena *a, int i)
{
    struct naive_row r = { true, (int)rnd(3), (int)rnd(N_REFS + 4) - 4, 0, (int)rnd(3) };
    struct tx_field f[4];
    size_t n = 0;

    if (r.one < 0)
        r.one = -1;
    r.many =
        r.class == 0 ? 1u << rnd(N_REFS) | 1u << rnd(N_REFS) : 0; /* NOLINT(misc-redundant-expression): two draws */
    if (r.class == 0) {
        f[n++] = (struct tx_field){ F_VM_parent, one_value(r.one) };
        f[n++] = (struct tx_field){ F_VM_groups, many_value(a, r.many) };
        f[n++] = (struct tx_field){ F_VM_name_label, name_value(r.name) };
    } else if (r.class == 1) {
        f[n++] = (struct tx_field){ F_VBD_VM, one_value(r.one) };
    } else {
        r.one = -1;
    }
    tx_create(t, class_of(r.class), ref_name(i), f, n);
    m->rows[i] = r;
}

static void random_set(struct naive *m, struct tx *t, struct arena *a, int i)
{
    struct naive_row *r = &m->rows[i];
    int one = (int)rnd(N_REFS + 4) - 4;

    one = one < 0 ? -1 : one;
    if (r->class == 1) {
        r->one = one;
        tx_set(t, ref_name(i), F_VBD_VM, one_value(one));
    } else if (r->class == 0 && rnd(2)) {
        r->one = one;
        tx_set(t, ref_name(i), F_VM_parent, one_value(one));
    } else if (r->class == 0) {
        r->many = rnd(1u << 30) & rnd(1u << 30) & ((1u << N_REFS) - 1); /* NOLINT(misc-redundant-expression) */
        r->name = (int)rnd(3);
        tx_set(t, ref_name(i), F_VM_groups, many_value(a, r->many));
        tx_set(t, ref_name(i), F_VM_name_label, name_value(r->name));
    }
}

static void random_op(struct naive *m, struct tx *t, struct arena *a)
{
    int i = (int)rnd(N_REFS);

    if (!m->rows[i].exists) {
        random_create(m, t, a, i);
    } else if (rnd(4) == 0) {
        tx_destroy(t, ref_name(i));
        naive_destroy(m, i);
    } else {
        random_set(m, t, a, i);
    }
}

static int n_expected(const struct naive *m, int target, int class, bool many)
{
    int n = 0;

    for (int i = 0; i < N_REFS; i++) {
        const struct naive_row *r = &m->rows[i];
        if (r->exists && r->class == class)
            n += many ? (int)(r->many >> target & 1) : r->one == target;
    }
    return n;
}

static void check_set(const struct naive *m, const struct row *r, const struct field *f, int i, int class, bool many)
{
    CHECK_INT(row_n_related(r, f), n_expected(m, i, class, many));
    for (size_t k = 0; k < row_n_related(r, f); k++) {
        const struct naive_row *from = &m->rows[strtoul(row_ref(row_related(r, f, k)) + 1, NULL, 10)];
        CHECK(from->exists && from->class == class);
        CHECK(many ? from->many >> i & 1 : from->one == i);
    }
}

static void check_row(const struct naive *m, struct store *s, struct arena *a, int i)
{
    const struct naive_row *n = &m->rows[i];
    const struct row *r = store_find(s, ref_name(i));
    struct value many;

    CHECK(n->exists == (r != NULL));
    if (!r)
        return;
    CHECK(row_class(r) == class_of(n->class));
    if (n->class == 1)
        CHECK_STR(row_str(r, F_VBD_VM), one_value(n->one).s);
    if (n->class == 2)
        check_set(m, r, F_VM_group_VMs, i, 0, true);
    if (n->class != 0)
        return;
    CHECK_STR(row_str(r, F_VM_parent), one_value(n->one).s);
    many = many_value(a, n->many);
    CHECK(value_eq(row_get(r, F_VM_groups), &many));
    CHECK_STR(row_str(r, F_VM_name_label), name_value(n->name).s);
    check_set(m, r, F_VM_children, i, 0, false);
    check_set(m, r, F_VM_VBDs, i, 1, false);
}

static void check_shelves(const struct naive *m, struct store *s, struct arena *a)
{
    size_t n[3] = { 0 }, named[3] = { 0 };
    const struct row **rows;

    for (int i = 0; i < N_REFS; i++) {
        n[m->rows[i].class] += m->rows[i].exists;
        if (m->rows[i].exists && m->rows[i].class == 0)
            named[m->rows[i].name]++;
    }
    for (int c = 0; c < 3; c++) {
        uint64_t last = 0;
        size_t seen = 0;
        for (const struct row *r = store_first(s, class_of(c)); r; r = store_next(r), seen++) {
            CHECK(row_created(r) >= last);
            last = row_created(r);
        }
        CHECK_INT(seen, n[c]);
        CHECK_INT(store_count(s, class_of(c)), n[c]);
        CHECK_INT(store_by_name(s, C_VM, name_value(c).s, a, &rows), named[c]);
    }
}

static void check_all(const struct naive *m, struct store *s)
{
    AUTO(arena_drop) struct arena *a = arena_new();

    for (int i = 0; i < N_REFS; i++)
        check_row(m, s, a, i);
    check_shelves(m, s, a);
}

/* A follower that knows the store by its feed only. */
struct follower {
    struct map *known; /* ref -> class */
    uint64_t since;
};

static void follow(void *arg, const struct change_info *c)
{
    struct follower *f = arg;
    void *known = map_get(f->known, c->ref);

    if (c->what == CHANGE_ADD)
        CHECK(!known);
    else
        CHECK(known == c->class);
    if (c->what == CHANGE_DEL)
        map_remove(f->known, c->ref);
    else
        map_put(f->known, c->ref, (void *)(uintptr_t)c->class);
}

static void check_follower(struct follower *f, const struct naive *m, struct store *s)
{
    size_t n = 0;

    store_changes(s, f->since, follow, f);
    f->since = store_gen(s);
    for (int i = 0; i < N_REFS; i++)
        n += m->rows[i].exists;
    CHECK_INT(map_len(f->known), n);
}

static void seed_from_environment(void)
{
    const char *text = getenv("STORE_SEED");

    seed_state = text ? strtoull(text, NULL, 0) : 0x9e3779b97f4a7c15;
}

TEST(random_transactions_keep_relations_and_indexes_true)
{
    struct store *s = NULL;
    struct naive m = { 0 };
    struct follower often = { map_new(), 0 }, rare = { map_new(), 0 };

    seed_from_environment();
    CHECK_OK(store_open(NULL, NULL, NULL, &s));
    for (int step = 0; step < N_STEPS; step++) {
        AUTO(arena_drop) struct arena *a = arena_new();
        struct naive before = m;
        struct tx *t = tx_begin(s);
        uint64_t gen;

        for (uint32_t n = 1 + rnd(6); n > 0; n--)
            random_op(&m, t, a);
        if (rnd(8) == 0) {
            tx_set(t, "nobody", F_VM_name_label, value_str(""));
            CHECK_ERR(tx_apply(t, &gen), "HANDLE_INVALID");
            m = before;
        } else {
            CHECK_OK(tx_apply(t, &gen));
        }
        check_all(&m, s);
        check_follower(&often, &m, s);
        if (rnd(16) == 0)
            check_follower(&rare, &m, s);
    }
    map_free(often.known);
    map_free(rare.known);
    store_close(s);
}

TEST_FIBER(refused_commits_leave_the_store_as_after_the_last_good_one)
{
    struct test_disk d;
    struct store *s = NULL;
    struct naive m = { 0 };
    struct follower safe = { map_new(), 0 }, eager = { map_new(), 0 };

    seed_from_environment();
    test_disk_init(&d);
    CHECK_OK(store_open(loop, test_backend(&d), NULL, &s));
    for (int step = 0; step < 600; step++) {
        AUTO(arena_drop) struct arena *a = arena_new();
        struct naive before = m;
        uint64_t gen = 0;
        struct err *e;

        d.fail_in = rnd(3) == 0;
        d.fail_but_keep = rnd(2);
        for (uint32_t k = 1 + rnd(3); k > 0; k--) {
            struct tx *t = tx_begin(s);
            for (uint32_t n = 1 + rnd(4); n > 0; n--)
                random_op(&m, t, a);
            CHECK_OK(tx_apply(t, &gen));
            if (rnd(2))
                check_follower(&eager, &m, s);
        }
        e = store_wait_durable(s, gen);
        if (e)
            m = before;
        err_free(e);
        check_all(&m, s);
        check_follower(&safe, &m, s);
        check_follower(&eager, &m, s);
    }
    d.fail_in = 0; /* one good commit puts right what the last bad one may have left */
    struct tx *t = tx_begin(s);
    tx_create(t, C_SR, NULL, NULL, 0);
    CHECK_OK(tx_commit(t));
    CHECK_INT(store_stats(s).failed, 0);
    store_close(s);
    CHECK_OK(store_open(loop, test_backend(&d), NULL, &s));
    check_all(&m, s);
    store_close(s);
    map_free(safe.known);
    map_free(eager.known);
    test_disk_done(&d);
}
