#include "proto/websocket.h"
#include "test.h"

static size_t client_frame(char *out, unsigned first, const char *text, size_t len)
{
    static const char mask[4] = { 1, 2, 3, 4 };
    size_t n = 0;

    out[n++] = (char)first;
    if (len < 126) {
        out[n++] = (char)(0x80 | len);
    } else {
        out[n++] = (char)(0x80 | 126);
        out[n++] = (char)(len >> 8);
        out[n++] = (char)len;
    }
    memcpy(out + n, mask, 4);
    n += 4;
    for (size_t i = 0; i < len; i++)
        out[n++] = (char)(text[i] ^ mask[i & 3]);
    return n;
}

TEST(the_handshake_is_that_of_the_rfc)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf b;
    struct http_request r;
    enum ws_protocol p;

    buf_init(&b, 4096);
    CHECK_INT(http_request_parse(a,
                  STR("GET /console HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Protocol: base64, binary\r\n\r\n"),
                  &r),
        0);
    CHECK(ws_asked(&r));
    CHECK_INT(ws_handshake(&r, &b, &p), 0);
    CHECK_INT(p, WS_BINARY);
    CHECK_STR(b.p,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: binary\r\n\r\n");
    CHECK_INT(http_request_parse(a, STR("GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"), &r), 0);
    CHECK_INT(ws_handshake(&r, &b, &p), 400);
}

TEST(frames_come_in_any_pieces)
{
    char whole[1024];
    size_t n = client_frame(whole, WS_OP_BINARY, "hel", 3); /* not final */

    n += client_frame(whole + n, 0x80 | WS_OP_PING, "pp", 2); /* control in between is fine */
    n += client_frame(whole + n, 0x80, "lo", 2);
    n += client_frame(whole + n, 0x80 | WS_OP_CLOSE, "\003\350", 2);

    for (size_t piece = 1; piece <= n; piece++) {
        AUTO(buf_done) struct buf got;
        char copy[1024];
        struct ws_in w = { 0 };
        enum ws_event last = WS_MORE;
        int pings = 0;

        buf_init(&got, 100);
        memcpy(copy, whole, n);
        for (size_t at = 0; at < n;) {
            size_t used;
            struct str data;

            last = ws_next(&w, copy + at, n - at < piece ? n - at : piece, &used, &data);
            at += used;
            if (last == WS_DATA)
                buf_add_str(&got, data);
            if (last == WS_PING && str_eq_c(data, "pp"))
                pings++;
            CHECK(last != WS_BAD);
        }
        CHECK_STR(got.p, "hello");
        CHECK_INT(pings, 1);
        CHECK_INT(last, WS_CLOSE);
    }
}

TEST(wrong_frames_are_refused)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        { "\x82\x01zzzz", 6 },                    /* not masked */
        { "\xc2\x81zzzz", 6 },                    /* reserved bit */
        { "\x83\x81zzzz", 6 },                    /* reserved opcode */
        { "\x80\x81zzzz", 6 },                    /* continues nothing */
        { "\x09\x80zzzz", 6 },                    /* control in fragments */
        { "\x89\xfe\x00\x7ezzzz", 8 },            /* control too long */
        { "\x82\xff\xff\0\0\0\0\0\0\0zzzz", 14 }, /* absurd length */
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char copy[16];
        struct ws_in w = { 0 };
        struct str data;
        size_t used;

        memcpy(copy, bad[i].bytes, bad[i].len);
        CHECK_INT(ws_next(&w, copy, bad[i].len, &used, &data), WS_BAD);
    }
}

TEST(our_frames_have_the_shortest_head)
{
    static char big[70000];
    AUTO(buf_done) struct buf b;

    buf_init(&b, 1 << 20);
    ws_frame(&b, WS_OP_BINARY, STR("x"));
    CHECK(b.len == 3 && !memcmp(b.p, "\x82\x01x", 3));
    buf_clear(&b);
    ws_frame(&b, WS_OP_BINARY, (struct str){ big, 126 });
    CHECK(b.len == 130 && !memcmp(b.p, "\x82\x7e\x00\x7e", 4));
    buf_clear(&b);
    ws_frame(&b, WS_OP_BINARY, (struct str){ big, 70000 });
    CHECK(b.len == 70010 && !memcmp(b.p, "\x82\x7f\0\0\0\0\0\x01\x11\x70", 10));
}
