#include "metric/history.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/uuid.h"

#define OFF_LINE "RNYOFF1"
#define OFF_MAX 256

static struct history *history_of(const char *kind, const char *uuid, struct rrd *rrd)
{
    struct history *h = mem_new(struct history);

    snprintf(h->kind, sizeof(h->kind), "%s", kind);
    snprintf(h->uuid, sizeof(h->uuid), "%s", uuid);
    h->label = mem_strdup("");
    h->rrd = rrd;
    return h;
}

struct history *history_new(const char *kind, const char *uuid, bool min_max)
{
    return history_of(kind, uuid, rrd_new(min_max));
}

void history_free(struct history *h)
{
    if (!h)
        return;
    for (size_t i = 0; i < h->off.len; i++)
        free(h->off.p[i]);
    vec_done(&h->off);
    vec_done(&h->now);
    rrd_free(h->rrd);
    free(h->label);
    free(h);
}

/* ---- readings ---- */

static const struct reading *same_reading(const struct history *h, const struct reading *r, size_t hint)
{
    if (hint < h->now.len && h->now.p[hint].kind == r->kind && cstr_eq(h->now.p[hint].instance, r->instance))
        return &h->now.p[hint];
    for (size_t i = 0; i < h->now.len; i++)
        if (h->now.p[i].kind == r->kind && cstr_eq(h->now.p[i].instance, r->instance))
            return &h->now.p[i];
    return NULL;
}

/* The rate since the reading before. */
static double value_of(const struct reading *r, const struct reading *old, uint64_t us)
{
    const struct kind *k = &kinds[r->kind];
    double v = NAN;

    if (k->ratio) /* nothing happened: nothing took time */
        v = !old || r->raw < old->raw || r->by < old->by ? NAN
            : r->by > old->by                            ? (r->raw - old->raw) / (r->by - old->by)
                                                         : 0;
    else if (k->type == RRD_GAUGE)
        v = r->raw;
    else if (old && us && us <= (uint64_t)RRD_HEARTBEAT_S * 1000000 && r->raw >= old->raw)
        v = (r->raw - old->raw) * 1e6 / (double)us;
    return v >= k->min && v <= k->max ? v : NAN;
}

static bool is_off(const struct history *h, const char *name)
{
    for (size_t i = 0; i < h->off.len; i++)
        if (cstr_eq(h->off.p[i], name))
            return true;
    return false;
}

static struct rrd_source source_of(const struct reading *r, const char *name)
{
    const struct kind *k = &kinds[r->kind];

    return (struct rrd_source){ name, k->type, k->min, k->max };
}

/* Where its values go; SIZE_MAX: it is not recorded. */
static size_t place_of(struct history *h, const struct reading *r, size_t hint)
{
    char name[RRD_NAME_MAX + 1];

    reading_name(r, name);
    size_t at = rrd_find(h->rrd, name, hint);
    if (at == SIZE_MAX && kinds[r->kind].standard && !is_off(h, name))
        at = rrd_add(h->rrd, &(struct rrd_source){ name, kinds[r->kind].type, kinds[r->kind].min, kinds[r->kind].max });
    return at;
}

void history_update(struct history *h, uint64_t t_us, struct readings *now)
{
    VEC(double) values = { 0 };
    size_t hint = 0;

    for (size_t i = 0; i < now->len; i++) {
        struct reading *r = &now->p[i];
        r->value = value_of(r, same_reading(h, r, i), t_us > h->read_us ? t_us - h->read_us : 0);
        size_t at = place_of(h, r, hint);
        if (at == SIZE_MAX)
            continue;
        hint = at + 1;
        while (values.len < rrd_n_sources(h->rrd))
            vec_push(&values, NAN);
        assert(values.p && at < values.len);
        values.p[at] = kinds[r->kind].ratio ? r->value : r->raw;
    }
    while (values.len < rrd_n_sources(h->rrd))
        vec_push(&values, NAN);
    rrd_update(h->rrd, t_us, values.p);
    vec_done(&values);
    vec_done(&h->now);
    h->now = *now;
    *now = (struct readings){ 0 };
    h->read_us = t_us;
}

const struct reading *history_find(const struct history *h, const char *name)
{
    char own[RRD_NAME_MAX + 1];

    for (size_t i = 0; i < h->now.len; i++) {
        reading_name(&h->now.p[i], own);
        if (cstr_eq(own, name))
            return &h->now.p[i];
    }
    return NULL;
}

bool history_is_recorded(const struct history *h, const char *name)
{
    return rrd_find(h->rrd, name, 0) != SIZE_MAX;
}

bool history_record(struct history *h, const char *name)
{
    const struct reading *r = history_find(h, name);

    for (size_t i = 0; i < h->off.len; i++)
        if (cstr_eq(h->off.p[i], name)) {
            free(h->off.p[i]);
            vec_remove_swap(&h->off, i);
            break;
        }
    if (history_is_recorded(h, name))
        return true;
    struct rrd_source s = r ? source_of(r, name) : (struct rrd_source){ 0 };
    return r && rrd_add(h->rrd, &s) != SIZE_MAX;
}

bool history_forget(struct history *h, const char *name)
{
    const struct reading *r = history_find(h, name);
    size_t at = rrd_find(h->rrd, name, 0);

    if (at != SIZE_MAX)
        rrd_remove(h->rrd, at);
    if (r && kinds[r->kind].standard && !is_off(h, name) && h->off.len < OFF_MAX)
        vec_push(&h->off, mem_strdup(name));
    return r || at != SIZE_MAX;
}

/* ---- files ---- */

struct err *history_save(const struct history *h, int dir_fd)
{
    AUTO(buf_done) struct buf b;
    AUTO(fd_drop) int fd = -1;
    char name[64], tmp[72];

    buf_init(&b, RRD_ENCODED_MAX);
    buf_add_c(&b, OFF_LINE);
    for (size_t i = 0; i < h->off.len; i++)
        buf_printf(&b, " %s", h->off.p[i]);
    buf_add_char(&b, '\n');
    rrd_encode(h->rrd, &b);
    if (b.overflow)
        return err_internal("figures of %s %s are too long for a file", h->kind, h->uuid);
    snprintf(name, sizeof(name), "%s-%s", h->kind, h->uuid);
    snprintf(tmp, sizeof(tmp), "%s.new", name);
    fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(errno, "make file of figures");
    TRY(fd_write_all(fd, b.p, b.len));
    return renameat(dir_fd, tmp, dir_fd, name) < 0 ? err_errno(errno, "name file of figures") : NULL;
}

struct err *history_parse(const char *kind, const char *uuid, struct str in, struct history **ret_history)
{
    AUTO(rrd_drop) struct rrd *rrd = NULL;
    struct str line, body, word;

    if (!str_cut(in, '\n', &line, &body) || !str_starts(line, STR(OFF_LINE)))
        return err_internal("no file of figures that this version reads");
    TRY(rrd_decode(body, &rrd));
    struct history *h = history_of(kind, uuid, MOVE(rrd));
    line.p += strlen(OFF_LINE);
    line.len -= strlen(OFF_LINE);
    while (line.len && h->off.len < OFF_MAX) {
        char name[RRD_NAME_MAX + 1];
        str_cut(line, ' ', &word, &line);
        snprintf(name, sizeof(name), "%.*s", word.len < sizeof(name) ? (int)word.len : 0, word.p);
        if (rrd_name_valid(name))
            vec_push(&h->off, mem_strdup(name));
    }
    *ret_history = h;
    return NULL;
}

struct err *history_load(int dir_fd, const char *kind, const char *uuid, struct history **ret_history)
{
    AUTO(buf_done) struct buf b;
    char name[64];

    buf_init(&b, RRD_ENCODED_MAX);
    snprintf(name, sizeof(name), "%s-%s", kind, uuid);
    struct err *e = file_read(dir_fd, name, &b);
    if (e && err_errno_get(e) == ENOENT) {
        err_ignore(e, "it has no history yet");
        *ret_history = NULL;
        return NULL;
    }
    TRY(e);
    return history_parse(kind, uuid, buf_str(&b), ret_history);
}

bool history_file_name(const char *name, char ret_kind[8], char ret_uuid[40])
{
    static const char *const known[] = { "host", "vm", "sr" };
    const char *dash = strchr(name, '-');

    for (size_t i = 0; dash && i < ARRAY_LEN(known); i++) {
        size_t len = strlen(known[i]);
        if ((size_t)(dash - name) != len || strncmp(name, known[i], len) != 0 || !uuid_valid(dash + 1))
            continue;
        snprintf(ret_kind, 8, "%s", known[i]);
        snprintf(ret_uuid, 40, "%s", dash + 1);
        return true;
    }
    return false;
}
