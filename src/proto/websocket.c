#include "proto/websocket.h"
#include <openssl/evp.h>
#include "base/bytes.h"

bool ws_asked(const struct http_request *r)
{
    return r->method == HTTP_GET && http_list_has(http_header(r, "upgrade"), "websocket") &&
        http_list_has(http_header(r, "connection"), "upgrade");
}

static void add_accept(struct buf *b, const char *key)
{
    char text[128];
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int n = snprintf(text, sizeof(text), "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);

    if (!EVP_Digest(text, (size_t)n, digest, &len, EVP_sha1(), NULL))
        abort(); /* SHA-1 is always there */
    base64_encode(b, (struct str){ (const char *)digest, len });
}

int ws_handshake(const struct http_request *r, struct buf *answer, enum ws_protocol *ret_protocol)
{
    const char *key = http_header(r, "sec-websocket-key");
    const char *version = http_header(r, "sec-websocket-version");
    const char *offered = http_header(r, "sec-websocket-protocol");

    if (!ws_asked(r) || !key || strlen(key) != 24 || !cstr_eq(version, "13"))
        return 400;
    *ret_protocol = http_list_has(offered, "binary") ? WS_BINARY
        : http_list_has(offered, "base64")           ? WS_BASE64
                                                     : WS_PLAIN;

    http_answer_begin(answer, true, 101, NULL);
    buf_add_c(answer, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
    add_accept(answer, key);
    buf_add_c(answer, "\r\n");
    if (*ret_protocol != WS_PLAIN)
        http_answer_header(answer, "Sec-WebSocket-Protocol", *ret_protocol == WS_BINARY ? "binary" : "base64");
    http_answer_end(answer);
    return 0;
}

static size_t head_size(const struct ws_in *w)
{
    unsigned len;

    if (w->n_head < 2)
        return 2;
    len = w->head[1] & 0x7f;
    return 2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + 4;
}

/* The head is whole: is it one a client may send now? */
static bool begin_frame(struct ws_in *w)
{
    unsigned len = w->head[1] & 0x7f;

    w->final = w->head[0] & 0x80;
    w->opcode = w->head[0] & 0x0f;
    if ((w->head[0] & 0x70) || !(w->head[1] & 0x80))
        return false;
    w->left = len == 126 ? be16_get(w->head + 2) : len == 127 ? be64_get(w->head + 2) : len;
    if (w->left > INT64_MAX)
        return false;
    if (w->opcode >= WS_OP_CLOSE) {
        if (w->opcode > WS_OP_PONG || !w->final || w->left > sizeof(w->control))
            return false;
    } else {
        if (w->opcode > WS_OP_BINARY || (w->opcode == 0) != w->in_message)
            return false;
        w->in_message = !w->final;
    }
    w->in_payload = true;
    w->mask_at = 0;
    w->n_control = 0;
    return true;
}

static void unmask(struct ws_in *w, char *p, size_t len)
{
    const uint8_t *mask = w->head + w->n_head - 4;

    for (size_t i = 0; i < len; i++)
        p[i] = (char)((uint8_t)p[i] ^ mask[(w->mask_at + i) & 3]);
    w->mask_at = (uint8_t)((w->mask_at + len) & 3);
}

static void end_frame(struct ws_in *w)
{
    w->in_payload = false;
    w->n_head = 0;
}

enum ws_event ws_next(struct ws_in *w, char *p, size_t len, size_t *ret_used, struct str *ret_data)
{
    size_t used = 0, n;

    while (!w->in_payload) {
        if (used == len) {
            *ret_used = used;
            return WS_MORE;
        }
        w->head[w->n_head++] = (uint8_t)p[used++];
        if (w->n_head >= 2 && w->n_head == head_size(w) && !begin_frame(w)) {
            *ret_used = used;
            return WS_BAD;
        }
    }

    n = len - used < w->left ? len - used : (size_t)w->left;
    unmask(w, p + used, n);
    w->left -= n;
    *ret_used = used + n;
    if (w->opcode < WS_OP_CLOSE) {
        *ret_data = (struct str){ p + used, n };
        if (!w->left)
            end_frame(w);
        return n ? WS_DATA : WS_MORE;
    }
    memcpy(w->control + w->n_control, p + used, n);
    w->n_control = (uint8_t)(w->n_control + n);
    if (w->left)
        return WS_MORE;
    end_frame(w);
    *ret_data = (struct str){ (const char *)w->control, w->n_control };
    return w->opcode == WS_OP_CLOSE ? WS_CLOSE : w->opcode == WS_OP_PING ? WS_PING : WS_PONG;
}

void ws_frame(struct buf *b, unsigned opcode, struct str payload)
{
    uint8_t head[WS_HEAD_MAX] = { (uint8_t)(0x80 | opcode) };
    size_t n = 2;

    if (payload.len < 126) {
        head[1] = (uint8_t)payload.len;
    } else if (payload.len < 65536) {
        head[1] = 126;
        be16_put(head + 2, (uint16_t)payload.len);
        n = 4;
    } else {
        head[1] = 127;
        be64_put(head + 2, payload.len);
        n = 10;
    }
    buf_add(b, head, n);
    buf_add_str(b, payload);
}
