#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

/*
 * HTTP as a XenAPI host speaks it: 1.0 and 1.1, requests in, answers out. Pure
 * code over bytes: the caller collects input until http_head_len() knows where
 * the head ends, then http_request_parse() reads it. What it refuses comes as
 * the status to answer with.
 *
 * Stricter than most where lenience has hurt others: no folded headers, no two
 * lengths, no length beside a transfer encoding, no control characters.
 */
#define HTTP_HEAD_MAX (16 * 1024)
#define HTTP_HEADERS_MAX 100
#define HTTP_PAIRS_MAX 128 /* of a query or of all cookies */

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_PUT,
    HTTP_POST,
    HTTP_CONNECT,
    HTTP_OPTIONS,
};

struct http_pair {
    const char *name; /* both NUL-terminated */
    const char *value;
};

struct http_request {
    enum http_method method;
    bool http11;
    bool keep_alive; /* as version and Connection say */
    bool chunked;    /* a Transfer-Encoding is announced */
    bool expect_continue;
    int64_t content_length;                      /* -1: none given */
    const char *target;                          /* as sent: "/export?uuid=.." */
    const char *path;                            /* percent-decoded, without the query */
    struct http_pair *query, *cookies, *headers; /* query and cookies decoded; in the order sent */
    size_t n_query, n_cookies, n_headers;
};

/* Length of the head with its blank line, 0 while it has not come whole. *scan (0 at first) remembers how far we
 * looked. */
size_t http_head_len(struct str in, size_t *scan);

/* 0, or the status to refuse with: 400, 414, 431, 501, 505. */
int http_request_parse(struct arena *a, struct str head, struct http_request *ret_req) MUST_CHECK;

const char *http_method_name(enum http_method m);
const char *http_header(const struct http_request *r, const char *name); /* first one, any case; NULL */
const char *http_query(const struct http_request *r, const char *name);  /* first one; NULL */
const char *http_cookie(const struct http_request *r, const char *name);
const char *http_credential(const struct http_request *r, const char *name); /* cookies first, then the query */
bool http_list_has(const char *list, const char *token); /* "keep-alive, Upgrade": any case; NULL has nothing */

/* Authorization: Basic. False: absent or malformed. */
bool http_basic_auth(struct arena *a, const struct http_request *r, const char **ret_user, const char **ret_password);

/* Answers: a status line, headers, and the blank line. Text from elsewhere is cut at the first control character. */
const char *http_reason(int status);
void http_answer_begin(struct buf *b, bool http11, int status, const char *reason); /* reason NULL: the usual one */
void http_answer_header(struct buf *b, const char *name, const char *value);
void http_answer_end(struct buf *b);

/* A whole answer that ends the connection: HTML body, no-cache. `extra` are header lines with their CRLFs, or NULL. */
void http_answer_error(struct buf *b, int status, const char *reason, const char *text, const char *extra);
