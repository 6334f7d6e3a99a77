#include <math.h>
#include <string.h>
#include <unistd.h>
#include "ipc/ipc_echo.h"
#include "test.h"

static struct echo_all sample(struct arena *a)
{
    static struct echo_inner many[] = { { .name = "one" }, { .name = "two" } };
    static const char *texts[] = { "", "grün" };
    static uint64_t numbers[] = { 0, UINT64_MAX };
    struct value *pair = arena_new_array(a, 2, struct value);

    pair[0] = value_str("key");
    pair[1] = value_int(-7);
    return (struct echo_all){
        .yes = true,
        .small = 200,
        .medium = 1u << 31,
        .large = 1ull << 63,
        .signed_ = INT64_MIN,
        .real = 0.1,
        .text = "text",
        .blob = { "a\0b", 3 },
        .any = value_map(pair, 1),
        .one = { .name = "inner" },
        .many = many,
        .n_many = 2,
        .texts = texts,
        .n_texts = 2,
        .numbers = numbers,
        .n_numbers = 2,
    };
}

static void check_same(const struct echo_all *x, const struct echo_all *y)
{
    CHECK(x->yes == y->yes && x->small == y->small && x->medium == y->medium && x->large == y->large);
    CHECK(x->signed_ == y->signed_ && fabs(x->real - y->real) < 1e-12);
    CHECK_STR(x->text, y->text);
    CHECK(str_eq(x->blob, y->blob));
    CHECK(value_eq(&x->any, &y->any));
    CHECK_STR(x->one.name, y->one.name);
    CHECK_INT(x->n_many, y->n_many);
    for (size_t i = 0; i < x->n_many; i++)
        CHECK_STR(x->many[i].name, y->many[i].name);
    CHECK_INT(x->n_texts, y->n_texts);
    for (size_t i = 0; i < x->n_texts; i++)
        CHECK_STR(x->texts[i], y->texts[i]);
    CHECK_INT(x->n_numbers, y->n_numbers);
    CHECK(memcmp(x->numbers, y->numbers, x->n_numbers * 8) == 0);
}

TEST(a_struct_kept_in_a_file_comes_back_without_its_descriptors)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf b;
    struct echo_all x = sample(a), y = { 0 };

    buf_init(&b, 65536);
    x.file = STDERR_FILENO;
    CHECK_OK(echo_all_encode(&b, &x));
    CHECK_OK(echo_all_decode(a, buf_str(&b), &y));
    memset(b.p, 'x', b.len); /* the copy does not need it */
    check_same(&x, &y);
    CHECK_INT(y.file, -1);
    CHECK_INT(y.many[1].file, -1);
}

TEST(fields_that_came_later_are_empty_in_an_older_form)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct echo_all x;
    struct echo_inner inner;

    CHECK_INT(ipc_form(&echo_inner_type), 2);
    CHECK_INT(ipc_form(&echo_all_type), 3);
    CHECK_OK(echo_inner_decode(a, STR("\xff\xff\xff\xff\1\0\0\0\2\0\0\0ab\0\0"), &inner));
    CHECK_STR(inner.name, "ab");
    CHECK_STR(inner.later, "");
    CHECK_OK(echo_inner_decode(a, STR("\xff\xff\xff\xff\2\0\0\0\2\0\0\0ab\0\0\1\0\0\0c\0"), &inner));
    CHECK_STR(inner.later, "c");
    /* the outer one's younger fields too, with whatever lies in them */
    static const char zeros[56] = { [0] = '\xff', '\xff', '\xff', '\xff', 2 };
    AUTO(buf_done) struct buf b;
    buf_init(&b, 4096);
    buf_add(&b, zeros, 8);
    struct echo_all all = sample(a);
    AUTO(buf_done) struct buf whole;
    buf_init(&whole, 4096);
    CHECK_OK(echo_all_encode(&whole, &all));
    buf_add(&b, whole.p + 8, whole.len - 8 - 4 - 11); /* an empty list, and an inner of 5 + 1 + 5 bytes */
    CHECK_OK(echo_all_decode(a, buf_str(&b), &x));
    CHECK_INT(x.n_latest, 0);
    CHECK_STR(x.newer.name, "");
    CHECK_INT(x.newer.file, -1);
    check_same(&x, &all);
}

TEST(a_form_that_is_newer_or_none_is_refused)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct echo_inner inner;

    CHECK_ERR(echo_inner_decode(a, STR("\xff\xff\xff\xff\3\0\0\0\2\0\0\0ab\0\0\1\0\0\0c\0"), &inner), "INTERNAL_ERROR");
    CHECK_ERR(echo_inner_decode(a, STR("\xff\xff\xff\xff\0\0\0\0\2\0\0\0ab\0\0"), &inner), "INTERNAL_ERROR");
}

TEST(whatever_is_cut_off_or_added_is_refused)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf b;
    struct echo_all x = sample(a), y = { .small = 77 };

    buf_init(&b, 65536);
    CHECK_OK(echo_all_encode(&b, &x));
    for (size_t len = 0; len < b.len; len++)
        CHECK_ERR(echo_all_decode(a, (struct str){ b.p, len }, &y), "INTERNAL_ERROR");
    buf_add_char(&b, 0);
    CHECK_ERR(echo_all_decode(a, buf_str(&b), &y), "INTERNAL_ERROR");
    CHECK_INT(y.small, 77); /* a failed call leaves its ret_ alone */
}

TEST(wrong_bytes_are_refused)
{
    static const struct str wrong[] = {
        STR("\2\0\0\0ab\0\1"),       /* descriptor that did not come */
        STR("\2\0\0\0ab\0\2"),       /* neither present nor absent */
        STR("\2\0\0\0abc\0"),        /* no NUL at the end */
        STR("\2\0\0\0a\0\0\0"),      /* a NUL inside */
        STR("\2\0\0\0\xc0\x80\0\0"), /* overlong UTF-8 */
        STR("\xff\xff\xff\xff"
            "ab\0\0"), /* longer than the message */
    };
    AUTO(arena_drop) struct arena *a = arena_new();
    struct echo_inner x;

    CHECK_OK(echo_inner_decode(a, STR("\2\0\0\0ab\0\0"), &x));
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        CHECK_ERR(echo_inner_decode(a, wrong[i], &x), "INTERNAL_ERROR");
}

TEST(text_that_is_not_utf8_does_not_leave)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf b;
    struct echo_all x = sample(a);

    buf_init(&b, 65536);
    x.text = "\xff";
    CHECK_ERR(echo_all_encode(&b, &x), "INTERNAL_ERROR");
    x.text = "";
    x.any = value_str("\xff");
    CHECK_ERR(echo_all_encode(&b, &x), "INTERNAL_ERROR");
}

TEST(taking_copies_all_and_moves_the_descriptors)
{
    struct arena *first = arena_new();
    AUTO(arena_drop) struct arena *a = arena_new();
    struct echo_all x = sample(first), y = { 0 }, again;

    x.text = arena_strdup(first, "text");
    CHECK_OK(fd_dup(STDERR_FILENO, &x.file));
    x.many = arena_dup(first, x.many, 2 * sizeof(*x.many));
    CHECK_OK(fd_dup(STDERR_FILENO, &x.many[1].file));
    echo_all_take(a, &x, &y);
    CHECK_INT(x.file, -1);
    CHECK_INT(x.many[1].file, -1);
    arena_free(first);

    again = sample(a);
    check_same(&again, &y);
    CHECK(y.file > 2 && y.many[1].file > 2);
    echo_all_close(&y);
    CHECK(y.file == -1 && y.many[1].file == -1);
}
