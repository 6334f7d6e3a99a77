/*
 * What a viewer sends, at once and in two pieces: both must see the same
 * activity and be left in the same state.
 */
#include <stdint.h>
#include "base/mem.h"
#include "gate/rfb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct rfb_watch whole = { 0 }, pieces = { 0 };
    size_t cut = len ? data[0] % len : 0;
    char *copy;
    bool first, second;

    if (!len)
        return 0;
    copy = mem_dup(data + 1, len - 1);
    first = rfb_activity(&pieces, (struct str){ copy, cut });
    second = rfb_activity(&pieces, (struct str){ copy + cut, len - 1 - cut });
    if (rfb_activity(&whole, (struct str){ copy, len - 1 }) != (first || second))
        abort();
    if (whole.stage != pieces.stage || whole.skip != pieces.skip || whole.n_head != pieces.n_head)
        abort();
    free(copy);
    return 0;
}
