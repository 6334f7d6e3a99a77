#include "cli/xe.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "cli/ask.h"
#include "proto/json.h"

#define REPLY_MAX (1UL << 30)
#define SINGLES_MAX 8
#define BAR_WIDTH 40
#define PASSWORD_MAX 4096

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

/* JSON out; in comes by proto/json.h */

static void put_string(struct buf *b, const char *s, size_t len)
{
    buf_add_char(b, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c < 0x20)
            buf_printf(b, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else
            buf_add_char(b, (char)c);
    }
    buf_add_char(b, '"');
}

static void put(struct buf *b, const struct value *v)
{
    switch (v->kind) {
    case V_BOOL:
        buf_add_c(b, v->b ? "true" : "false");
        break;
    case V_INT:
        buf_printf(b, "%lld", (long long)v->i);
        break;
    case V_FLOAT:
        buf_printf(b, "%.17g", v->f);
        break;
    case V_STRING:
    case V_DATETIME:
        put_string(b, v->s, v->n);
        break;
    case V_SET:
        buf_add_char(b, '[');
        for (size_t i = 0; i < v->n; i++) {
            buf_add_c(b, i ? "," : "");
            put(b, &v->items[i]);
        }
        buf_add_char(b, ']');
        break;
    case V_MAP:
        buf_add_char(b, '{');
        for (size_t i = 0; i < v->n; i++) {
            buf_add_c(b, i ? "," : "");
            put(b, &v->items[2 * i]);
            buf_add_char(b, ':');
            put(b, &v->items[2 * i + 1]);
        }
        buf_add_char(b, '}');
        break;
    default:
        buf_add_c(b, "null");
    }
}

/* Calls */

struct err *xe_open(struct xe *x, struct web *ret_web)
{
    struct link *l = NULL;

    TRY(link_open(&x->address, &l));
    web_init(ret_web, l);
    return NULL;
}

static struct err *connect_again(struct xe *x)
{
    if (x->connected)
        web_done(&x->web);
    x->connected = false;
    TRY(xe_open(x, &x->web));
    x->connected = true;
    return NULL;
}

static struct err *exchange(struct xe *x, const struct buf *body, struct buf *answer)
{
    TRY(web_send(&x->web, "POST", "/jsonrpc", "Content-Type: application/json\r\n", body->p, (int64_t)body->len));
    TRY(web_answer(&x->web));
    TRY(web_read_all(&x->web, answer));
    if (x->web.status != 200)
        return usage("the server answers %d %s", x->web.status, x->web.reason);
    return NULL;
}

static struct err *error_of(const struct value *error)
{
    const struct value *data = value_map_get(error, "data");
    const char *code = value_map_str(error, "message"), *params[64];
    size_t n = 0;

    for (; data && data->kind == V_SET && n < data->n && n < ARRAY_LEN(params); n++)
        params[n] = data->items[n].kind == V_STRING ? data->items[n].s : "";
    return err_new(code, params, n);
}

static struct err *ask(struct xe *x, const char *method, const struct value *params, struct value *ret)
{
    AUTO(buf_done) struct buf body, answer;
    const struct value *error, *result;
    struct value v;

    buf_init(&body, 64UL << 20);
    buf_init(&answer, REPLY_MAX);
    buf_add_c(&body, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":");
    put_string(&body, method, strlen(method));
    buf_add_c(&body, ",\"params\":");
    put(&body, params);
    buf_add_char(&body, '}');
    if (body.overflow)
        return usage("the call is too long");
    if (!x->connected || !x->web.keep)
        TRY(connect_again(x));
    struct err *e = exchange(x, &body, &answer);
    mem_wipe(body.p, body.len);
    if (e) {
        web_done(&x->web);
        x->connected = false;
        return e;
    }
    TRY(json_parse_answer(x->arena, buf_str(&answer), &v));
    error = value_map_get(&v, "error");
    result = value_map_get(&v, "result");
    if (error && error->kind == V_MAP)
        return error_of(error);
    if (!result)
        return usage("the server's answer is no JSON-RPC");
    if (ret)
        *ret = *result;
    return NULL;
}

/* For --debug and --debug-on-fail: names and outcomes, never parameters, which may be secrets. */
static struct err *call(struct xe *x, const char *method, const struct value *params, struct value *ret)
{
    struct err *e = ask(x, method, params, ret);
    const char *how = !e ? "ok" : err_is(e, XE_USAGE) ? "failed" : err_code(e);

    if (x->args.debug)
        fprintf(stderr, "xe: %s: %s\n", method, how);
    else if (x->args.debug_on_fail)
        buf_printf(&x->calls, "xe: %s: %s\n", method, how);
    return e;
}

struct err *xe_call(struct xe *x, const char *method, const struct value *params, size_t n, struct value *ret)
{
    struct value *all = arena_new_array(x->arena, n + 1, struct value), list;

    all[0] = S(x->session);
    for (size_t i = 0; i < n; i++)
        all[i + 1] = params[i];
    list = value_set(all, n + 1);
    return call(x, method, &list, ret);
}

/* The session */

static struct err *password_of(struct xe *x, const char **ret)
{
    char *text = arena_alloc(x->arena, PASSWORD_MAX);
    AUTO(buf_done) struct buf b;

    buf_init(&b, PASSWORD_MAX - 1);
    *ret = x->args.password;
    if (x->args.password)
        return NULL;
    if (!x->args.password_file && !isatty(STDIN_FILENO)) /* what else comes by standard input is the verb's */
        return usage("no password: use -pw, -pwf FILE, XE_EXTRA_ARGS or ~/.xe");
    if (!x->args.password_file)
        return ask_secret(x, "Password", ret);
    *ret = text;
    TRY(file_read(AT_FDCWD, x->args.password_file, &b));
    memcpy(text, b.p ? b.p : "", b.len);
    text[strcspn(text, "\r\n")] = 0;
    mem_wipe(b.p, b.len);
    return NULL;
}

struct err *xe_login(struct xe *x)
{
    const char *password = NULL;
    struct value params[4], list, session = VALUE_NIL;

    x->session = "";
    x->web.keep = true;
    if (x->address.socket && !x->args.user)
        return NULL;
    if (!x->args.user)
        return usage("no user: use -u USER");
    TRY(password_of(x, &password));
    params[0] = S(x->args.user);
    params[1] = S(password);
    params[2] = S("");
    params[3] = S("xe");
    list = value_set(params, 4);
    TRY(call(x, "session.login_with_password", &list, &session));
    if (session.kind != V_STRING)
        return usage("the server's answer to the login is no session");
    x->session = session.s;
    return NULL;
}

void xe_logout(struct xe *x)
{
    if (x->connected && *x->session)
        err_ignore(CALL0(x, NULL, "session.logout"), "sessions end by themselves too");
    if (x->connected)
        web_done(&x->web);
    x->connected = false;
}

/* Tasks */

bool xe_wants_bar(struct xe *x)
{
    bool asked = false;

    err_ignore(arg_bool(&x->args, "progress", false, &asked), "no bar then");
    return asked || (isatty(STDERR_FILENO) && !x->args.minimal);
}

void progress_show(const char *what, double share)
{
    int full = (int)(share * BAR_WIDTH);

    if (full > BAR_WIDTH)
        full = BAR_WIDTH;
    fprintf(stderr, "\r%s |%.*s%*s| %3d%%", what, full, "########################################", BAR_WIDTH - full,
        "", (int)(share * 100));
    fflush(stderr);
}

void progress_end(void)
{
    fputs("\n", stderr);
}

/* The task's record, once it has changed or after a while. */
static struct err *next_record(struct xe *x, const char *task, const char **token, struct value *ret)
{
    struct value class = S(arena_printf(x->arena, "task/%s", task)), batch;
    struct err *e = CALL(x, &batch, "event.from", value_set(&class, 1), S(*token), value_float(10));

    if (e && interrupted) {
        err_ignore(e, "the connection went with the signal");
        interrupted = 0;
        fputs("\nCancelling ...\n", stderr);
        err_ignore(CALL(x, NULL, "task.cancel", S(task)), "it may be over, or not to be cancelled");
    } else if (e) {
        return e;
    } else {
        *token = value_map_str(&batch, "token");
    }
    return CALL(x, ret, "task.get_record", S(task));
}

static struct err *task_error(const struct value *record)
{
    const struct value *info = value_map_get(record, "error_info");
    const char *params[64];
    size_t n = 0;

    if (!info || info->kind != V_SET || !info->n)
        return err_new("TASK_CANCELLED", NULL, 0);
    for (; n + 1 < info->n && n < ARRAY_LEN(params); n++)
        params[n] = info->items[n + 1].s;
    return err_new(info->items[0].s, params, n);
}

struct err *xe_task_wait(struct xe *x, const char *task, bool bar, const char **ret_result)
{
    struct sigaction act = { .sa_handler = on_interrupt }, old;
    const char *token = "", *status = "pending";
    struct value record;
    struct err *e = NULL;

    sigaction(SIGINT, &act, &old);
    while (!e && strcmp(status, "pending") == 0) {
        e = next_record(x, task, &token, &record);
        if (e)
            break;
        const struct value *share = value_map_get(&record, "progress");
        status = value_map_str(&record, "status");
        if (bar && share)
            progress_show("", share->kind == V_FLOAT ? share->f : (double)share->i);
    }
    sigaction(SIGINT, &old, NULL);
    if (bar)
        progress_end();
    TRY(e);
    err_ignore(CALL(x, NULL, "task.destroy", S(task)), "it is over all the same");
    if (strcmp(status, "success") != 0)
        return task_error(&record);
    *ret_result = value_map_str(&record, "result");
    return NULL;
}

/* The text of <value>...</value>, which may hold one more element. */
static const char *plain_result(struct xe *x, const char *xml)
{
    const char *from = strstr(xml, "<value>"), *to;

    if (!from)
        return xml;
    from += strlen("<value>");
    if (*from == '<')
        from = strchr(from, '>') ? strchr(from, '>') + 1 : from;
    to = strchr(from, '<');
    return to ? arena_strndup(x->arena, from, (size_t)(to - from)) : from;
}

struct err *xe_run(struct xe *x, const char *method, const struct value *params, size_t n, struct value *ret)
{
    const struct msg *m = model_msg_find(method);
    const char *result = "";
    struct value task = VALUE_NIL;

    if (!m || !m->async || !xe_wants_bar(x))
        return xe_call(x, method, params, n, ret);
    TRY(xe_call(x, arena_printf(x->arena, "Async.%s", method), params, n, &task));
    if (task.kind != V_STRING)
        return usage("the server's answer is no task");
    TRY(xe_task_wait(x, task.s, true, &result));
    if (ret)
        *ret = S(plain_result(x, result));
    return NULL;
}

/* Objects */

struct err *xe_field(struct xe *x, const struct model_class *c, const char *ref, const char *field, struct value *ret)
{
    return CALL(x, ret, arena_printf(x->arena, "%s.get_%s", c->name, field), S(ref));
}

struct err *xe_record(struct xe *x, const struct model_class *c, const char *ref, struct value *ret)
{
    return CALL(x, ret, arena_printf(x->arena, "%s.get_record", c->name), S(ref));
}

static bool looks_like_uuid(const char *text)
{
    return strlen(text) == 36 && strspn(text, "0123456789abcdefABCDEF-") == 36;
}

struct err *xe_find(struct xe *x, const struct model_class *c, const char *text, const char **ret_ref)
{
    struct value found = VALUE_NIL;

    if (!*text || strcmp(text, REF_NULL) == 0 || cstr_starts(text, "OpaqueRef:")) {
        *ret_ref = *text ? text : REF_NULL;
        return NULL;
    }
    if (looks_like_uuid(text) || !c->name_label) {
        TRY(CALL(x, &found, arena_printf(x->arena, "%s.get_by_uuid", c->name), S(text)));
        if (found.kind != V_STRING)
            return usage("the server's answer is no reference");
        *ret_ref = found.s;
        return NULL;
    }
    TRY(CALL(x, &found, arena_printf(x->arena, "%s.get_by_name_label", c->name), S(text)));
    if (found.kind != V_SET || !found.n)
        return usage("there is no %s with the uuid or name %s", c->name, text);
    if (found.n > 1)
        return usage("%u objects of class %s have the name %s: give the uuid", found.n, c->name, text);
    if (found.items[0].kind != V_STRING)
        return usage("the server's answer is no reference");
    *ret_ref = found.items[0].s;
    return NULL;
}

static struct err *read_class(struct xe *x, const struct model_class *c)
{
    struct value all = VALUE_NIL;

    TRY(CALL0(x, &all, arena_printf(x->arena, "%s.get_all_records", c->name)));
    for (size_t i = 0; all.kind == V_MAP && i < all.n; i++) /* keys are text: the parser saw to it */
        map_put(x->records, all.items[2 * i].s, (void *)(uintptr_t)&all.items[2 * i + 1]);
    return NULL;
}

const struct value *xe_known(struct xe *x, const struct model_class *c, const char *ref)
{
    const struct value *known = map_get(x->records, ref);
    struct value *record;

    if (known || !*ref || strcmp(ref, REF_NULL) == 0 || x->singles[c->id] > SINGLES_MAX)
        return known;
    if (++x->singles[c->id] > SINGLES_MAX && c->get_all) {
        err_ignore(read_class(x, c), "what cannot be read is shown as not there");
        return map_get(x->records, ref);
    }
    x->singles[c->id] -= x->singles[c->id] > SINGLES_MAX;
    record = arena_new_of(x->arena, struct value);
    struct err *e = xe_record(x, c, ref, record);
    if (e) {
        err_ignore(e, "what is gone is shown as not there");
        return NULL;
    }
    map_put(x->records, ref, record);
    return record;
}

static void escape(struct buf *b, const char *text)
{
    for (; *text; text++) {
        bool plain = (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'z') ||
            (*text >= 'A' && *text <= 'Z') || strchr("-._~:", *text);

        buf_printf(b, plain ? "%c" : "%%%02X", (unsigned char)*text);
    }
}

const char *xe_query(struct xe *x, const char *path, const char *const *pairs, size_t n_pairs)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 8192);
    buf_printf(&b, "%s?session_id=", path);
    escape(&b, x->session);
    for (size_t i = 0; i < n_pairs; i++) {
        buf_printf(&b, "&%s=", pairs[2 * i]);
        escape(&b, pairs[2 * i + 1]);
    }
    return arena_strdup(x->arena, b.p);
}
