#include "proto/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

void base64_encode(struct buf *b, struct str in)
{
    for (size_t i = 0; i < in.len; i += 3) {
        size_t n = in.len - i < 3 ? in.len - i : 3;
        unsigned v = (unsigned)(unsigned char)in.p[i] << 16;
        char out[4];

        if (n > 1)
            v |= (unsigned)(unsigned char)in.p[i + 1] << 8;
        if (n > 2)
            v |= (unsigned char)in.p[i + 2];
        for (size_t k = 0; k < 4; k++)
            out[k] = (char)(k <= n ? alphabet[v >> (18 - 6 * k) & 63] : '=');
        buf_add(b, out, 4);
    }
}

bool base64_decode(struct base64 *s, struct buf *b, struct str in)
{
    for (size_t i = 0; i < in.len; i++) {
        char c = in.p[i];
        int d = digit(c);

        if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            continue;
        if (c == '=') {
            s->padded = true;
            continue;
        }
        if (d < 0 || s->padded)
            return false;
        s->bits = (s->bits << 6 | (unsigned)d) & 0xffffff;
        s->n_bits += 6;
        if (s->n_bits >= 8) {
            s->n_bits -= 8;
            buf_add_char(b, (char)(s->bits >> s->n_bits & 0xff));
        }
    }
    return true;
}

bool base64_done(struct base64 *s)
{
    bool whole = s->n_bits < 6; /* six bits left over are a digit that lacks its partner */

    *s = (struct base64){ 0 };
    return whole;
}
