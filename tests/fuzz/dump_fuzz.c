/* Dumps of the database, at once and in two pieces: both are taken, or neither. */
#include <stdint.h>
#include <stdlib.h>
#include "store/dump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(dump_drop) struct dump *whole = dump_new(), *pieces = dump_new();
    size_t cut = len / 2;
    struct err *e = dump_feed(whole, (struct str){ (const char *)data, len }, true);
    struct err *f = dump_feed(pieces, (struct str){ (const char *)data, cut }, false);

    if (!f)
        f = dump_feed(pieces, (struct str){ (const char *)data + cut, len - cut }, true);
    if (!e != !f)
        abort();
    err_free(e);
    err_free(f);
    return 0;
}
