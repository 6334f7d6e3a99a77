#include "core/generation.h"
#include <inttypes.h>
#include <openssl/rand.h>
#include "base/str.h"

const char *generation_fresh(struct arena *a)
{
    int64_t n[2] = { 0 };

    RAND_bytes((unsigned char *)n, sizeof(n));
    return arena_printf(a, "%" PRId64 ":%" PRId64, n[0], n[1]);
}

static bool number(struct str s, uint64_t *ret)
{
    int64_t i;

    if (str_to_u64(s, ret))
        return true;
    if (!str_to_i64(s, &i))
        return false;
    *ret = (uint64_t)i;
    return true;
}

/* The numbers lie in the guest's memory as they are, little-endian; a GUID's text turns its first three parts around.
 */
const char *generation_guid(struct arena *a, const char *id)
{
    struct str first, second;
    uint64_t n[2];

    if (!str_cut(str_of(id), ':', &first, &second) || !number(first, &n[0]) || !number(second, &n[1]))
        return "";
    return arena_printf(a, "%08" PRIx32 "-%04" PRIx16 "-%04" PRIx16 "-%04" PRIx16 "-%012" PRIx64, (uint32_t)n[0],
        (uint16_t)(n[0] >> 32), (uint16_t)(n[0] >> 48), __builtin_bswap16((uint16_t)n[1]),
        __builtin_bswap64(n[1]) & 0xffffffffffff);
}
