/*
 * The request parser, its bytes arriving in two pieces, and what is asked of a
 * request afterwards. Whatever is accepted must be plain text within limits.
 */
#include <stdint.h>
#include "base/mem.h"
#include "proto/http.h"
#include "proto/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_pairs(const struct http_pair *p, size_t n, size_t max)
{
    if (n > max)
        abort();
    for (size_t i = 0; i < n; i++)
        if (max == HTTP_HEADERS_MAX && (strpbrk(p[i].name, "\r\n") || strpbrk(p[i].value, "\r\n")))
            abort();
}

static void look(struct arena *a, const struct http_request *r)
{
    const char *user, *password;
    enum ws_protocol protocol;
    AUTO(buf_done) struct buf b;

    buf_init(&b, 1 << 20);
    check_pairs(r->query, r->n_query, HTTP_PAIRS_MAX);
    check_pairs(r->cookies, r->n_cookies, HTTP_PAIRS_MAX);
    check_pairs(r->headers, r->n_headers, HTTP_HEADERS_MAX);
    if (r->path[0] != '/' || r->content_length < -1 || (r->chunked && r->content_length >= 0) ||
        !str_is_utf8(str_of(r->path)))
        abort();
    if (http_basic_auth(a, r, &user, &password) && (strchr(user, ':') || !password))
        abort();
    http_answer_error(&b, 404, r->path, r->target, NULL);
    if (ws_asked(r) && ws_handshake(r, &b, &protocol) == 0 && !b.len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct http_request r;
    size_t scan = 0, head, cut = len ? data[0] % (len + 1) : 0;
    char *copy;

    if (len > HTTP_HEAD_MAX)
        return 0;
    copy = mem_dup(data, len); /* of its exact size, so that reading past it shows */
    head = http_head_len((struct str){ copy, cut }, &scan);
    if (!head)
        head = http_head_len((struct str){ copy, len }, &scan);
    if (head > len)
        abort();
    if (http_request_parse(a, (struct str){ copy, head ? head : len }, &r) == 0)
        look(a, &r);
    free(copy);
    return 0;
}
