#include "ipc/type.h"
#include <assert.h>
#include <string.h>
#include "base/bytes.h"
#include "base/fd.h"
#include "base/value.h"

static size_t item_size(const struct ipc_field *f)
{
    static const size_t sizes[] = {
        [IPC_BOOL] = sizeof(bool),
        [IPC_U8] = 1,
        [IPC_U32] = 4,
        [IPC_U64] = 8,
        [IPC_I64] = 8,
        [IPC_F64] = 8,
        [IPC_STRING] = sizeof(char *),
        [IPC_BYTES] = sizeof(struct str),
        [IPC_VALUE] = sizeof(struct value),
        [IPC_FD] = sizeof(int),
    };

    return f->kind == IPC_STRUCT ? f->type->size : sizes[f->kind];
}

static size_t item_min_wire(const struct ipc_field *f)
{
    static const uint8_t least[] = {
        [IPC_BOOL] = 1,
        [IPC_U8] = 1,
        [IPC_U32] = 4,
        [IPC_U64] = 8,
        [IPC_I64] = 8,
        [IPC_F64] = 8,
        [IPC_STRING] = 5,
        [IPC_BYTES] = 4,
        [IPC_VALUE] = 1,
        [IPC_FD] = 1,
    };

    return f->kind == IPC_STRUCT ? f->type->min_wire : least[f->kind];
}

/* The items of a field: those of its list, or itself. */
static size_t items(const struct ipc_field *f, const void *x, char **ret_first)
{
    char *at = (char *)(uintptr_t)x + f->at;

    if (!f->list) {
        *ret_first = at;
        return 1;
    }
    *ret_first = *(char **)(void *)at;
    return *(const size_t *)(const void *)((const char *)x + f->n_at);
}

void ipc_fds_close(struct ipc_fds *fds)
{
    for (size_t i = 0; i < fds->n; i++)
        fd_drop(&fds->fd[i]);
    fds->n = 0;
}

/* Encoding */

static struct err *value_check(const struct value *v, unsigned depth)
{
    size_t n = v->kind == V_MAP ? 2 * (size_t)v->n : v->kind == V_SET ? v->n : 0;

    if (depth >= VALUE_DEPTH_MAX)
        return err_internal("value is nested too deep");
    if ((v->kind == V_STRING || v->kind == V_DATETIME) && v->n)
        if (memchr(v->s, 0, v->n) || !str_is_utf8((struct str){ v->s, v->n }))
            return err_internal("value holds text that is not UTF-8");
    for (size_t i = 0; i < n; i++)
        TRY(value_check(&v->items[i], depth + 1));
    return NULL;
}

static void put_u32(struct buf *b, uint32_t v)
{
    char p[4];

    le32_put(p, v);
    buf_add(b, p, sizeof(p));
}

static struct err *encode_string(struct buf *b, const struct ipc_field *f, const char *s)
{
    struct str text = str_of(s);

    if (text.len >= UINT32_MAX)
        return err_internal("%s is too long", f->name);
    if (!str_is_utf8(text))
        return err_internal("%s is not UTF-8", f->name);
    put_u32(b, (uint32_t)text.len);
    buf_add_str(b, text);
    buf_add_char(b, 0);
    return NULL;
}

static struct err *encode_fd(struct buf *b, struct ipc_fds *fds, const struct ipc_field *f, int fd)
{
    bool present = fds && fd > 0;

    buf_add_char(b, (char)present);
    if (!present)
        return NULL;
    if (fds->n == IPC_FDS_MAX)
        return err_internal("%s: too many descriptors", f->name);
    fds->fd[fds->n++] = fd;
    return NULL;
}

static struct err *encode_fields(struct buf *b, struct ipc_fds *fds, const struct ipc_type *t, const void *x);

static struct err *encode_item(struct buf *b, struct ipc_fds *fds, const struct ipc_field *f, const void *x)
{
    switch (f->kind) {
    case IPC_BOOL:
        buf_add_char(b, (char)*(const bool *)x);
        return NULL;
    case IPC_U8:
    case IPC_U32:
    case IPC_U64:
    case IPC_I64:
    case IPC_F64:
        buf_add(b, x, item_size(f)); /* little-endian, see base/bytes.h */
        return NULL;
    case IPC_STRING:
        return encode_string(b, f, *(const char *const *)x);
    case IPC_BYTES: {
        const struct str *s = x;

        if (s->len > UINT32_MAX)
            return err_internal("%s is too long", f->name);
        put_u32(b, (uint32_t)s->len);
        buf_add_str(b, *s);
        return NULL;
    }
    case IPC_VALUE:
        TRY(value_check(x, 0));
        value_encode(b, x);
        return NULL;
    case IPC_FD:
        return encode_fd(b, fds, f, *(const int *)x);
    case IPC_STRUCT:
        return encode_fields(b, fds, f->type, x);
    }
    return err_internal("unknown kind of field");
}

static struct err *encode_fields(struct buf *b, struct ipc_fds *fds, const struct ipc_type *t, const void *x)
{
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct ipc_field *f = &t->fields[i];
        char *item;
        size_t n = items(f, x, &item);

        if (n > UINT32_MAX)
            return err_internal("%s is too long", f->name);
        if (f->list)
            put_u32(b, (uint32_t)n);
        for (size_t k = 0; k < n; k++, item += item_size(f))
            TRY(encode_item(b, fds, f, item));
    }
    return NULL;
}

struct err *ipc_encode(struct buf *b, struct ipc_fds *fds, const struct ipc_type *t, const void *x)
{
    TRY(encode_fields(b, fds, t, x));
    if (b->overflow)
        return err_internal("%s is too large", t->name);
    return NULL;
}

/* Decoding */

struct reader {
    struct arena *arena;
    struct str in;
    uint32_t form; /* of what is read */
    const struct ipc_fds *fds;
    size_t fds_used;
};

static struct err *malformed(const struct ipc_field *f, const char *what)
{
    return err_internal("malformed message: %s %s", f->name, what);
}

static struct err *take(struct reader *r, const struct ipc_field *f, size_t len, const char **ret)
{
    if (r->in.len < len)
        return malformed(f, "is cut short");
    *ret = r->in.p;
    r->in.p += len;
    r->in.len -= len;
    return NULL;
}

static struct err *take_u32(struct reader *r, const struct ipc_field *f, uint32_t *ret)
{
    const char *p;

    TRY(take(r, f, 4, &p));
    *ret = le32_get(p);
    return NULL;
}

static struct err *take_flag(struct reader *r, const struct ipc_field *f, bool *ret)
{
    const char *p;

    TRY(take(r, f, 1, &p));
    if (*p != 0 && *p != 1)
        return malformed(f, "is neither true nor false");
    *ret = *p == 1;
    return NULL;
}

static struct err *decode_string(struct reader *r, const struct ipc_field *f, const char **ret)
{
    const char *p;
    uint32_t len;

    TRY(take_u32(r, f, &len));
    TRY(take(r, f, (size_t)len + 1, &p));
    if (p[len] || memchr(p, 0, len))
        return malformed(f, "has its end in the wrong place");
    if (!str_is_utf8((struct str){ p, len }))
        return malformed(f, "is not UTF-8");
    *ret = p;
    return NULL;
}

static struct err *decode_bytes(struct reader *r, const struct ipc_field *f, struct str *ret)
{
    const char *p;
    uint32_t len;

    TRY(take_u32(r, f, &len));
    TRY(take(r, f, len, &p));
    *ret = (struct str){ p, len };
    return NULL;
}

static struct err *decode_fd(struct reader *r, const struct ipc_field *f, int *ret)
{
    bool present;

    TRY(take_flag(r, f, &present));
    if (present && (!r->fds || r->fds_used == r->fds->n))
        return malformed(f, "came without its descriptor");
    *ret = present ? r->fds->fd[r->fds_used++] : -1;
    return NULL;
}

static struct err *decode_fields(struct reader *r, const struct ipc_type *t, void *x);

static struct err *decode_item(struct reader *r, const struct ipc_field *f, void *x)
{
    const char *p;

    switch (f->kind) {
    case IPC_BOOL:
        return take_flag(r, f, x);
    case IPC_U8:
    case IPC_U32:
    case IPC_U64:
    case IPC_I64:
    case IPC_F64:
        TRY(take(r, f, item_size(f), &p));
        memcpy(x, p, item_size(f));
        return NULL;
    case IPC_STRING:
        return decode_string(r, f, x);
    case IPC_BYTES:
        return decode_bytes(r, f, x);
    case IPC_VALUE:
        return value_decode(r->arena, &r->in, x);
    case IPC_FD:
        return decode_fd(r, f, x);
    case IPC_STRUCT:
        return decode_fields(r, f->type, x);
    }
    return malformed(f, "is of an unknown kind");
}

static struct err *decode_list(struct reader *r, const struct ipc_field *f, void *x)
{
    uint32_t n;
    char *item;

    TRY(take_u32(r, f, &n));
    if (n > r->in.len / item_min_wire(f))
        return malformed(f, "is longer than its message");
    item = n ? arena_alloc_array(r->arena, n, item_size(f)) : NULL;
    *(void **)(void *)((char *)x + f->at) = item;
    *(size_t *)(void *)((char *)x + f->n_at) = n;
    for (uint32_t i = 0; i < n; i++, item += item_size(f))
        TRY(decode_item(r, f, item));
    return NULL;
}

/* What an older form could not say. x is zeroed; nobody expects a text to be NULL. */
static void leave_empty(const struct ipc_field *f, void *x)
{
    if (f->list)
        return;
    if (f->kind == IPC_STRING)
        *(const char **)x = "";
    else if (f->kind == IPC_FD)
        *(int *)x = -1;
    else if (f->kind == IPC_STRUCT)
        for (size_t i = 0; i < f->type->n_fields; i++)
            leave_empty(&f->type->fields[i], (char *)x + f->type->fields[i].at);
}

static struct err *decode_fields(struct reader *r, const struct ipc_type *t, void *x)
{
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct ipc_field *f = &t->fields[i];

        if (f->since > r->form)
            leave_empty(f, (char *)x + f->at);
        else if (f->list)
            TRY(decode_list(r, f, x));
        else
            TRY(decode_item(r, f, (char *)x + f->at));
    }
    return NULL;
}

static struct err *decode(
    struct arena *a, struct str in, struct ipc_fds *fds, const struct ipc_type *t, uint32_t form, void *ret)
{
    struct reader r = { .arena = a, .in = in, .form = form, .fds = fds };
    void *x;

    if (!t->n_fields) {
        if (in.len || (fds && fds->n))
            return err_internal("malformed message: %s has no fields", t->name);
        return NULL;
    }
    x = arena_alloc(a, t->size);
    TRY(decode_fields(&r, t, x));
    if (r.in.len || (fds && r.fds_used != fds->n))
        return err_internal("malformed message: %s has something left over", t->name);
    if (fds)
        fds->n = 0;
    memcpy(ret, x, t->size);
    return NULL;
}

struct err *ipc_decode(struct arena *a, struct str in, struct ipc_fds *fds, const struct ipc_type *t, void *ret)
{
    return decode(a, in, fds, t, UINT32_MAX, ret);
}

/* What is kept */

#define FORM_MARK 0xffffffffU /* no text is so long, and what was written before there were marks begins with one */
#define FORM_HEAD 8

uint32_t ipc_form(const struct ipc_type *t)
{
    uint32_t form = 1;

    for (size_t i = 0; i < t->n_fields; i++) {
        const struct ipc_field *f = &t->fields[i];
        uint32_t inner = f->kind == IPC_STRUCT ? ipc_form(f->type) : 1;

        form = f->since > form ? f->since : form;
        form = inner > form ? inner : form;
    }
    return form;
}

struct err *ipc_keep(struct buf *b, const struct ipc_type *t, const void *x)
{
    put_u32(b, FORM_MARK);
    put_u32(b, ipc_form(t));
    return ipc_encode(b, NULL, t, x);
}

struct err *ipc_recall(struct arena *a, struct str in, const struct ipc_type *t, void *ret)
{
    uint32_t form = 1;

    if (in.len >= FORM_HEAD && le32_get(in.p) == FORM_MARK) {
        form = le32_get(in.p + 4);
        in = (struct str){ in.p + FORM_HEAD, in.len - FORM_HEAD };
        if (!form || form > ipc_form(t))
            return err_internal(
                "%s of form %u was written by a newer Runnymede: this one knows %u", t->name, form, ipc_form(t));
    }
    return decode(a, (struct str){ arena_dup(a, in.p, in.len), in.len }, NULL, t, form, ret);
}

/* Copying and closing */

static void take_fields(struct arena *a, const struct ipc_type *t, void *from, void *to);

static void take_item(struct arena *a, const struct ipc_field *f, void *from, void *to)
{
    switch (f->kind) {
    case IPC_STRING:
        *(char **)to = arena_strdup(a, *(char **)from);
        break;
    case IPC_BYTES: {
        const struct str *s = from;

        *(struct str *)to = (struct str){ s->len ? arena_dup(a, s->p, s->len) : "", s->len };
        break;
    }
    case IPC_VALUE:
        *(struct value *)to = value_copy(a, from);
        break;
    case IPC_FD:
        *(int *)to = fd_take(from);
        break;
    case IPC_STRUCT:
        take_fields(a, f->type, from, to);
        break;
    default:
        memcpy(to, from, item_size(f));
    }
}

static void take_fields(struct arena *a, const struct ipc_type *t, void *from, void *to)
{
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct ipc_field *f = &t->fields[i];
        char *item;
        char *copy = (char *)to + f->at;
        size_t n = items(f, from, &item);

        if (f->list) {
            *(size_t *)(void *)((char *)to + f->n_at) = n;
            *(char **)(void *)copy = n ? arena_alloc_array(a, n, item_size(f)) : NULL;
            copy = *(char **)(void *)copy;
        }
        for (size_t k = 0; k < n; k++)
            take_item(a, f, item + k * item_size(f), copy + k * item_size(f));
    }
}

void ipc_take(struct arena *a, const struct ipc_type *t, void *from, void *ret)
{
    assert(from != ret);
    take_fields(a, t, from, ret);
}

void ipc_close_fds(const struct ipc_type *t, void *x)
{
    for (size_t i = 0; i < t->n_fields; i++) {
        const struct ipc_field *f = &t->fields[i];
        char *item;
        size_t n;

        if (f->kind != IPC_FD && f->kind != IPC_STRUCT)
            continue;
        n = items(f, x, &item);
        for (size_t k = 0; k < n; k++, item += item_size(f)) {
            if (f->kind == IPC_STRUCT)
                ipc_close_fds(f->type, item);
            else if (*(int *)(void *)item > 0)
                fd_drop((int *)(void *)item);
            else
                *(int *)(void *)item = -1;
        }
    }
}
