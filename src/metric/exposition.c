/* The latest values as Prometheus reads them, all samples of a family together. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/str.h"
#include "metric/export.h"
#include "metric/room.h"

static const char *const objects[] = { "host", "vm", "sr" };

static void escaped(struct buf *b, const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '"')
            buf_add_char(b, '\\');
        if (*text == '\n')
            buf_add_c(b, "\\n");
        else
            buf_add_char(b, *text);
    }
}

static void sample(struct buf *b, const struct history *h, const struct reading *r)
{
    const struct kind *k = &kinds[r->kind];
    char text[32];

    if (isnan(r->value))
        return;
    number_text(r->value, text);
    buf_printf(b, "runnymede_%s_%s{%s=\"%s\"", h->kind, k->family, h->kind, h->uuid);
    if (k->label) {
        buf_printf(b, ",%s=\"", k->label);
        escaped(b, r->instance);
        buf_add_char(b, '"');
    }
    buf_printf(b, "} %s\n", text);
}

static void head(struct buf *b, const char *object, const char *family, const char *help)
{
    buf_printf(b, "# HELP runnymede_%s_%s %s\n# TYPE runnymede_%s_%s gauge\n", object, family, help, object, family);
}

static void names(struct metric *m, struct buf *b, const char *object)
{
    const char *key;
    void *v;
    bool first = true;

    for (size_t it = 0; map_next(m->all, &it, &key, &v);) {
        struct history *h = v;
        if (!cstr_eq(h->kind, object))
            continue;
        if (first)
            head(b, object, "name", "Its name as a label, the value is 1");
        first = false;
        buf_printf(b, "runnymede_%s_name{%s=\"%s\",name=\"", object, object, h->uuid);
        escaped(b, h->label);
        buf_add_c(b, "\"} 1\n");
    }
}

static void family(struct metric *m, struct sink *s, const char *object, enum kind_id kind)
{
    const char *key;
    void *v;
    bool first = true;

    for (size_t it = 0; map_next(m->all, &it, &key, &v);) {
        struct history *h = v;
        for (size_t i = 0; cstr_eq(h->kind, object) && i < h->now.len; i++) {
            if (h->now.p[i].kind != kind || isnan(h->now.p[i].value))
                continue;
            if (first)
                head(&s->b, object, kinds[kind].family, kinds[kind].description);
            first = false;
            sample(&s->b, h, &h->now.p[i]);
        }
    }
}

void metric_expose(struct metric *m, struct sink *s, bool openmetrics)
{
    for (size_t o = 0; o < ARRAY_LEN(objects); o++) {
        names(m, &s->b, objects[o]);
        for (size_t k = 0; k < KINDS_N; k++)
            family(m, s, objects[o], (enum kind_id)k);
    }
    if (openmetrics)
        buf_add_c(&s->b, "# EOF\n");
}
