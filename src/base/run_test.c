#include "base/run.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "base/fiber.h"
#include "test.h"

static struct err *shell(const char *script, const char *input, struct arena *a, struct run_end *ret)
{
    const char *argv[] = { "/bin/sh", "-c", script, NULL };

    return run_program(fiber_loop(),
        &(struct run_spec){ .argv = argv, .input = str_of(input), .out_max = 1000, .timeout_us = 20 * 1000000 }, a,
        ret);
}

TEST_REAL(bytes_in_bytes_out_and_the_status)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct run_end end;

    CHECK_OK(shell("cat; echo complaint >&2; exit 7", "question", a, &end));
    CHECK_INT(end.status, 7);
    CHECK_STR(end.out.p, "question");
    CHECK_STR(end.err.p, "complaint\n");
}

TEST_REAL(what_it_left_behind_ends_with_it)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct run_end end;

    CHECK_OK(shell("sleep 1000 & echo $!", "", a, &end));
    CHECK_INT(end.status, 0);
    pid_t left = (pid_t)strtol(end.out.p, NULL, 10);
    for (int i = 0; i < 1000 && kill(left, 0) == 0; i++)
        fiber_sleep(10000); /* whoever is the reaper here buries it */
    char path[64], state[512] = "";
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)left);
    FILE *f = fopen(path, "re");
    if (f) {
        CHECK(fgets(state, sizeof(state), f));
        fclose(f);
        CHECK(strstr(state, ") Z ")); /* dead, though nobody has buried it */
    }
}

TEST_REAL(too_many_bytes_and_too_much_time_are_errors)
{
    const char *argv[] = { "/bin/sleep", "1000", NULL };
    AUTO(arena_drop) struct arena *a = arena_new();
    struct run_end end = { .status = 99 };

    AUTO(err_drop) struct err *loud = shell("yes", "", a, &end);
    CHECK(loud && strstr(err_text(loud), "too much"));
    AUTO(err_drop)
    struct err *slow =
        run_program(fiber_loop(), &(struct run_spec){ .argv = argv, .out_max = 10, .timeout_us = 50000 }, a, &end);
    CHECK(slow && strstr(err_text(slow), "too long"));
    CHECK_INT(end.status, 99);
}
