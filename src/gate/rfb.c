#include "gate/rfb.h"
#include "base/bytes.h"

enum { ST_VERSION, ST_SECURITY, ST_INIT, ST_MESSAGES, ST_UNKNOWN };
enum { SET_PIXEL_FORMAT, SET_ENCODINGS = 2, UPDATE_REQUEST, KEY, POINTER, CUT_TEXT, QEMU = 255 };

/* Bytes of the head that tell how long the message of this type is; 0: unknown type. */
static size_t head_size(uint8_t type)
{
    switch (type) {
    case SET_PIXEL_FORMAT:
    case UPDATE_REQUEST:
    case KEY:
    case POINTER:
        return 1;
    case SET_ENCODINGS:
        return 4;
    case CUT_TEXT:
        return 8;
    case QEMU:
        return 4;
    default:
        return 0;
    }
}

static uint32_t message_size(const uint8_t *head)
{
    switch (head[0]) {
    case SET_PIXEL_FORMAT:
        return 20;
    case SET_ENCODINGS:
        return 4 + 4U * be16_get(head + 2);
    case UPDATE_REQUEST:
        return 10;
    case KEY:
        return 8;
    case POINTER:
        return 6;
    case CUT_TEXT:
        return 8 + (be32_get(head + 4) & 0xffffff);
    default: /* QEMU: a key, or audio: set format or on and off */
        return head[1] == 0 ? 12 : be16_get(head + 2) == 2 ? 10 : 4;
    }
}

/* One byte; returns whether it completes the head of something a person did. */
static bool message_byte(struct rfb_watch *w, uint8_t byte)
{
    size_t need;

    w->head[w->n_head++] = byte;
    need = head_size(w->head[0]);
    if (!need) {
        w->stage = ST_UNKNOWN;
        return true;
    }
    if (w->n_head < need)
        return false;
    w->skip = message_size(w->head) - w->n_head;
    w->n_head = 0;
    return w->head[0] == KEY || w->head[0] == POINTER || w->head[0] == QEMU;
}

static bool opening_byte(struct rfb_watch *w, uint8_t byte)
{
    switch (w->stage) {
    case ST_VERSION:
        if (byte != (uint8_t) "RFB 003."[w->n_head++]) {
            w->stage = ST_UNKNOWN;
            return true;
        }
        if (w->n_head == 8) {
            w->skip = 4;
            w->n_head = 0;
            w->stage = ST_SECURITY;
        }
        return false;
    case ST_SECURITY: /* 1: none. With others a dialogue of unknown length follows */
        w->stage = byte == 1 ? ST_INIT : ST_UNKNOWN;
        return true;
    default: /* whether others may share the screen */
        w->stage = ST_MESSAGES;
        return true;
    }
}

bool rfb_activity(struct rfb_watch *w, struct str bytes)
{
    bool active = false;
    size_t i = 0;

    while (i < bytes.len && w->stage != ST_UNKNOWN) {
        size_t n = w->skip < bytes.len - i ? w->skip : bytes.len - i;

        w->skip -= (uint32_t)n;
        i += n;
        if (i == bytes.len)
            break;
        active |= w->stage == ST_MESSAGES ? message_byte(w, (uint8_t)bytes.p[i]) : opening_byte(w, (uint8_t)bytes.p[i]);
        i++;
    }
    return active || w->stage == ST_UNKNOWN;
}
