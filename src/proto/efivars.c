#include "proto/efivars.h"
#include <string.h>
#include "base/bytes.h"

#define VOLUME_HEADER 0x48 /* with one kind of block */
#define STORE_HEADER 28
#define VARIABLE_HEADER 60
#define VARIABLE_MARK 0x55aa
#define STATE_ADDED 0x3f
#define STATE_DELETED_BIT 0x02 /* cleared: deleted */
#define STATE_LEAVING_BIT 0x01 /* cleared: a newer one is on its way */
#define STORE_FORMATTED 0x5a
#define STORE_HEALTHY 0xfe
#define BLOCK 4096

/* non-volatile, at boot and run time, authenticated by time */
#define ATTRIBUTES 0x27

/* In the order of bytes that they have in flash. */
static const uint8_t volume_guid[16] = { 0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c, 0xa9, 0x85, 0x27, 0x47, 0x07,
    0x5b, 0x4f, 0x50 };
static const uint8_t store_guid[16] = { 0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e,
    0xc3, 0x77, 0x92 };
static const uint8_t global_guid[16] = { 0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98,
    0x03, 0x2b, 0x8c };
static const uint8_t database_guid[16] = { 0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e,
    0x67, 0x65, 0x6f };

static const struct {
    const char *name;
    const uint8_t *vendor;
} keys[EFI_N_KEYS] = { [EFI_PK] = { "PK", global_guid },
    [EFI_KEK] = { "KEK", global_guid },
    [EFI_DB] = { "db", database_guid },
    [EFI_DBX] = { "dbx", database_guid } };

static const uint8_t *bytes_of(struct str s)
{
    return (const uint8_t *)s.p;
}

/* Where variables begin and end; false: it is no store. */
static bool bounds(struct str s, size_t *ret_from, size_t *ret_to)
{
    const uint8_t *p = bytes_of(s);

    if (s.len < VOLUME_HEADER + STORE_HEADER || s.len > EFIVARS_MAX || memcmp(p + 40, "_FVH", 4) != 0 ||
        memcmp(p + 16, volume_guid, 16) != 0)
        return false;
    size_t at = le16_get(p + 48);
    if (at < VOLUME_HEADER || at > s.len - STORE_HEADER || memcmp(p + at, store_guid, 16) != 0)
        return false;
    size_t size = le32_get(p + at + 16);
    if (size < STORE_HEADER || size > s.len - at || p[at + 20] != STORE_FORMATTED)
        return false;
    *ret_from = at + STORE_HEADER;
    *ret_to = at + size;
    return true;
}

bool efivars_valid(struct str store)
{
    size_t from, to;

    return bounds(store, &from, &to);
}

struct variable {
    size_t at, next;
    struct str name, data; /* name: UTF-16 */
    const uint8_t *vendor;
    uint8_t state;
};

/* The variable at `at`; false: there are no more. */
static bool variable_at(struct str s, size_t at, size_t to, struct variable *ret)
{
    const uint8_t *p = bytes_of(s) + at;

    if (to - at < VARIABLE_HEADER || le16_get(p) != VARIABLE_MARK)
        return false;
    size_t name = le32_get(p + 36), data = le32_get(p + 40), left = to - at - VARIABLE_HEADER;
    if (name > left || data > left - name)
        return false;
    *ret = (struct variable){ .at = at,
        .name = { s.p + at + VARIABLE_HEADER, name },
        .data = { s.p + at + VARIABLE_HEADER + name, data },
        .vendor = p + 44,
        .state = p[2] };
    ret->next = (at + VARIABLE_HEADER + name + data + 3) / 4 * 4;
    return ret->next <= to;
}

static bool is_live(const struct variable *v)
{
    return (v->state & ~STATE_LEAVING_BIT) == (STATE_ADDED & ~STATE_LEAVING_BIT);
}

static bool is_key(const struct variable *v, enum efi_key key)
{
    const char *name = keys[key].name;
    size_t n = strlen(name) + 1; /* with the zero at its end */

    if (memcmp(v->vendor, keys[key].vendor, 16) != 0 || v->name.len != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (v->name.p[2 * i] != name[i] || v->name.p[2 * i + 1] != 0)
            return false;
    return true;
}

bool efivars_key(struct str store, enum efi_key key, struct str *ret_data)
{
    struct variable v;
    size_t at, to;

    if (!bounds(store, &at, &to))
        return false;
    for (; variable_at(store, at, to, &v); at = v.next)
        if (is_live(&v) && is_key(&v, key)) {
            *ret_data = v.data;
            return true;
        }
    return false;
}

void efivars_drop_keys(char *store, size_t len)
{
    struct str s = { store, len };
    struct variable v;
    size_t at, to;

    if (!bounds(s, &at, &to))
        return;
    for (; variable_at(s, at, to, &v); at = v.next)
        for (int key = 0; key < EFI_N_KEYS; key++)
            if (is_key(&v, (enum efi_key)key))
                store[v.at + 2] = (char)(v.state & ~STATE_DELETED_BIT);
}

struct err *efivars_add_key(char *store, size_t len, enum efi_key key, struct str data)
{
    struct str s = { store, len };
    size_t name = 2 * (strlen(keys[key].name) + 1), at, to;
    struct variable v;

    if (!bounds(s, &at, &to))
        return err_internal("no store of UEFI variables");
    while (variable_at(s, at, to, &v))
        at = v.next;
    if (to - at < VARIABLE_HEADER + name + 4 || data.len > to - at - VARIABLE_HEADER - name - 4)
        return err_internal("no room for a key among the UEFI variables");
    uint8_t *p = (uint8_t *)store + at;
    memset(p, 0, VARIABLE_HEADER + name);
    le16_put(p, VARIABLE_MARK);
    p[2] = STATE_ADDED;
    le32_put(p + 4, ATTRIBUTES);
    le32_put(p + 36, (uint32_t)name);
    le32_put(p + 40, (uint32_t)data.len);
    memcpy(p + 44, keys[key].vendor, 16);
    for (size_t i = 0; i < name / 2; i++)
        p[VARIABLE_HEADER + 2 * i] = (uint8_t)keys[key].name[i];
    memcpy(p + VARIABLE_HEADER + name, data.p, data.len);
    return NULL;
}

struct err *efivars_take_keys(char *store, size_t len, struct str from)
{
    struct str data;

    efivars_drop_keys(store, len);
    for (int key = 0; key < EFI_N_KEYS; key++)
        if (efivars_key(from, (enum efi_key)key, &data))
            TRY(efivars_add_key(store, len, (enum efi_key)key, data));
    return NULL;
}

void efivars_make(char *ret_store, size_t len)
{
    uint8_t *p = (uint8_t *)ret_store, *store = p + VOLUME_HEADER;
    uint16_t sum = 0;

    memset(p, 0xff, len);
    memset(p, 0, VOLUME_HEADER);
    memcpy(p + 16, volume_guid, 16);
    le64_put(p + 32, len);
    memcpy(p + 40, "_FVH", 4);
    le32_put(p + 44, 0x4feff);
    le16_put(p + 48, VOLUME_HEADER);
    p[55] = 2;
    le32_put(p + 56, (uint32_t)(len / BLOCK));
    le32_put(p + 60, BLOCK);
    for (size_t i = 0; i < VOLUME_HEADER; i += 2)
        sum = (uint16_t)(sum + le16_get(p + i));
    le16_put(p + 50, (uint16_t)-sum);
    memset(store, 0, STORE_HEADER);
    memcpy(store, store_guid, 16);
    le32_put(store + 16, (uint32_t)(len - VOLUME_HEADER));
    store[20] = STORE_FORMATTED;
    store[21] = STORE_HEALTHY;
}
