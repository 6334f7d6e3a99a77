#include "storage/attached.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"

#define FILE_MAX (16 * 1024 * 1024)

struct err *attached_write(int state_fd, const struct map *srs)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf b = { 0 };
    struct value *pairs = arena_new_array(a, 2 * map_len(srs) + 1, struct value);
    size_t n = 0, it = 0;
    const char *uuid;
    void *sr;

    if (state_fd < 0)
        return NULL;
    while (map_next(srs, &it, &uuid, &sr)) {
        const struct sr *s = sr;
        struct str config = buf_str(&s->config);
        struct value *one = arena_new_array(a, 4, struct value);

        one[0] = value_str("type");
        one[1] = value_str(s->driver->type);
        one[2] = value_str("config");
        TRY(value_decode(a, &config, &one[3]));
        pairs[2 * n] = value_str(uuid);
        pairs[2 * n++ + 1] = value_map(one, 2);
    }
    const struct value all = value_map(pairs, n);
    buf_init(&b, FILE_MAX);
    value_encode(&b, &all);
    return b.overflow ? err_internal("too many SRs to remember")
                      : file_write_atomic(state_fd, ATTACHED_FILE, b.p, b.len, 0600);
}

struct value attached_read(int state_fd, struct arena *a)
{
    AUTO(buf_done) struct buf b;
    struct value all = VALUE_NIL;
    struct err *e;

    buf_init(&b, FILE_MAX);
    e = state_fd < 0 ? err_internal("no state folder") : file_read(state_fd, ATTACHED_FILE, &b);
    if (e) {
        err_ignore(e, "nothing was attached yet");
        return value_map(NULL, 0);
    }
    struct str text = { arena_dup(a, b.p, b.len), b.len };
    e = value_decode(a, &text, &all);
    if (e)
        log_err(LOG_WARN_, "what was attached is not known any more: the core tells it again", e);
    return !e && all.kind == V_MAP ? all : value_map(NULL, 0);
}
