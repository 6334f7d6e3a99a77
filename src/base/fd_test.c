#include "base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/mem.h"
#include "test.h"

TEST(file_is_replaced_whole)
{
    AUTO(fd_drop) int dir = test_tmpdir();
    AUTO(buf_done) struct buf b;
    AUTO(mem_drop) char *path = mem_printf("%s/a/b", test_tmpdir_path());
    struct stat st;
    int n = 0;
    struct dirent *d;
    DIR *list;

    buf_init(&b, 100);
    CHECK_OK(dir_make(path, 0755));
    CHECK_OK(dir_make(path, 0755));
    CHECK_OK(file_write_atomic(dir, "a/b/f", "one", 3, 0644));
    CHECK_OK(file_write_atomic(dir, "a/b/f", "two!", 4, 0640));
    CHECK_OK(file_read(dir, "a/b/f", &b));
    CHECK_STR(b.p, "two!");
    CHECK(fstatat(dir, "a/b/f", &st, 0) == 0);
    CHECK_INT(st.st_mode & 0777, 0640);
    list = opendir(path);
    while ((d = readdir(list)))
        n++;
    closedir(list);
    CHECK_INT(n, 3); /* no temporary file is left */
    CHECK_ERR(file_write_atomic(dir, "absent/f", "x", 1, 0644), "INTERNAL_ERROR");
}

TEST(file_larger_than_the_maximum_is_refused)
{
    AUTO(fd_drop) int dir = test_tmpdir();
    AUTO(buf_done) struct buf b;
    AUTO(err_drop) struct err *e = NULL;

    CHECK_OK(file_write_atomic(dir, "f", "12345", 5, 0600));
    buf_init(&b, 5);
    CHECK_OK(file_read(dir, "f", &b));
    CHECK_STR(b.p, "12345");
    buf_done(&b);
    buf_init(&b, 4);
    e = file_read(dir, "f", &b);
    CHECK_INT(err_errno_get(e), EFBIG);
}

TEST(memfd_cannot_be_changed)
{
    AUTO(fd_drop) int fd = -1;
    AUTO(buf_done) struct buf b;

    CHECK_OK(fd_memfd("x", "sealed", 6, &fd));
    CHECK(write(fd, "y", 1) < 0 && errno == EPERM);
    CHECK(ftruncate(fd, 0) < 0);
    buf_init(&b, 10);
    CHECK_OK(fd_read_all(fd, &b));
    CHECK_STR(b.p, "sealed");
}

static void check_socket(const char *path)
{
    AUTO(fd_drop) int server = -1;
    AUTO(fd_drop) int second = -1;
    AUTO(fd_drop) int client = -1;
    AUTO(fd_drop) int accepted = -1;
    struct stat st;
    struct err *e;

    CHECK_OK(unix_listen(path, 0660, &server));
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0660);
    CHECK_OK(unix_connect(path, &client));
    accepted = accept4(server, NULL, NULL, SOCK_CLOEXEC);
    CHECK(accepted >= 0);
    e = unix_listen(path, 0660, &second);
    CHECK_INT(err_errno_get(e), EADDRINUSE);
    err_free(e);
    CHECK_INT(second, -1);
    fd_drop(&server);
    CHECK_OK(unix_listen(path, 0600, &second)); /* what was left behind */
}

TEST(socket_is_served_and_a_stale_one_replaced)
{
    AUTO(mem_drop) char *path = mem_printf("%s/s", test_tmpdir_path());

    check_socket(path);
}

TEST(long_socket_paths_work)
{
    AUTO(mem_drop) char *dir = mem_printf("%s/%0100d/%0100d", test_tmpdir_path(), 1, 2);
    AUTO(mem_drop) char *path = mem_printf("%s/socket", dir);

    CHECK_OK(dir_make(dir, 0755));
    check_socket(path);
}

TEST(absent_socket_is_an_error)
{
    int fd = -1;
    AUTO(mem_drop) char *path = mem_printf("%s/none", test_tmpdir_path());

    CHECK_ERR(unix_connect(path, &fd), "INTERNAL_ERROR");
    CHECK_INT(fd, -1);
}
