#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "model/model.h"

/*
 * Typed values as clients read them: XML-RPC (protocol.md section 2) and
 * JSON-RPC 1.0 and 2.0 (section 3), envelopes included. Writers append to a buf.
 */
enum envelope { ENVELOPE_XMLRPC, ENVELOPE_JSONRPC1, ENVELOPE_JSONRPC2 };

/* `id` is the JSON text of the request's id; ignored for XML-RPC. A whole reply is
 * wire_begin + one value + wire_end, or wire_error. `bare`: system.listMethods has no Status struct. */
void wire_begin(struct buf *b, enum envelope e, bool bare);
void wire_end(struct buf *b, enum envelope e, bool bare, struct str id);
void wire_error(struct buf *b, enum envelope e, struct str id, const struct err *err);

void wire_value(struct buf *b, enum envelope e, const struct type *t, const struct value *v);

/* Containers written piece by piece, so that 10,000 records are never built in memory first. */
void wire_set_begin(struct buf *b, enum envelope e);
void wire_set_item(struct buf *b, enum envelope e, bool first); /* before each item */
void wire_set_item_end(struct buf *b, enum envelope e);
void wire_set_end(struct buf *b, enum envelope e);
void wire_map_begin(struct buf *b, enum envelope e);
void wire_map_key(struct buf *b, enum envelope e, bool first, const char *key); /* before each value */
void wire_map_value_end(struct buf *b, enum envelope e);
void wire_map_end(struct buf *b, enum envelope e);

/* The XML-RPC <value> of task.result. */
void wire_task_result(struct buf *b, const struct type *t, const struct value *v);
