#pragma once
#include <stdint.h>
#include "base/buf.h"
#include "cli/link.h"

/*
 * HTTP/1.1, the client's side: one request at a time over a link. The head of
 * an answer is read here; its body by web_read() until 0, or whole.
 */
struct web {
    struct link *link; /* owned */
    struct buf in;     /* read ahead */
    int64_t left;      /* of the body; -1: until the connection ends */
    int status;
    char reason[64];
    bool keep; /* the connection serves another request */
};

void web_init(struct web *w, struct link *l);
void web_done(struct web *w);

/* `headers` are whole lines; body may be NULL. length < 0: no Content-Length, the end of the connection ends the body.
 */
struct err *web_send(struct web *w, const char *method, const char *target, const char *headers, const void *body,
    int64_t length) MUST_CHECK;
struct err *web_answer(struct web *w) MUST_CHECK; /* fills in status, left, keep */
struct err *web_read(struct web *w, void *p, size_t len, size_t *ret_len) MUST_CHECK;
struct err *web_read_all(struct web *w, struct buf *b) MUST_CHECK;
