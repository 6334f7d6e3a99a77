#include "base/err.h"
#include <errno.h>
#include <string.h>
#include "base/mem.h"
#include "test.h"

static struct err *inner(void)
{
    return err_new("VDI_IN_USE", (const char *const[]){ "OpaqueRef:1", "attach" }, 2);
}

static struct err *outer(int *ret)
{
    TRY(inner());
    *ret = 1;
    return NULL;
}

TEST(error_carries_code_and_parameters)
{
    AUTO(err_drop) struct err *e = inner();

    CHECK_STR(err_code(e), "VDI_IN_USE");
    CHECK_INT(err_n_params(e), 2);
    CHECK_STR(err_param(e, 1), "attach");
    CHECK(!err_param(e, 2));
    CHECK(err_is(e, "VDI_IN_USE"));
    CHECK(!err_is(NULL, "VDI_IN_USE"));
}

TEST(failed_call_leaves_results_alone_and_traces)
{
    int ret = 0;
    AUTO(err_drop) struct err *e = outer(&ret);

    CHECK_INT(ret, 0);
    CHECK(strstr(err_text(e), "VDI_IN_USE [OpaqueRef:1, attach] at "));
    CHECK(strstr(err_text(e), "err_test.c:"));
    e = err_note(e, "open %s", "disk");
    e = err_note(e, "start");
    CHECK(strstr(err_text(e), "(start: open disk)"));
}

TEST(errno_can_be_asked_for)
{
    AUTO(err_drop) struct err *e = err_errno(ENOENT, "open %s", "x");

    CHECK_INT(err_errno_get(e), ENOENT);
    CHECK_STR(err_param(e, 0), "open x: No such file or directory");
    CHECK_ERR(err_internal("x"), "INTERNAL_ERROR");
}

TEST(first_of_two_errors_wins)
{
    AUTO(err_drop) struct err *e = err_first(inner(), err_internal("later"));

    CHECK(err_is(e, "VDI_IN_USE"));
    e = err_first(e, NULL);
    CHECK(err_is(e, "VDI_IN_USE"));
    CHECK_OK(err_first(NULL, NULL));
}

TEST(long_trace_is_bounded)
{
    AUTO(err_drop) struct err *e = err_internal("deep");

    for (int i = 0; i < 40; i++)
        e = err_trace(e, "../../src/x.c", i);
    CHECK(strstr(err_text(e), "at src/x.c:0 < src/x.c:1"));
    CHECK(strstr(err_text(e), "24 more"));
}
