#include "core/efikeys.h"
#include <string.h>
#include "base/buf.h"
#include "base/bytes.h"
#include "test.h"

static void put32(struct buf *b, uint32_t v)
{
    char p[4];

    le32_put(p, v);
    buf_add(b, p, 4);
}

/* A signed update of one list with one signature of one byte. */
static void put_auth(struct buf *b, char signature)
{
    char zero[40] = { 0 };

    buf_add(b, zero, 16); /* time */
    put32(b, 24 + 3);
    buf_add(b, "\x00\x02\xf1\x0e", 4);
    buf_add(b, zero, 16);
    buf_add(b, "pk7", 3);
    buf_add(b, zero, 16); /* type */
    put32(b, 28 + 17);
    put32(b, 0);
    put32(b, 17);
    buf_add(b, zero, 16); /* owner */
    buf_add_char(b, signature);
}

static void put_file(struct buf *tar, const char *name, struct str data)
{
    char block[512] = { 0 };
    unsigned sum = 0;

    memcpy(block, name, strlen(name));
    snprintf(block + 124, 12, "%011o", (unsigned)data.len);
    block[156] = '0';
    memset(block + 148, ' ', 8);
    for (size_t i = 0; i < sizeof(block); i++)
        sum += (unsigned char)block[i];
    snprintf(block + 148, 8, "%06o", sum);
    buf_add(tar, block, sizeof(block));
    buf_add_str(tar, data);
    memset(block, 0, sizeof(block));
    buf_add(tar, block, (512 - data.len % 512) % 512);
}

static void put_key(struct buf *tar, const char *name, char signature)
{
    AUTO(buf_done) struct buf auth;

    buf_init(&auth, 4096);
    put_auth(&auth, signature);
    put_file(tar, name, buf_str(&auth));
}

TEST(keys_are_found_in_a_tar)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf tar;
    struct efikeys keys;
    const char *why;

    buf_init(&tar, 65536);
    put_file(&tar, "README", STR("whatever"));
    put_key(&tar, "./PK.auth", 'p');
    put_key(&tar, "keys/KEK.auth", 'k');
    CHECK(!efikeys_read(a, buf_str(&tar), &keys, &why));
    CHECK(strstr(why, "must be in it"));
    put_key(&tar, "db.auth", 'd');
    CHECK(efikeys_read(a, buf_str(&tar), &keys, &why));
    CHECK_INT(keys.list[EFI_PK].len, 45);
    CHECK_INT(keys.list[EFI_KEK].p[44], 'k');
    CHECK_INT(keys.list[EFI_DBX].len, 0);
    put_key(&tar, "dbx.auth", 'x');
    CHECK(efikeys_read(a, buf_str(&tar), &keys, &why));
    CHECK_INT(keys.list[EFI_DBX].p[44], 'x');
    put_key(&tar, "db.auth", 'd');
    CHECK(!efikeys_read(a, buf_str(&tar), &keys, &why));
    CHECK_STR(why, "a key is in it twice");
}

TEST(whatever_is_cut_or_changed_is_refused)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf tar;
    struct efikeys keys = { 0 };
    const char *why;

    buf_init(&tar, 65536);
    put_key(&tar, "PK.auth", 'p');
    put_key(&tar, "KEK.auth", 'k');
    put_key(&tar, "db.auth", 'd');
    for (size_t len = 0; len < tar.len - 450; len += 7)
        CHECK(!efikeys_read(a, (struct str){ tar.p, len }, &keys, &why));
    static const size_t sizes[] = { 16, 20, 22, 59, 63, 67 }; /* lengths and kinds in the update */
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        tar.p[512 + sizes[i]] ^= 0x40;
        CHECK(!efikeys_read(a, buf_str(&tar), &keys, &why));
        CHECK_STR(why, "a key is no signed list of signatures");
        tar.p[512 + sizes[i]] ^= 0x40;
    }
    CHECK(!keys.list[EFI_PK].len);
    CHECK(efikeys_read(a, buf_str(&tar), &keys, &why));
}
