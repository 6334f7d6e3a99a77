/*
 * Is what was promised kept? A load of transactions, each of which writes the
 * same counter into all of its rows, runs over a disk that fails or loses
 * power at every possible and many a random moment. After it the counters
 * must agree, and may not be older than the last one that was promised.
 * Replay one schedule with CRASH_SEED.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/fiber.h"
#include "base/mem.h"
#include "crash_vfs.h"
#include "gen/model.h"
#include "store/backend.h"
#include "store/sqlite/sqlite.h"
#include "store/store.h"
#include "test.h"

#define N_ROWS 5  /* rewritten by each transaction */
#define N_TRAIL 3 /* rows that a transaction adds, and one three later removes */
#define N_TXS 24
#define N_SCHEDULES 700 /* CRASH_SCHEDULES in the environment: as many */
#define N_STORE_SCHEDULES 60
#define BLOB_MAX 6000
#define PATH "db"

struct load {
    struct crash_disk *disk;
    struct backend *backend; /* NULL: does not open */
    bool durable;
    uint64_t rng;
    uint32_t tried, promised; /* counters */
    uint32_t first_bad;       /* trail rows from here on may be left over */
};

/* SQLite looks at a WAL of 1,000 pages before it writes it back; here after a few, so that crashes hit that too. */
static int on_connection(sqlite3 *db, char **err, const struct sqlite3_api_routines *api)
{
    (void)err;
    (void)api;
    return sqlite3_wal_autocheckpoint(db, 12);
}

__attribute__((constructor)) static void set_up(void)
{
    sqlite3_auto_extension((void (*)(void))on_connection);
}

/* A blob says which transaction wrote it, in every byte. */
static size_t blob_make(char *blob, uint32_t counter, uint32_t row)
{
    uint64_t state = (uint64_t)counter << 8 | row;
    size_t len = 8 + crash_random(&state, crash_random(&state, 4) ? 200 : BLOB_MAX - 8);

    memcpy(blob, &counter, 4);
    memcpy(blob + 4, &row, 4);
    memset(blob + 8, (int)(counter * 31 + row), len - 8);
    return len;
}

static struct err *write_one(struct load *l)
{
    static char blobs[N_ROWS + 1][BLOB_MAX];
    char names[N_ROWS + 1][16], old[N_TXS][16];
    struct backend_change c[N_ROWS + 1 + N_TXS];
    uint32_t counter = ++l->tried;
    size_t n = 0;

    for (uint32_t i = 0; i <= N_ROWS; i++) {
        snprintf(names[i], sizeof(names[i]), i < N_ROWS ? "row%u" : "trail%u", i < N_ROWS ? i : counter);
        size_t len = blob_make(blobs[i], counter, i);
        c[n++] = (struct backend_change){ names[i], i < N_ROWS ? "VM" : "task", counter, { blobs[i], len } };
    }
    for (uint32_t i = l->first_bad; i + N_TRAIL <= counter; i++, l->first_bad++) {
        snprintf(old[n - N_ROWS - 1], sizeof(old[0]), "trail%u", i);
        c[n] = (struct backend_change){ .ref = old[n - N_ROWS - 1] };
        n++;
    }
    return l->backend->commit(l->backend, c, n, counter);
}

static void load_open(struct load *l)
{
    struct err *e = sqlite_backend(PATH, l->durable, "crash", &l->backend);

    if (e)
        l->backend = NULL;
    err_free(e);
}

static void load_close(struct load *l)
{
    if (l->backend)
        l->backend->free(l->backend);
    l->backend = NULL;
}

/* What is on the disk, and the first thing wrong with it. */
struct found {
    uint32_t counter;
    uint32_t n_rows, n_trail, oldest_trail;
    const char *problem;
};

static struct err *look_at(void *arg, const struct backend_row *r)
{
    struct found *f = arg;
    char expect[BLOB_MAX];
    uint32_t counter, row;

    if (r->blob.len < 8) {
        f->problem = "short blob";
        return NULL;
    }
    memcpy(&counter, r->blob.p, 4);
    memcpy(&row, r->blob.p + 4, 4);
    if (row > N_ROWS || blob_make(expect, counter, row) != r->blob.len || memcmp(expect, r->blob.p, r->blob.len) != 0)
        f->problem = "spoilt blob";
    else if (r->created != counter)
        f->problem = "columns of different transactions";
    else if (row < N_ROWS && f->n_rows++ > 0 && f->counter != counter)
        f->problem = "rows of different transactions";
    if (row < N_ROWS)
        f->counter = counter;
    else if (!f->n_trail++ || counter < f->oldest_trail)
        f->oldest_trail = counter;
    return NULL;
}

/* NULL: all is well. Leaves the load where the disk is, so that it can go on. */
static const char *check(struct load *l)
{
    struct found f = { 0 };
    uint64_t gen = 0;
    struct err *e;

    if (!l->backend)
        return "does not open";
    e = l->backend->load(l->backend, look_at, &f, &gen);
    if (e) {
        err_free(e);
        return "cannot be read";
    }
    if (f.problem)
        return f.problem;
    if (f.counter < l->promised)
        return "a promised transaction is lost";
    if (f.counter > l->tried)
        return "from the future";
    if (gen < f.counter)
        return "the generation went back";
    if (f.n_rows != (f.counter ? N_ROWS : 0))
        return "half a transaction";
    l->tried = l->promised = f.counter;
    if (f.n_trail)
        l->first_bad = f.oldest_trail;
    return f.counter && f.n_trail != (f.counter < N_TRAIL ? f.counter : N_TRAIL) ? "wrong trail" : NULL;
}

static int see_verdict(void *arg, int n, char **texts, char **names)
{
    (void)names;
    *(bool *)arg = n == 1 && strcmp(texts[0], "ok") == 0;
    return 0;
}

/* With the database closed: what SQLite itself says, page by page. */
static const char *check_integrity(void)
{
    sqlite3 *db = NULL;
    bool good = false;

    if (sqlite3_open_v2(PATH, &db, SQLITE_OPEN_READWRITE, "crash") == SQLITE_OK)
        sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA integrity_check", see_verdict, &good, NULL);
    sqlite3_close(db);
    return good ? NULL : "integrity";
}

static void load_run(struct load *l, int n)
{
    for (int i = 0; i < n && l->backend && !crash_disk_crashed(l->disk); i++) {
        uint32_t bad = l->first_bad;
        struct err *e = write_one(l);
        if (!e)
            l->promised = l->tried;
        else
            l->first_bad = bad;
        err_free(e);
    }
}

/* Up to three crashes in a row, the later ones often while recovering from the one before. */
static const char *run_schedule(uint64_t seed, bool durable)
{
    struct load l = { .disk = crash_disk_new(seed), .durable = durable, .rng = ~seed, .first_bad = 1 };
    const char *problem = NULL;

    crash_disk_mount(l.disk);
    for (int round = 0; round < 3 && !problem; round++) {
        crash_disk_crash_at(l.disk, 1 + crash_random(&l.rng, round ? 40 : 260));
        load_open(&l);
        load_run(&l, N_TXS);
        crash_disk_crash_now(l.disk);
        load_close(&l); /* frees memory only: the disk no longer listens */
        crash_disk_restart(l.disk);
        load_open(&l);
        problem = check(&l);
        load_close(&l);
        if (!problem)
            problem = check_integrity();
    }
    crash_disk_mount(NULL);
    crash_disk_free(l.disk);
    return problem;
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 0) : otherwise;
}

TEST(power_cuts_lose_nothing_that_was_promised)
{
    uint64_t only = from_environment("CRASH_SEED", 0);
    uint64_t last = only ? only : from_environment("CRASH_SCHEDULES", N_SCHEDULES);

    for (uint64_t seed = only ? only : 1; seed <= last; seed++) {
        const char *problem = run_schedule(seed, true);
        if (problem)
            test_fail(__FILE__, __LINE__, "CRASH_SEED=%llu: %s", (unsigned long long)seed, problem);
    }
}

TEST(harness_sees_the_loss_when_nothing_is_synced)
{
    int n_lost = 0;

    for (uint64_t seed = 1; seed <= 40; seed++)
        n_lost += run_schedule(seed, false) != NULL;
    CHECK(n_lost > 10);
}

/* One call fails, at each place in turn; the program goes on and the disk works again. */
static bool run_fault(unsigned n, int rc, bool for_good)
{
    struct load l = { .disk = crash_disk_new(n), .durable = true, .rng = n, .first_bad = 1 };
    const char *problem;
    bool reached;

    crash_disk_mount(l.disk);
    crash_disk_fail_at(l.disk, n, rc, for_good);
    load_open(&l);
    load_run(&l, N_TXS);
    reached = crash_disk_failed(l.disk);
    if (reached && for_good && l.backend)
        CHECK(l.promised < l.tried);
    crash_disk_fail_at(l.disk, 0, 0, false);
    if (!l.backend)
        load_open(&l);
    CHECK(l.backend);
    load_run(&l, N_TRAIL);          /* long enough that a failed one left no mark */
    CHECK_INT(l.promised, l.tried); /* it works again without being opened again */
    load_close(&l);
    load_open(&l);
    problem = check(&l);
    load_close(&l);
    if (!problem)
        problem = check_integrity();
    if (problem)
        test_fail(__FILE__, __LINE__, "fault %d at call %u: %s", rc, n, problem);
    crash_disk_mount(NULL);
    crash_disk_free(l.disk);
    return reached;
}

static unsigned every_fault(int rc, bool for_good)
{
    unsigned n = 1;

    while (run_fault(n, rc, for_good))
        n++;
    return n;
}

TEST(every_failing_call_is_reported_and_survived)
{
    CHECK(every_fault(SQLITE_IOERR_WRITE, false) > 100);
}

TEST(disk_that_fills_up_refuses_and_goes_on_when_there_is_room)
{
    CHECK(every_fault(SQLITE_FULL, false) > 100);
    CHECK(every_fault(SQLITE_FULL, true) > 100);
}

/* The same through the store: what tx_commit() promised is there, whole, after power comes back. */
struct client {
    struct store *store;
    int who;
    bool done;
    int64_t promised, tried;
};

static void client_run(void *arg)
{
    struct client *c = arg;
    char vm[16], vbd[16];
    bool going = true;

    snprintf(vm, sizeof(vm), "vm%d", c->who);
    snprintf(vbd, sizeof(vbd), "vbd%d", c->who);
    for (int64_t i = 1; i <= 6 && going; i++) {
        struct tx *t = tx_begin(c->store);
        struct tx_field f = { F_VBD_VM, value_str(vm) };
        struct err *e;
        if (!tx_exists(t, vm))
            tx_create(t, C_VM, vm, NULL, 0);
        if (!tx_exists(t, vbd))
            tx_create(t, C_VBD, vbd, &f, 1);
        tx_set(t, vm, F_VM_VCPUs_max, value_int(i));
        tx_set(t, vm, F_VM_name_label, value_str(i % 2 ? "odd" : "even"));
        tx_set(t, vbd, F_VBD_userdevice, value_str(i % 2 ? "odd" : "even"));
        c->tried = i;
        e = tx_commit(t);
        going = !e;
        if (going)
            c->promised = i;
        err_free(e);
    }
    c->done = true;
}

#define N_CLIENTS 6

static void check_client(const struct store *s, const struct client *c)
{
    char vm[16], vbd[16];
    const struct row *r, *b;
    int64_t n;

    snprintf(vm, sizeof(vm), "vm%d", c->who);
    snprintf(vbd, sizeof(vbd), "vbd%d", c->who);
    r = store_find_of(s, C_VM, vm);
    b = store_find_of(s, C_VBD, vbd);
    CHECK((r != NULL) == (b != NULL));
    n = r ? row_int(r, F_VM_VCPUs_max) : 0;
    CHECK(n >= c->promised && n <= c->tried);
    if (!r)
        return;
    CHECK_STR(row_str(r, F_VM_name_label), n % 2 ? "odd" : "even");
    CHECK_STR(row_str(b, F_VBD_userdevice), n % 2 ? "odd" : "even");
    CHECK_INT(row_n_related(r, F_VM_VBDs), 1);
}

static void run_store(struct loop *loop, struct crash_disk *disk, struct client *clients, uint64_t *ret_gen)
{
    struct backend *b = NULL;
    struct store *s = NULL;
    struct err *e = sqlite_backend(PATH, true, "crash", &b);

    if (!e)
        e = store_open(loop, b, NULL, &s);
    if (e) {
        CHECK(crash_disk_crashed(disk));
        err_free(e);
        return;
    }
    for (int i = 0; i < N_CLIENTS; i++) {
        clients[i].store = s;
        fiber_start(loop, "client", client_run, &clients[i]);
    }
    for (int i = 0; i < N_CLIENTS; i++)
        while (!clients[i].done)
            fiber_sleep(100);
    *ret_gen = store_gen_durable(s);
    crash_disk_crash_now(disk);
    store_close(s);
}

TEST_FIBER(store_keeps_its_promises_over_a_power_cut)
{
    for (uint64_t seed = 1; seed <= N_STORE_SCHEDULES; seed++) {
        struct crash_disk *disk = crash_disk_new(seed);
        struct client clients[N_CLIENTS] = { 0 };
        struct backend *b = NULL;
        struct store *s = NULL;
        uint64_t rng = seed, gen = 0;

        for (int i = 0; i < N_CLIENTS; i++)
            clients[i].who = i;
        crash_disk_mount(disk);
        crash_disk_crash_at(disk, 1 + crash_random(&rng, 100));
        run_store(loop, disk, clients, &gen);
        crash_disk_restart(disk);
        CHECK_OK(sqlite_backend(PATH, true, "crash", &b));
        CHECK_OK(store_open(loop, b, NULL, &s));
        for (int i = 0; i < N_CLIENTS; i++)
            check_client(s, &clients[i]);
        CHECK(store_gen(s) > gen);
        store_close(s);
        crash_disk_mount(NULL);
        crash_disk_free(disk);
    }
}
