#include "store/sqlite/sqlite.h"
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/mem.h"
#include "base/str.h"
#include "test.h"

static const char *path(void)
{
    static char text[256];

    snprintf(text, sizeof(text), "%s/state.db", test_tmpdir_path());
    return text;
}

static struct backend *open_backend(void)
{
    struct backend *b = NULL;

    CHECK_OK(sqlite_backend(path(), true, NULL, &b));
    return b;
}

struct seen {
    int n;
    char refs[64];
};

static struct err *see(void *arg, const struct backend_row *r)
{
    struct seen *s = arg;

    s->n++;
    snprintf(
        s->refs + strlen(s->refs), sizeof(s->refs) - strlen(s->refs), "%s=%.*s ", r->ref, (int)r->blob.len, r->blob.p);
    return NULL;
}

TEST(rows_numbers_and_schema_come_back)
{
    struct backend *b = open_backend();
    struct backend_change first[] = { { "r2", "VM", 5, STR("two") }, { "r1", "VM", 7, STR("one") } };
    struct backend_change second[] = { { "r3", "VM", 6, STR("") }, { "r1", NULL, 0, { 0 } }, { "r1", NULL, 0, { 0 } } };
    struct seen seen = { 0 };
    uint64_t gen;
    int major, minor;

    CHECK_OK(b->schema(b, &major, &minor));
    CHECK_INT(major, 0);
    b->set_schema(b, 3, 4);
    CHECK_OK(b->commit(b, first, 2, 100));
    CHECK_OK(b->commit(b, second, 3, 50)); /* numbers never go back */
    CHECK_OK(b->commit(b, NULL, 0, 99));
    b->free(b);

    b = open_backend();
    CHECK_OK(b->load(b, see, &seen, &gen));
    CHECK_STR(seen.refs, "r2=two r3= "); /* in order of creation */
    CHECK_INT(gen, 100);
    CHECK_OK(b->schema(b, &major, &minor));
    CHECK_INT(major * 10 + minor, 34);
    b->free(b);
}

TEST(nobody_else_may_read_the_file_or_open_it_meanwhile)
{
    struct backend *b = open_backend();
    sqlite3 *other = NULL;
    struct stat st;
    char wal[300];

    CHECK_INT(stat(path(), &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    snprintf(wal, sizeof(wal), "%s-wal", path());
    CHECK_INT(stat(wal, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    CHECK_INT(sqlite3_open(path(), &other), SQLITE_OK);
    CHECK_INT(sqlite3_exec(other, "SELECT * FROM rows", NULL, NULL, NULL), SQLITE_BUSY);
    sqlite3_close(other);
    b->free(b);
}

static void write_file(const char *text)
{
    int fd = open(path(), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    CHECK(fd >= 0);
    CHECK_INT(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

TEST(file_that_is_not_ours_is_left_alone)
{
    struct backend *b = NULL;
    sqlite3 *other = NULL;

    write_file("This is not a database, but it is long enough to look at: "
               "one hundred bytes at the least, which is how long the header of one is.");
    CHECK_ERR(sqlite_backend(path(), true, NULL, &b), "INTERNAL_ERROR");
    unlink(path());
    CHECK_INT(sqlite3_open(path(), &other), SQLITE_OK);
    CHECK_INT(sqlite3_exec(other, "CREATE TABLE rows(x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    CHECK_ERR(sqlite_backend(path(), true, NULL, &b), "INTERNAL_ERROR");
    CHECK_ERR(sqlite_backend("/nonexistent/folder/db", true, NULL, &b), "INTERNAL_ERROR");
    CHECK(!b);
}

TEST(damaged_pages_are_seen_at_open)
{
    struct backend *b = open_backend();
    char blob[3000], ref[16];

    memset(blob, 'x', sizeof(blob));
    for (int i = 0; i < 200; i++) {
        struct backend_change c = { ref, "VM", 1, { blob, sizeof(blob) } };
        snprintf(ref, sizeof(ref), "r%d", i);
        CHECK_OK(b->commit(b, &c, 1, 1));
    }
    b->free(b);
    int fd = open(path(), O_WRONLY);
    for (int page = 2; page < 40; page++)
        CHECK_INT(pwrite(fd, "garbage garbage garbage", 23, page * 4096L), 23);
    close(fd);
    b = NULL;
    CHECK_ERR(sqlite_backend(path(), true, NULL, &b), "INTERNAL_ERROR");
    CHECK(!b);
}
