#include "core/pack.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/mem.h"
#include "gen/errors.h"

#define PIECE (256 * 1024)
#define SUM_LEN 64
#define SUMS_MAX ((size_t)PACK_FILES_MAX * (SUM_LEN + PACK_NAME_MAX + 3))

/* ---- sums ---- */

struct sums {
    EVP_MD_CTX *hash;
    struct buf text;
};

static void sums_init(struct sums *s)
{
    s->hash = EVP_MD_CTX_new();
    if (!s->hash)
        abort();
    buf_init(&s->text, SUMS_MAX);
}

static void sums_done(struct sums *s)
{
    EVP_MD_CTX_free(s->hash);
    buf_done(&s->text);
}

static void sum_begin(struct sums *s)
{
    EVP_DigestInit_ex(s->hash, EVP_sha256(), NULL);
}

static void sum_end(struct sums *s, const char *name)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    EVP_DigestFinal_ex(s->hash, sum, &len);
    for (unsigned i = 0; i < len; i++)
        buf_printf(&s->text, "%02x", sum[i]);
    buf_printf(&s->text, "  %s\n", name);
}

/* ---- making ---- */

struct pack {
    struct archive *archive;
    struct archive_entry *entry;
    struct sums sums;
    bool open;
};

static struct err *failed(struct archive *a, const char *what)
{
    const char *why = archive_error_string(a);

    return err_internal("%s a backup: %s", what, why ? why : "it cannot be done");
}

struct pack *pack_new(int fd)
{
    struct pack *p = mem_new(struct pack);

    p->archive = archive_write_new();
    p->entry = archive_entry_new();
    if (!p->archive || !p->entry)
        abort();
    sums_init(&p->sums);
    p->open = archive_write_set_format_ustar(p->archive) == ARCHIVE_OK &&
        archive_write_add_filter_zstd(p->archive) == ARCHIVE_OK && archive_write_open_fd(p->archive, fd) == ARCHIVE_OK;
    return p;
}

void pack_free(struct pack *p)
{
    if (!p)
        return;
    archive_write_free(p->archive);
    archive_entry_free(p->entry);
    sums_done(&p->sums);
    free(p);
}

static struct err *begin(struct pack *p, const char *name, int64_t size, int64_t mtime_s)
{
    if (!p->open)
        return failed(p->archive, "begin");
    archive_entry_clear(p->entry);
    archive_entry_set_pathname(p->entry, name);
    archive_entry_set_filetype(p->entry, AE_IFREG);
    archive_entry_set_perm(p->entry, 0600);
    archive_entry_set_size(p->entry, size);
    archive_entry_set_mtime(p->entry, mtime_s, 0);
    sum_begin(&p->sums);
    return archive_write_header(p->archive, p->entry) == ARCHIVE_OK ? NULL : failed(p->archive, "write");
}

static struct err *add(struct pack *p, struct str bytes)
{
    EVP_DigestUpdate(p->sums.hash, bytes.p, bytes.len);
    return archive_write_data(p->archive, bytes.p, bytes.len) == (ssize_t)bytes.len ? NULL
                                                                                    : failed(p->archive, "write");
}

struct err *pack_text(struct pack *p, const char *name, struct str text, int64_t mtime_s)
{
    TRY(begin(p, name, (int64_t)text.len, mtime_s));
    TRY(add(p, text));
    sum_end(&p->sums, name);
    return NULL;
}

struct err *pack_file(struct pack *p, const char *name, int fd, int64_t size, int64_t mtime_s)
{
    AUTO(mem_drop) char *block = mem_alloc(PIECE);

    TRY(begin(p, name, size, mtime_s));
    for (int64_t at = 0; at < size;) {
        ssize_t n = pread(fd, block, size - at < PIECE ? (size_t)(size - at) : PIECE, at);

        if (n < 0)
            return err_errno(errno, "read %s for a backup", name);
        if (!n)
            return err_internal("%s became shorter while it was read", name);
        TRY(add(p, (struct str){ block, (size_t)n }));
        at += n;
    }
    sum_end(&p->sums, name);
    return NULL;
}

struct err *pack_end(struct pack *p)
{
    AUTO(buf_done) struct buf lines = p->sums.text;

    buf_init(&p->sums.text, SUMS_MAX);
    TRY(pack_text(p, PACK_SUMS, buf_str(&lines), 0));
    return archive_write_close(p->archive) == ARCHIVE_OK ? NULL : failed(p->archive, "end");
}

/* ---- reading ---- */

struct reading {
    struct archive *archive;
    const struct unpack *to;
    struct sums sums;
    size_t n;
    char *block;
};

static struct err *damaged(struct archive *a, const char *what)
{
    const char *why = a ? archive_error_string(a) : NULL;
    AUTO(mem_drop) char *text = mem_printf("this is no whole backup: %s%s%s", what, why ? ": " : "", why ? why : "");

    return err_restore_script_failed(text);
}

static struct err *read_some(struct reading *r, size_t *ret_n)
{
    ssize_t n = archive_read_data(r->archive, r->block, PIECE);

    if (n < 0)
        return damaged(r->archive, "a file cannot be read");
    *ret_n = (size_t)n;
    return NULL;
}

static struct err *read_file(struct reading *r, const char *name, int64_t size, int64_t mtime_s)
{
    int64_t left = size;
    size_t n = 1;

    TRY(r->to->begin(r->to->arg, name, size, mtime_s));
    sum_begin(&r->sums);
    while (n) {
        TRY(read_some(r, &n));
        left -= (int64_t)n;
        EVP_DigestUpdate(r->sums.hash, r->block, n);
        if (n)
            TRY(r->to->data(r->to->arg, (struct str){ r->block, n }));
    }
    if (left)
        return damaged(NULL, "a file is not as long as it says");
    sum_end(&r->sums, name);
    return r->to->end(r->to->arg);
}

static struct err *check_sums(struct reading *r)
{
    struct str rest = buf_str(&r->sums.text);
    size_t n = 1;

    while (n) {
        TRY(read_some(r, &n));
        if (n > rest.len || memcmp(rest.p, r->block, n) != 0)
            return damaged(NULL, "its sums are other ones");
        rest = (struct str){ rest.p + n, rest.len - n };
    }
    return rest.len ? damaged(NULL, "its sums are other ones") : NULL;
}

/* *ret_last: these were the sums. */
static struct err *take(struct reading *r, struct archive_entry *e, bool *ret_last)
{
    const char *name = archive_entry_pathname(e);

    if (!name || strlen(name) > PACK_NAME_MAX || name[strcspn(name, "\n")] || r->n++ == PACK_FILES_MAX)
        return damaged(NULL, "too many files, or a long name");
    if (archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e) || archive_entry_size(e) < 0)
        return damaged(NULL, "something is no plain file");
    *ret_last = strcmp(name, PACK_SUMS) == 0;
    return *ret_last ? check_sums(r) : read_file(r, name, archive_entry_size(e), (int64_t)archive_entry_mtime(e));
}

static struct err *read_all(struct reading *r)
{
    struct archive_entry *e = NULL;
    bool last = false;

    for (int status; (status = archive_read_next_header(r->archive, &e)) != ARCHIVE_EOF;) {
        if (status != ARCHIVE_OK)
            return damaged(r->archive, "it cannot be read");
        if (last)
            return damaged(NULL, "something comes after its end");
        TRY(take(r, e, &last));
    }
    return last ? NULL : damaged(NULL, "it has no end");
}

struct err *unpack(int fd, const struct unpack *u)
{
    AUTO(mem_drop) char *block = mem_alloc(PIECE);
    struct reading r = { .archive = archive_read_new(), .to = u, .block = block };
    struct err *e = NULL;

    if (!r.archive)
        abort();
    sums_init(&r.sums);
    if (archive_read_support_filter_zstd(r.archive) != ARCHIVE_OK ||
        archive_read_support_format_tar(r.archive) != ARCHIVE_OK)
        e = failed(r.archive, "understand");
    else if (archive_read_open_fd(r.archive, fd, PIECE) != ARCHIVE_OK)
        e = damaged(r.archive, "it cannot be read");
    else
        e = read_all(&r);
    archive_read_free(r.archive);
    sums_done(&r.sums);
    return e;
}
