#include "cli/print.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INDENT 4

void print_cells(struct buf *b, const struct cell *cells, size_t n)
{
    size_t width = 0;

    for (size_t i = 0; i < n; i++)
        if (strlen(cells[i].name) > width)
            width = strlen(cells[i].name);
    width += INDENT;
    for (size_t i = 0; i < n; i++) {
        buf_printf(b, "%*s: ", i ? (int)width : -(int)width, cells[i].name);
        buf_add_c(b, cells[i].value);
        buf_add_char(b, '\n');
    }
    buf_add_c(b, "\n\n");
}

void print_minimal(struct buf *b, const char *value, bool first)
{
    if (!first)
        buf_add_char(b, ',');
    for (; *value; value++) {
        if (*value == ',' || *value == '\\')
            buf_add_char(b, '\\');
        buf_add_char(b, *value);
    }
}

void print_out(const struct buf *b)
{
    bool tty = isatty(STDOUT_FILENO);

    for (size_t i = 0; i < b->len; i++) {
        unsigned char c = (unsigned char)b->p[i];
        bool control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f;

        putchar(tty && control ? '?' : c);
    }
}
