#include "base/str.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct str str_of(const char *cstr)
{
    return (struct str){ cstr ? cstr : "", cstr ? strlen(cstr) : 0 };
}

bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool str_eq_c(struct str a, const char *b)
{
    return b && str_eq(a, str_of(b));
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq((struct str){ s.p, prefix.len }, prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len &&
        (suffix.len == 0 || str_eq((struct str){ s.p + s.len - suffix.len, suffix.len }, suffix));
}

struct str str_trim(struct str s)
{
    while (s.len && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.len--;
    }
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

bool str_cut(struct str s, char sep, struct str *ret_head, struct str *ret_rest)
{
    const char *at = s.len ? memchr(s.p, sep, s.len) : NULL;

    if (!at) {
        *ret_head = s;
        *ret_rest = (struct str){ "", 0 };
        return false;
    }
    *ret_head = (struct str){ s.p, (size_t)(at - s.p) };
    *ret_rest = (struct str){ at + 1, s.len - ret_head->len - 1 };
    return true;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

static bool to_u64(struct str s, unsigned base, uint64_t *ret)
{
    uint64_t v = 0;

    if (!s.len)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned d = (unsigned)digit(s.p[i]);

        if (d >= base || __builtin_mul_overflow(v, (uint64_t)base, &v) || __builtin_add_overflow(v, (uint64_t)d, &v))
            return false;
    }
    *ret = v;
    return true;
}

bool str_to_u64(struct str s, uint64_t *ret)
{
    return to_u64(s, 10, ret);
}

static bool to_i64(struct str s, bool any_base, int64_t *ret)
{
    static const struct {
        unsigned char mark;
        unsigned base;
    } bases[] = { { 'x', 16 }, { 'o', 8 }, { 'b', 2 } };
    bool negative = s.len && s.p[0] == '-';
    unsigned base = 10;
    uint64_t v;

    if (negative)
        s = (struct str){ s.p + 1, s.len - 1 };
    for (size_t i = 0; any_base && s.len > 2 && s.p[0] == '0' && i < sizeof(bases) / sizeof(bases[0]); i++)
        if (lower(s.p[1]) == bases[i].mark) {
            base = bases[i].base;
            s = (struct str){ s.p + 2, s.len - 2 };
            break;
        }
    if (!to_u64(s, base, &v) || v > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = negative ? (int64_t)-v : (int64_t)v;
    return true;
}

bool str_to_i64(struct str s, int64_t *ret)
{
    return to_i64(s, false, ret);
}

bool str_to_i64_any(struct str s, int64_t *ret)
{
    return to_i64(s, true, ret);
}

/* Finite decimal numbers only: no value of the API may be infinite, and hex floats are nobody's intention. */
bool str_to_double(struct str s, double *ret)
{
    char text[128];
    char *end;
    double v;

    if (!s.len || s.len >= sizeof(text))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!memchr("0123456789+-.eE", s.p[i], 15))
            return false;
    memcpy(text, s.p, s.len);
    text[s.len] = 0;
    v = strtod(text, &end);
    if (end != text + s.len || !isfinite(v))
        return false;
    *ret = v;
    return true;
}

/* Length of the sequence at p, 0 if it is none. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf8 ? 4 : 0;
    uint32_t c;

    if (n <= 1)
        return n;
    if (n > left)
        return 0;
    c = p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

bool str_is_utf8(struct str s)
{
    for (size_t i = 0, n; i < s.len; i += n) {
        n = utf8_len((const unsigned char *)s.p + i, s.len - i);
        if (!n)
            return false;
    }
    return true;
}

bool cstr_eq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool cstr_starts(const char *s, const char *prefix)
{
    return s && prefix && strncmp(s, prefix, strlen(prefix)) == 0;
}

bool cstr_empty(const char *s)
{
    return !s || !*s;
}
