/*
 * Bytes of other processes and of the database as values. What decodes must
 * encode to the same bytes: there is one spelling of each value.
 *     clang -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Isrc tests/fuzz/value_fuzz.c \
 *         src/base/{value,arena,buf,err,mem,str}.c
 */
#include <stdlib.h>
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf b;
    struct str in = { (const char *)data, size };
    struct value v, packed;
    void *block = NULL;
    struct err *e;

    buf_init(&b, size);
    e = value_decode(a, &in, &v);
    if (e) {
        if (in.len != size)
            abort();
        err_ignore(e, "most inputs are no values");
        return 0;
    }
    value_encode(&b, &v);
    if (b.overflow || b.len != size - in.len || memcmp(b.p, data, b.len) != 0)
        abort();
    packed = value_pack(&v, &block);
    if (!value_eq(&v, &packed))
        abort();
    free(block);
    return 0;
}
