#include "vm/rfb.h"
#include <stdlib.h>
#include <string.h>
#include "base/bytes.h"
#include "base/mem.h"

enum { VERSION, SECURITY, RESULT, INIT, MESSAGE, RECT, ROWS, DONE };
enum { MSG_UPDATE, MSG_COLOURS, MSG_BELL, MSG_CUT_TEXT }; /* RFC 6143, 7.6 */

#define VERSION_TEXT "RFB 003.008\n"
#define PATIENCE (4 * RFB_PIXELS_MAX + 1024 * 1024)
#define PIXEL 4

void rfb_viewer_init(struct rfb_viewer *v)
{
    *v = (struct rfb_viewer){ .stage = VERSION, .patience = PATIENCE };
}

void rfb_viewer_done(struct rfb_viewer *v)
{
    free(v->pixels);
    v->pixels = NULL;
}

static const uint8_t *bytes_of(const struct buf *in)
{
    return (const uint8_t *)in->p;
}

static struct err *bad(const char *what)
{
    return err_internal("the screen's server %s", what);
}

/* ---- before the first picture ---- */

static struct err *version(struct rfb_viewer *v, struct buf *in, struct buf *out)
{
    if (memcmp(in->p, VERSION_TEXT, 12) != 0)
        return bad("speaks another version of RFB");
    buf_consume(in, 12);
    buf_add_c(out, VERSION_TEXT);
    v->stage = SECURITY;
    return NULL;
}

static struct err *security(struct rfb_viewer *v, struct buf *in, struct buf *out)
{
    size_t n = bytes_of(in)[0];

    if (!memchr(in->p + 1, 1, n))
        return bad("wants a password");
    buf_consume(in, n + 1);
    buf_add_char(out, 1);
    v->stage = RESULT;
    return NULL;
}

static struct err *result(struct rfb_viewer *v, struct buf *in, struct buf *out)
{
    if (be32_get(bytes_of(in)) != 0)
        return bad("lets nobody in");
    buf_consume(in, 4);
    buf_add_char(out, 1); /* beside other viewers */
    v->stage = INIT;
    return NULL;
}

static void ask(struct rfb_viewer *v, struct buf *out)
{
    static const uint8_t format[20] = { 0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0 };
    static const uint8_t raw_only[8] = { 2, 0, 0, 1 };
    uint8_t request[10] = { 3 };

    be16_put(request + 6, (uint16_t)v->width);
    be16_put(request + 8, (uint16_t)v->height);
    buf_add(out, (const char *)format, sizeof(format));
    buf_add(out, (const char *)raw_only, sizeof(raw_only));
    buf_add(out, (const char *)request, sizeof(request));
}

static struct err *init(struct rfb_viewer *v, struct buf *in, struct buf *out)
{
    v->width = be16_get(bytes_of(in));
    v->height = be16_get(bytes_of(in) + 2);
    v->skip = be32_get(bytes_of(in) + 20); /* its name */
    buf_consume(in, 24);
    if (!v->width || !v->height || v->width > RFB_SIDE_MAX || v->height > RFB_SIDE_MAX ||
        (uint64_t)v->width * v->height > RFB_PIXELS_MAX)
        return bad("has an unusable size");
    v->pixels = mem_alloc((size_t)v->width * v->height * PIXEL);
    memset(v->pixels, 0, (size_t)v->width * v->height * PIXEL);
    ask(v, out);
    v->stage = MESSAGE;
    return NULL;
}

/* ---- pictures, and what else it says ---- */

static struct err *message(struct rfb_viewer *v, struct buf *in)
{
    const uint8_t *p = bytes_of(in);

    switch (p[0]) {
    case MSG_BELL:
        v->skip = 1;
        return NULL;
    case MSG_COLOURS:
        if (in->len >= 6)
            v->skip = 6 + 6ULL * be16_get(p + 4);
        return NULL;
    case MSG_CUT_TEXT:
        if (in->len >= 8)
            v->skip = 8 + (uint64_t)be32_get(p + 4);
        return NULL;
    case MSG_UPDATE:
        if (in->len < 4)
            return NULL;
        v->rects = be16_get(p + 2);
        buf_consume(in, 4);
        v->stage = v->rects ? RECT : MESSAGE;
        return NULL;
    default:
        return bad("says something unknown");
    }
}

static struct err *rect(struct rfb_viewer *v, struct buf *in)
{
    const uint8_t *p = bytes_of(in);

    v->x = be16_get(p);
    v->y = be16_get(p + 2);
    v->w = be16_get(p + 4);
    v->h = be16_get(p + 6);
    if (be32_get(p + 8) != 0 || v->x + v->w > v->width || v->y + v->h > v->height)
        return bad("paints beside the screen");
    buf_consume(in, 12);
    v->stage = ROWS;
    return NULL;
}

static void rows(struct rfb_viewer *v, struct buf *in)
{
    size_t row = (size_t)v->w * PIXEL, n = row ? in->len / row : 0;

    n = n < v->h ? n : v->h;
    for (size_t i = 0; i < n; i++)
        memcpy(v->pixels + ((size_t)(v->y + i) * v->width + v->x) * PIXEL, in->p + i * row, row);
    buf_consume(in, n * row);
    v->y += n;
    v->h -= n;
    if (row && v->h)
        return;
    v->rects--;
    v->stage = v->rects ? RECT : DONE;
}

/* Bytes without which nothing can be done in this stage. */
static size_t needed(const struct rfb_viewer *v, const struct buf *in)
{
    switch (v->stage) {
    case VERSION:
        return 12;
    case SECURITY:
        return in->len ? 1U + bytes_of(in)[0] : 1;
    case RESULT:
        return 4;
    case INIT:
        return 24;
    case RECT:
        return 12;
    case ROWS:
        return v->w && v->h ? (size_t)v->w * PIXEL : 0;
    default:
        return 1;
    }
}

static struct err *step(struct rfb_viewer *v, struct buf *in, struct buf *out)
{
    switch (v->stage) {
    case VERSION:
        return version(v, in, out);
    case SECURITY:
        return security(v, in, out);
    case RESULT:
        return result(v, in, out);
    case INIT:
        return init(v, in, out);
    case MESSAGE:
        return message(v, in);
    case RECT:
        return rect(v, in);
    default:
        rows(v, in);
        return NULL;
    }
}

struct err *rfb_viewer_feed(struct rfb_viewer *v, struct buf *in, struct buf *out, bool *ret_done)
{
    size_t before;
    unsigned stage;

    do {
        before = in->len;
        stage = v->stage;
        if (v->skip) {
            size_t n = v->skip < in->len ? (size_t)v->skip : in->len;
            buf_consume(in, n);
            v->skip -= n;
        } else if (v->stage != DONE && in->len >= needed(v, in)) {
            TRY(step(v, in, out));
        }
        if (before - in->len > v->patience)
            return bad("says too much");
        v->patience -= before - in->len;
    } while (v->stage != DONE && (in->len != before || v->stage != stage || (v->skip && in->len)));
    *ret_done = v->stage == DONE;
    return NULL;
}
