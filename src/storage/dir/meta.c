#include "storage/dir/meta.h"
#include <errno.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/str.h"
#include "base/uuid.h"
#include "storage/driver.h"

#define META_MAX (256 * 1024)
#define NAME_SIZE (UUID_LEN + 16)

static void name_of(const char *uuid, char ret[NAME_SIZE])
{
    snprintf(ret, NAME_SIZE, "%s.meta", uuid);
}

static void put(struct buf *b, const char *key, const char *value)
{
    buf_printf(b, "%s=", key);
    for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
        if (*p < ' ' || *p == '%')
            buf_printf(b, "%%%02X", *p);
        else
            buf_add_char(b, (char)*p);
    }
    buf_add_char(b, '\n');
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static const char *unescape(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, s.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '%' && i + 2 < s.len && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
            out[n++] = (char)(hex(s.p[i + 1]) * 16 + hex(s.p[i + 2]));
            i += 2;
        } else {
            out[n++] = s.p[i];
        }
    }
    out[n] = 0;
    return str_is_utf8(str_of(out)) ? out : "";
}

void meta_read(struct arena *a, int dir_fd, const char *uuid, struct meta *ret)
{
    AUTO(buf_done) struct buf b;
    char name[NAME_SIZE];
    struct str line, rest, key, value;

    *ret = (struct meta){ .name = "", .type = "user" };
    buf_init(&b, META_MAX);
    name_of(uuid, name);
    struct err *e = file_read(dir_fd, name, &b);
    if (e) {
        err_ignore(e, "the image alone will do");
        return;
    }
    for (rest = buf_str(&b); rest.len;) {
        str_cut(rest, '\n', &line, &rest);
        if (!str_cut(line, '=', &key, &value))
            continue;
        if (str_eq_c(key, "name"))
            ret->name = unescape(a, value);
        else if (str_eq_c(key, "type"))
            ret->type = unescape(a, value);
        else if (str_eq_c(key, "partial"))
            ret->partial = str_eq_c(value, "true");
    }
}

struct err *meta_write(int dir_fd, const char *uuid, const struct meta *m)
{
    AUTO(buf_done) struct buf b;
    char name[NAME_SIZE];

    buf_init(&b, META_MAX);
    put(&b, "name", m->name);
    put(&b, "type", m->type);
    if (m->partial)
        put(&b, "partial", "true");
    if (b.overflow)
        return sr_failure(SR_VDI_CREATE, "The name is too long");
    name_of(uuid, name);
    struct err *e = file_write_atomic(dir_fd, name, b.p, b.len, 0600);
    if (!e)
        return NULL;
    int errnum = err_errno_get(e);
    err_ignore(e, "told as a storage error");
    return sr_failure_errno(SR_VDI_CREATE, errnum, "Cannot write %s", name);
}

void meta_remove(int dir_fd, const char *uuid)
{
    char name[NAME_SIZE];

    name_of(uuid, name);
    unlinkat(dir_fd, name, 0); /* one that stays behind is swept away */
}
