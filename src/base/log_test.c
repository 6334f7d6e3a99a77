#include "base/log.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "test.h"

/* What logging writes, without the time. */
static void capture(struct buf *b, void (*fn)(void))
{
    AUTO(fd_drop) int dir = test_tmpdir();
    AUTO(fd_drop) int saved = dup(2);
    AUTO(fd_drop) int out = openat(dir, "log", O_RDWR | O_CREAT | O_TRUNC, 0600);

    CHECK(dup2(out, 2) == 2);
    fn();
    CHECK(dup2(saved, 2) == 2);
    buf_init(b, 10000);
    CHECK_OK(file_read(dir, "log", b));
    if (b->len > 24)
        buf_consume(b, 24);
}

static void log_one(void)
{
    log_init("core", LOG_INFO_);
    log_debug("not shown");
    log_warn("disk process died", F("vm", "u-1"), FI("code", -3), F("why", NULL));
}

static void log_hostile(void)
{
    log_info("call", F("name", "x\n2026 core error \"faked\\"));
}

static void log_long(void)
{
    AUTO(mem_drop) char *s = mem_alloc(9000);

    memset(s, 'x', 8999);
    log_info("long", F("a", s), F("b", "y"));
}

static void log_error_value(void)
{
    log_err(LOG_ERROR_, "failed", err_internal("bad"));
    log_err(LOG_ERROR_, "nothing", NULL);
}

TEST(line_has_program_level_text_and_fields)
{
    AUTO(buf_done) struct buf b;

    capture(&b, log_one);
    CHECK_STR(b.p, " core warn disk process died vm=u-1 code=-3 why=-\n");
}

TEST(value_cannot_fake_a_line)
{
    AUTO(buf_done) struct buf b;

    capture(&b, log_hostile);
    CHECK_STR(b.p, " core info call name=\"x\\n2026 core error \\\"faked\\\\\"\n");
}

TEST(long_line_is_cut)
{
    AUTO(buf_done) struct buf b;

    capture(&b, log_long);
    CHECK(b.len < 4096);
    CHECK(strstr(b.p, "(cut)\n"));
}

TEST(error_is_logged_once_and_freed)
{
    AUTO(buf_done) struct buf b;

    capture(&b, log_error_value);
    CHECK_STR(b.p, " core error failed error=\"INTERNAL_ERROR [bad]\"\n");
}
