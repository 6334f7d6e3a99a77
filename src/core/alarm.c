#include "core/alarm.h"
#include <expat.h>
#include <string.h>
#include "base/buf.h"
#include "base/vec.h"
#include "core/message.h"

#define TEXT_MAX 16384
#define PERIOD_S 60
#define PERIOD_MAX_S (7 * 86400)
#define INHIBIT_S 3600
#define INHIBIT_MAX_S (366 * 86400)

/* ---- the text ---- */

struct parser {
    XML_Parser parser;
    struct arena *a;
    struct alarm_variable *v;
    size_t n;
    int depth, inside; /* depth of the variable under way; 0: none */
    bool has_level, bad;
    struct buf *xml; /* of it */
};

static void escape(struct buf *b, const char *s)
{
    for (; *s; s++) {
        if (*s == '&')
            buf_add_c(b, "&amp;");
        else if (*s == '<')
            buf_add_c(b, "&lt;");
        else if (*s == '"')
            buf_add_c(b, "&quot;");
        else if ((unsigned char)*s < ' ') /* as it is, it would be read as a blank */
            buf_printf(b, "&#%d;", *s);
        else
            buf_add(b, s, 1);
    }
}

static void take_seconds(struct parser *p, const char *text, uint32_t max, uint32_t *ret)
{
    uint64_t n = 0;

    if (!str_to_u64(str_of(text), &n) || n > max)
        p->bad = true;
    else
        *ret = (uint32_t)n;
}

static void take(struct parser *p, const char *name, const char *value)
{
    struct alarm_variable *v = &p->v[p->n];

    if (strcmp(name, "name") == 0)
        v->name = arena_strdup(p->a, value);
    else if (strcmp(name, "alarm_trigger_level") == 0)
        p->has_level = str_to_double(str_of(value), &v->level);
    else if (strcmp(name, "alarm_trigger_sense") == 0)
        v->low = strcmp(value, "low") == 0;
    else if (strcmp(name, "alarm_trigger_period") == 0)
        take_seconds(p, value, PERIOD_MAX_S, &v->period_s);
    else if (strcmp(name, "alarm_auto_inhibit_period") == 0)
        take_seconds(p, value, INHIBIT_MAX_S, &v->inhibit_s);
    else if (strcmp(name, "alarm_priority") == 0)
        p->bad = p->bad || !str_to_i64(str_of(value), &v->priority);
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attrs)
{
    struct parser *p = arg;

    p->depth++;
    if (!p->inside && strcmp(name, "variable") == 0 && p->n < ALARM_VARIABLES_MAX) {
        p->v[p->n] = (struct alarm_variable){ .name = "", .period_s = PERIOD_S, .inhibit_s = INHIBIT_S };
        p->inside = p->depth;
        p->has_level = p->bad = false;
        buf_clear(p->xml);
        buf_add_c(p->xml, "<variable>\n");
        return;
    }
    if (!p->inside || p->depth != p->inside + 1)
        return;
    for (; *attrs; attrs += 2)
        if (strcmp(attrs[0], "value") == 0) {
            take(p, name, attrs[1]);
            buf_printf(p->xml, "    <%s value=\"", name);
            escape(p->xml, attrs[1]);
            buf_add_c(p->xml, "\"/>\n");
        }
}

static void on_end(void *arg, const XML_Char *name)
{
    struct parser *p = arg;

    (void)name;
    if (p->inside == p->depth) {
        buf_add_c(p->xml, "</variable>\n");
        p->inside = 0;
        if (*p->v[p->n].name && p->has_level && !p->bad && !p->xml->overflow)
            p->v[p->n++].xml = arena_strndup(p->a, p->xml->p, p->xml->len);
    }
    p->depth--;
}

static void on_doctype(void *arg, const XML_Char *name, const XML_Char *sysid, const XML_Char *pubid, int internal)
{
    (void)name;
    (void)sysid;
    (void)pubid;
    (void)internal;
    XML_StopParser(((struct parser *)arg)->parser, XML_FALSE); /* no document types: nothing to expand */
}

size_t alarm_parse(struct arena *a, const char *xml, struct alarm_variable ret[ALARM_VARIABLES_MAX])
{
    AUTO(buf_done) struct buf text;
    struct parser p = { .a = a, .v = ret, .xml = &text };
    size_t len = strlen(xml);

    buf_init(&text, 4 * TEXT_MAX);
    if (!len || len > TEXT_MAX)
        return 0;
    p.parser = XML_ParserCreate("UTF-8");
    XML_SetUserData(p.parser, &p);
    XML_SetElementHandler(p.parser, on_start, on_end);
    XML_SetStartDoctypeDeclHandler(p.parser, on_doctype);
    bool ok = XML_Parse(p.parser, xml, (int)len, 1) == XML_STATUS_OK;
    XML_ParserFree(p.parser);
    return ok ? p.n : 0;
}

/* ---- what is watched ---- */

typedef VEC(struct sample_watch) watch_list;

static void add(struct arena *a, watch_list *list, const char *kind, const char *uuid, const char *config)
{
    struct alarm_variable v[ALARM_VARIABLES_MAX];
    size_t n = *config ? alarm_parse(a, config, v) : 0;

    for (size_t i = 0; i < n; i++)
        vec_push(list,
            ((struct sample_watch){ .kind = kind,
                .uuid = arena_strdup(a, uuid),
                .name = v[i].name,
                .level = v[i].level,
                .low = v[i].low,
                .period_s = v[i].period_s,
                .inhibit_s = v[i].inhibit_s }));
}

void alarm_fill(struct core *c, struct arena *a, struct sample_take_rep *rep)
{
    watch_list list = { 0 };

    add(a, &list, "host", rep->host, row_map_str(core_host_row(c), F_host_other_config, "perfmon"));
    for (size_t i = 0; i < rep->n_vms; i++) {
        const char *uuid = rep->vms[i].guest.vm;
        const struct row *vm = store_by_uuid(c->store, C_VM, uuid);

        if (vm)
            add(a, &list, "vm", uuid, row_map_str(vm, F_VM_other_config, "perfmon"));
    }
    rep->watches = arena_dup(a, list.p ? (void *)list.p : (void *)&list, list.len * sizeof(*list.p));
    rep->n_watches = list.len;
    vec_done(&list);
}

void alarm_crossed(struct core *c, struct arena *a, const struct sample_crossed_req *req)
{
    bool is_vm = strcmp(req->kind, "vm") == 0;
    const struct row *r = store_by_uuid(c->store, is_vm ? C_VM : C_host, req->uuid);
    struct alarm_variable v[ALARM_VARIABLES_MAX];

    if (!r)
        return;
    size_t n = alarm_parse(a, row_map_str(r, is_vm ? F_VM_other_config : F_host_other_config, "perfmon"), v);
    for (size_t i = 0; i < n; i++)
        if (strcmp(v[i].name, req->name) == 0) {
            message_raise_at(c, a, "ALARM", v[i].priority, is_vm ? "VM" : "Host", req->uuid,
                arena_printf(a, "value: %f\nconfig:\n%s", req->value, v[i].xml));
            return;
        }
}
