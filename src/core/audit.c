#include "core/audit.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/core.h"
#include "core/http.h"

#define FILE_MAX_BYTES (8L << 20)
#define N_FILES 5
#define VALUE_SHOWN 256
#define PARAM_MAX 8192
#define LINE_MAX_BYTES (256 * 1024)

struct audit {
    int dir;    /* owned; -1: no log is kept */
    int fd;     /* owned; the newest file */
    off_t size; /* of it */
    bool broken;
};

static const char *file_name(char ret[32], int i)
{
    snprintf(ret, 32, i ? "audit.log.%d" : "audit.log", i);
    return ret;
}

static void open_newest(struct audit *a)
{
    struct stat st;

    a->fd = openat(a->dir, "audit.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    a->size = a->fd >= 0 && fstat(a->fd, &st) == 0 ? st.st_size : 0;
}

struct audit *audit_new(const char *dir)
{
    struct audit *a = mem_new(struct audit);

    a->fd = -1;
    a->dir = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (a->dir >= 0)
        open_newest(a);
    return a;
}

void audit_free(struct audit *a)
{
    if (!a)
        return;
    fd_drop(&a->fd);
    fd_drop(&a->dir);
    free(a);
}

/* ---- lines ---- */

static void turn(struct audit *a)
{
    char from[32], to[32];

    for (int i = N_FILES - 1; i > 0; i--)
        if (renameat(a->dir, file_name(from, i - 1), a->dir, file_name(to, i)) < 0 && errno != ENOENT)
            log_warn("the audit log cannot be turned over", F("file", file_name(from, i - 1)), FI("errno", errno));
    fd_drop(&a->fd);
    open_newest(a);
}

/* A disk that is full must not stop the host: it is said once, and again when it is over. */
static void put(struct audit *a, const struct buf *line)
{
    if (a->dir < 0)
        return;
    if (a->fd < 0 || a->size >= FILE_MAX_BYTES)
        turn(a);
    ssize_t n = line->overflow || a->fd < 0 ? -1 : write(a->fd, line->p, line->len);
    bool broken = n != (ssize_t)line->len;
    a->size += n > 0 ? n : 0;
    if (broken != a->broken)
        log_warn(broken ? "the audit log cannot be written: calls go on without it" : "the audit log is written again");
    a->broken = broken;
}

/* Quoted; nothing in it ends the text or the line. */
static void quote(struct buf *b, const char *s, size_t max)
{
    size_t len = strlen(s);

    buf_add_char(b, '\'');
    for (size_t i = 0; i < max && i < len; i++)
        if (s[i] == '\'' || s[i] == '\\')
            buf_printf(b, "\\%c", s[i]);
        else if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
            buf_printf(b, "\\x%02x", (unsigned char)s[i]);
        else
            buf_add_char(b, s[i]);
    buf_add_c(b, len > max ? "...'" : "'");
}

static bool sounds_secret(const char *name)
{
    static const char *const words[] = { "pass", "pwd", "secret", "token", "session", "private", "credential" };
    char low[64];
    size_t i = 0;

    for (; i < sizeof(low) - 1 && name[i]; i++)
        low[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    low[i] = '\0';
    for (size_t w = 0; w < ARRAY_LEN(words); w++)
        if (strstr(low, words[w]))
            return true;
    return false;
}

static void put_value(struct buf *b, const struct value *v)
{
    switch (v->kind) {
    case V_BOOL:
        buf_add_c(b, v->b ? "'true'" : "'false'");
        return;
    case V_INT:
        buf_printf(b, "'%lld'", (long long)v->i);
        return;
    case V_FLOAT:
        buf_printf(b, "'%g'", v->f);
        return;
    case V_STRING:
    case V_DATETIME:
        quote(b, v->s, VALUE_SHOWN);
        return;
    case V_SET:
    case V_MAP:
        buf_add_char(b, '(');
        for (uint32_t i = 0; i < v->n; i++) {
            const struct value *item = &v->items[v->kind == V_MAP ? 2 * i : i];
            buf_add_c(b, i ? " " : "");
            if (v->kind == V_SET) {
                put_value(b, item);
                continue;
            }
            buf_add_char(b, '(');
            put_value(b, item);
            buf_add_char(b, ' ');
            if (item->kind == V_STRING && sounds_secret(item->s))
                buf_add_c(b, "'***'");
            else
                put_value(b, item + 1);
            buf_add_char(b, ')');
        }
        buf_add_char(b, ')');
        return;
    default:
        buf_add_c(b, "''");
    }
}

/* ('vm' 'its name' 'its uuid' 'its ref'), or ('value' 'text' '' ''). */
static void put_param(struct buf *b, const struct call *c, const struct param *p, const struct value *v)
{
    const struct row *r = v->kind == V_STRING && cstr_starts(v->s, "OpaqueRef:") ? core_row(c->core, v->s) : NULL;
    const struct field *label = r ? model_field_find(row_class(r), "name_label") : NULL;
    const struct field *uuid = r ? model_field_find(row_class(r), "uuid") : NULL;

    buf_add_char(b, '(');
    quote(b, p->name, VALUE_SHOWN);
    buf_add_char(b, ' ');
    if (r) {
        quote(b, label ? row_str(r, label) : "", VALUE_SHOWN);
        buf_add_char(b, ' ');
        quote(b, uuid ? row_str(r, uuid) : "", VALUE_SHOWN);
        buf_add_char(b, ' ');
        quote(b, v->s, VALUE_SHOWN);
    } else {
        put_value(b, v);
        buf_add_c(b, " '' ''");
    }
    buf_add_char(b, ')');
}

/* Of a message with secrets, only what names the object or the user. */
static bool may_show(const struct msg *m, const struct param *p)
{
    if (p->type->kind == TYPE_SECRET || (sounds_secret(p->name) && p->type->kind != TYPE_REF))
        return false;
    if (!m->secret && m->class != C_secret)
        return true;
    return strcmp(p->name, "self") == 0 || strcmp(p->name, "uname") == 0 || strcmp(p->name, "uuid") == 0;
}

const char *audit_params(const struct call *c, const struct value *args)
{
    AUTO(buf_done) struct buf all;

    buf_init(&all, LINE_MAX_BYTES / 2);
    buf_add_char(&all, '(');
    for (size_t i = 0; i < c->msg->n_params; i++) {
        const struct param *p = &c->msg->params[i];
        AUTO(buf_done) struct buf one;

        buf_init(&one, PARAM_MAX);
        if (!may_show(c->msg, p))
            continue;
        put_param(&one, c, p, &args[i]);
        buf_add_c(&all, all.len > 1 ? " " : "");
        if (one.overflow)
            buf_printf(&all, "('%s' '(too long)' '' '')", p->name);
        else
            buf_add_str(&all, buf_str(&one));
    }
    buf_add_char(&all, ')');
    return all.overflow ? "()" : arena_strndup(c->arena, all.p, all.len);
}

/* Which session, without saying it. */
static void put_track(struct buf *b, const char *session)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    if (!*session || EVP_Digest(session, strlen(session), hash, &n, EVP_sha256(), NULL) != 1)
        n = 0;
    buf_add_c(b, "'trackid=");
    for (unsigned i = 0; i < n && i < 16; i++)
        buf_printf(b, "%02x", hash[i]);
    buf_add_char(b, '\'');
}

static void begin(
    struct buf *b, struct core *c, const char *client, const char *call, const char *task, const struct principal *who)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    uint64_t now = clock_wall(c->loop);
    const struct row *host = core_host_row(c);

    buf_printf(b, "[%.17s.%03uZ|audit|", datetime_text(a, now), (unsigned)(now / 1000 % 1000));
    for (const char *s = host ? row_str(host, F_host_hostname) : ""; *s; s++)
        buf_add_c(b, *s == '|' || (unsigned char)*s < ' ' ? "_" : (char[]){ *s, '\0' });
    buf_printf(b, "|%s|%s%s%s|audit] (", client, call, *task ? " " : "", task);
    put_track(b, who->session);
    buf_add_char(b, ' ');
    quote(b, who->root && !*who->sid ? "LOCAL_SUPERUSER" : who->sid, VALUE_SHOWN);
    buf_add_char(b, ' ');
    quote(b, who->user, VALUE_SHOWN);
}

void audit_call(const struct call *c, const char *params, const struct err *e)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, LINE_MAX_BYTES);
    begin(&b, c->core, c->client ? c->client : "", c->msg->name, c->task, &c->who);
    if (err_is(e, "RBAC_PERMISSION_DENIED"))
        buf_add_c(&b, " 'DENIED' ''");
    else if (!e)
        buf_add_c(&b, " 'ALLOWED' 'OK'");
    else
        buf_printf(&b, " 'ALLOWED' 'ERROR:%s'", err_code(e));
    buf_printf(&b, " 'API' '%s' %s)\n", c->msg->name, params);
    put(c->core->audit, &b);
}

void audit_action(struct core *c, const struct core_http_req *req, const struct principal *who, unsigned status)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, LINE_MAX_BYTES);
    begin(&b, c, req->client, req->action, req->task_id, who);
    buf_printf(&b, " '%s' '%u' 'HTTP' 'http/%s' ())\n", status == 403 ? "DENIED" : "ALLOWED", status, req->action);
    put(c->audit, &b);
}

bool audit_wants(const struct msg *m)
{
    static const char *const looks[] = { "get_", "query_", "assert_", "compute_", "is_", "has_", "retrieve_", "list_",
        "retrieve_", "next", "from" };
    const char *dot = strchr(m->name, '.');

    if (!dot || m->class == C_event)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(looks); i++)
        if (cstr_starts(dot + 1, looks[i]))
            return false;
    return true;
}

/* ---- reading ---- */

struct gather {
    int files[N_FILES]; /* oldest first; owned; -1: none */
    int out;            /* owned */
    const char *since;  /* yyyymmddThh:mm:ss, or "" */
    bool failed;
};

/* On a worker thread. A line's time follows its bracket, and compares as text. */
static void gather(void *arg)
{
    struct gather *g = arg;
    FILE *out = fdopen(dup(g->out), "w");
    char *line = NULL;
    size_t size = 0;

    for (int i = 0; out && i < N_FILES; i++) {
        FILE *in = g->files[i] >= 0 ? fdopen(g->files[i], "r") : NULL;
        if (!in)
            continue;
        g->files[i] = -1;
        for (ssize_t n; (n = getline(&line, &size, in)) > 0;)
            if (!*g->since || (n > 18 && strncmp(line + 1, g->since, 17) >= 0))
                fwrite(line, 1, (size_t)n, out);
        fclose(in);
    }
    free(line);
    g->failed = !out || fclose(out) != 0 || lseek(g->out, 0, SEEK_SET) < 0;
}

struct err *audit_http(struct core *c, struct arena *a, const struct core_http_req *req, const struct principal *who,
    struct core_http_rep *rep)
{
    const char *since = value_map_str(&req->query, "since");
    struct gather g = { .since = "", .out = memfd_create("audit", MFD_CLOEXEC) };
    uint64_t at = 0;
    char name[32];

    (void)who;
    if (*since && !datetime_parse(since, &at)) {
        fd_drop(&g.out);
        return http_refuse(a, rep, 400, "Bad Request", "since: a time, as 20260131T09:05:00Z");
    }
    if (*since)
        g.since = datetime_text(a, at);
    if (g.out < 0)
        return err_errno(errno, "make room for the audit log");
    for (int i = 0; i < N_FILES; i++)
        g.files[N_FILES - 1 - i] =
            c->audit->dir >= 0 ? openat(c->audit->dir, file_name(name, i), O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    fiber_offload(gather, &g);
    for (int i = 0; i < N_FILES; i++)
        fd_drop(&g.files[i]);
    if (g.failed) {
        fd_drop(&g.out);
        return err_internal("the audit log could not be read");
    }
    return http_hand_over(a, rep, "text/plain; charset=utf-8", (struct str){ 0 }, g.out);
}
