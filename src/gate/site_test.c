#include "gate/site.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "test.h"

static void write_file(int dir, const char *path, const char *text)
{
    CHECK_OK(file_write_atomic(dir, path, text, strlen(text), 0600));
}

TEST(without_novnc_the_page_says_what_to_install)
{
    AUTO(site_drop) struct site *s = site_new();

    site_finish(s);
    CHECK(site_find(s, "/"));
    CHECK_STR(site_find(s, "/console.html")->type, "text/html; charset=utf-8");
    CHECK(memmem(site_find(s, "/console.html")->bytes.p, site_find(s, "/console.html")->bytes.len, "novnc", 5));
    CHECK(!site_find(s, "/console.htm"));
    CHECK(!site_find(s, "/../etc/passwd"));
}

TEST(folders_are_loaded_whole_and_win_over_our_pages)
{
    AUTO(site_drop) struct site *s = site_new();
    AUTO(fd_drop) int dir = test_tmpdir();

    CHECK(mkdirat(dir, "core", 0700) == 0);
    write_file(dir, "core/rfb.js", "export {}");
    write_file(dir, "index.html", "theirs");
    write_file(dir, ".hidden", "secret");
    CHECK(symlinkat("index.html", dir, "link.html") == 0);
    CHECK(symlinkat("nowhere", dir, "broken.html") == 0);
    CHECK_OK(site_load(s, test_tmpdir_path(), ""));
    CHECK_OK(site_load(s, test_tmpdir_path(), "/novnc"));
    site_finish(s);

    CHECK(str_eq_c(site_find(s, "/")->bytes, "theirs"));
    CHECK(str_eq_c(site_find(s, "/link.html")->bytes, "theirs"));
    CHECK_STR(site_find(s, "/novnc/core/rfb.js")->type, "text/javascript");
    CHECK(!site_find(s, "/.hidden") && !site_find(s, "/broken.html"));
    CHECK(memmem(site_find(s, "/console.html")->bytes.p, site_find(s, "/console.html")->bytes.len, "RFB(", 4));
    CHECK_ERR(site_load(s, "/nonexistent", ""), "INTERNAL_ERROR");
}
