#include "base/uuid.h"
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *p, unsigned len)
{
    char *at = p;

    while (len) {
        ssize_t n = getrandom(at, len, 0);

        if (n < 0 && errno != EINTR)
            abort(); /* a kernel without random numbers: no secret of ours would be one */
        if (n > 0) {
            at += n;
            len -= (unsigned)n;
        }
    }
}

static bool is_hyphen_at(unsigned i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

void uuid_make(char ret_text[UUID_LEN + 1])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t b[16];
    unsigned nibble = 0;

    random_bytes(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80); /* variant of RFC 4122 */
    for (unsigned i = 0; i < UUID_LEN; i++) {
        if (is_hyphen_at(i)) {
            ret_text[i] = '-';
            continue;
        }
        ret_text[i] = hex[nibble % 2 ? b[nibble / 2] & 15 : b[nibble / 2] >> 4];
        nibble++;
    }
    ret_text[UUID_LEN] = 0;
}

bool uuid_valid(const char *text)
{
    if (!text)
        return false;
    for (unsigned i = 0; i < UUID_LEN; i++) {
        char c = text[i];

        if (is_hyphen_at(i) ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false; /* also at a NUL */
    }
    return text[UUID_LEN] == 0;
}
