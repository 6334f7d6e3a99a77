#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "proto/base64.h"
#include "proto/http.h"

/*
 * WebSocket, RFC 6455, the server's side: the handshake's answer and frames.
 * Payload is streamed: a frame of any length costs no memory, and messages in
 * fragments are one stream like any other, since RFB knows no messages.
 */
enum ws_protocol { WS_PLAIN, WS_BINARY, WS_BASE64 }; /* none asked for, or the one agreed on */

/* 0, or the status to refuse with; `answer` gets the whole 101. */
int ws_handshake(const struct http_request *r, struct buf *answer, enum ws_protocol *ret_protocol) MUST_CHECK;
bool ws_asked(const struct http_request *r);

enum ws_event {
    WS_MORE, /* wants more bytes */
    WS_DATA, /* *ret_data: payload, unmasked in place */
    WS_PING, /* *ret_data: to be echoed in a pong */
    WS_PONG,
    WS_CLOSE, /* *ret_data: code and reason, to be echoed */
    WS_BAD,   /* protocol violated; the decoder is dead */
};

struct ws_in {
    uint64_t left; /* of the frame's payload */
    uint8_t head[14], control[125];
    uint8_t n_head, n_control, opcode;
    uint8_t mask_at;
    bool in_payload, in_message, final;
};

/* Eats bytes of [p, p + len) up to the next event; *ret_used tells how many. Zeroed state to begin with. */
enum ws_event ws_next(struct ws_in *w, char *p, size_t len, size_t *ret_used, struct str *ret_data);

#define WS_OP_TEXT 1
#define WS_OP_BINARY 2
#define WS_OP_CLOSE 8
#define WS_OP_PING 9
#define WS_OP_PONG 10
#define WS_HEAD_MAX 10

/* A whole unfragmented frame as servers send it, unmasked. */
void ws_frame(struct buf *b, unsigned opcode, struct str payload);
