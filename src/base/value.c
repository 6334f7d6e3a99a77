#include "base/value.h"
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/buf.h"
#include "base/bytes.h"
#include "base/mem.h"

struct value value_bool(bool b)
{
    return (struct value){ .kind = V_BOOL, .b = b };
}

struct value value_int(int64_t i)
{
    return (struct value){ .kind = V_INT, .i = i };
}

struct value value_float(double f)
{
    return (struct value){ .kind = V_FLOAT, .f = f };
}

static uint32_t bounded(size_t n)
{
    assert(n <= UINT32_MAX);
    return (uint32_t)n;
}

struct value value_strn(const char *s, size_t len)
{
    return (struct value){ .kind = V_STRING, .n = bounded(len), .s = s };
}

struct value value_str(const char *s)
{
    return value_strn(s ? s : "", s ? strlen(s) : 0);
}

struct value value_datetime(const char *s)
{
    struct value v = value_str(s);

    v.kind = V_DATETIME;
    return v;
}

struct value value_set(const struct value *items, size_t n)
{
    return (struct value){ .kind = V_SET, .n = bounded(n), .items = items };
}

struct value value_map(const struct value *pairs, size_t n_pairs)
{
    assert(n_pairs <= UINT32_MAX / 2);
    return (struct value){ .kind = V_MAP, .n = bounded(n_pairs), .items = pairs };
}

static bool is_text(const struct value *v)
{
    return v->kind == V_STRING || v->kind == V_DATETIME;
}

/* How many values hang below v. */
static size_t n_items(const struct value *v)
{
    return v->kind == V_SET ? v->n : v->kind == V_MAP ? (size_t)v->n * 2 : 0;
}

bool value_eq(const struct value *a, const struct value *b)
{
    if (a->kind != b->kind)
        return false;
    switch ((enum value_kind)a->kind) {
    case V_NIL:
        return true;
    case V_BOOL:
        return a->b == b->b;
    case V_INT:
        return a->i == b->i;
    case V_FLOAT:
        /* The same bits: NaN is no change from NaN. */
        return memcmp(&a->f, &b->f, sizeof(a->f)) == 0; /* NOLINT(*-memory-comparison,cert-exp42-c,cert-flp37-c) */
    case V_STRING:
    case V_DATETIME:
        return a->n == b->n && (a->n == 0 || memcmp(a->s, b->s, a->n) == 0);
    case V_SET:
    case V_MAP:
        if (a->n != b->n)
            return false;
        for (size_t i = 0; i < n_items(a); i++)
            if (!value_eq(&a->items[i], &b->items[i]))
                return false;
        return true;
    }
    return false;
}

static bool text_is(const struct value *v, const char *s)
{
    return is_text(v) && str_eq_c((struct str){ v->s, v->n }, s);
}

const struct value *value_map_get(const struct value *map, const char *key)
{
    for (size_t i = 0; map->kind == V_MAP && i < map->n; i++)
        if (text_is(&map->items[2 * i], key))
            return &map->items[2 * i + 1];
    return NULL;
}

const char *value_map_str(const struct value *map, const char *key)
{
    const struct value *v = value_map_get(map, key);

    return v && is_text(v) ? v->s : "";
}

bool value_set_has(const struct value *set, const char *s)
{
    for (size_t i = 0; set->kind == V_SET && i < set->n; i++)
        if (text_is(&set->items[i], s))
            return true;
    return false;
}

/* Copies */

struct value value_copy(struct arena *a, const struct value *v)
{
    struct value c = *v;
    size_t n = n_items(v);

    if (is_text(v)) {
        c.s = v->n ? arena_strndup(a, v->s, v->n) : "";
    } else if (n) {
        struct value *items = arena_new_array(a, n, struct value);

        for (size_t i = 0; i < n; i++)
            items[i] = value_copy(a, &v->items[i]);
        c.items = items;
    }
    return c;
}

static void measure(const struct value *v, size_t *n_values, size_t *n_chars)
{
    size_t n = n_items(v);

    if (is_text(v) && v->n)
        *n_chars += (size_t)v->n + 1;
    *n_values += n;
    for (size_t i = 0; i < n; i++)
        measure(&v->items[i], n_values, n_chars);
}

/* *values and *chars advance through the block: all values first, so that they are aligned, then all text. */
static struct value pack(const struct value *v, struct value **values, char **chars)
{
    struct value c = *v;
    size_t n = n_items(v);

    if (is_text(v)) {
        c.s = "";
        if (v->n) {
            assert(*chars);
            c.s = memcpy(*chars, v->s, v->n);
            (*chars)[v->n] = 0;
            *chars += (size_t)v->n + 1;
        }
    } else if (n) {
        struct value *items = *values;

        assert(items);
        *values += n;
        for (size_t i = 0; i < n; i++)
            items[i] = pack(&v->items[i], values, chars);
        c.items = items;
    }
    return c;
}

struct value value_pack(const struct value *v, void **ret_block)
{
    size_t n_values = 0, n_chars = 0;
    struct value *values = NULL;
    char *block = NULL, *chars;

    measure(v, &n_values, &n_chars);
    if (n_values + n_chars)
        block = mem_alloc(n_values * sizeof(struct value) + n_chars);
    values = (struct value *)(void *)block;
    chars = block ? block + n_values * sizeof(struct value) : NULL;
    *ret_block = block;
    return pack(v, &values, &chars);
}

/* New containers */

struct value value_set_with(struct arena *a, const struct value *set, struct value item)
{
    size_t n = set->kind == V_SET ? set->n : 0;
    struct value *items;

    for (size_t i = 0; i < n; i++)
        if (value_eq(&set->items[i], &item))
            return *set;
    items = arena_new_array(a, n + 1, struct value);
    if (n)
        memcpy(items, set->items, n * sizeof(*items));
    items[n] = item;
    return value_set(items, n + 1);
}

struct value value_set_without(struct arena *a, const struct value *set, const char *s)
{
    size_t n = set->kind == V_SET ? set->n : 0, kept = 0;
    struct value *items;

    if (!value_set_has(set, s))
        return set->kind == V_SET ? *set : value_set(NULL, 0);
    items = arena_new_array(a, n, struct value);
    for (size_t i = 0; i < n; i++)
        if (!text_is(&set->items[i], s))
            items[kept++] = set->items[i];
    return value_set(items, kept);
}

struct value value_map_with(struct arena *a, const struct value *map, struct value key, struct value v)
{
    size_t n = map->kind == V_MAP ? map->n : 0, at = 0;
    struct value *pairs = arena_new_array(a, 2 * n + 2, struct value);

    if (n)
        memcpy(pairs, map->items, 2 * n * sizeof(*pairs));
    while (at < n && !value_eq(&pairs[2 * at], &key))
        at++;
    pairs[2 * at] = key;
    pairs[2 * at + 1] = v;
    return value_map(pairs, at == n ? n + 1 : n);
}

struct value value_map_without(struct arena *a, const struct value *map, const char *key)
{
    size_t n = map->kind == V_MAP ? map->n : 0, kept = 0;
    struct value *pairs;

    if (!value_map_get(map, key))
        return map->kind == V_MAP ? *map : value_map(NULL, 0);
    pairs = arena_new_array(a, 2 * n, struct value);
    for (size_t i = 0; i < n; i++) {
        if (text_is(&map->items[2 * i], key))
            continue;
        pairs[2 * kept] = map->items[2 * i];
        pairs[2 * kept++ + 1] = map->items[2 * i + 1];
    }
    return value_map(pairs, kept);
}

/*
 * The binary form. One tag byte, then:
 *     NIL, FALSE, TRUE   nothing
 *     INT                varint, zigzag
 *     FLOAT              8 bytes
 *     STRING, DATETIME   varint length, bytes (UTF-8 without NUL)
 *     SET                varint n, n values
 *     MAP                varint n, n times key and value; keys are no containers
 * A varint has seven bits per byte, lowest first, and is never longer than needed.
 */
enum tag { TAG_NIL, TAG_FALSE, TAG_TRUE, TAG_INT, TAG_FLOAT, TAG_STRING, TAG_DATETIME, TAG_SET, TAG_MAP, TAG_MAX };

static void add_varint(struct buf *b, uint64_t v)
{
    char bytes[10];
    size_t n = 0;

    for (; v >= 0x80; v >>= 7)
        bytes[n++] = (char)(v | 0x80);
    bytes[n++] = (char)v;
    buf_add(b, bytes, n);
}

static void encode(struct buf *b, const struct value *v, unsigned depth)
{
    static const uint8_t tags[] = {
        [V_NIL] = TAG_NIL,
        [V_BOOL] = TAG_FALSE,
        [V_INT] = TAG_INT,
        [V_FLOAT] = TAG_FLOAT,
        [V_STRING] = TAG_STRING,
        [V_DATETIME] = TAG_DATETIME,
        [V_SET] = TAG_SET,
        [V_MAP] = TAG_MAP,
    };
    char bytes[8];

    if (depth > VALUE_DEPTH_MAX) {
        b->overflow = true; /* nobody could read it */
        return;
    }
    buf_add_char(b, (char)(tags[v->kind] + (v->kind == V_BOOL && v->b)));
    if (v->kind == V_INT) {
        // cppcheck-suppress shiftTooManyBitsSigned ; gcc and clang shift the sign in, which zigzag wants
        add_varint(b, (uint64_t)v->i << 1 ^ (uint64_t)(v->i >> 63));
    } else if (v->kind == V_FLOAT) {
        memcpy(bytes, &v->f, 8);
        buf_add(b, bytes, 8);
    } else if (v->kind >= V_STRING) {
        add_varint(b, v->n);
        if (is_text(v))
            buf_add(b, v->s, v->n);
        for (size_t i = 0; i < n_items(v); i++)
            encode(b, &v->items[i], depth + 1);
    }
}

void value_encode(struct buf *b, const struct value *v)
{
    encode(b, v, 1);
}

static bool take_varint(struct str *in, uint64_t *ret)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 10 && i < in->len; i++) {
        uint8_t byte = (uint8_t)in->p[i];

        if (i == 9 && byte > 1)
            return false;
        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        if (i > 0 && byte == 0)
            return false; /* a second spelling of the same number */
        *in = (struct str){ in->p + i + 1, in->len - i - 1 };
        *ret = v;
        return true;
    }
    return false;
}

static struct err *decode(struct arena *a, struct str *in, struct value *ret, unsigned depth);

static struct err *decode_items(
    struct arena *a, struct str *in, enum tag tag, uint64_t n, struct value *ret, unsigned depth)
{
    unsigned per = tag == TAG_MAP ? 2 : 1;
    struct value *items = NULL;

    if (n > in->len / per) /* each takes a byte at least: bounds what we allocate */
        return err_internal("encoded value: more items than bytes");
    if (n)
        items = arena_new_array(a, (size_t)n * per, struct value);
    for (size_t i = 0; i < n * per; i++) {
        TRY(decode(a, in, &items[i], depth + 1));
        if (tag == TAG_MAP && i % 2 == 0 && items[i].kind >= V_SET)
            return err_internal("encoded value: a container as key");
    }
    *ret = tag == TAG_MAP ? value_map(items, n) : value_set(items, n);
    return NULL;
}

static struct err *decode_text(struct arena *a, struct str *in, enum tag tag, uint64_t n, struct value *ret)
{
    struct str text = { in->p, n };

    if (n > in->len)
        return err_internal("encoded value: text is cut");
    if (!str_is_utf8(text) || (n && memchr(text.p, 0, n)))
        return err_internal("encoded value: text is not text");
    *ret = value_strn(n ? arena_strndup(a, text.p, n) : "", n);
    if (tag == TAG_DATETIME)
        ret->kind = V_DATETIME;
    *in = (struct str){ in->p + n, in->len - n };
    return NULL;
}

static struct err *decode_sized(struct arena *a, struct str *in, enum tag tag, struct value *ret, unsigned depth)
{
    uint64_t n;

    if (!take_varint(in, &n))
        return err_internal("encoded value: bad number");
    if (tag == TAG_INT) {
        *ret = value_int((int64_t)(n >> 1 ^ -(n & 1)));
        return NULL;
    }
    if (n > UINT32_MAX / 2)
        return err_internal("encoded value: too long");
    if (tag == TAG_SET || tag == TAG_MAP)
        return decode_items(a, in, tag, n, ret, depth);
    return decode_text(a, in, tag, n, ret);
}

static struct err *decode(struct arena *a, struct str *in, struct value *ret, unsigned depth)
{
    uint8_t tag;

    if (depth > VALUE_DEPTH_MAX)
        return err_internal("encoded value: too deep");
    if (!in->len || (uint8_t)in->p[0] >= TAG_MAX)
        return err_internal("encoded value: %s", in->len ? "unknown tag" : "ends early");
    tag = (uint8_t)in->p[0];
    *in = (struct str){ in->p + 1, in->len - 1 };
    switch ((enum tag)tag) {
    case TAG_NIL:
        *ret = VALUE_NIL;
        return NULL;
    case TAG_FALSE:
    case TAG_TRUE:
        *ret = value_bool(tag == TAG_TRUE);
        return NULL;
    case TAG_FLOAT: {
        double f;

        if (in->len < 8)
            return err_internal("encoded value: ends early");
        memcpy(&f, in->p, 8);
        *ret = value_float(f);
        *in = (struct str){ in->p + 8, in->len - 8 };
        return NULL;
    }
    default:
        return decode_sized(a, in, tag, ret, depth);
    }
}

struct err *value_decode(struct arena *a, struct str *in, struct value *ret)
{
    struct str rest = *in;
    struct value v;

    TRY(decode(a, &rest, &v, 1));
    *in = rest;
    *ret = v;
    return NULL;
}

/* Times */

char *datetime_text(struct arena *a, uint64_t wall_us)
{
    time_t t = (time_t)(wall_us / 1000000);
    struct tm tm;

    if (t > 253402300799) /* the end of 9999: the text has four digits for the year */
        t = 253402300799;
    gmtime_r(&t, &tm);
    return arena_printf(a, "%04d%02d%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
        tm.tm_min, tm.tm_sec);
}

static bool take_digits(const char **at, int n, int *ret)
{
    int v = 0;

    for (int i = 0; i < n; i++) {
        if ((*at)[i] < '0' || (*at)[i] > '9')
            return false;
        v = v * 10 + ((*at)[i] - '0');
    }
    *at += n;
    *ret = v;
    return true;
}

static void skip(const char **at, char c)
{
    if (**at == c)
        ++*at;
}

/* Minutes east of UTC: Z, nothing, +hh, +hhmm, +hh:mm. */
static bool take_zone(const char **at, int *ret)
{
    int sign = **at == '-' ? -1 : 1, h = 0, m = 0;

    *ret = 0;
    if (**at == 'Z' || !**at) {
        skip(at, 'Z');
        return true;
    }
    if (**at != '+' && **at != '-')
        return false;
    ++*at;
    if (!take_digits(at, 2, &h))
        return false;
    skip(at, ':');
    if (**at && !take_digits(at, 2, &m))
        return false;
    *ret = sign * (h * 60 + m);
    return h < 24 && m < 60;
}

static bool take_fraction(const char **at, unsigned *ret_us)
{
    unsigned scale = 100000;

    *ret_us = 0;
    if (**at != '.' && **at != ',')
        return true;
    ++*at;
    if (**at < '0' || **at > '9')
        return false;
    for (; **at >= '0' && **at <= '9'; ++*at, scale /= 10)
        *ret_us += scale * (unsigned)(**at - '0');
    return true;
}

bool datetime_parse(const char *text, uint64_t *ret_wall_us)
{
    const char *at = text;
    struct tm tm = { 0 }, check;
    unsigned us;
    int zone;
    int64_t t;

    if (!text || !take_digits(&at, 4, &tm.tm_year))
        return false;
    skip(&at, '-');
    if (!take_digits(&at, 2, &tm.tm_mon))
        return false;
    skip(&at, '-');
    if (!take_digits(&at, 2, &tm.tm_mday) || *at++ != 'T' || !take_digits(&at, 2, &tm.tm_hour))
        return false;
    skip(&at, ':');
    if (!take_digits(&at, 2, &tm.tm_min))
        return false;
    skip(&at, ':');
    if (!take_digits(&at, 2, &tm.tm_sec) || !take_fraction(&at, &us) || !take_zone(&at, &zone) || *at)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    check = tm;
    t = timegm(&check); /* it carries 31 February into March: then the fields have changed */
    if (check.tm_mon != tm.tm_mon || check.tm_mday != tm.tm_mday || check.tm_hour != tm.tm_hour ||
        check.tm_min != tm.tm_min || check.tm_sec != tm.tm_sec)
        return false;
    t -= (int64_t)zone * 60;
    if (t < 0)
        return false;
    *ret_wall_us = (uint64_t)t * 1000000 + us;
    return true;
}
