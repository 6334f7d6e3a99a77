#include "proto/http.h"
#include "test.h"

static int parse(struct arena *a, const char *text, struct http_request *r)
{
    size_t scan = 0;
    size_t len = http_head_len(str_of(text), &scan);

    return len ? http_request_parse(a, (struct str){ text, len }, r) : -1;
}

TEST(a_request_is_taken_apart)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct http_request r = { 0 };

    CHECK_INT(parse(a,
                  "GET /export/?uuid=a%20b&x=1+2&x=3&flag HTTP/1.1\r\nHost: h\r\n"
                  "cookie: session_id=OpaqueRef%3a1; task_id=t&subtask_of=s\r\nContent-Length: 7\r\n\r\nbody",
                  &r),
        0);
    CHECK_INT(r.method, HTTP_GET);
    CHECK_STR(r.path, "/export/");
    CHECK_STR(http_query(&r, "uuid"), "a b");
    CHECK_STR(http_query(&r, "x"), "1 2");
    CHECK_STR(http_query(&r, "flag"), "");
    CHECK_INT(r.n_query, 4);
    CHECK_STR(http_credential(&r, "session_id"), "OpaqueRef:1");
    CHECK_STR(http_cookie(&r, "task_id"), "t");
    CHECK_STR(http_cookie(&r, "subtask_of"), "s");
    CHECK_INT(r.content_length, 7);
    CHECK(r.keep_alive);
    CHECK_STR(http_header(&r, "HOST"), "h");
    CHECK(!http_query(&r, "nothing"));
}

TEST(the_head_is_found_however_it_arrives)
{
    const char *text = "\r\nGET / HTTP/1.0\r\nA: b\r\n\r\nrest";
    size_t whole = strlen(text) - 4, scan = 0;

    for (size_t n = 3; n < whole; n++)
        CHECK_INT(http_head_len((struct str){ text, n }, &scan), 0);
    CHECK_INT(http_head_len((struct str){ text, whole }, &scan), whole);
    scan = 0;
    CHECK_INT(http_head_len(STR("GET / HTTP/1.0\n\nx"), &scan), 16);
}

TEST(connections_live_as_version_and_header_say)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct http_request r = { 0 };

    CHECK_INT(parse(a, "GET / HTTP/1.0\r\n\r\n", &r), 0);
    CHECK(!r.keep_alive && !r.http11 && r.content_length == -1);
    CHECK_INT(parse(a, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &r), 0);
    CHECK(r.keep_alive);
    CHECK_INT(parse(a, "GET / HTTP/1.1\r\nConnection: x, Close\r\n\r\n", &r), 0);
    CHECK(!r.keep_alive);
}

TEST(what_could_be_read_in_two_ways_is_refused)
{
    static const struct {
        int status;
        const char *text;
    } cases[] = {
        { 400, "GET  HTTP/1.1\r\n\r\n" },
        { 400, "nonsense\r\n\r\n" },
        { 400, "GET http://h/ HTTP/1.1\r\n\r\n" },
        { 400, "GET /%00 HTTP/1.1\r\n\r\n" },
        { 400, "GET /?a=%ff HTTP/1.1\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nA : b\r\n\r\n" },
        { 400, "PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n" },
        { 400, "PUT / HTTP/1.1\r\nContent-Length: +1\r\n\r\n" },
        { 400, "PUT / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n" },
        { 400, "PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n" },
        { 400, "GET / HTTP/1.1\r\nA: b\001\r\n\r\n" },
        { 501, "PUT / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n" },
        { 501, "BREW / HTTP/1.1\r\n\r\n" },
        { 505, "GET / HTTP/2.0\r\n\r\n" },
    };
    AUTO(arena_drop) struct arena *a = arena_new();
    struct http_request r;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK_INT(parse(a, cases[i].text, &r), cases[i].status);
}

TEST(there_may_be_a_hundred_headers_and_no_more)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf b;
    struct http_request r;

    buf_init(&b, HTTP_HEAD_MAX);
    buf_add_c(&b, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < HTTP_HEADERS_MAX; i++)
        buf_printf(&b, "h%d: x\r\n", i);
    CHECK_INT(http_request_parse(a, buf_str(&b), &r), 0);
    buf_add_c(&b, "one: more\r\n");
    CHECK_INT(http_request_parse(a, buf_str(&b), &r), 431);
}

TEST(basic_credentials_may_hold_colons)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct http_request r;
    const char *user, *password;

    CHECK_INT(parse(a, "GET / HTTP/1.1\r\nAuthorization: basic cm9vdDphOmI=\r\n\r\n", &r), 0);
    CHECK(http_basic_auth(a, &r, &user, &password));
    CHECK_STR(user, "root");
    CHECK_STR(password, "a:b");
    CHECK_INT(parse(a, "GET / HTTP/1.1\r\nAuthorization: Basic *\r\n\r\n", &r), 0);
    CHECK(!http_basic_auth(a, &r, &user, &password));
    CHECK_INT(parse(a, "GET / HTTP/1.1\r\n\r\n", &r), 0);
    CHECK(!http_basic_auth(a, &r, &user, &password));
}

TEST(answers_cannot_be_split)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 4096);
    http_answer_begin(&b, true, 200, "fine\r\nX: y");
    http_answer_header(&b, "Location", "/a\r\nSet-Cookie: b");
    http_answer_end(&b);
    CHECK_STR(b.p, "HTTP/1.1 200 fine\r\nLocation: /a\r\n\r\n");
    buf_clear(&b);
    http_answer_error(&b, 404, NULL, "<x>", NULL);
    CHECK_STR(b.p,
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 62\r\nConnection: close\r\n"
        "Cache-Control: no-cache, no-store\r\n\r\n<html><body><h1>HTTP 404 Not Found</h1>&lt;x&gt;</body></html>");
}
