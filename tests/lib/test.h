#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

/*
 * Unit tests: each registers itself, main() is in the library.
 *     TEST(lease_is_released_when_its_owner_dies) { CHECK(...); }
 *     TEST_FIBER(two_waiters_are_served_in_order) { fiber_sleep(1000); CHECK(...); }
 * The second runs in a fiber of a simulated loop that it sees as `loop`; it
 * fails when its body waits and nothing is left that could wake it. A failed
 * check ends the test. Arguments of the program choose tests by a part of the name.
 */
struct test_case {
    const char *name;
    void (*plain)(void);
    void (*in_fiber)(struct loop *loop);
    struct test_case *next;
};
void test_register(struct test_case *t);

#define TEST_REGISTER_(name_, kind_)                                   \
    __attribute__((constructor)) static void test_add_##name_(void)    \
    {                                                                  \
        static struct test_case t = { #name_, .kind_ = test_##name_ }; \
        test_register(&t);                                             \
    }
#define TEST(name_)                 \
    static void test_##name_(void); \
    TEST_REGISTER_(name_, plain)    \
    static void test_##name_(void)
#define TEST_FIBER(name_)                               \
    static void test_##name_(struct loop *loop UNUSED); \
    TEST_REGISTER_(name_, in_fiber)                     \
    static void test_##name_(struct loop *loop UNUSED)

/* In a fiber of a loop with the real clock, for what the kernel does in its own time; the body sees `loop`. */
void test_run_real(void (*fn)(struct loop *loop));
#define TEST_REAL(name_)                                \
    static void real_##name_(struct loop *loop UNUSED); \
    TEST(name_)                                         \
    {                                                   \
        test_run_real(real_##name_);                    \
    }                                                   \
    static void real_##name_(struct loop *loop UNUSED)

#define CHECK(cond) ((cond) ? (void)0 : test_fail(__FILE__, __LINE__, "%s", #cond))
/* These two free the error. */
#define CHECK_OK(expr) test_check_ok((expr), #expr, __FILE__, __LINE__)
#define CHECK_ERR(expr, code) test_check_err((expr), (code), #expr, __FILE__, __LINE__)

#define CHECK_STR(a, b) test_check_str((a), (b), #a, __FILE__, __LINE__)
#define CHECK_INT(a, b) test_check_int((int64_t)(a), (int64_t)(b), #a, __FILE__, __LINE__)

/* A folder for this test, empty at first and removed after it. The descriptor is the caller's. */
int test_tmpdir(void);
const char *test_tmpdir_path(void);

NORETURN void test_fail(const char *file, int line, const char *fmt, ...) PRINTF(3, 4);
void test_check_ok(struct err *e, const char *expr, const char *file, int line); /* frees e */
void test_check_err(struct err *e, const char *code, const char *expr, const char *file, int line);
void test_check_str(const char *a, const char *b, const char *expr, const char *file, int line);
void test_check_int(int64_t a, int64_t b, const char *expr, const char *file, int line);
