#include "core/efikeys.h"
#include <archive.h>
#include <archive_entry.h>
#include <string.h>
#include "base/bytes.h"

#define TIME_SIZE 16 /* EFI_TIME */
#define CERT_HEAD 24 /* WIN_CERTIFICATE_UEFI_GUID before its data */
#define CERT_REVISION 0x0200
#define CERT_GUIDED 0x0ef1
#define LIST_HEAD 28 /* EFI_SIGNATURE_LIST: type, sizes */
#define OWNER_SIZE 16
#define FILES_MAX 64

static const char *const files[EFI_N_KEYS] = {
    [EFI_PK] = "PK.auth", [EFI_KEK] = "KEK.auth", [EFI_DB] = "db.auth", [EFI_DBX] = "dbx.auth"
};

/* Lists back to back, each with at least one signature. */
static bool lists_are_whole(struct str lists)
{
    if (!lists.len)
        return false;
    while (lists.len) {
        if (lists.len < LIST_HEAD)
            return false;
        uint32_t size = le32_get(lists.p + 16), head = le32_get(lists.p + 20), each = le32_get(lists.p + 24);

        if (size > lists.len || size < LIST_HEAD || head > size - LIST_HEAD || each <= OWNER_SIZE)
            return false;
        uint32_t signatures = size - LIST_HEAD - head;
        if (!signatures || signatures % each)
            return false;
        lists = (struct str){ lists.p + size, lists.len - size };
    }
    return true;
}

/* What is behind time and certificate. */
static bool lists_of(struct str file, struct str *ret)
{
    if (file.len < TIME_SIZE + CERT_HEAD)
        return false;
    uint32_t cert = le32_get(file.p + TIME_SIZE);
    if (cert < CERT_HEAD || cert > file.len - TIME_SIZE || le16_get(file.p + TIME_SIZE + 4) != CERT_REVISION ||
        le16_get(file.p + TIME_SIZE + 6) != CERT_GUIDED)
        return false;
    *ret = (struct str){ file.p + TIME_SIZE + cert, file.len - TIME_SIZE - cert };
    return lists_are_whole(*ret);
}

static bool take(struct efikeys *keys, struct str name, struct str file, const char **ret_why)
{
    for (size_t i = 0; i < EFI_N_KEYS; i++) {
        if (!str_eq_c(name, files[i]))
            continue;
        *ret_why = keys->list[i].len ? "a key is in it twice" : "a key is no signed list of signatures";
        return !keys->list[i].len && lists_of(file, &keys->list[i]);
    }
    return true; /* not ours */
}

static struct str base_name(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;

    return str_of(slash ? slash + 1 : path);
}

static bool next_file(struct arena *a, struct archive *r, struct efikeys *keys, bool *ret_end, const char **ret_why)
{
    struct archive_entry *entry = NULL;
    int said = archive_read_next_header(r, &entry);

    *ret_end = said == ARCHIVE_EOF;
    *ret_why = "not a tar";
    if (*ret_end || said != ARCHIVE_OK)
        return *ret_end;
    la_int64_t size = archive_entry_size(entry);
    if (archive_entry_filetype(entry) != AE_IFREG)
        return true;
    if (size < 0 || (uint64_t)size > EFIKEYS_MAX)
        return false;
    char *data = arena_alloc(a, (size_t)size + 1);
    struct str name = base_name(archive_entry_pathname(entry));
    if (archive_read_data(r, data, (size_t)size) != (la_ssize_t)size)
        return false;
    return take(keys, name, (struct str){ data, (size_t)size }, ret_why);
}

static bool walk(struct arena *a, struct str tar, struct efikeys *keys, const char **ret_why)
{
    struct archive *r = archive_read_new();
    bool ok = r && archive_read_support_format_tar(r) == ARCHIVE_OK &&
        archive_read_open_memory(r, tar.p, tar.len) == ARCHIVE_OK;
    bool end = false;

    *ret_why = "not a tar";
    for (unsigned n = 0; ok && !end; n++)
        ok = n < FILES_MAX && next_file(a, r, keys, &end, ret_why);
    archive_read_free(r);
    return ok;
}

bool efikeys_read(struct arena *a, struct str tar, struct efikeys *ret_keys, const char **ret_why)
{
    struct efikeys keys = { 0 };

    if (tar.len > EFIKEYS_MAX) {
        *ret_why = "too large";
        return false;
    }
    if (!walk(a, tar, &keys, ret_why))
        return false;
    *ret_why = "PK.auth, KEK.auth and db.auth must be in it";
    if (!keys.list[EFI_PK].len || !keys.list[EFI_KEK].len || !keys.list[EFI_DB].len)
        return false;
    *ret_keys = keys;
    return true;
}
