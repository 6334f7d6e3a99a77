#include "core/audit.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "core/fixture_test.h"

static void log_into(struct fixture *f, int dir)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
    audit_free(f->core->audit);
    f->core->audit = audit_new(path);
}

static void read_log(int dir, const char *name, struct buf *b)
{
    buf_init(b, 1 << 20);
    CHECK_OK(file_read(dir, name, b));
}

TEST_FIBER(what_sounds_like_a_secret_is_not_written)
{
    AUTO(fd_drop) int dir = test_tmpdir();
    AUTO(buf_done) struct buf b;
    struct fixture f;

    fixture_init(&f, loop);
    log_into(&f, dir);
    const struct value args[] = { value_str("2f8c2c9c-3a3c-4f0e-9f0d-5a5c5d5e5f60"), value_str("sesame"),
        value_map(NULL, 0) };
    fixture_call_values(&f, f.session, "secret.introduce", args, ARRAY_LEN(args), false);
    fixture_call(&f, f.session, "pool.add_to_other_config", f.core->pool_ref, "colour", "green|\n[red", NULL);
    fixture_call(&f, f.session, "pool.get_all", NULL);
    read_log(dir, "audit.log", &b);
    CHECK(strstr(b.p, "'secret.introduce' (('uuid' '2f8c2c9c-3a3c-4f0e-9f0d-5a5c5d5e5f60' '' ''))"));
    CHECK(!strstr(b.p, "sesame"));
    CHECK(strstr(b.p, "('value' 'green|\\x0a[red' '' '')"));
    CHECK(!strstr(b.p, "pool.get_all"));
    fixture_done(&f);
}

TEST_FIBER(a_full_file_makes_room_and_the_oldest_goes)
{
    AUTO(fd_drop) int dir = test_tmpdir();
    AUTO(buf_done) struct buf b;
    struct fixture f;
    char name[32];
    struct stat st;

    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), i ? "audit.log.%d" : "audit.log", i);
        AUTO(fd_drop) int fd = openat(dir, name, O_WRONLY | O_CREAT, 0600);
        CHECK(ftruncate(fd, (8 << 20) + i) == 0);
    }
    fixture_init(&f, loop);
    log_into(&f, dir);
    fixture_call(&f, f.session, "pool.set_name_label", f.core->pool_ref, "meadow", NULL);
    read_log(dir, "audit.log", &b);
    CHECK(strstr(b.p, "'meadow'"));
    for (int i = 1; i < 5; i++) {
        snprintf(name, sizeof(name), "audit.log.%d", i);
        CHECK(fstatat(dir, name, &st, 0) == 0 && st.st_size == (8 << 20) + i - 1);
    }
    CHECK(fstatat(dir, "audit.log.5", &st, 0) < 0);
    fixture_done(&f);
}
