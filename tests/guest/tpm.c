/*
 * The guest's TPM 2.0, by its command response buffer. The one command that
 * the tests need: define a place in its lasting memory, which works exactly
 * once in a TPM's life.
 */
#include "tpm.h"

#define CRB 0xfed40000u

enum {
    LOC_CTRL = 0x08,
    LOC_STS = 0x0c,
    CTRL_REQ = 0x40,
    CTRL_START = 0x4c,
    CMD_ADDR = 0x5c,
    RSP_ADDR = 0x68,
    PATIENCE = 200000000,
};

static volatile u32 *reg(u32 offset)
{
    return (volatile u32 *)(CRB + offset);
}

static int wait_clear(u32 offset, u32 bits)
{
    for (u32 i = 0; i < PATIENCE; i++)
        if (!(*reg(offset) & bits))
            return 1;
    return 0;
}

/* The TPM's answer code; 0xffffffff if there is no TPM. */
static u32 command(const u8 *p, u32 len)
{
    volatile u8 *to, *from;

    if (*reg(LOC_STS) == 0xffffffffu)
        return 0xffffffffu;
    *reg(LOC_CTRL) = 1; /* ask for the locality */
    *reg(CTRL_REQ) = 1; /* be ready */
    if (!wait_clear(CTRL_REQ, 1))
        return 0xffffffffu;
    to = (volatile u8 *)*reg(CMD_ADDR);
    for (u32 i = 0; i < len; i++)
        to[i] = p[i];
    *reg(CTRL_START) = 1;
    if (!wait_clear(CTRL_START, 1))
        return 0xffffffffu;
    from = (volatile u8 *)*reg(RSP_ADDR);
    return (u32)from[6] << 24 | (u32)from[7] << 16 | (u32)from[8] << 8 | from[9];
}

enum tpm_answer tpm_define(void)
{
    /* TPM2_Startup(CLEAR) */
    static const u8 startup[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };
    /* TPM2_NV_DefineSpace by the owner without a password: index 0x01500001, owner may read and write, 8 bytes */
    static const u8 define[] = { 0x80, 0x02, 0, 0, 0, 45, 0, 0, 0x01, 0x2a, 0x40, 0, 0, 0x01, 0, 0, 0, 9, 0x40, 0, 0,
        0x09, 0, 0, 0, 0, 0, 0, 0, 0, 14, 0x01, 0x50, 0, 0x01, 0, 0x0b, 0, 0x02, 0, 0x02, 0, 0, 0, 8 };
    u32 r;

    command(startup, sizeof(startup)); /* a firmware may have said so already */
    r = command(define, sizeof(define));
    return r == 0 ? TPM_DEFINED : r == 0x14c ? TPM_HAD_IT : TPM_NONE;
}
