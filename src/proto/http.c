#include "proto/http.h"
#include "base/mem.h"
#include "base/vec.h"
#include "proto/base64.h"

static const char *const method_names[] = {
    [HTTP_GET] = "GET",
    [HTTP_HEAD] = "HEAD",
    [HTTP_PUT] = "PUT",
    [HTTP_POST] = "POST",
    [HTTP_CONNECT] = "CONNECT",
    [HTTP_OPTIONS] = "OPTIONS",
};

const char *http_method_name(enum http_method m)
{
    return method_names[m];
}

size_t http_head_len(struct str in, size_t *scan)
{
    size_t i = *scan;

    while (i < in.len) {
        const char *nl = memchr(in.p + i, '\n', in.len - i);
        size_t next;

        if (!nl)
            break;
        next = (size_t)(nl - in.p) + 1;
        if (next < in.len && in.p[next] == '\n')
            return next + 1;
        if (next + 1 < in.len && in.p[next] == '\r' && in.p[next + 1] == '\n')
            return next + 2;
        if (next + 1 >= in.len) { /* the line after may still be the empty one */
            *scan = (size_t)(nl - in.p);
            return 0;
        }
        i = next;
    }
    *scan = in.len;
    return 0;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NULL: what came out is no text (a NUL, a control character, not UTF-8). A lone '%' stands for itself. */
static const char *decode(struct arena *a, struct str s, bool plus)
{
    char *out = arena_alloc(a, s.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];

        if (c == '%' && i + 2 < s.len && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
            c = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (!c)
            return NULL;
        out[n++] = c;
    }
    out[n] = '\0';
    return str_is_utf8((struct str){ out, n }) ? out : NULL;
}

struct pairs {
    VEC(struct http_pair) v;
};

static bool add_pair(struct arena *a, struct pairs *ps, struct str item, bool plus)
{
    struct str name, value = { "", 0 };
    struct http_pair p;

    item = str_trim(item);
    if (!item.len)
        return true;
    str_cut(item, '=', &name, &value);
    p.name = decode(a, str_trim(name), plus);
    p.value = decode(a, str_trim(value), plus);
    if (!p.name || !p.value || ps->v.len >= HTTP_PAIRS_MAX)
        return false;
    vec_push(&ps->v, p);
    return true;
}

/* Splits at '&', and for cookies at ';' too. */
static bool parse_pairs(struct arena *a, struct pairs *ps, struct str s, bool cookies)
{
    size_t from = 0;

    for (size_t i = 0; i <= s.len; i++) {
        if (i < s.len && s.p[i] != '&' && !(cookies && s.p[i] == ';'))
            continue;
        if (!add_pair(a, ps, (struct str){ s.p + from, i - from }, !cookies))
            return false;
        from = i + 1;
    }
    return true;
}

static struct http_pair *keep(struct arena *a, struct pairs *ps, size_t *ret_n)
{
    struct http_pair *p = ps->v.len ? arena_dup(a, ps->v.p, ps->v.len * sizeof(*p)) : NULL;

    *ret_n = ps->v.len;
    return p;
}

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 127 || strchr("()<>@,;:\\\"/[]?={}", s.p[i]))
            return false;
    return s.len > 0;
}

static bool is_text(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t') || s.p[i] == 127)
            return false;
    return true;
}

static bool next_line(struct str *in, struct str *ret_line)
{
    struct str rest = { "", 0 };

    if (!in->len)
        return false;
    str_cut(*in, '\n', ret_line, &rest);
    if (ret_line->len && ret_line->p[ret_line->len - 1] == '\r')
        ret_line->len--;
    *in = rest;
    return true;
}

static int parse_request_line(struct arena *a, struct str line, struct http_request *r, struct pairs *query)
{
    struct str method, target, version, path, q = { "", 0 };
    size_t m;

    if (!str_cut(line, ' ', &method, &target) || !str_cut(target, ' ', &target, &version) || !is_token(method))
        return 400;
    for (m = 0; m < ARRAY_LEN(method_names); m++)
        if (str_eq_c(method, method_names[m]))
            break;
    if (m == ARRAY_LEN(method_names))
        return 501;
    r->method = (enum http_method)m;

    if (!str_eq_c(version, "HTTP/1.0") && !str_eq_c(version, "HTTP/1.1"))
        return str_starts(version, STR("HTTP/")) ? 505 : 400;
    r->http11 = str_eq_c(version, "HTTP/1.1");

    if (!target.len || target.p[0] != '/' || !is_text(target))
        return 400;
    r->target = arena_strndup(a, target.p, target.len);
    str_cut(target, '?', &path, &q);
    r->path = decode(a, path, false);
    return r->path && parse_pairs(a, query, q, false) ? 0 : 400;
}

static int parse_header(struct arena *a, struct str line, struct pairs *headers)
{
    struct str name, value;
    struct http_pair p;

    if (!str_cut(line, ':', &name, &value) || !is_token(name) || !is_text(value))
        return 400;
    if (headers->v.len >= HTTP_HEADERS_MAX)
        return 431;
    value = str_trim(value);
    p.name = arena_strndup(a, name.p, name.len);
    p.value = arena_strndup(a, value.p, value.len);
    vec_push(&headers->v, p);
    return 0;
}

/* What the headers say about the body and the connection. */
static int read_meaning(struct http_request *r)
{
    const char *connection = http_header(r, "connection");

    for (size_t i = 0; i < r->n_headers; i++) {
        struct str value = str_of(r->headers[i].value);
        uint64_t len;

        if (!strcasecmp(r->headers[i].name, "content-length")) {
            if (!value.len || value.p[0] < '0' || value.p[0] > '9' || !str_to_u64(value, &len) || len > INT64_MAX)
                return 400;
            if (r->content_length >= 0 && r->content_length != (int64_t)len)
                return 400;
            r->content_length = (int64_t)len;
        } else if (!strcasecmp(r->headers[i].name, "transfer-encoding") && !str_eq_nocase(value, STR("identity"))) {
            if (!str_eq_nocase(value, STR("chunked")))
                return 501;
            r->chunked = true;
        }
    }
    if (r->chunked && r->content_length >= 0)
        return 400;
    r->keep_alive = r->http11 ? !http_list_has(connection, "close") : http_list_has(connection, "keep-alive");
    r->expect_continue = r->http11 && http_list_has(http_header(r, "expect"), "100-continue");
    return 0;
}

static int parse_into(struct arena *a, struct str head, struct http_request *r, struct pairs *query,
    struct pairs *cookies, struct pairs *headers)
{
    struct str line;
    int status;

    if (!next_line(&head, &line))
        return 400;
    status = parse_request_line(a, line, r, query);
    while (!status && next_line(&head, &line) && line.len)
        status = parse_header(a, line, headers);
    if (status)
        return status;
    r->query = keep(a, query, &r->n_query);
    r->headers = keep(a, headers, &r->n_headers);
    for (size_t i = 0; i < r->n_headers; i++)
        if (!strcasecmp(r->headers[i].name, "cookie") && !parse_pairs(a, cookies, str_of(r->headers[i].value), true))
            return 400;
    r->cookies = keep(a, cookies, &r->n_cookies);
    return read_meaning(r);
}

int http_request_parse(struct arena *a, struct str head, struct http_request *ret_req)
{
    struct pairs query = { 0 }, cookies = { 0 }, headers = { 0 };
    struct http_request r = { .content_length = -1 };
    int status;

    while (head.len && (head.p[0] == '\r' || head.p[0] == '\n')) { /* left over by clients that end a body with CRLF */
        head.p++;
        head.len--;
    }
    status = memchr(head.p, 0, head.len) ? 400 : parse_into(a, head, &r, &query, &cookies, &headers);
    vec_done(&query.v);
    vec_done(&cookies.v);
    vec_done(&headers.v);
    if (!status)
        *ret_req = r;
    return status;
}

static const char *find(const struct http_pair *p, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(p[i].name, name))
            return p[i].value;
    return NULL;
}

const char *http_header(const struct http_request *r, const char *name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (!strcasecmp(r->headers[i].name, name))
            return r->headers[i].value;
    return NULL;
}

const char *http_query(const struct http_request *r, const char *name)
{
    return find(r->query, r->n_query, name);
}

const char *http_cookie(const struct http_request *r, const char *name)
{
    return find(r->cookies, r->n_cookies, name);
}

const char *http_credential(const struct http_request *r, const char *name)
{
    const char *v = http_cookie(r, name);

    return v ? v : http_query(r, name);
}

bool http_list_has(const char *list, const char *token)
{
    struct str rest = str_of(list), item;

    while (rest.len) {
        struct str tail = { "", 0 };

        str_cut(rest, ',', &item, &tail);
        if (str_eq_nocase(str_trim(item), str_of(token)))
            return true;
        rest = tail;
    }
    return false;
}

bool http_basic_auth(struct arena *a, const struct http_request *r, const char **ret_user, const char **ret_password)
{
    struct str value = str_of(http_header(r, "authorization")), scheme, code, user, password;
    struct base64 state = { 0 };
    struct buf b;
    bool ok;

    if (!str_cut(value, ' ', &scheme, &code) || !str_eq_nocase(scheme, STR("basic")))
        return false;
    buf_init(&b, HTTP_HEAD_MAX);
    ok = base64_decode(&state, &b, str_trim(code)) && base64_done(&state) && str_is_utf8(buf_str(&b)) && b.len &&
        !memchr(b.p, 0, b.len) && str_cut(buf_str(&b), ':', &user, &password);
    if (ok) {
        *ret_user = arena_strndup(a, user.p, user.len);
        *ret_password = arena_strndup(a, password.p, password.len);
    }
    if (b.p)
        mem_wipe(b.p, b.len);
    buf_done(&b);
    return ok;
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        { 100, "Continue" },
        { 101, "Switching Protocols" },
        { 200, "OK" },
        { 302, "Found" },
        { 400, "Bad Request" },
        { 401, "Unauthorised" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 408, "Request Timeout" },
        { 411, "Length Required" },
        { 413, "Payload Too Large" },
        { 414, "URI Too Long" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Error" },
        { 501, "Method Not Implemented" },
        { 503, "Service Unavailable" },
        { 505, "HTTP Version Not Supported" },
    };

    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

/* A line break in a value would be a header of its own. */
static void add_line_text(struct buf *b, const char *s)
{
    size_t n = 0;

    while ((unsigned char)s[n] >= ' ' && s[n] != 127)
        n++;
    buf_add(b, s, n);
}

void http_answer_begin(struct buf *b, bool http11, int status, const char *reason)
{
    buf_printf(b, "HTTP/1.%d %d ", http11, status);
    add_line_text(b, cstr_empty(reason) ? http_reason(status) : reason);
    buf_add_c(b, "\r\n");
}

void http_answer_header(struct buf *b, const char *name, const char *value)
{
    add_line_text(b, name);
    buf_add_c(b, ": ");
    add_line_text(b, value);
    buf_add_c(b, "\r\n");
}

void http_answer_end(struct buf *b)
{
    buf_add_c(b, "\r\n");
}

static void add_html(struct buf *b, const char *s)
{
    for (; *s; s++) {
        if (*s == '<')
            buf_add_c(b, "&lt;");
        else if (*s == '>')
            buf_add_c(b, "&gt;");
        else if (*s == '&')
            buf_add_c(b, "&amp;");
        else
            buf_add_char(b, *s);
    }
}

void http_answer_error(struct buf *b, int status, const char *reason, const char *text, const char *extra)
{
    AUTO(buf_done) struct buf body;

    if (cstr_empty(reason))
        reason = http_reason(status);
    buf_init(&body, 64 * 1024);
    buf_printf(&body, "<html><body><h1>HTTP %d ", status);
    add_html(&body, reason);
    buf_add_c(&body, "</h1>");
    add_html(&body, text ? text : "");
    buf_add_c(&body, "</body></html>");

    http_answer_begin(b, true, status, reason);
    buf_printf(b, "Content-Type: text/html\r\nContent-Length: %zu\r\n", body.len);
    buf_add_c(b, "Connection: close\r\nCache-Control: no-cache, no-store\r\n");
    if (extra)
        buf_add_c(b, extra);
    http_answer_end(b);
    buf_add_str(b, buf_str(&body));
}
