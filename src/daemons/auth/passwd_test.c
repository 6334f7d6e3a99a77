#include "daemons/auth/passwd.h"
#include <fcntl.h>
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

TEST(a_missing_file_is_an_error)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct verdict v;

    CHECK_ERR(passwd_check(a, "/nonexistent/passwd", "a", "b", &v), "INTERNAL_ERROR");
}
