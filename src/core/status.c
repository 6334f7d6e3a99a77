#include "core/status.h"
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "core/http.h"
#include "core/task.h"
#include "gen/ipc_machine.h"

/* What a report may hold, as runnymede-report has it. pii: may it tell about people? */
static const struct entry {
    const char *key, *pii;
    bool logs; /* also in /host_logs_download */
} entries[] = {
    { "xapi", "yes", false },
    { "xenserver-logs", "maybe", true },
    { "system-logs", "maybe", true },
    { "hardware-info", "no", false },
    { "disk-info", "no", false },
    { "process-list", "maybe", false },
    { "kernel-info", "no", false },
};

static struct err *get_system_status_capabilities(
    struct call *c, const struct host_get_system_status_capabilities_args *a, struct value *ret)
{
    const struct row *host = NULL;
    AUTO(buf_done) struct buf b;

    buf_init(&b, 64 * 1024);
    TRY(call_row(c, C_host, a->host, &host));
    buf_add_c(&b, "<?xml version=\"1.0\" ?>\n<!DOCTYPE system-status-capabilities>\n<system-status-capabilities>\n");
    for (size_t i = 0; i < ARRAY_LEN(entries); i++)
        buf_printf(&b,
            "<capability content-type=\"text/plain\" default-checked=\"yes\" key=\"%s\" max-size=\"67108864\" "
            "max-time=\"300\" min-size=\"0\" min-time=\"0\" pii=\"%s\"/>\n",
            entries[i].key, entries[i].pii);
    buf_add_c(&b, "</system-status-capabilities>\n");
    *ret = value_str(arena_strdup(c->arena, b.p));
    return NULL;
}

static struct err *refuse(
    struct core *c, struct arena *a, const struct core_http_req *req, struct core_http_rep *rep, const char *text)
{
    rep->status = 400;
    rep->reason = "Bad Request";
    rep->body = str_of(arena_printf(a, "<html><body><h1>400 Bad Request</h1><p>%s</p></body></html>", text));
    if (*req->task_id)
        task_finish(c, req->task_id, "", err_invalid_value("query", text));
    return NULL;
}

static bool are_known(const char *list)
{
    struct str rest = str_of(list), word;

    while (rest.len) {
        size_t i = 0;
        str_cut(rest, ',', &word, &rest);
        while (i < ARRAY_LEN(entries) && !str_eq_c(word, entries[i].key))
            i++;
        if (word.len && i == ARRAY_LEN(entries))
            return false;
    }
    return true;
}

static struct err *start(
    struct core *c, struct arena *a, const char *list, const char *output, struct core_http_rep *rep)
{
    struct machine_report_rep made = { .stream = -1 };
    struct ipc_peer *host = NULL;

    TRY(core_need_host(c, &host));
    TRY(machine_report(host, a, &(struct machine_report_req){ list, output }, &made));
    rep->status = 200;
    rep->stream = made.stream;
    rep->direction = 1; /* from here to the client */
    rep->idle_timeout_s = 300;
    http_add_header(a, rep, "Content-Type", strcmp(output, "tar") ? "application/octet-stream" : "application/x-tar");
    return NULL;
}

struct err *status_http(struct core *c, struct arena *a, const struct core_http_req *req, const struct principal *who,
    struct core_http_rep *rep)
{
    const char *list = value_map_str(&req->query, "entries"), *output = value_map_str(&req->query, "output");

    (void)who;
    if (!*output)
        output = "tar";
    if (strcmp(output, "tar") != 0 && strcmp(output, "tar.gz") != 0 && strcmp(output, "tar.bz2") != 0)
        return refuse(c, a, req, rep, "output may be tar, tar.gz or tar.bz2");
    if (!are_known(list))
        return refuse(c, a, req, rep, "host.get_system_status_capabilities names the entries that there are");
    return start(c, a, list, output, rep);
}

struct err *status_logs_http(struct core *c, struct arena *a, const struct core_http_req *req,
    const struct principal *who, struct core_http_rep *rep)
{
    AUTO(buf_done) struct buf list;

    (void)req;
    (void)who;
    buf_init(&list, 1024);
    for (size_t i = 0; i < ARRAY_LEN(entries); i++)
        if (entries[i].logs)
            buf_printf(&list, list.len ? ",%s" : "%s", entries[i].key);
    return start(c, a, arena_strdup(a, list.p), "tar.gz", rep);
}

void status_register(struct api_handlers *h)
{
    h->host_get_system_status_capabilities = get_system_status_capabilities;
}
