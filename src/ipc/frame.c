#include "ipc/frame.h"
#include "base/bytes.h"
#include "ipc/type.h"

void ipc_head_put(void *p, const struct ipc_head *h)
{
    uint8_t *b = p;

    le32_put(b, h->len);
    b[4] = h->kind;
    le32_put(b + 5, h->call);
    le16_put(b + 9, h->op);
    b[11] = h->n_fds;
}

struct err *ipc_head_get(const void *p, struct ipc_head *ret)
{
    const uint8_t *b = p;
    struct ipc_head h = {
        .len = le32_get(b), .kind = b[4], .call = le32_get(b + 5), .op = le16_get(b + 9), .n_fds = b[11]
    };

    if (h.kind < IPC_CALL || h.kind >= IPC_FRAME_KINDS)
        return err_internal("malformed frame: kind %u", h.kind);
    if (h.len > IPC_FRAME_MAX - IPC_HEAD_SIZE)
        return err_internal("malformed frame: %u bytes", h.len);
    if (h.n_fds > IPC_FDS_MAX)
        return err_internal("malformed frame: %u descriptors", h.n_fds);
    if (h.kind == IPC_CANCEL && (h.len || h.n_fds))
        return err_internal("malformed frame: cancel with a payload");
    if ((h.kind == IPC_ONEWAY) != (h.call == 0))
        return err_internal("malformed frame: kind %u as call %u", h.kind, h.call);
    *ret = h;
    return NULL;
}
