#include "core/metrics.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/fd.h"
#include "base/log.h"
#include "core/alarm.h"
#include "core/core.h"
#include "core/http.h"
#include "core/vm.h"
#include "gen/ipc_metric.h"
#include "gen/ipc_sample.h"
#include "gen/ipc_stats.h"

/* ---- what clients read ---- */

static double quality(struct str params)
{
    struct str item;
    double q = 1;

    while (params.len) {
        str_cut(params, ';', &item, &params);
        item = str_trim(item);
        if (str_starts(item, STR("q=")) && !str_to_double((struct str){ item.p + 2, item.len - 2 }, &q))
            return 0;
    }
    return q;
}

/* How much the header wants that type; -1: it does not say. */
static double wanted(const char *accept, const char *type, const char *wild)
{
    struct str rest = str_of(accept), range, name, params;
    double exact = -1, group = -1, any = -1;

    while (rest.len) {
        str_cut(rest, ',', &range, &rest);
        str_cut(range, ';', &name, &params);
        name = str_trim(name);
        if (str_eq_c(name, type))
            exact = quality(params);
        else if (str_eq_c(name, wild))
            group = quality(params);
        else if (str_eq_c(name, "*/*"))
            any = quality(params);
    }
    return exact >= 0 ? exact : group >= 0 ? group : any;
}

/* Accept decides first, JSON before XML; then `json` in the query. */
static bool wants_json(const struct core_http_req *req)
{
    double json = wanted(req->accept, "application/json", "application/*"),
           xml = wanted(req->accept, "text/xml", "text/*");

    if (json > 0 && json >= xml)
        return true;
    return xml > 0 ? false : value_map_get(&req->query, "json") != NULL;
}

static bool find_cfs(const char *name, uint32_t *ret)
{
    static const struct {
        const char *name;
        uint32_t cfs;
    } known[] = { { "", 7 }, { "AVERAGE", 1 }, { "MIN", 2 }, { "MAX", 4 }, { "LAST", 0 } };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(known[i].name, name) == 0) {
            *ret = known[i].cfs;
            return true;
        }
    return false;
}

/* All values of a key that may be repeated. */
static size_t values_of(struct arena *a, const struct value *query, const char *key, const char ***ret)
{
    size_t n = 0;

    *ret = arena_new_array(a, query->n + 1, const char *);
    for (uint32_t i = 0; i < query->n; i++)
        if (strcmp(query->items[2 * i].s, key) == 0)
            (*ret)[n++] = query->items[2 * i + 1].s;
    return n;
}

static struct err *updates(struct core *c, struct arena *a, const struct core_http_req *req, struct core_http_rep *rep)
{
    struct metric_updates_req ask = { .json = wants_json(req), .host = false };
    struct metric_updates_rep got = { .file = -1 };
    const char *interval = value_map_str(&req->query, "interval");
    struct ipc_peer *metric = NULL;

    if (!str_to_i64(str_of(value_map_str(&req->query, "start")), &ask.start))
        return http_refuse(a, rep, 400, "Bad Request", "start: seconds since 1970, or negative, are needed");
    if (*interval && !str_to_u64(str_of(interval), &ask.interval))
        return http_refuse(a, rep, 400, "Bad Request", "interval: seconds");
    if (!find_cfs(value_map_str(&req->query, "cf"), &ask.cfs))
        return http_refuse(a, rep, 400, "Bad Request", "cf: AVERAGE, MIN, MAX or LAST");
    ask.host = strcmp(value_map_str(&req->query, "host"), "true") == 0;
    ask.n_vms = values_of(a, &req->query, "vm_uuid", &ask.vms);
    ask.n_srs = values_of(a, &req->query, "sr_uuid", &ask.srs);
    ask.all_vms = ask.n_vms == 0;
    TRY(core_need_metric(c, &metric));
    TRY(metric_updates(metric, a, &ask, &got));
    return http_hand_over(a, rep, ask.json ? "application/json" : "text/xml", got.body, got.file);
}

static struct err *dump(struct core *c, struct arena *a, const struct core_http_req *req, const char *kind,
    const char *uuid, struct core_http_rep *rep)
{
    struct metric_dump_req ask = { kind, uuid, value_map_get(&req->query, "json") != NULL };
    struct metric_dump_rep got = { .file = -1 };
    struct ipc_peer *metric = NULL;

    TRY(core_need_metric(c, &metric));
    TRY(metric_dump(metric, a, &ask, &got));
    if (!got.found)
        return http_refuse(a, rep, 404, "Not Found", "There are no figures of this object");
    return http_hand_over(a, rep, ask.json ? "application/json" : "text/xml", got.body, got.file);
}

static struct err *exposition(
    struct core *c, struct arena *a, const struct core_http_req *req, struct core_http_rep *rep)
{
    bool openmetrics = strstr(req->accept, "application/openmetrics-text") != NULL;
    struct metric_exposition_rep got = { .file = -1 };
    struct ipc_peer *metric = NULL;

    TRY(core_need_metric(c, &metric));
    TRY(metric_exposition(metric, a, &(struct metric_exposition_req){ openmetrics }, &got));
    return http_hand_over(a, rep,
        openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                    : "text/plain; version=0.0.4; charset=utf-8",
        got.body, got.file);
}

struct err *metrics_http(struct core *c, struct arena *a, const struct core_http_req *req, const struct principal *who,
    struct core_http_rep *rep)
{
    static const struct {
        const char *action, *kind;
    } dumps[] = { { "vm_rrd", "vm" }, { "get_vm_rrds", "vm" }, { "sr_rrd", "sr" } };
    const char *host = arena_strdup(a, row_str(core_host_row(c), F_host_uuid));

    (void)who;
    if (strcmp(req->action, "rrd_updates") == 0)
        return updates(c, a, req, rep);
    if (strcmp(req->action, "own_metrics") == 0)
        return exposition(c, a, req, rep);
    for (size_t i = 0; i < ARRAY_LEN(dumps); i++)
        if (strcmp(req->action, dumps[i].action) == 0)
            return dump(c, a, req, dumps[i].kind, value_map_str(&req->query, "uuid"), rep);
    return dump(c, a, req, "host", host, rep);
}

/* ---- messages ---- */

/* kind and uuid of the object that a message is about. */
struct object {
    const char *kind, *uuid;
};

static struct err *object_of(struct call *c, const char *ref, struct object *ret)
{
    const struct row *r = store_find(c->core->store, ref);

    if (r && row_class(r) == C_host)
        *ret = (struct object){ "host", arena_strdup(c->arena, row_str(r, F_host_uuid)) };
    else if (r && row_class(r) == C_SR)
        *ret = (struct object){ "sr", arena_strdup(c->arena, row_str(r, F_SR_uuid)) };
    else if (r && row_class(r) == C_VM)
        *ret = (struct object){ "vm", arena_strdup(c->arena, row_str(r, F_VM_uuid)) };
    else
        return err_handle_invalid("object", ref);
    return NULL;
}

static struct value source_record(struct arena *a, const struct metric_source *s)
{
    struct value *v = arena_new_array(a, 16, struct value);
    const struct value pairs[] = { value_str("name_label"), value_str(s->name), value_str("name_description"),
        value_str(s->description), value_str("enabled"), value_bool(s->enabled), value_str("standard"),
        value_bool(s->standard), value_str("units"), value_str(s->units), value_str("min"), value_float(s->min),
        value_str("max"), value_float(s->max), value_str("value"), value_float(s->value) };

    memcpy(v, pairs, sizeof(pairs));
    return value_map(v, ARRAY_LEN(pairs) / 2);
}

static struct err *get_sources(struct call *c, const char *ref, struct value *ret)
{
    struct metric_sources_rep rep = { 0 };
    struct ipc_peer *metric = NULL;
    struct object o;

    TRY(object_of(c, ref, &o));
    TRY(core_need_metric(c->core, &metric));
    TRY(metric_sources(metric, c->arena, &(struct metric_sources_req){ o.kind, o.uuid }, &rep));
    struct value *records = arena_new_array(c->arena, rep.n_sources + 1, struct value);
    for (size_t i = 0; i < rep.n_sources; i++)
        records[i] = source_record(c->arena, &rep.sources[i]);
    *ret = value_set(records, rep.n_sources);
    return NULL;
}

static struct err *query_source(struct call *c, const char *ref, const char *name, struct value *ret)
{
    struct metric_query_rep rep = { 0 };
    struct ipc_peer *metric = NULL;
    struct object o;

    TRY(object_of(c, ref, &o));
    TRY(core_need_metric(c->core, &metric));
    TRY(metric_query(metric, c->arena, &(struct metric_query_req){ o.kind, o.uuid, name }, &rep));
    if (!rep.found)
        return err_invalid_value("data_source", name);
    *ret = value_float(rep.value);
    return NULL;
}

static struct err *record_source(struct call *c, const char *ref, const char *name)
{
    struct metric_record_rep rep = { 0 };
    struct ipc_peer *metric = NULL;
    struct object o;

    TRY(object_of(c, ref, &o));
    TRY(core_need_metric(c->core, &metric));
    TRY(metric_record(metric, c->arena, &(struct metric_record_req){ o.kind, o.uuid, name }, &rep));
    return rep.found ? NULL : err_invalid_value("data_source", name);
}

static struct err *forget_source(struct call *c, const char *ref, const char *name)
{
    struct metric_forget_rep rep = { 0 };
    struct ipc_peer *metric = NULL;
    struct object o;

    TRY(object_of(c, ref, &o));
    TRY(core_need_metric(c->core, &metric));
    TRY(metric_forget(metric, c->arena, &(struct metric_forget_req){ o.kind, o.uuid, name }, &rep));
    return rep.found ? NULL : err_invalid_value("data_source", name);
}

/* data_source_op belongs to running VMs (semantics.md 1.2). */
static struct err *check_vm(struct call *c, const char *ref)
{
    const struct row *vm = NULL;

    TRY(call_row(c, C_VM, ref, &vm));
    return vm_assert_power_state(vm, "Running");
}

static struct err *check_host(struct call *c, const char *ref)
{
    const struct row *host = NULL;

    return call_row(c, C_host, ref, &host);
}

static struct err *check_sr(struct call *c, const char *ref)
{
    const struct row *sr = NULL;

    return call_row(c, C_SR, ref, &sr);
}

static struct err *vm_get(struct call *c, const struct VM_get_data_sources_args *a, struct value *ret)
{
    const struct row *vm = NULL;

    TRY(call_row(c, C_VM, a->self, &vm));
    return get_sources(c, a->self, ret);
}

#define MESSAGES(cls, arg, check)                                                                                   \
    static struct err *cls##_query(struct call *c, const struct cls##_query_data_source_args *a, struct value *ret) \
    {                                                                                                               \
        TRY(check(c, a->arg));                                                                                      \
        return query_source(c, a->arg, a->data_source, ret);                                                        \
    }                                                                                                               \
    static struct err *cls##_record(                                                                                \
        struct call *c, const struct cls##_record_data_source_args *a, struct value *ret UNUSED)                    \
    {                                                                                                               \
        TRY(check(c, a->arg));                                                                                      \
        return record_source(c, a->arg, a->data_source);                                                            \
    }                                                                                                               \
    static struct err *cls##_forget(                                                                                \
        struct call *c, const struct cls##_forget_data_source_archives_args *a, struct value *ret UNUSED)           \
    {                                                                                                               \
        TRY(check(c, a->arg));                                                                                      \
        return forget_source(c, a->arg, a->data_source);                                                            \
    }
MESSAGES(VM, self, check_vm)
MESSAGES(host, host, check_host)
MESSAGES(SR, sr, check_sr)

static struct err *host_get(struct call *c, const struct host_get_data_sources_args *a, struct value *ret)
{
    TRY(check_host(c, a->host));
    return get_sources(c, a->host, ret);
}

static struct err *sr_get(struct call *c, const struct SR_get_data_sources_args *a, struct value *ret)
{
    TRY(check_sr(c, a->sr));
    return get_sources(c, a->sr, ret);
}

void metrics_register(struct api_handlers *h)
{
    h->VM_get_data_sources = vm_get;
    h->VM_query_data_source = VM_query;
    h->VM_record_data_source = VM_record;
    h->VM_forget_data_source_archives = VM_forget;
    h->host_get_data_sources = host_get;
    h->host_query_data_source = host_query;
    h->host_record_data_source = host_record;
    h->host_forget_data_source_archives = host_forget;
    h->SR_get_data_sources = sr_get;
    h->SR_query_data_source = SR_query;
    h->SR_record_data_source = SR_record;
    h->SR_forget_data_source_archives = SR_forget;
}

/* ---- what the metric process is told ---- */

/* Free memory changes all the time; only a step that a person would notice is worth an event and a commit. */
static void note_memory(struct core *c, uint64_t total_kib, uint64_t free_kib)
{
    const struct row *host = core_host_row(c), *metrics = host ? row_follow(c->store, host, F_host_metrics) : NULL;
    int64_t total = (int64_t)(total_kib << 10), free = (int64_t)(free_kib << 10);

    if (!metrics || total <= 0 || llabs(row_int(metrics, F_host_metrics_memory_free) - free) < total / 50)
        return;
    struct tx *t = tx_begin(c->store);
    tx_set(t, row_ref(metrics), F_host_metrics_memory_total, value_int(total));
    tx_set(t, row_ref(metrics), F_host_metrics_memory_free, value_int(free));
    log_err(LOG_WARN_, "cannot note the host's memory", tx_apply(t, NULL));
}

static void fill_vms(struct core *c, struct arena *a, const struct stats_all_rep *all, struct sample_take_rep *rep)
{
    rep->vms = arena_new_array(a, all->n_guests + 1, struct sample_vm);
    for (size_t i = 0; i < all->n_guests; i++) {
        const struct row *vm = store_by_uuid(c->store, C_VM, all->guests[i].vm);
        const struct row *metrics = vm ? row_follow(c->store, vm, F_VM_metrics) : NULL;

        if (!vm)
            continue;
        rep->vms[rep->n_vms++] = (struct sample_vm){ .guest = all->guests[i],
            .name = arena_strdup(a, row_str(vm, F_VM_name_label)),
            .running = strcmp(row_str(vm, F_VM_power_state), "Running") == 0,
            .vcpus = (uint32_t)(metrics ? row_int(metrics, F_VM_metrics_VCPUs_number) : 0),
            .memory = (uint64_t)(metrics ? row_int(metrics, F_VM_metrics_memory_actual) : 0),
            .memory_target = (uint64_t)row_int(vm, F_VM_memory_target) };
    }
}

static void fill_srs(struct core *c, struct arena *a, struct sample_take_rep *rep)
{
    rep->srs = arena_new_array(a, store_count(c->store, C_SR) + 1, struct sample_sr);
    for (const struct row *sr = store_first(c->store, C_SR); sr; sr = store_next(sr))
        rep->srs[rep->n_srs++] = (struct sample_sr){ .uuid = arena_strdup(a, row_str(sr, F_SR_uuid)),
            .name = arena_strdup(a, row_str(sr, F_SR_name_label)),
            .size = (uint64_t)row_int(sr, F_SR_physical_size),
            .used = (uint64_t)row_int(sr, F_SR_physical_utilisation),
            .allocated = (uint64_t)row_int(sr, F_SR_virtual_allocation) };
}

static void fill_host(struct core *c, struct arena *a, struct sample_take_rep *rep)
{
    const struct row *host = core_host_row(c), *pool = core_pool_row(c);

    rep->host = arena_strdup(a, row_str(host, F_host_uuid));
    rep->host_name = arena_strdup(a, row_str(host, F_host_name_label));
    rep->sessions = store_count(c->store, C_session);
    rep->tasks = store_count(c->store, C_task);
    rep->min_max = strcmp(row_map_str(pool, F_pool_other_config, "create_min_max_in_new_VM_RRDs"), "true") == 0;
    rep->pifs = arena_new_array(a, row_n_related(host, F_host_PIFs) + 1, const char *);
    for (size_t i = 0; i < row_n_related(host, F_host_PIFs); i++) {
        const struct row *pif = row_related(host, F_host_PIFs, i);
        if (row_bool(pif, F_PIF_physical))
            rep->pifs[rep->n_pifs++] = arena_strdup(a, row_str(pif, F_PIF_device));
    }
}

static struct err *on_take(struct ipc_call *call, struct sample_take_req *req, struct sample_take_rep *rep)
{
    struct core *c = call->ctx;
    struct stats_all_rep all = { 0 };
    struct ipc_peer *host = c->host ? ipc_ref(c->host) : NULL;
    struct err *e = NULL;

    if (c->ready && host)
        e = stats_all(host, call->arena, &(struct stats_all_req){ 0 }, &all);
    if (host)
        ipc_unref(host);
    rep->vms_known = host && !e;
    if (e)
        err_ignore(e, "a gap in the figures of VMs");
    if (!c->ready)
        return err_internal("the core is still starting");
    note_memory(c, req->memory_total, req->memory_free);
    fill_host(c, call->arena, rep);
    fill_vms(c, call->arena, &all, rep);
    alarm_fill(c, call->arena, rep);
    fill_srs(c, call->arena, rep);
    return NULL;
}

static struct err *on_crossed(struct ipc_call *call, struct sample_crossed_req *req)
{
    struct core *c = call->ctx;

    if (c->ready)
        alarm_crossed(c, call->arena, req);
    return NULL;
}

static bool is_known(struct core *c, const char *object)
{
    if (strncmp(object, "vm-", 3) == 0)
        return store_by_uuid(c->store, C_VM, object + 3);
    if (strncmp(object, "sr-", 3) == 0)
        return store_by_uuid(c->store, C_SR, object + 3);
    return strncmp(object, "host-", 5) == 0 && store_by_uuid(c->store, C_host, object + 5);
}

static struct err *on_gone(struct ipc_call *call, struct sample_gone_req *req, struct sample_gone_rep *rep)
{
    struct core *c = call->ctx;

    if (!c->ready)
        return err_internal("the core is still starting");
    rep->gone = arena_new_array(call->arena, req->n_objects + 1, const char *);
    for (size_t i = 0; i < req->n_objects; i++)
        if (!is_known(c, req->objects[i]))
            rep->gone[rep->n_gone++] = req->objects[i];
    return NULL;
}

void metrics_mount(struct core *c, struct ipc_peer *metric)
{
    static const struct sample_ops ops = { .take = on_take, .crossed = on_crossed, .gone = on_gone };

    ipc_serve(metric, &sample_service, &ops, c);
}
