#include "metric/service.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "gen/errors.h"
#include "gen/ipc_metric.h"
#include "metric/export.h"
#include "metric/room.h"

#define STEP_US ((uint64_t)RRD_STEP_S * 1000000)
#define SAVE_US (5 * 60 * 1000000UL)

struct history *metric_find(struct metric *m, const char *kind, const char *uuid)
{
    char key[64];

    snprintf(key, sizeof(key), "%s-%s", kind, uuid);
    return map_get(m->all, key);
}

/* One that is there, or one from its file, which *ret_own then frees; NULL: it has no history. */
static struct history *look_up(struct metric *m, const char *kind, const char *uuid, struct history **ret_own)
{
    struct history *h = metric_find(m, kind, uuid);
    char name[64], ignored_kind[8], ignored_uuid[40];

    snprintf(name, sizeof(name), "%s-%s", kind, uuid);
    if (h || !history_file_name(name, ignored_kind, ignored_uuid))
        return h;
    log_err(LOG_WARN_, "figures cannot be read", history_load(m->dir, kind, uuid, ret_own));
    return *ret_own;
}

/* ---- texts ---- */

static struct err *hand_over(struct ipc_call *c, struct sink *s, struct str *ret_body, int *ret_file)
{
    TRY(sink_end(s, ret_file));
    if (s->b.len)
        *ret_body = (struct str){ arena_dup(c->arena, s->b.p, s->b.len), s->b.len };
    return NULL;
}

struct selection {
    struct export_object *p;
    size_t n;
};

static void add_object(struct selection *s, const struct history *h)
{
    if (h)
        s->p[s->n++] = (struct export_object){ h->kind, h->uuid, h->rrd };
}

static bool listed(const char **list, size_t n, const char *uuid)
{
    for (size_t i = 0; i < n; i++)
        if (cstr_eq(list[i], uuid))
            return true;
    return false;
}

static struct selection select_objects(struct metric *m, struct arena *a, const struct metric_updates_req *req)
{
    struct selection s = { arena_new_array(a, map_len(m->all) + 1, struct export_object), 0 };
    const char *key;
    void *v;

    if (req->host)
        add_object(&s, metric_find(m, "host", m->host));
    for (size_t it = 0; map_next(m->all, &it, &key, &v);) {
        struct history *h = v;
        if (cstr_eq(h->kind, "vm") && (req->all_vms || listed(req->vms, req->n_vms, h->uuid)))
            add_object(&s, h);
        if (cstr_eq(h->kind, "sr") && listed(req->srs, req->n_srs, h->uuid))
            add_object(&s, h);
    }
    return s;
}

static struct err *on_updates(struct ipc_call *c, struct metric_updates_req *req, struct metric_updates_rep *rep)
{
    struct export_query q = { .start = req->start, .interval = req->interval, .cfs = req->cfs, .json = req->json };
    struct selection objects = select_objects(c->ctx, c->arena, req);
    AUTO(sink_done) struct sink s;

    sink_init(&s);
    export_updates(&s, &q, objects.p, objects.n);
    return hand_over(c, &s, &rep->body, &rep->file);
}

static struct err *on_dump(struct ipc_call *c, struct metric_dump_req *req, struct metric_dump_rep *rep)
{
    AUTO(history_drop) struct history *own = NULL;
    const struct history *h = look_up(c->ctx, req->kind, req->uuid, &own);
    AUTO(sink_done) struct sink s;

    sink_init(&s);
    rep->file = -1;
    if (!h)
        return NULL;
    rep->found = true;
    export_dump(&s, h->rrd, req->json);
    return hand_over(c, &s, &rep->body, &rep->file);
}

static struct err *on_exposition(
    struct ipc_call *c, struct metric_exposition_req *req, struct metric_exposition_rep *rep)
{
    AUTO(sink_done) struct sink s;

    sink_init(&s);
    metric_expose(c->ctx, &s, req->openmetrics);
    return hand_over(c, &s, &rep->body, &rep->file);
}

/* ---- single sources ---- */

static struct err *on_sources(struct ipc_call *c, struct metric_sources_req *req, struct metric_sources_rep *rep)
{
    const struct history *h = metric_find(c->ctx, req->kind, req->uuid);

    rep->sources = arena_new_array(c->arena, h ? h->now.len + 1 : 1, struct metric_source);
    for (size_t i = 0; h && i < h->now.len; i++) {
        const struct reading *r = &h->now.p[i];
        const struct kind *k = &kinds[r->kind];
        char name[RRD_NAME_MAX + 1];

        reading_name(r, name);
        rep->sources[rep->n_sources++] = (struct metric_source){
            .name = arena_strdup(c->arena, name),
            .description = k->description,
            .enabled = history_is_recorded(h, name),
            .standard = k->standard,
            .units = k->units,
            .min = k->min,
            .max = k->max,
            .value = r->value,
        };
    }
    return NULL;
}

static struct err *on_query(struct ipc_call *c, struct metric_query_req *req, struct metric_query_rep *rep)
{
    const struct history *h = metric_find(c->ctx, req->kind, req->uuid);
    const struct reading *r = h ? history_find(h, req->name) : NULL;

    rep->found = r;
    rep->value = r ? r->value : NAN;
    return NULL;
}

static struct err *change(struct metric *m, const char *kind, const char *uuid, const char *name,
    bool (*fn)(struct history *h, const char *name), bool *ret_found)
{
    AUTO(history_drop) struct history *own = NULL;
    struct history *h = look_up(m, kind, uuid, &own);

    if (!h || !rrd_name_valid(name))
        return NULL;
    *ret_found = fn(h, name);
    return *ret_found ? history_save(h, m->dir) : NULL;
}

static struct err *on_record(struct ipc_call *c, struct metric_record_req *req, struct metric_record_rep *rep)
{
    return change(c->ctx, req->kind, req->uuid, req->name, history_record, &rep->found);
}

static struct err *on_forget(struct ipc_call *c, struct metric_forget_req *req, struct metric_forget_rep *rep)
{
    return change(c->ctx, req->kind, req->uuid, req->name, history_forget, &rep->found);
}

static struct err *on_backup(struct ipc_call *c, struct metric_backup_req *req)
{
    (void)req;
    metric_save(c->ctx);
    return NULL;
}

static const struct metric_ops ops = {
    .updates = on_updates,
    .dump = on_dump,
    .sources = on_sources,
    .query = on_query,
    .record = on_record,
    .forget = on_forget,
    .exposition = on_exposition,
    .backup = on_backup,
};

/* ---- the object ---- */

static void on_core_gone(void *ctx, struct ipc_peer *p)
{
    struct metric *m = ctx;

    if (m->core == p)
        m->core = NULL;
}

static void tick(void *arg)
{
    struct metric *m = arg;

    metric_tick(m);
    m->ticking = false;
}

static void arm(struct metric *m)
{
    timer_set(m->timer, clock_now(m->loop) + STEP_US - clock_wall(m->loop) % STEP_US);
}

static void on_timer(void *arg)
{
    struct metric *m = arg;

    if (!m->ticking) { /* a core that takes longer than a step leaves a gap */
        m->ticking = true;
        fiber_start(m->loop, "tick", tick, m);
    }
    arm(m);
}

void metric_mount(struct metric *m, struct ipc_peer *core)
{
    m->core = core;
    ipc_on_close(core, on_core_gone, m);
    ipc_serve(core, &metric_service, &ops, m);
}

struct err *metric_new(struct loop *l, const struct metric_config *config, struct metric **ret_metric)
{
    int dir = open(config->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return err_errno(errno, "open %s", config->dir);
    struct metric *m = mem_new(struct metric);
    *m = (struct metric){ .loop = l, .config = *config, .dir = dir, .all = map_new(), .alarms = alarms_new() };
    m->proc_root = mem_strdup(config->proc_root);
    if (!m->config.save_us)
        m->config.save_us = SAVE_US;
    m->timer = timer_new(l, on_timer, m);
    *ret_metric = m;
    return NULL;
}

void metric_start(struct metric *m)
{
    arm(m);
}

void metric_free(struct metric *m)
{
    const char *key;
    void *v;

    if (!m)
        return;
    timer_free(m->timer);
    for (size_t it = 0; map_next(m->all, &it, &key, &v);)
        history_free(v);
    map_free(m->all);
    alarms_free(m->alarms);
    fd_drop(&m->dir);
    free(m->proc_root);
    free(m);
}
