#include "store/sqlite/sqlite.h"
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"

#define APPLICATION_ID 0x526e6d64 /* "Rnmd" */
#define LAYOUT 1
#define BUSY_MS 3000 /* a predecessor that is just ending */

enum statement { ST_BEGIN, ST_COMMIT, ST_ROLLBACK, ST_PUT, ST_DELETE, ST_META, N_STATEMENTS };

static const char *const texts[N_STATEMENTS] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    [ST_PUT] = "INSERT INTO rows(ref, class, created, blob) VALUES(?1, ?2, ?3, ?4) \
ON CONFLICT(ref) DO UPDATE SET class = ?2, created = ?3, blob = ?4",
    [ST_DELETE] = "DELETE FROM rows WHERE ref = ?1",
    [ST_META] = "INSERT INTO meta(name, value) VALUES(?1, ?2) ON CONFLICT(name) DO UPDATE SET value = ?2",
};

struct sqlite {
    struct backend backend;
    char *path; /* owned */
    sqlite3 *db;
    sqlite3_stmt *statements[N_STATEMENTS];
    uint64_t gen;                   /* as stored */
    int stored_major, stored_minor; /* as stored */
    int major, minor;               /* to be stored */
};

static struct sqlite *self(struct backend *b)
{
    return CONTAINER_OF(b, struct sqlite, backend);
}

static struct err *failed(struct sqlite *q, const char *what)
{
    int os = q->db ? sqlite3_system_errno(q->db) : 0;

    return err_internal("%s: cannot %s: %s (sqlite %d%s%s)", q->path, what,
        q->db ? sqlite3_errmsg(q->db) : "out of memory", q->db ? sqlite3_extended_errcode(q->db) : 0, os ? ", " : "",
        os ? strerror(os) : "");
}

static void sqlite_free(struct backend *b)
{
    struct sqlite *q = self(b);

    for (size_t i = 0; i < N_STATEMENTS; i++)
        sqlite3_finalize(q->statements[i]);
    sqlite3_close(q->db);
    free(q->path);
    free(q);
}

static void sqlite_drop(struct sqlite **q)
{
    if (*q)
        sqlite_free(&(*q)->backend);
}

static struct err *exec(struct sqlite *q, const char *sql)
{
    if (sqlite3_exec(q->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return failed(q, sql);
    return NULL;
}

/* Runs a prepared statement that returns no rows, and forgets its parameters. */
static struct err *run(struct sqlite *q, enum statement which)
{
    sqlite3_stmt *st = q->statements[which];
    int rc = sqlite3_step(st);
    struct err *e = rc == SQLITE_DONE ? NULL : failed(q, texts[which]);

    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return e;
}

static struct err *put_meta(struct sqlite *q, const char *name, uint64_t value)
{
    sqlite3_stmt *st = q->statements[ST_META];

    sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st, 2, (sqlite3_int64)value);
    return run(q, ST_META);
}

static struct err *apply_change(struct sqlite *q, const struct backend_change *c)
{
    sqlite3_stmt *st = q->statements[c->class ? ST_PUT : ST_DELETE];

    sqlite3_bind_text(st, 1, c->ref, -1, SQLITE_STATIC);
    if (!c->class)
        return run(q, ST_DELETE);
    sqlite3_bind_text(st, 2, c->class, -1, SQLITE_STATIC);
    sqlite3_bind_int64(st, 3, (sqlite3_int64)c->created);
    sqlite3_bind_blob64(st, 4, c->blob.p, c->blob.len, SQLITE_STATIC);
    return run(q, ST_PUT);
}

static struct err *apply_changes(struct sqlite *q, const struct backend_change *changes, size_t n, uint64_t gen)
{
    for (size_t i = 0; i < n; i++)
        TRY(apply_change(q, &changes[i]));
    if (gen != q->gen)
        TRY(put_meta(q, "gen", gen));
    if (q->major != q->stored_major || q->minor != q->stored_minor) {
        TRY(put_meta(q, "schema_major", (uint64_t)q->major));
        TRY(put_meta(q, "schema_minor", (uint64_t)q->minor));
    }
    return run(q, ST_COMMIT);
}

static struct err *sqlite_commit(struct backend *b, const struct backend_change *changes, size_t n, uint64_t gen)
{
    struct sqlite *q = self(b);
    struct err *e;

    TRY(run(q, ST_BEGIN));
    e = apply_changes(q, changes, n, gen > q->gen ? gen : q->gen);
    if (e) {
        if (!sqlite3_get_autocommit(q->db))
            err_ignore(run(q, ST_ROLLBACK), "SQLite rolls back by itself where it cannot be told to");
        return e;
    }
    if (gen > q->gen)
        q->gen = gen;
    q->stored_major = q->major;
    q->stored_minor = q->minor;
    return NULL;
}

static struct err *load_rows(struct sqlite *q, sqlite3_stmt *st, backend_row_fn *fn, void *arg)
{
    int rc;

    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct backend_row row = {
            .ref = (const char *)sqlite3_column_text(st, 0),
            .class = (const char *)sqlite3_column_text(st, 1),
            .created = (uint64_t)sqlite3_column_int64(st, 2),
            .blob = { sqlite3_column_blob(st, 3), (size_t)sqlite3_column_bytes(st, 3) },
        };

        if (!row.ref || !row.class)
            return err_internal("%s: a row without a name", q->path);
        TRY(fn(arg, &row));
    }
    return rc == SQLITE_DONE ? NULL : failed(q, "read rows");
}

static struct err *sqlite_load(struct backend *b, backend_row_fn *fn, void *arg, uint64_t *ret_gen)
{
    struct sqlite *q = self(b);
    sqlite3_stmt *st = NULL;
    struct err *e;

    if (sqlite3_prepare_v2(q->db, "SELECT ref, class, created, blob FROM rows ORDER BY created, ref", -1, &st, NULL))
        return failed(q, "prepare");
    e = load_rows(q, st, fn, arg);
    sqlite3_finalize(st);
    if (!e)
        *ret_gen = q->gen;
    return e;
}

static struct err *sqlite_schema(struct backend *b, int *ret_major, int *ret_minor)
{
    *ret_major = self(b)->stored_major;
    *ret_minor = self(b)->stored_minor;
    return NULL;
}

static void sqlite_set_schema(struct backend *b, int major, int minor)
{
    self(b)->major = major;
    self(b)->minor = minor;
}

/* One number, or one text that must be `expect`. */
static struct err *query(struct sqlite *q, const char *sql, const char *expect, int64_t *ret)
{
    sqlite3_stmt *st = NULL;
    struct err *e = NULL;
    int rc;

    if (sqlite3_prepare_v2(q->db, sql, -1, &st, NULL) != SQLITE_OK)
        return failed(q, sql);
    rc = sqlite3_step(st);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        e = failed(q, sql);
    else if (rc == SQLITE_ROW && expect && !cstr_eq((const char *)sqlite3_column_text(st, 0), expect))
        e = err_internal("%s: %s: %s", q->path, sql, (const char *)sqlite3_column_text(st, 0));
    else if (rc == SQLITE_ROW && ret)
        *ret = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    return e;
}

static struct err *check_file(struct sqlite *q, bool *ret_new)
{
    int64_t id = 0, layout = 0, n_tables = 0;

    TRY(query(q, "PRAGMA application_id", NULL, &id));
    TRY(query(q, "PRAGMA user_version", NULL, &layout));
    TRY(query(q, "SELECT count(*) FROM sqlite_schema", NULL, &n_tables));
    if (n_tables && (id != APPLICATION_ID || layout != LAYOUT))
        return err_internal("%s: not a database of ours, or of a newer version", q->path);
    *ret_new = n_tables == 0;
    return query(q, "PRAGMA quick_check(1)", "ok", NULL);
}

/*
 * WAL without shared memory: one process owns the file, and says so with its
 * lock. In WAL mode EXTRA is FULL; but the file is made with a rollback journal,
 * and with FULL a power cut can bring that one back, over commits made since.
 */
static struct err *set_up(struct sqlite *q, bool durable)
{
    bool is_new = false;

    TRY(exec(q, "PRAGMA locking_mode = EXCLUSIVE"));
    TRY(exec(q, durable ? "PRAGMA synchronous = EXTRA" : "PRAGMA synchronous = OFF"));
    TRY(exec(q, "PRAGMA trusted_schema = OFF"));
    TRY(exec(q, "PRAGMA cell_size_check = ON"));
    TRY(query(q, "PRAGMA journal_mode = WAL", "wal", NULL));
    TRY(exec(q, "PRAGMA journal_size_limit = 67108864"));
    TRY(check_file(q, &is_new));
    if (!is_new)
        return NULL;
    return exec(q,
        "BEGIN IMMEDIATE;"
        "CREATE TABLE rows(ref TEXT PRIMARY KEY, class TEXT NOT NULL, created INTEGER NOT NULL,"
        " blob BLOB NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
        "PRAGMA application_id = 0x526e6d64;"
        "PRAGMA user_version = 1;"
        "COMMIT");
}

static struct err *read_meta(struct sqlite *q)
{
    int64_t gen = 0, major = 0, minor = 0;

    TRY(query(q, "SELECT value FROM meta WHERE name = 'gen'", NULL, &gen));
    TRY(query(q, "SELECT value FROM meta WHERE name = 'schema_major'", NULL, &major));
    TRY(query(q, "SELECT value FROM meta WHERE name = 'schema_minor'", NULL, &minor));
    if (gen < 0 || major < 0 || major > INT16_MAX || minor < 0 || minor > INT16_MAX)
        return err_internal("%s: numbers out of range", q->path);
    q->gen = (uint64_t)gen;
    q->stored_major = q->major = (int)major;
    q->stored_minor = q->minor = (int)minor;
    return NULL;
}

/* SQLite would make it with 0644; its WAL gets the mode of the database. */
static struct err *make_file(const char *path)
{
    AUTO(fd_drop) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return err_errno(errno, "open %s", path);
    return fchmod(fd, 0600) < 0 ? err_errno(errno, "set the mode of %s", path) : NULL;
}

struct err *sqlite_backend(const char *path, bool durable, const char *vfs, struct backend **ret)
{
    AUTO(sqlite_drop) struct sqlite *q = mem_new(struct sqlite);

    q->path = mem_strdup(path);
    q->backend = (struct backend){
        .name = durable ? "sqlite" : "sqlite (fleeting)",
        .load = sqlite_load,
        .commit = sqlite_commit,
        .schema = sqlite_schema,
        .set_schema = sqlite_set_schema,
        .free = sqlite_free,
    };
    if (!vfs)
        TRY(make_file(path));
    if (sqlite3_open_v2(path, &q->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, vfs) !=
        SQLITE_OK)
        return failed(q, "open");
    sqlite3_extended_result_codes(q->db, 1);
    sqlite3_busy_timeout(q->db, BUSY_MS);
    TRY(set_up(q, durable));
    for (size_t i = 0; i < N_STATEMENTS; i++)
        if (sqlite3_prepare_v3(q->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &q->statements[i], NULL) != SQLITE_OK)
            return failed(q, texts[i]);
    TRY(read_meta(q));
    *ret = &MOVE(q)->backend;
    return NULL;
}
