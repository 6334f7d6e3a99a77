/*
 * A client's frames, once whole and once in pieces whose sizes the input
 * chooses: both must say the same. Payload also goes through base64.
 */
#include <stdint.h>
#include "base/mem.h"
#include "proto/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Events and payload as one text; a frame in pieces gives several WS_DATA, which therefore leave no mark. */
static void follow(const uint8_t *data, size_t len, size_t piece, struct buf *log)
{
    struct ws_in w = { 0 };
    struct base64 base64 = { 0 };
    AUTO(buf_done) struct buf decoded;
    enum ws_event event = WS_MORE;
    char *copy = mem_dup(data, len);

    buf_init(&decoded, 1 << 20);
    for (size_t at = 0; at < len && event != WS_BAD;) {
        struct str payload = { NULL, 0 };
        size_t used = 0, n = len - at < piece ? len - at : piece;

        event = ws_next(&w, copy + at, n, &used, &payload);
        if (used > n || (!used && event == WS_MORE))
            abort();
        at += used;
        if (event == WS_PING || event == WS_PONG || event == WS_CLOSE || event == WS_BAD)
            buf_printf(log, "[%d]", event);
        buf_add_str(log, payload);
        if (event == WS_DATA && !base64_decode(&base64, &decoded, payload))
            base64_done(&base64);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(buf_done) struct buf whole, pieces;

    buf_init(&whole, 1 << 20);
    buf_init(&pieces, 1 << 20);
    if (len < 2)
        return 0;
    follow(data + 1, len - 1, len, &whole);
    follow(data + 1, len - 1, data[0] % 16 + 1U, &pieces);
    if (!str_eq(buf_str(&whole), buf_str(&pieces)))
        abort();
    return 0;
}
