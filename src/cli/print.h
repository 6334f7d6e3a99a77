#pragma once
#include <stddef.h>
#include "base/arena.h"
#include "base/buf.h"

/*
 * The layout of a record: the first name at the left, the others right-aligned
 * under it, values after ": ". Records end with an empty line.
 *
 *     uuid ( RO)           : 4f7e...
 *          name-label ( RW): web
 *         power-state ( RO): running
 */
struct cell {
    const char *name, *value;
};

void print_cells(struct buf *b, const struct cell *cells, size_t n);
void print_minimal(struct buf *b, const char *value, bool first); /* commas between, commas inside escaped */

/* To standard output. On a terminal, control characters of names and descriptions become '?': they are others' text. */
void print_out(const struct buf *b);
