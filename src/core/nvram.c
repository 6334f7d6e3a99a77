#include "core/nvram.h"
#include <openssl/evp.h>
#include <string.h>
#include <zlib.h>

const char *nvram_to_text(struct arena *a, struct str bytes)
{
    uLongf len = compressBound(bytes.len);

    if (!bytes.len || bytes.len > NVRAM_MAX)
        return "";
    unsigned char *packed = arena_alloc(a, len);
    if (compress2(packed, &len, (const Bytef *)bytes.p, bytes.len, 6) != Z_OK)
        return "";
    char *text = arena_alloc(a, len / 3 * 4 + 8);
    EVP_EncodeBlock((unsigned char *)text, packed, (int)len);
    return text;
}

struct str nvram_to_bytes(struct arena *a, const char *text)
{
    size_t len = strlen(text);
    uLongf size = NVRAM_MAX;

    if (!len || len > 2 * NVRAM_MAX)
        return (struct str){ "", 0 };
    unsigned char *packed = arena_alloc(a, len + 4);
    int n = EVP_DecodeBlock(packed, (const unsigned char *)text, (int)len);
    unsigned char *bytes = arena_alloc(a, NVRAM_MAX);
    if (n <= 0 || uncompress(bytes, &size, packed, (uLong)n) != Z_OK)
        return (struct str){ "", 0 };
    return (struct str){ (const char *)bytes, size };
}
