/* Stores of UEFI variables: after any of them, keys can be taken and dropped, and are then there, or not. */
#include <stdint.h>
#include <stdlib.h>
#include "base/mem.h"
#include "proto/efivars.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(mem_drop) char *store = mem_dup(data, len);
    static char keys[8192];
    struct str found;

    efivars_make(keys, sizeof(keys));
    err_free(efivars_add_key(keys, sizeof(keys), EFI_DB, STR("key")));
    efivars_drop_keys(store, len);
    for (int key = 0; key < EFI_N_KEYS; key++)
        if (efivars_key((struct str){ store, len }, (enum efi_key)key, &found))
            abort();
    struct err *e = efivars_take_keys(store, len, (struct str){ keys, sizeof(keys) });
    if (!e && !efivars_key((struct str){ store, len }, EFI_DB, &found))
        abort();
    err_free(e);
    return 0;
}
