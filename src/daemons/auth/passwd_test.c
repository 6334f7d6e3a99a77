#include "daemons/auth/passwd.h"
#include <fcntl.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/str.h"
#include "test.h"

TEST(the_file_knows_its_users)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(fd_drop) int dir = test_tmpdir();
    const char *path = arena_printf(a, "/proc/self/fd/%d/passwd", dir);
    const char *h1 = NULL, *h2 = NULL;
    struct verdict v;

    CHECK_OK(passwd_hash(a, "correct horse", &h1));
    CHECK_OK(passwd_hash(a, "battery", &h2));
    CHECK(cstr_starts(h1, "$y$"));
    const char *text = arena_printf(a, "# users\nadmin:%s\nroot:%s:wheel, staff\nbob:%s:staff\n", h1, h2, h2);
    CHECK_OK(file_write_atomic(dir, "passwd", text, strlen(text), 0600));

    CHECK_OK(passwd_check(a, path, "admin", "correct horse", &v));
    CHECK(v.ok && v.superuser && v.n_groups == 0);
    CHECK_OK(passwd_check(a, path, "root", "battery", &v));
    CHECK(v.ok && v.superuser);
    CHECK_INT(v.n_groups, 2);
    CHECK_STR(v.groups[1], "staff");
    CHECK_OK(passwd_check(a, path, "bob", "battery", &v));
    CHECK(v.ok && !v.superuser);
    CHECK_OK(passwd_check(a, path, "bob", "correct horse", &v));
    CHECK(!v.ok && v.n_groups == 0);
    CHECK_OK(passwd_check(a, path, "eve", "battery", &v));
    CHECK(!v.ok && !v.superuser);
    CHECK_OK(passwd_check(a, path, "", "", &v));
    CHECK(!v.ok);
}

TEST(a_superuser_gets_another_password_and_nothing_else_changes)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(fd_drop) int dir = test_tmpdir();
    AUTO(buf_done) struct buf b = { 0 };
    const char *path = arena_printf(a, "/proc/self/fd/%d/passwd", dir);
    const char *hash = NULL, *refused = NULL;
    struct verdict v;

    CHECK_OK(passwd_hash(a, "battery", &hash));
    const char *text = arena_printf(a, "# users\nadmin:%s\nroot:%s:wheel, staff\n\nbob:%s:staff", hash, hash, hash);
    CHECK_OK(file_write_atomic(dir, "passwd", text, strlen(text), 0640));

    CHECK_OK(passwd_change(a, path, "root", "wrong", "staple", &v, &refused));
    CHECK(!v.ok);
    CHECK_OK(passwd_change(a, path, "bob", "battery", "staple", &v, &refused));
    CHECK(!v.ok);
    CHECK_OK(passwd_change(a, path, "root", "battery", "", &v, &refused));
    CHECK(v.ok && refused);
    buf_init(&b, 4096);
    CHECK_OK(file_read(dir, "passwd", &b));
    CHECK(str_eq_c(buf_str(&b), text));

    CHECK_OK(passwd_change(a, path, "root", "battery", "sta:ple", &v, &refused));
    CHECK(v.ok && !refused);
    CHECK_OK(passwd_check(a, path, "root", "battery", &v));
    CHECK(!v.ok);
    CHECK_OK(passwd_check(a, path, "root", "sta:ple", &v));
    CHECK(v.ok && v.superuser && v.n_groups == 2);
    CHECK_OK(passwd_check(a, path, "admin", "battery", &v));
    CHECK(v.ok && v.superuser);
    CHECK_OK(passwd_check(a, path, "bob", "battery", &v));
    CHECK(v.ok && !v.superuser && v.n_groups == 1);
    struct stat st;
    CHECK(fstatat(dir, "passwd", &st, 0) == 0 && (st.st_mode & 07777) == 0640);
}

TEST(a_missing_file_is_an_error)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct verdict v;

    CHECK_ERR(passwd_check(a, "/nonexistent/passwd", "a", "b", &v), "INTERNAL_ERROR");
}
