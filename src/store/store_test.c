#include "store/store.h"
#include <string.h>
#include "base/buf.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "gen/model.h"
#include "store/backend.h"
#include "store/test_backend.h"
#include "store/upgrade.h"
#include "test.h"

#define FIELD(f, v) ((struct tx_field){ (f), (v) })

static struct store *memory(void)
{
    struct store *s = NULL;

    CHECK_OK(store_open(NULL, NULL, NULL, &s));
    return s;
}

static void commit_row(
    struct store *s, const struct model_class *c, const char *ref, const struct field *f, const char *v)
{
    struct tx *t = tx_begin(s);

    tx_create(t, c, ref, &FIELD(f, value_str(v)), f ? 1 : 0);
    CHECK_OK(tx_commit(t));
}

static struct err *commit_set(struct store *s, const char *ref, const struct field *f, struct value v)
{
    struct tx *t = tx_begin(s);

    tx_set(t, ref, f, v);
    return tx_commit(t);
}

static struct err *commit_destroy(struct store *s, const char *ref)
{
    struct tx *t = tx_begin(s);

    tx_destroy(t, ref);
    return tx_commit(t);
}

/* What a feed says, as text: "+VM:a *VBD:b -VDI:c". */
static void say(void *arg, const struct change_info *c)
{
    buf_printf(arg, "%s%c%s:%s", ((struct buf *)arg)->len ? " " : "", "+*-"[c->what], c -> class -> name, c -> ref);
}

static void check_feed(const struct store *s, uint64_t since, const char *expect)
{
    struct buf b;

    buf_init(&b, 4096);
    store_changes(s, since, say, &b);
    CHECK_STR(b.p ? b.p : "", expect);
    buf_done(&b);
}

TEST(new_row_has_defaults_a_uuid_and_is_found_by_all_its_names)
{
    struct store *s = memory();
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct row **rows;
    struct tx *t = tx_begin(s);
    const char *ref = tx_create(t, C_VM, NULL, &FIELD(F_VM_name_label, value_str("web")), 1);
    struct value seen = tx_get(t, a, ref, F_VM_name_label);

    CHECK_STR(seen.s, "web");
    CHECK(tx_exists(t, ref));
    CHECK(!store_find(s, ref)); /* not before it is applied */
    CHECK_OK(tx_commit(t));

    const struct row *r = store_find_of(s, C_VM, ref);
    CHECK(r);
    CHECK(row_class(r) == C_VM);
    CHECK(!store_find_of(s, C_VBD, ref));
    CHECK_INT(strlen(row_str(r, F_VM_uuid)), 36);
    CHECK(store_by_uuid(s, C_VM, row_str(r, F_VM_uuid)) == r);
    CHECK_INT(store_by_name(s, C_VM, "web", a, &rows), 1);
    CHECK(rows[0] == r);
    CHECK_STR(row_str(r, F_VM_resident_on), "OpaqueRef:NULL");
    CHECK(!row_follow(s, r, F_VM_resident_on));
    CHECK_INT(store_count(s, C_VM), 1);
    CHECK(store_first(s, C_VM) == r);
    CHECK(!store_next(r));

    CHECK_OK(commit_set(s, ref, F_VM_name_label, value_str("db")));
    CHECK_INT(store_by_name(s, C_VM, "web", a, &rows), 0);
    CHECK_INT(store_by_name(s, C_VM, "db", a, &rows), 1);
    store_close(s);
}

TEST(relation_is_kept_on_both_sides)
{
    struct store *s = memory();

    commit_row(s, C_VBD, "b1", F_VBD_VM, "v1"); /* before its VM exists */
    commit_row(s, C_VM, "v1", NULL, NULL);
    commit_row(s, C_VBD, "b2", F_VBD_VM, "v1");
    const struct row *vm = store_find(s, "v1");
    CHECK_INT(row_n_related(vm, F_VM_VBDs), 2);
    CHECK_STR(row_ref(row_related(vm, F_VM_VBDs, 0)), "b1");

    CHECK_OK(commit_set(s, "b1", F_VBD_VM, value_str("OpaqueRef:NULL")));
    CHECK_INT(row_n_related(vm, F_VM_VBDs), 1);
    CHECK_OK(commit_destroy(s, "v1"));
    CHECK_STR(row_str(store_find(s, "b2"), F_VBD_VM), "OpaqueRef:NULL");
    CHECK_OK(commit_destroy(s, "b2"));
    store_close(s);
}

TEST(many_to_many_and_self_relations_follow)
{
    struct store *s = memory();
    struct value role = value_str("r1");
    struct value both[] = { value_str("g1"), value_str("g2") };

    commit_row(s, C_VM_group, "g1", NULL, NULL);
    commit_row(s, C_VM, "v1", NULL, NULL);
    CHECK_OK(commit_set(s, "v1", F_VM_groups, value_set(both, 2)));
    CHECK_INT(row_n_related(store_find(s, "g1"), F_VM_group_VMs), 1);
    commit_row(s, C_VM_group, "g2", NULL, NULL);
    CHECK_INT(row_n_related(store_find(s, "g2"), F_VM_group_VMs), 1);
    CHECK_OK(commit_destroy(s, "g1"));
    CHECK_INT(row_get(store_find(s, "v1"), F_VM_groups)->n, 1);

    CHECK_OK(commit_set(s, "v1", F_VM_parent, value_str("v1"))); /* its own parent */
    CHECK_INT(row_n_related(store_find(s, "v1"), F_VM_children), 1);
    commit_row(s, C_VM, "v2", F_VM_parent, "v1");
    CHECK_INT(row_n_related(store_find(s, "v1"), F_VM_children), 2);
    CHECK_OK(commit_destroy(s, "v1"));
    CHECK_STR(row_str(store_find(s, "v2"), F_VM_parent), "OpaqueRef:NULL");

    commit_row(s, C_role, "r1", NULL, NULL);
    commit_row(s, C_subject, "s1", NULL, NULL);
    CHECK_OK(commit_set(s, "s1", F_subject_roles, value_set(&role, 1)));
    CHECK_INT(row_get(store_find(s, "s1"), F_subject_roles)->n, 1);
    store_close(s);
}

TEST(failing_transaction_leaves_nothing)
{
    struct store *s = memory();
    struct tx *t;
    uint64_t gen, before;

    commit_row(s, C_VM, "v1", F_VM_uuid, "u1");
    before = store_gen(s);

    t = tx_begin(s);
    tx_set(t, "v1", F_VM_name_label, value_str("changed"));
    tx_create(t, C_VBD, "b1", &FIELD(F_VBD_VM, value_str("v1")), 1);
    tx_destroy(t, "nobody");
    CHECK_ERR(tx_apply(t, &gen), "HANDLE_INVALID");
    CHECK_STR(row_str(store_find(s, "v1"), F_VM_name_label), "");
    CHECK(!store_find(s, "b1"));
    CHECK_INT(row_n_related(store_find(s, "v1"), F_VM_VBDs), 0);
    CHECK_INT(store_gen(s), before);
    check_feed(s, before, "");

    t = tx_begin(s);
    tx_create(t, C_VM, "v2", &FIELD(F_VM_uuid, value_str("u1")), 1);
    CHECK_ERR(tx_apply(t, &gen), "DB_UNIQUENESS_CONSTRAINT_VIOLATION");
    t = tx_begin(s);
    tx_create(t, C_VM, "v1", NULL, 0);
    CHECK_ERR(tx_apply(t, &gen), "DB_UNIQUENESS_CONSTRAINT_VIOLATION");
    t = tx_begin(s);
    tx_set(t, "v1", F_VBD_device, value_str("xvda"));
    CHECK_ERR(tx_apply(t, &gen), "HANDLE_INVALID");
    t = tx_begin(s);
    tx_set(t, "v1", F_VM_VBDs, value_set(NULL, 0));
    CHECK_ERR(tx_apply(t, &gen), "INTERNAL_ERROR");
    t = tx_begin(s);
    tx_set(t, "v1", F_VM_memory_static_max, value_str("1024")); /* the wrong kind */
    CHECK_ERR(tx_apply(t, &gen), "INTERNAL_ERROR");

    t = tx_begin(s);
    tx_destroy(t, "v1"); /* abandoned */
    CHECK(!tx_exists(t, "v1"));
    tx_free(t);
    CHECK(store_find(s, "v1"));
    store_close(s);
}

TEST(transaction_reads_what_it_wrote)
{
    struct store *s = memory();
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value v;

    commit_row(s, C_VM, "v1", NULL, NULL);
    commit_row(s, C_VBD, "b1", F_VBD_VM, "v1");
    struct tx *t = tx_begin(s);
    tx_create(t, C_VBD, "b2", &FIELD(F_VBD_VM, value_str("v1")), 1);
    tx_set(t, "b2", F_VBD_device, value_str("xvdb"));
    v = tx_get(t, a, "b2", F_VBD_device);
    CHECK_STR(v.s, "xvdb");
    v = tx_get(t, a, "v1", F_VM_VBDs);
    CHECK_INT(v.n, 2);
    tx_destroy(t, "b1");
    v = tx_get(t, a, "v1", F_VM_VBDs);
    CHECK_INT(v.n, 1);
    CHECK_STR(v.items[0].s, "b2");
    tx_destroy(t, "v1");
    v = tx_get(t, a, "b2", F_VBD_VM);
    CHECK_STR(v.s, "OpaqueRef:NULL");
    v = tx_get(t, a, "b1", F_VBD_VM);
    CHECK_INT(v.kind, V_NIL);
    CHECK_OK(tx_commit(t));
    CHECK_INT(store_count(s, C_VBD), 1);
    store_close(s);
}

TEST(feed_tells_each_object_once_and_in_order)
{
    struct store *s = memory();
    uint64_t start = store_gen(s), middle;

    commit_row(s, C_VM, "v1", NULL, NULL);
    commit_row(s, C_VM, "v2", NULL, NULL);
    check_feed(s, start, "+VM:v1 +VM:v2");
    CHECK_OK(commit_set(s, "v1", F_VM_name_label, value_str("a")));
    check_feed(s, start, "+VM:v2 +VM:v1");
    middle = store_gen(s);
    CHECK_OK(commit_set(s, "v1", F_VM_name_label, value_str("a"))); /* equal: no change */
    check_feed(s, middle, "");
    CHECK_INT(store_gen(s), middle);

    commit_row(s, C_VBD, "b1", F_VBD_VM, "v2"); /* changes the VM too */
    check_feed(s, middle, "+VBD:b1 *VM:v2");
    CHECK_OK(commit_destroy(s, "b1"));
    check_feed(s, middle, "*VM:v2"); /* came and went in between */
    CHECK_OK(commit_destroy(s, "v1"));
    check_feed(s, middle, "*VM:v2 -VM:v1");
    check_feed(s, start, "+VM:v2");
    check_feed(s, 0, "+VM:v2");

    struct tx *t = tx_begin(s);
    middle = store_gen(s);
    tx_touch(t, "v2");
    CHECK_OK(tx_commit(t));
    check_feed(s, middle, "*VM:v2");
    store_close(s);
}

TEST(graves_are_bounded_and_the_feed_says_how_far_back_it_goes)
{
    struct store *s = memory();
    uint64_t start = store_gen(s);
    char ref[32];

    commit_row(s, C_VM, "v0", NULL, NULL);
    CHECK_OK(commit_destroy(s, "v0"));
    CHECK_INT(store_gen_oldest(s), start);
    for (int i = 0; i < 16384; i++) {
        snprintf(ref, sizeof(ref), "t%d", i);
        commit_row(s, C_task, ref, NULL, NULL);
        CHECK_OK(commit_destroy(s, ref));
    }
    CHECK_INT(store_gen_oldest(s), start + 2);
    check_feed(s, start + 2, "");
    check_feed(s, start + 3, "-task:t0");
    store_close(s);
}

static struct store *open_on(struct loop *l, struct test_disk *d, struct test_disk *f)
{
    struct store *s = NULL;

    CHECK_OK(store_open(l, d ? test_backend(d) : NULL, f ? test_backend(f) : NULL, &s));
    return s;
}

TEST_FIBER(rows_outlive_the_store)
{
    struct test_disk d, f;
    test_disk_init(&d);
    test_disk_init(&f);
    struct store *s = open_on(loop, &d, &f);
    uint64_t gen;

    commit_row(s, C_VM, "v1", F_VM_name_label, "web");
    commit_row(s, C_VBD, "b1", F_VBD_VM, "v1");
    CHECK(!F_VM_current_operations->persist);
    struct value ops[] = { value_str("OpaqueRef:t"), value_str("start") };
    CHECK_OK(commit_set(s, "v1", F_VM_current_operations, value_map(ops, 1)));
    commit_row(s, C_session, "s1", NULL, NULL);
    CHECK(!C_session->persist);
    fiber_sleep(1000000); /* fleeting data is not waited for */
    CHECK(!test_disk_has(&d, "s1"));
    CHECK(test_disk_has(&f, "s1"));
    gen = store_gen(s);
    store_close(s);

    s = open_on(loop, &d, &f);
    CHECK(store_gen(s) > gen);
    CHECK_INT(store_gen_oldest(s), store_gen(s));
    CHECK_STR(row_str(store_find(s, "v1"), F_VM_name_label), "web");
    CHECK_INT(row_get(store_find(s, "v1"), F_VM_current_operations)->n, 1);
    CHECK_INT(row_n_related(store_find(s, "v1"), F_VM_VBDs), 1);
    CHECK(store_find(s, "s1"));
    gen = store_gen(s);
    store_close(s);

    struct test_disk empty;
    test_disk_init(&empty); /* the host was restarted: no fleeting part */
    s = open_on(loop, &d, &empty);
    CHECK(store_gen(s) > gen);
    CHECK(!store_find(s, "s1"));
    CHECK_INT(row_get(store_find(s, "v1"), F_VM_current_operations)->n, 0);
    store_close(s);

    struct test_disk none;
    test_disk_init(&none); /* fleeting parts whose row is gone are dropped */
    s = open_on(loop, &none, &f);
    CHECK(!store_find(s, "v1"));
    CHECK(store_find(s, "s1"));
    CHECK(!test_disk_has(&f, "v1"));
    store_close(s);
    test_disk_done(&d);
    test_disk_done(&f);
    test_disk_done(&empty);
    test_disk_done(&none);
}

TEST_FIBER(row_of_every_class_comes_back_as_it_was)
{
    struct test_disk d, f;
    test_disk_init(&d);
    test_disk_init(&f);
    struct store *s = open_on(loop, &d, &f), *again;
    AUTO(arena_drop) struct arena *a = arena_new();

    for (size_t i = 0; i < model_n_classes(); i++)
        commit_row(s, model_class(i), model_class(i)->name, NULL, NULL);
    fiber_sleep(1000000);
    again = open_on(loop, &d, &f);
    for (size_t i = 0; i < model_n_classes(); i++) {
        const struct model_class *c = model_class(i);
        const struct row *r = store_find_of(s, c, c->name), *back = store_find_of(again, c, c->name);
        CHECK(r && back);
        CHECK_INT(row_created(back), row_created(r));
        for (size_t k = 0; k < c->n_fields; k++) {
            struct value v = row_value(a, r, c->fields[k]), w = row_value(a, back, c->fields[k]);
            CHECK(value_eq(&v, &w));
            if (c->fields[k]->relation == REL_DERIVED)
                CHECK(c->fields[k]->other && c->fields[k]->other->other == c->fields[k]);
            else /* a default of the wrong kind would not be let in */
                CHECK_OK(commit_set(s, c->name, c->fields[k], v));
        }
    }
    store_close(s);
    store_close(again);
    test_disk_done(&d);
    test_disk_done(&f);
}

struct writer {
    struct store *store;
    int i, *n_done;
    struct err *err;
};

static void write_one(void *arg)
{
    struct writer *w = arg;
    struct tx *t = tx_begin(w->store);
    char ref[32];

    snprintf(ref, sizeof(ref), "v%d", w->i);
    tx_create(t, C_VM, ref, NULL, 0);
    w->err = tx_commit(t);
    ++*w->n_done;
}

static void write_many(struct loop *loop, struct store *s, struct writer *w, int n)
{
    int n_done = 0;

    for (int i = 0; i < n; i++) {
        w[i] = (struct writer){ s, i, &n_done, NULL };
        fiber_start(loop, "writer", write_one, &w[i]);
    }
    while (n_done < n)
        fiber_sleep(1000);
}

TEST_FIBER(writers_that_come_together_share_a_commit)
{
    struct test_disk d;
    test_disk_init(&d);
    struct store *s = open_on(loop, &d, NULL);
    struct writer w[100];

    write_many(loop, s, w, 100);
    for (int i = 0; i < 100; i++)
        CHECK_OK(w[i].err);
    CHECK_INT(test_disk_len(&d), 100);
    CHECK_INT(store_stats(s).txs, 100);
    CHECK(store_stats(s).commits <= 4);
    CHECK_INT(store_gen_durable(s), store_gen(s));
    store_close(s);
    test_disk_done(&d);
}

TEST_FIBER(refused_commit_is_rolled_back_and_told)
{
    struct test_disk d;
    test_disk_init(&d);
    struct store *s = open_on(loop, &d, NULL);
    uint64_t before, seen, gen;
    struct tx *t;

    commit_row(s, C_VM, "v1", F_VM_name_label, "old");
    commit_row(s, C_VM, "gone", F_VM_name_label, "x");
    commit_row(s, C_VBD, "b1", F_VBD_VM, "gone");
    before = store_gen(s);

    d.fail_in = 1;
    t = tx_begin(s);
    tx_set(t, "v1", F_VM_name_label, value_str("new"));
    tx_create(t, C_VM, "v2", NULL, 0);
    CHECK_OK(tx_apply(t, &gen));
    t = tx_begin(s);
    tx_destroy(t, "gone");
    tx_set(t, "v1", F_VM_name_label, value_str("newer"));
    CHECK_OK(tx_apply(t, &seen));
    commit_row(s, C_session, "s1", NULL, NULL); /* fleeting: stands */
    CHECK_ERR(store_wait_durable(s, seen), "INTERNAL_ERROR");
    CHECK_ERR(store_wait_durable(s, gen), "INTERNAL_ERROR"); /* also when asked late */
    CHECK_OK(store_wait_durable(s, before));
    CHECK_OK(store_wait_durable(s, store_gen(s)));

    CHECK_STR(row_str(store_find(s, "v1"), F_VM_name_label), "old");
    CHECK(!store_find(s, "v2"));
    CHECK(store_find(s, "gone"));
    CHECK(store_find(s, "s1"));
    CHECK_STR(row_str(store_find(s, "b1"), F_VBD_VM), "gone");
    CHECK_INT(row_n_related(store_find(s, "gone"), F_VM_VBDs), 1);
    CHECK(store_gen(s) > seen);
    /* who saw the transactions hears of the way back; who did not hears nothing wrong */
    check_feed(s, seen, "+session:s1 -VM:v2 *VM:v1 +VM:gone *VBD:b1");
    check_feed(s, before, "+session:s1 *VM:v1 *VM:gone *VBD:b1");

    CHECK_OK(commit_set(s, "v1", F_VM_name_label, value_str("good")));
    CHECK_INT(test_disk_len(&d), 3);
    store_close(s);
    test_disk_done(&d);
}

TEST_FIBER(commit_of_unknown_outcome_is_put_right_by_the_next)
{
    struct test_disk d;
    test_disk_init(&d);
    struct store *s = open_on(loop, &d, NULL);

    d.fail_in = 1;
    d.fail_but_keep = true;
    struct tx *t = tx_begin(s);
    tx_create(t, C_VM, "v1", NULL, 0);
    CHECK_ERR(tx_commit(t), "INTERNAL_ERROR");
    CHECK(!store_find(s, "v1"));
    CHECK(test_disk_has(&d, "v1"));
    commit_row(s, C_VM, "v2", NULL, NULL);
    CHECK(!test_disk_has(&d, "v1"));
    CHECK(test_disk_has(&d, "v2"));
    store_close(s);
    test_disk_done(&d);
}

TEST_FIBER(fleeting_change_stands_over_a_roll_back_of_what_it_replaced)
{
    struct test_disk d;
    test_disk_init(&d);
    struct store *s = open_on(loop, &d, NULL);
    uint64_t gen, gen2;
    struct tx *t;
    struct value ops[] = { value_str("t"), value_str("start") };

    commit_row(s, C_VM, "v1", NULL, NULL);
    d.fail_in = 1;
    t = tx_begin(s);
    tx_set(t, "v1", F_VM_name_label, value_str("n"));
    tx_set(t, "v1", F_VM_current_operations, value_map(ops, 1));
    tx_create(t, C_session, "s1", NULL, 0);
    CHECK_OK(tx_apply(t, &gen));
    t = tx_begin(s);
    ops[1] = value_str("shutdown");
    tx_set(t, "v1", F_VM_current_operations, value_map(ops, 1));
    tx_destroy(t, "s1");
    CHECK_OK(tx_apply(t, &gen2));
    CHECK_ERR(store_wait_durable(s, gen), "INTERNAL_ERROR");
    CHECK_STR(row_str(store_find(s, "v1"), F_VM_name_label), "");
    CHECK_STR(row_map_str(store_find(s, "v1"), F_VM_current_operations, "t"), "shutdown");
    CHECK(!store_find(s, "s1"));
    store_close(s);
    test_disk_done(&d);
}

TEST_FIBER(store_may_be_closed_in_the_middle_of_a_commit)
{
    struct test_disk d;
    test_disk_init(&d);
    struct store *s = open_on(loop, &d, NULL);
    struct writer w = { s, 1, &(int){ 0 }, NULL };

    fiber_start(loop, "writer", write_one, &w);
    fiber_yield();
    store_close(s);
    while (!*w.n_done)
        fiber_sleep(1000);
    err_free(w.err);
    fiber_sleep(1000000);
    test_disk_done(&d);
}

static void ring(void *arg)
{
    ++*(int *)arg;
}

TEST_FIBER(whoever_waits_for_changes_is_called)
{
    struct test_disk d;
    test_disk_init(&d);
    struct store *s = open_on(loop, &d, NULL);
    int n = 0;

    store_on_change(s, ring, &n);
    commit_row(s, C_VM, "v1", NULL, NULL);
    CHECK_INT(n, 1);
    d.fail_in = 1;
    CHECK_ERR(commit_destroy(s, "v1"), "INTERNAL_ERROR");
    CHECK_INT(n, 3); /* the change and the way back */
    store_close(s);
    test_disk_done(&d);
}

static struct err *rename_step(struct arena *a, struct upgrade_row *row)
{
    const struct value *old = value_map_get(&row->fields, "name_description");

    row->fields = value_map_with(a, &row->fields, value_str("name_label"), old ? *old : value_str(""));
    row->fields = value_map_with(a, &row->fields, value_str("no_such_field"), value_int(1));
    row->fields = value_map_without(a, &row->fields, "power_state");
    return NULL;
}

static struct err *drop_step(struct arena *a UNUSED, struct upgrade_row *row)
{
    row->class = NULL;
    return NULL;
}

TEST_FIBER(old_rows_go_through_the_steps_of_the_versions_between)
{
    static const struct upgrade_step steps[] = {
        { 1, 0, NULL, drop_step }, /* older than what is stored: not run */
        { 1, 1, "VM", rename_step },
        { 2, 0, "VBD", drop_step },
    };
    static const struct upgrade_plan plan = { 2, 0, steps, ARRAY_LEN(steps) };
    struct test_disk d;
    test_disk_init(&d);
    struct store *s = open_on(loop, &d, NULL);

    commit_row(s, C_VM, "v1", F_VM_name_description, "was description");
    commit_row(s, C_VBD, "b1", F_VBD_VM, "v1");
    store_close(s);
    CHECK_INT(d.major, 1);

    CHECK_OK(store_open_upgrading(loop, test_backend(&d), NULL, &plan, &s));
    CHECK_STR(row_str(store_find(s, "v1"), F_VM_name_label), "was description");
    CHECK_STR(
        row_str(store_find(s, "v1"), F_VM_power_state), F_VM_power_state->dflt ? F_VM_power_state->dflt->s : "Halted");
    CHECK(!store_find(s, "b1"));
    store_close(s);
    CHECK_INT(d.major, 2);
    CHECK_INT(test_disk_len(&d), 1);

    CHECK_ERR(store_open(loop, test_backend(&d), NULL, &s), "INTERNAL_ERROR"); /* no way back */
    test_disk_done(&d);
}
