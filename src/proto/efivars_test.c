/* Against OVMF's own stores where they are installed, and one made by hand. */
#include "proto/efivars.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/fd.h"
#include "test.h"

#define SIZE 65536

static bool has(const char *store, size_t len, enum efi_key key)
{
    struct str data;

    return efivars_key((struct str){ store, len }, key, &data);
}

TEST(keys_come_and_go)
{
    static char store[SIZE], other[SIZE];
    struct str data;

    efivars_make(store, SIZE);
    efivars_make(other, SIZE);
    CHECK(efivars_valid((struct str){ store, SIZE }));
    CHECK(!has(store, SIZE, EFI_PK));
    CHECK_OK(efivars_add_key(store, SIZE, EFI_PK, STR("platform key")));
    CHECK_OK(efivars_add_key(store, SIZE, EFI_DB, STR("database")));
    CHECK(efivars_key((struct str){ store, SIZE }, EFI_PK, &data) && str_eq_c(data, "platform key"));
    CHECK(efivars_key((struct str){ store, SIZE }, EFI_DB, &data) && str_eq_c(data, "database"));
    CHECK(!has(store, SIZE, EFI_KEK) && !has(store, SIZE, EFI_DBX));
    CHECK_OK(efivars_add_key(other, SIZE, EFI_PK, STR("another")));
    CHECK_OK(efivars_take_keys(other, SIZE, (struct str){ store, SIZE }));
    CHECK(efivars_key((struct str){ other, SIZE }, EFI_PK, &data) && str_eq_c(data, "platform key"));
    efivars_drop_keys(store, SIZE);
    CHECK(!has(store, SIZE, EFI_PK) && !has(store, SIZE, EFI_DB));
}

TEST(a_full_store_is_told)
{
    static char store[4096];
    static char large[4000];

    efivars_make(store, sizeof(store));
    CHECK_ERR(efivars_add_key(store, sizeof(store), EFI_DBX, (struct str){ large, sizeof(large) }), "INTERNAL_ERROR");
    CHECK_OK(efivars_add_key(store, sizeof(store), EFI_DBX, (struct str){ large, 3800 }));
    CHECK_ERR(efivars_add_key(store, sizeof(store), EFI_DB, (struct str){ large, 200 }), "INTERNAL_ERROR");
}

TEST(what_is_no_store_has_no_keys)
{
    static char store[SIZE];
    struct str data;

    CHECK(!efivars_valid(STR("")));
    CHECK(!efivars_key(STR("not a store at all"), EFI_PK, &data));
    efivars_make(store, SIZE);
    CHECK(!efivars_valid((struct str){ store, 60 }));
    store[0x48 + 16] = store[0x48 + 17] = store[0x48 + 18] = (char)0xff; /* longer than what holds it */
    CHECK(!efivars_valid((struct str){ store, SIZE }));
}

TEST(ovmfs_stores_are_understood)
{
    static const char *const files[] = { "/usr/share/OVMF/OVMF_VARS_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd" };
    struct buf b[2];

    for (int i = 0; i < 2; i++) {
        buf_init(&b[i], EFIVARS_MAX);
        if (access(files[i], R_OK) < 0)
            return;
        CHECK_OK(file_read(AT_FDCWD, files[i], &b[i]));
        CHECK(efivars_valid(buf_str(&b[i])));
    }
    for (int key = EFI_PK; key <= EFI_DB; key++) {
        CHECK(!has(b[0].p, b[0].len, (enum efi_key)key));
        CHECK(has(b[1].p, b[1].len, (enum efi_key)key));
    }
    CHECK_OK(efivars_take_keys(b[0].p, b[0].len, buf_str(&b[1])));
    CHECK(has(b[0].p, b[0].len, EFI_DB));
    buf_done(&b[0]);
    buf_done(&b[1]);
}
