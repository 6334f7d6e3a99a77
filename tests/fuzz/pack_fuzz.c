/* Backups of the host: files come out one after the other, with plain names and as long as they said, or none is
 * believed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/fd.h"
#include "core/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define FILE_MAX (1 << 20)

struct sink {
    bool open;
    int64_t left;
};

static struct err *on_begin(void *arg, const char *name, int64_t size, int64_t mtime_s)
{
    struct sink *s = arg;

    (void)mtime_s;
    if (s->open || size < 0 || strlen(name) > PACK_NAME_MAX || strchr(name, '\n'))
        abort();
    *s = (struct sink){ true, size };
    return size > FILE_MAX ? err_internal("there is no room for it") : NULL;
}

static struct err *on_data(void *arg, struct str bytes)
{
    struct sink *s = arg;

    s->left -= (int64_t)bytes.len;
    if (!s->open || s->left < 0)
        abort();
    return NULL;
}

static struct err *on_end(void *arg)
{
    struct sink *s = arg;

    if (!s->open || s->left)
        abort();
    s->open = false;
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(fd_drop) int fd = memfd_create("fuzz", MFD_CLOEXEC);
    struct sink s = { 0 };
    const struct unpack u = { on_begin, on_data, on_end, &s };
    struct err *e = fd_write_all(fd, data, len);

    if (!e && lseek(fd, 0, SEEK_SET) == 0)
        e = unpack(fd, &u);
    if (!e && s.open)
        abort();
    err_free(e);
    return 0;
}
