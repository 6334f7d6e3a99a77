#include "core/pack.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/fd.h"
#include "test.h"

#define SUM_A "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7" /* of "a\n" */

/* What came out, as "name:bytes;". */
struct seen {
    struct buf text;
    int64_t mtime_s;
};

static struct err *on_begin(void *arg, const char *name, int64_t size, int64_t mtime_s)
{
    struct seen *s = arg;

    (void)size;
    s->mtime_s = mtime_s;
    buf_printf(&s->text, "%s:", name);
    return NULL;
}

static struct err *on_data(void *arg, struct str bytes)
{
    buf_add_str(&((struct seen *)arg)->text, bytes);
    return NULL;
}

static struct err *on_end(void *arg)
{
    buf_add_char(&((struct seen *)arg)->text, ';');
    return NULL;
}

static int memory(const char *p, size_t len)
{
    int fd = memfd_create("pack", MFD_CLOEXEC);

    CHECK(fd >= 0);
    CHECK_OK(fd_write_all(fd, p, len));
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

static struct err *read_it(const char *p, size_t len, struct seen *s)
{
    const struct unpack u = { on_begin, on_data, on_end, s };
    AUTO(fd_drop) int fd = memory(p, len);

    return unpack(fd, &u);
}

static void make(struct buf *b)
{
    AUTO(fd_drop) int out = memory("", 0), file = memory("bytes of a file", 15);
    AUTO(pack_drop) struct pack *p = pack_new(out);

    CHECK_OK(pack_text(p, "version", STR("one\n"), 7));
    CHECK_OK(pack_file(p, "blobs/x", file, 15, 1769850300));
    CHECK_OK(pack_text(p, "empty", STR(""), 0));
    CHECK_OK(pack_end(p));
    CHECK(lseek(out, 0, SEEK_SET) == 0);
    buf_init(b, 1 << 20);
    CHECK_OK(fd_read_all(out, b));
}

TEST(what_goes_in_comes_out)
{
    AUTO(buf_done) struct buf b;
    struct seen s = { 0 };

    make(&b);
    buf_init(&s.text, 1 << 20);
    CHECK_OK(read_it(b.p, b.len, &s));
    CHECK_STR(s.text.p, "version:one\n;blobs/x:bytes of a file;empty:;");
    buf_done(&s.text);
}

TEST(what_is_cut_short_or_changed_is_refused)
{
    AUTO(buf_done) struct buf b;
    size_t harmless = 0;

    make(&b);
    for (size_t n = 0; n < b.len; n++) {
        struct seen s = { 0 };
        buf_init(&s.text, 1 << 20);
        CHECK_ERR(read_it(b.p, n, &s), "RESTORE_SCRIPT_FAILED");
        buf_done(&s.text);
    }
    for (size_t n = 0; n < b.len; n++) {
        struct seen s = { 0 };
        buf_init(&s.text, 1 << 20);
        b.p[n] ^= 0x15;
        AUTO(err_drop) struct err *e = read_it(b.p, b.len, &s);
        b.p[n] ^= 0x15;
        if (!e && ++harmless) /* in a field of the tar's that says nothing of the files */
            CHECK_STR(s.text.p, "version:one\n;blobs/x:bytes of a file;empty:;");
        buf_done(&s.text);
    }
    CHECK(harmless < b.len / 2);
}

/* One file's header as tar(5) has it, then its bytes. */
static void add_file(struct buf *b, const char *name, char type, const char *link, const char *bytes)
{
    char h[512] = "";
    unsigned sum = 8 * ' ';

    snprintf(h, 100, "%s", name);
    snprintf(h + 100, 8, "0000600");
    snprintf(h + 124, 12, "%011o", (unsigned)strlen(bytes));
    snprintf(h + 136, 12, "%011o", 0);
    h[156] = type;
    snprintf(h + 157, 100, "%s", link);
    memcpy(h + 257, "ustar\00000", 8);
    for (size_t i = 0; i < sizeof(h); i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    buf_add(b, h, sizeof(h));
    buf_add_c(b, bytes);
    while (b->len % 512)
        buf_add_char(b, 0);
}

static void check_refused(const struct buf *b)
{
    struct seen s = { 0 };

    buf_init(&s.text, 1 << 20);
    CHECK_ERR(read_it(b->p, b->len, &s), "RESTORE_SCRIPT_FAILED");
    buf_done(&s.text);
}

TEST(nothing_but_plain_files_with_their_sums_at_the_end_is_taken)
{
    static const struct {
        const char *name;
        char type;
    } others[] = { { "a", '1' }, { "a", '2' }, { "a", '5' }, { "a", '6' }, { "a\nb", '0' } };
    AUTO(buf_done) struct buf b;
    struct seen s = { 0 };

    buf_init(&b, 1 << 20);
    buf_init(&s.text, 1 << 20);
    add_file(&b, "a", '0', "", "a\n");
    check_refused(&b); /* no sums */
    add_file(&b, PACK_SUMS, '0', "", SUM_A "  a\n");
    CHECK_OK(read_it(b.p, b.len, &s));
    CHECK_STR(s.text.p, "a:a\n;");
    add_file(&b, "b", '0', "", "");
    check_refused(&b); /* something after them */
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        buf_clear(&b);
        add_file(&b, others[i].name, others[i].type, "/etc/passwd", "");
        add_file(&b, PACK_SUMS, '0', "", "");
        check_refused(&b);
    }
    buf_clear(&b);
    add_file(&b, "b", '0', "", "a\n");
    add_file(&b, PACK_SUMS, '0', "", SUM_A "  a\n"); /* of another name */
    check_refused(&b);
    buf_done(&s.text);
}
