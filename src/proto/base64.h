#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "base/str.h"

/*
 * Base64 as HTTP, XML-RPC and old WebSocket clients use it: the standard
 * alphabet with padding. Decoding skips white space and can go on from piece
 * to piece; whatever else is not of the alphabet is refused.
 */
struct base64 {
    unsigned bits, n_bits;
    bool padded; /* a '=' was seen: only more of it may follow */
};

void base64_encode(struct buf *b, struct str in);

/* Zeroed state to begin with. False: not base64; what came before is in b. A '=' group may be followed by a new text
 * only after base64_done(). */
bool base64_decode(struct base64 *s, struct buf *b, struct str in);
bool base64_done(struct base64 *s); /* ends a text and is ready for the next; false if bits are missing */
