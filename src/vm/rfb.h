#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"

/*
 * The viewer's side of RFB (RFC 6143), as far as one whole picture of the
 * screen needs it: version 3.8, no authentication, raw pixels. It only turns
 * bytes into bytes; what comes is the hypervisor's word, so sizes are bounded.
 */
#define RFB_SIDE_MAX 8192
#define RFB_PIXELS_MAX (16UL * 1024 * 1024)

struct rfb_viewer {
    unsigned stage, rects; /* to come in this update */
    uint32_t width, height;
    uint32_t x, y, w, h; /* of the rectangle that comes */
    uint64_t skip;       /* bytes that mean nothing here */
    uint64_t patience;   /* bytes until it is given up */
    uint8_t *pixels;     /* owned; rows of blue, green, red, 0; NULL before their size is known */
};

void rfb_viewer_init(struct rfb_viewer *v);
void rfb_viewer_done(struct rfb_viewer *v); /* AUTO */

/* Takes from `in` what it can use, and adds to `out` what is to be sent. *ret_done: the picture is whole. */
struct err *rfb_viewer_feed(struct rfb_viewer *v, struct buf *in, struct buf *out, bool *ret_done) MUST_CHECK;
