/* Secure Boot keys that an administrator brings: what is found lies in what was given. */
#include <assert.h>
#include <stdint.h>
#include "core/efikeys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct str tar = { (const char *)data, len };
    struct efikeys keys;
    const char *why = "";

    if (!efikeys_read(a, tar, &keys, &why)) {
        assert(*why);
        return 0;
    }
    for (size_t i = 0; i < EFI_N_KEYS; i++)
        assert(keys.list[i].len <= len);
    return 0;
}
