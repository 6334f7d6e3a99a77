#include "vm/image.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/bytes.h"
#include "base/fiber.h"
#include "gen/ipc_vm.h"

#define MAGIC "RunnymedeMemory1"
#define STATE_AT 16
#define SIZE_AT 24
#define HEAD_SIZE 28
#define PLAN_AT 4096
#define BODY_AT (1024 * 1024)

static const char *const states[] = {
    [VM_IMAGE_OPEN] = "open    ", [VM_IMAGE_WHOLE] = "whole   ", [VM_IMAGE_USED] = "used    "
};

/* The medium may take seconds: on a worker. */
struct sync {
    int fd;
    int result;
};

static void do_sync(void *arg)
{
    struct sync *s = arg;

    s->result = fdatasync(s->fd) < 0 ? errno : 0;
}

static struct err *put(int fd, const void *p, size_t len, off_t at)
{
    ssize_t n = pwrite(fd, p, len, at);

    return n == (ssize_t)len ? NULL : err_errno(n < 0 ? errno : ENOSPC, "write the image of a suspended VM");
}

static struct err *get(int fd, void *p, size_t len, off_t at)
{
    ssize_t n = pread(fd, p, len, at);

    return n == (ssize_t)len ? NULL : err_errno(n < 0 ? errno : EIO, "read the image of a suspended VM");
}

struct err *vm_image_mark(int fd, enum vm_image_state state)
{
    struct sync s = { fd, 0 };

    fiber_offload(do_sync, &s); /* what it says must be there before it says so */
    if (s.result)
        return err_errno(s.result, "write the image of a suspended VM");
    TRY(put(fd, states[state], 8, STATE_AT));
    fiber_offload(do_sync, &s);
    return s.result ? err_errno(s.result, "write the image of a suspended VM") : NULL;
}

struct err *vm_image_begin(int fd, const struct vm_plan *plan)
{
    AUTO(buf_done) struct buf b;
    struct vm_plan kept = *plan;
    uint8_t head[HEAD_SIZE] = MAGIC;

    kept.nvram = kept.tpm = STR("");
    buf_init(&b, BODY_AT - PLAN_AT);
    TRY(vm_plan_encode(&b, &kept));
    memcpy(head + STATE_AT, states[VM_IMAGE_OPEN], 8);
    le32_put(head + SIZE_AT, (uint32_t)b.len);
    TRY(put(fd, head, sizeof(head), 0));
    TRY(put(fd, b.p, b.len, PLAN_AT));
    if (lseek(fd, BODY_AT, SEEK_SET) < 0)
        return err_errno(errno, "seek in the image of a suspended VM");
    return NULL;
}

enum vm_image_state vm_image_state(int fd)
{
    uint8_t head[HEAD_SIZE];

    if (pread(fd, head, sizeof(head), 0) != sizeof(head) || memcmp(head, MAGIC, STATE_AT) != 0)
        return VM_IMAGE_NONE;
    for (int s = VM_IMAGE_OPEN; s <= VM_IMAGE_USED; s++)
        if (memcmp(head + STATE_AT, states[s], 8) == 0)
            return (enum vm_image_state)s;
    return VM_IMAGE_NONE;
}

struct err *vm_image_plan(int fd, struct arena *a, struct vm_plan *ret_plan)
{
    uint8_t size[4];
    uint32_t len;

    TRY(get(fd, size, sizeof(size), SIZE_AT));
    len = le32_get(size);
    if (len > BODY_AT - PLAN_AT)
        return err_internal("malformed image of a suspended VM");
    char *p = arena_alloc(a, len + 1);
    TRY(get(fd, p, len, PLAN_AT));
    TRY(vm_plan_decode(a, (struct str){ p, len }, ret_plan));
    if (lseek(fd, BODY_AT, SEEK_SET) < 0)
        return err_errno(errno, "seek in the image of a suspended VM");
    return NULL;
}
