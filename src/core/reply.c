#include "core/reply.h"
#include <errno.h>
#include <sys/mman.h>
#include "base/fd.h"

#define INLINE_MAX (256UL * 1024)
#define REPLY_MAX (1024UL * 1024 * 1024)

void reply_init(struct reply *r)
{
    *r = (struct reply){ .fd = -1 };
    buf_init(&r->text, REPLY_MAX);
}

void reply_done(struct reply *r)
{
    buf_done(&r->text);
    fd_drop(&r->fd);
    err_free(r->failed);
    r->failed = NULL;
}

void reply_clear(struct reply *r)
{
    buf_clear(&r->text);
    fd_drop(&r->fd);
    r->spilled = 0;
    err_free(r->failed);
    r->failed = NULL;
}

static struct err *check_size(const struct reply *r)
{
    if (r->text.overflow || r->text.len > REPLY_MAX - r->spilled)
        return err_internal("the answer is larger than %lu bytes", REPLY_MAX);
    return NULL;
}

static struct err *write_out(struct reply *r)
{
    TRY(check_size(r));
    if (r->fd < 0)
        r->fd = memfd_create("reply", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (r->fd < 0)
        return err_errno(errno, "memory for an answer");
    TRY(fd_write_all(r->fd, r->text.p, r->text.len));
    r->spilled += r->text.len;
    buf_clear(&r->text);
    return NULL;
}

void reply_spill(struct buf *text)
{
    struct reply *r = CONTAINER_OF(text, struct reply, text);

    if (text->len <= INLINE_MAX)
        return;
    if (!r->failed)
        r->failed = write_out(r);
    if (r->failed)
        buf_clear(text);
}

struct err *reply_check(const struct reply *r)
{
    if (r->failed)
        return err_internal("%s", err_text(r->failed));
    return check_size(r);
}

struct err *reply_end(struct reply *r, struct arena *a, struct str *ret_body, int *ret_fd)
{
    if (r->fd < 0 && r->text.len <= INLINE_MAX) {
        *ret_body = (struct str){ arena_dup(a, r->text.p, r->text.len), r->text.len };
        return NULL;
    }
    TRY(write_out(r));
    TRY(fd_memfd_seal(r->fd));
    *ret_fd = fd_take(&r->fd);
    return NULL;
}
