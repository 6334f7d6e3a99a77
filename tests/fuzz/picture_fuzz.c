/*
 * What a screen's server sends, at once and in two pieces: both must see the
 * same picture, ask the same, and fail alike.
 */
#include <stdint.h>
#include <string.h>
#include "base/mem.h"
#include "vm/rfb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static bool feed(struct rfb_viewer *v, struct buf *in, struct buf *out, bool *ret_done)
{
    struct err *e = rfb_viewer_feed(v, in, out, ret_done);
    bool failed = e != NULL;

    err_free(e);
    return !failed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(rfb_viewer_done) struct rfb_viewer whole, pieces;
    AUTO(buf_done) struct buf in1, in2, out1, out2;
    size_t cut = len ? data[0] % len : 0;
    bool done1 = false, done2 = false, ok1, ok2;

    rfb_viewer_init(&whole);
    rfb_viewer_init(&pieces);
    buf_init(&in1, len + 1);
    buf_init(&in2, len + 1);
    buf_init(&out1, 4096);
    buf_init(&out2, 4096);
    if (!len)
        return 0;
    buf_add(&in1, data + 1, len - 1);
    ok1 = feed(&whole, &in1, &out1, &done1);
    buf_add(&in2, data + 1, cut);
    ok2 = feed(&pieces, &in2, &out2, &done2);
    if (ok2 && !done2) {
        buf_add(&in2, data + 1 + cut, len - 1 - cut);
        ok2 = feed(&pieces, &in2, &out2, &done2);
    }
    if (ok1 != ok2 || done1 != done2 || whole.stage != pieces.stage)
        abort();
    if (ok1 && (out1.len != out2.len || (out1.len && memcmp(out1.p, out2.p, out1.len) != 0)))
        abort();
    if (done1 && memcmp(whole.pixels, pieces.pixels, (size_t)whole.width * whole.height * 4) != 0)
        abort();
    return 0;
}
