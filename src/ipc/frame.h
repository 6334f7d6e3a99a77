#pragma once
#include <stdint.h>
#include "base/err.h"

/*
 * The head of a frame, 12 bytes, little-endian; the payload follows:
 *     u32 bytes of payload | u8 kind | u32 call | u16 op | u8 descriptors
 * op is the service's id << 8 | the op's position in it. `call` names a call
 * among those its caller has open; 0 in a one-way frame. Descriptors ride on
 * the first byte of the head.
 */
#define IPC_FRAME_MAX (16U << 20) /* head and payload */
#define IPC_HEAD_SIZE 12U

enum ipc_frame_kind {
    IPC_CALL = 1,
    IPC_REPLY,
    IPC_ERROR,
    IPC_ONEWAY,
    IPC_CANCEL,
    IPC_FRAME_KINDS, /* how many, plus one */
};

struct ipc_head {
    uint32_t len;
    uint32_t call;
    uint16_t op;
    uint8_t kind;
    uint8_t n_fds;
};

void ipc_head_put(void *p, const struct ipc_head *h);
/* Checks what can be checked without knowing the peer. */
struct err *ipc_head_get(const void *p, struct ipc_head *ret) MUST_CHECK;
