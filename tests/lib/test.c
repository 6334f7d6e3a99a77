#include "test.h"
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/fiber.h"
#include "base/mem.h"
#include "base/vec.h"

#define TEST_WALL_US 1767225600000000 /* 2026-01-01: simulated tests all begin then */
#define STUCK_TURNS 10                /* of a second each, when a body waits for what does not come */

static struct test_case *first, **last = &first;
static bool fiber_failed;
static char *tmpdir; /* owned; NULL: none yet */

void test_register(struct test_case *t)
{
    *last = t;
    last = &t->next;
}

/* Checks */

void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s:%d: failed: ", file, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    if (!fiber_self())
        _fail(file, line);
    /* cmocka jumps out of a failed test, but not from one stack to another: this fiber just never goes on. */
    fiber_failed = true;
    loop_stop(fiber_loop());
    for (;;)
        fiber_park();
}

void test_check_ok(struct err *e, const char *expr, const char *file, int line)
{
    char text[1024];

    if (!e)
        return;
    snprintf(text, sizeof(text), "%s", err_text(e));
    err_free(e);
    test_fail(file, line, "%s gave %s", expr, text);
}

void test_check_err(struct err *e, const char *code, const char *expr, const char *file, int line)
{
    char text[1024];
    bool same = err_is(e, code);

    snprintf(text, sizeof(text), "%s", err_text(e));
    err_free(e);
    if (!same)
        test_fail(file, line, "%s gave %s instead of %s", expr, text, code);
}

void test_check_str(const char *a, const char *b, const char *expr, const char *file, int line)
{
    if (a != b && (!a || !b || strcmp(a, b) != 0))
        test_fail(file, line, "%s\n    is:        %s\n    should be: %s", expr, a ? a : "NULL", b ? b : "NULL");
}

void test_check_int(int64_t a, int64_t b, const char *expr, const char *file, int line)
{
    if (a != b)
        test_fail(file, line, "%s is %" PRId64 ", should be %" PRId64, expr, a, b);
}

/* The folder */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void tmpdir_remove(void)
{
    if (!tmpdir)
        return;
    nftw(tmpdir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(tmpdir);
    tmpdir = NULL;
}

const char *test_tmpdir_path(void)
{
    const char *base = getenv("TMPDIR");

    if (tmpdir)
        return tmpdir;
    tmpdir = mem_printf("%s/runnymede-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(tmpdir))
        test_fail(__FILE__, __LINE__, "cannot make folder %s", tmpdir);
    return tmpdir;
}

int test_tmpdir(void)
{
    int fd = open(test_tmpdir_path(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        test_fail(__FILE__, __LINE__, "cannot open %s", tmpdir);
    return fd;
}

/* Running */

struct body {
    const struct test_case *test;
    struct loop *loop;
    bool done;
};

static void run_body(void *arg)
{
    struct body *b = arg;

    b->test->in_fiber(b->loop);
    b->done = true;
}

static void run_in_fiber(const struct test_case *t)
{
    AUTO(loop_drop) struct loop *loop = loop_new_simulated(TEST_WALL_US);
    struct body b = { .test = t, .loop = loop };
    int idle = 0;

    fiber_start(loop, t->name, run_body, &b);
    while (!b.done && !fiber_failed && idle < STUCK_TURNS)
        idle = loop_turn(loop, true) ? 0 : idle + 1;
    if (!b.done && !fiber_failed)
        test_fail(__FILE__, __LINE__, "%s waits for what never comes", t->name);
    for (int i = 0; !fiber_failed && i < 1000 && loop_turn(loop, false); i++)
        ; /* what the body let go of may end */
}

static void run(void **state)
{
    const struct test_case *t = *state;

    fiber_failed = false;
    if (t->plain)
        t->plain();
    else
        run_in_fiber(t);
    if (fiber_failed)
        _fail(__FILE__, __LINE__);
}

static int clean_up(void **state)
{
    (void)state;
    tmpdir_remove();
    return 0;
}

static bool is_chosen(const struct test_case *t, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strstr(t->name, argv[i]))
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    VEC(struct CMUnitTest) tests = { 0 };
    int failed = 0;

    atexit(tmpdir_remove);
    signal(SIGPIPE, SIG_IGN); /* as in our daemons */
    for (struct test_case *t = first; t; t = t->next)
        if (is_chosen(t, argc, argv))
            vec_push(&tests,
                ((struct CMUnitTest){
                    .name = t->name, .test_func = run, .teardown_func = clean_up, .initial_state = t }));
    if (tests.len)
        failed = _cmocka_run_group_tests("tests", tests.p, tests.len, NULL, NULL);
    printf("%zu passed, %d failed\n", tests.len - (size_t)failed, failed);
    vec_done(&tests);
    return failed ? 1 : 0;
}

struct real {
    struct loop *loop;
    void (*fn)(struct loop *loop);
};

static void real_fiber(void *arg)
{
    struct real *r = arg;

    r->fn(r->loop);
    loop_stop(r->loop);
}

void test_run_real(void (*fn)(struct loop *loop))
{
    AUTO(loop_drop) struct loop *loop = NULL;

    CHECK_OK(loop_new(&loop));
    struct real r = { loop, fn };
    fiber_start(loop, "test", real_fiber, &r);
    loop_run(loop);
    for (int i = 0; i < 100 && loop_turn(loop, false); i++)
        ; /* what the body let go of may end */
}
