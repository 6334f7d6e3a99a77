#include "cli/web.h"
#include <string.h>
#include "base/mem.h"
#include "cli/fail.h"

#define HEAD_MAX (64 * 1024)
#define PIECE (64 * 1024)

void web_init(struct web *w, struct link *l)
{
    *w = (struct web){ .link = l };
    buf_init(&w->in, HEAD_MAX + PIECE);
}

void web_done(struct web *w)
{
    link_drop(&w->link);
    buf_done(&w->in);
}

struct err *web_send(
    struct web *w, const char *method, const char *target, const char *headers, const void *body, int64_t length)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, HEAD_MAX);
    buf_printf(&b, "%s %s HTTP/1.1\r\nHost: xe\r\nUser-Agent: xe/" RUNNYMEDE_VERSION "\r\n%s", method, target, headers);
    if (length >= 0)
        buf_printf(&b, "Content-Length: %lld\r\n", (long long)length);
    buf_add_c(&b, "\r\n");
    if (b.overflow)
        return usage("the request is too long");
    TRY(link_write(w->link, b.p, b.len));
    return body && length > 0 ? link_write(w->link, body, (size_t)length) : NULL;
}

static struct err *more(struct web *w, size_t *ret_len)
{
    char *p = buf_reserve(&w->in, PIECE / 2);

    if (!p)
        return usage("the server's answer is no HTTP: its head has no end");
    TRY(link_read(w->link, p, PIECE / 2, ret_len));
    buf_commit(&w->in, *ret_len);
    return NULL;
}

static struct err *header(struct web *w, struct str line)
{
    struct str name, value;
    uint64_t n;

    str_cut(line, ':', &name, &value);
    value = str_trim(value);
    if (str_eq_nocase(name, STR("Content-Length"))) {
        if (!str_to_u64(value, &n) || n > INT64_MAX)
            return usage("the server's answer is no HTTP: its length is no number");
        w->left = (int64_t)n;
    } else if (str_eq_nocase(name, STR("Connection")) && str_eq_nocase(value, STR("close"))) {
        w->keep = false;
    } else if (str_eq_nocase(name, STR("Transfer-Encoding"))) {
        return usage("the server's answer comes in an encoding that xe does not know");
    }
    return NULL;
}

static struct err *read_head(struct web *w, struct str head)
{
    struct str line, version, code;
    int64_t status;

    str_cut(head, '\n', &line, &head);
    if (!str_starts(line, STR("HTTP/1.")) || !str_cut(str_trim(line), ' ', &version, &line))
        return usage("the server's answer is no HTTP");
    w->keep = str_eq(version, STR("HTTP/1.1"));
    str_cut(line, ' ', &code, &line);
    if (!str_to_i64(str_trim((struct str){ code.p, code.len < 3 ? code.len : 3 }), &status))
        return usage("the server's answer is no HTTP");
    w->status = (int)status;
    w->left = -1;
    snprintf(w->reason, sizeof(w->reason), "%.*s", (int)line.len, line.p);
    w->reason[strcspn(w->reason, "\r\n")] = 0;
    while (head.len) {
        str_cut(head, '\n', &line, &head);
        if (line.len && line.p[line.len - 1] == '\r')
            line.len--;
        TRY(header(w, line));
    }
    if (w->left < 0)
        w->keep = false;
    return NULL;
}

struct err *web_answer(struct web *w)
{
    const char *end;
    size_t n = 1, len;

    while (!w->in.len || !(end = memmem(w->in.p, w->in.len, "\r\n\r\n", 4))) {
        TRY(more(w, &n));
        if (!n)
            return usage("the server ended the connection");
    }
    len = (size_t)(end - w->in.p);
    TRY(read_head(w, (struct str){ w->in.p, len }));
    buf_consume(&w->in, len + 4);
    return NULL;
}

struct err *web_read(struct web *w, void *p, size_t len, size_t *ret_len)
{
    size_t n;

    if (w->left >= 0 && len > (uint64_t)w->left)
        len = (size_t)w->left;
    if (!len) {
        *ret_len = 0;
        return NULL;
    }
    if (w->in.len) {
        n = w->in.len < len ? w->in.len : len;
        memcpy(p, w->in.p, n);
        buf_consume(&w->in, n);
    } else {
        TRY(link_read(w->link, p, len, &n));
        if (!n && w->left > 0)
            return usage("the server ended the connection before the end of its answer");
    }
    if (w->left >= 0)
        w->left -= (int64_t)n;
    *ret_len = n;
    return NULL;
}

struct err *web_read_all(struct web *w, struct buf *b)
{
    for (size_t n = 1; n;) {
        char *p = buf_reserve(b, PIECE);

        if (!p)
            return usage("the server's answer is too long");
        TRY(web_read(w, p, PIECE, &n));
        buf_commit(b, n);
    }
    return NULL;
}
