#include "storage/service.h"
#include "base/fd.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/uuid.h"
#include "base/fiber.h"
#include "base/log.h"
#include "gen/errors.h"
#include "storage/attached.h"
#include "storage/job.h"

#define SRS_MAX 1024
#define CONFIG_MAX (64 * 1024)

struct storage_service {
    struct loop *loop;
    const struct sr_driver *const *drivers;
    int state_fd;
    struct map *srs; /* uuid -> struct sr */
    struct jobs *jobs;
};

struct sr *sr_ref(struct sr *sr)
{
    sr->refs++;
    return sr;
}

void sr_unref(struct sr *sr)
{
    if (!sr || --sr->refs)
        return;
    if (sr->state)
        sr->driver->detach(sr->state);
    buf_done(&sr->config);
    free(sr->uuid);
    free(sr);
}

static struct err *find_driver(const struct storage_service *s, const char *type, const struct sr_driver **ret)
{
    for (const struct sr_driver *const *d = s->drivers; *d; d++)
        if (cstr_eq((*d)->type, type)) {
            *ret = *d;
            return NULL;
        }
    return err_sr_unknown_driver(type);
}

static struct err *find_sr(struct ipc_call *c, const char *uuid, struct sr **ret)
{
    struct storage_service *s = c->ctx;
    struct sr *sr = map_get(s->srs, uuid);

    if (!sr)
        return err_sr_not_attached(uuid);
    *ret = sr_ref(sr);
    return NULL;
}

#define NEED(sr, op)                                           \
    do {                                                       \
        if (!(sr)->driver->op)                                 \
            return err_sr_operation_not_supported((sr)->uuid); \
    } while (0)

/* Drivers */

static struct value configuration(struct arena *a, const struct sr_driver *d)
{
    size_t n = 0;

    while (d->device_keys[n].name)
        n++;
    struct value *pairs = arena_new_array(a, 2 * n + 1, struct value);
    for (size_t i = 0; i < n; i++) {
        pairs[2 * i] = value_str(d->device_keys[i].name);
        pairs[2 * i + 1] = value_str(d->device_keys[i].doc);
    }
    return value_map(pairs, n);
}

static struct err *on_drivers(struct ipc_call *c, struct storage_drivers_req *req, struct storage_drivers_rep *rep)
{
    struct storage_service *s = c->ctx;
    size_t n = 0;

    (void)req;
    while (s->drivers[n])
        n++;
    rep->drivers = arena_new_array(c->arena, n + 1, struct storage_driver);
    rep->n_drivers = n;
    for (size_t i = 0; i < n; i++) {
        const struct sr_driver *d = s->drivers[i];
        size_t n_features = 0;
        while (d->features[n_features])
            n_features++;
        rep->drivers[i] = (struct storage_driver){ .type = d->type,
            .name = d->name,
            .description = d->description,
            .vendor = d->vendor,
            .version = d->version,
            .content_type = d->content_type,
            .n_features = n_features,
            .features = arena_dup(c->arena, d->features, n_features * sizeof(*d->features) + 1),
            .configuration = configuration(c->arena, d) };
    }
    return NULL;
}

/* Repositories */

static struct err *uuid_check(const char *uuid)
{
    return uuid_valid(uuid) ? NULL : err_uuid_invalid("SR", uuid);
}

static struct err *on_sr_create(struct ipc_call *c, struct storage_sr_create_req *req)
{
    const struct sr_driver *d = NULL;

    TRY(uuid_check(req->sr));
    TRY(find_driver(c->ctx, req->type, &d));
    return d->create(req->sr, &req->config, req->size);
}

static struct err *on_sr_probe(struct ipc_call *c, struct storage_sr_probe_req *req, struct storage_sr_probe_rep *rep)
{
    const struct sr_driver *d = NULL;

    TRY(find_driver(c->ctx, req->type, &d));
    return d->probe(c->arena, &req->config, &rep->found);
}

static bool same_config(const struct sr *sr, const struct sr_driver *d, const struct buf *config)
{
    return sr->driver == d && str_eq(buf_str(&sr->config), buf_str(config));
}

/* Takes an SR off the list; those who work with it finish. */
static void remove_sr(struct storage_service *s, const char *uuid)
{
    sr_unref(map_remove(s->srs, uuid));
}

static void remember(struct storage_service *s)
{
    struct err *e = attached_write(s->state_fd, s->srs);

    if (e)
        log_err(LOG_WARN_, "a restart of this process will not know its SRs until the core tells it", e);
}

static struct err *attach(struct storage_service *s, const char *uuid, const char *type, const struct value *config)
{
    AUTO(sr_unref_drop) struct sr *sr = mem_new(struct sr);
    const struct sr_driver *d = NULL;

    sr->refs = 1;
    buf_init(&sr->config, CONFIG_MAX);
    TRY(uuid_check(uuid));
    TRY(find_driver(s, type, &d));
    sr->driver = d;
    sr->uuid = mem_strdup(uuid);
    value_encode(&sr->config, config);
    if (sr->config.overflow)
        return sr_failure(SR_BAD_TARGET, "The device configuration is too long");
    struct sr *old = map_get(s->srs, uuid);
    if (old && same_config(old, d, &sr->config))
        return NULL;
    if (!old && map_len(s->srs) >= SRS_MAX)
        return sr_failure(SR_UNAVAILABLE, "More than %d SRs", SRS_MAX);
    TRY(d->attach(uuid, config, s->state_fd, &sr->state));
    remove_sr(s, uuid); /* another configuration, or a twin of this call */
    map_put(s->srs, uuid, sr);
    sr = NULL;
    remember(s);
    return NULL;
}

static struct err *on_sr_attach(struct ipc_call *c, struct storage_sr_attach_req *req)
{
    return attach(c->ctx, req->sr, req->type, &req->config);
}

static struct err *on_sr_detach(struct ipc_call *c, struct storage_sr_detach_req *req)
{
    remove_sr(c->ctx, req->sr);
    remember(c->ctx);
    return NULL;
}

static struct err *on_sr_destroy(struct ipc_call *c, struct storage_sr_destroy_req *req)
{
    AUTO(sr_unref_drop) struct sr *sr = NULL;

    TRY(find_sr(c, req->sr, &sr));
    NEED(sr, destroy);
    TRY(sr->driver->destroy(sr->state));
    remove_sr(c->ctx, req->sr);
    remember(c->ctx);
    return NULL;
}

static struct err *on_sr_scan(struct ipc_call *c, struct storage_sr_scan_req *req, struct storage_sr_scan_rep *rep)
{
    AUTO(sr_unref_drop) struct sr *sr = NULL;

    TRY(find_sr(c, req->sr, &sr));
    TRY(sr->driver->scan(sr->state, c->arena, &rep->vdis, &rep->n_vdis));
    return sr->driver->stat(sr->state, &rep->stat);
}

static struct err *on_sr_stat(struct ipc_call *c, struct storage_sr_stat_req *req, struct storage_sr_stat_rep *rep)
{
    AUTO(sr_unref_drop) struct sr *sr = NULL;

    TRY(find_sr(c, req->sr, &sr));
    return sr->driver->stat(sr->state, &rep->stat);
}

/* Disks */

static struct err *on_vdi_create(
    struct ipc_call *c, struct storage_vdi_create_req *req, struct storage_vdi_create_rep *rep)
{
    AUTO(sr_unref_drop) struct sr *sr = NULL;
    struct sr_new_vdi v = {
        .uuid = req->uuid, .name = req->name, .type = req->type, .size = req->size, .sm_config = &req->sm_config
    };

    TRY(find_sr(c, req->sr, &sr));
    NEED(sr, vdi_create);
    return sr->driver->vdi_create(sr->state, c->arena, &v, &rep->vdi);
}

static struct err *on_vdi_destroy(struct ipc_call *c, struct storage_vdi_destroy_req *req)
{
    AUTO(sr_unref_drop) struct sr *sr = NULL;

    TRY(find_sr(c, req->sr, &sr));
    NEED(sr, vdi_destroy);
    return sr->driver->vdi_destroy(sr->state, req->uuid);
}

static struct err *on_vdi_resize(
    struct ipc_call *c, struct storage_vdi_resize_req *req, struct storage_vdi_resize_rep *rep)
{
    AUTO(sr_unref_drop) struct sr *sr = NULL;

    TRY(find_sr(c, req->sr, &sr));
    NEED(sr, vdi_resize);
    return sr->driver->vdi_resize(sr->state, c->arena, req->uuid, req->size, &rep->vdi);
}

static struct err *on_vdi_stat(struct ipc_call *c, struct storage_vdi_stat_req *req, struct storage_vdi_stat_rep *rep)
{
    AUTO(sr_unref_drop) struct sr *sr = NULL;

    TRY(find_sr(c, req->sr, &sr));
    return sr->driver->vdi_stat(sr->state, c->arena, req->uuid, &rep->vdi);
}

static struct err *on_vdi_rename(struct ipc_call *c, struct storage_vdi_rename_req *req)
{
    AUTO(sr_unref_drop) struct sr *sr = NULL;

    TRY(find_sr(c, req->sr, &sr));
    NEED(sr, vdi_rename);
    return sr->driver->vdi_rename(sr->state, req->uuid, req->name);
}

static struct err *on_vdi_open(struct ipc_call *c, struct storage_vdi_open_req *req, struct storage_vdi_open_rep *rep)
{
    AUTO(sr_unref_drop) struct sr *sr = NULL;
    struct sr_image i = SR_IMAGE_NONE;

    TRY(find_sr(c, req->sr, &sr));
    NEED(sr, vdi_open);
    TRY(sr->driver->vdi_open(sr->state, req->uuid, req->read_only, req->beside ? SR_OP_BESIDE : "attach", &i));
    *rep = (struct storage_vdi_open_rep){ .image = i.fd, .lease = i.lease, .format = i.format, .size = i.size };
    return NULL;
}

/* Whole disks */

static struct err *on_vdi_copy(struct ipc_call *c, struct storage_vdi_copy_req *req, struct storage_vdi_copy_rep *rep)
{
    AUTO(sr_unref_drop) struct sr *from = NULL;
    AUTO(sr_unref_drop) struct sr *to = NULL;
    struct storage_service *s = c->ctx;

    TRY(find_sr(c, req->sr, &from));
    TRY(find_sr(c, req->to_sr, &to));
    NEED(to, vdi_create); /* a driver that only reads */
    return job_copy(
        s->jobs, req->job, (struct disk){ from, req->uuid }, (struct disk){ to, req->to_uuid }, &rep->bytes);
}

static struct err *on_vdi_export(
    struct ipc_call *c, struct storage_vdi_export_req *req, struct storage_vdi_export_rep *rep)
{
    AUTO(sr_unref_drop) struct sr *sr = NULL;
    struct storage_service *s = c->ctx;

    TRY(find_sr(c, req->sr, &sr));
    return job_export(s->jobs, req->job, (struct disk){ sr, req->uuid }, &rep->stream, &rep->size);
}

static struct err *on_vdi_import(
    struct ipc_call *c, struct storage_vdi_import_req *req, struct storage_vdi_import_rep *rep)
{
    AUTO(sr_unref_drop) struct sr *sr = NULL;
    struct storage_service *s = c->ctx;

    TRY(find_sr(c, req->sr, &sr));
    NEED(sr, vdi_create);
    return job_import(s->jobs, req->job, (struct disk){ sr, req->uuid }, &rep->stream);
}

static struct err *on_job_wait(struct ipc_call *c, struct storage_job_wait_req *req, struct storage_job_wait_rep *rep)
{
    struct storage_service *s = c->ctx;

    return job_wait(s->jobs, req->job, &rep->bytes);
}

static struct err *on_job_progress(
    struct ipc_call *c, struct storage_job_progress_req *req, struct storage_job_progress_rep *rep)
{
    struct storage_service *s = c->ctx;

    return job_progress(s->jobs, req->job, &rep->done, &rep->total);
}

static struct err *on_job_cancel(struct ipc_call *c, struct storage_job_cancel_req *req)
{
    struct storage_service *s = c->ctx;

    job_cancel(s->jobs, req->job);
    return NULL;
}

static const struct storage_ops ops = {
    .drivers = on_drivers,
    .sr_create = on_sr_create,
    .sr_destroy = on_sr_destroy,
    .sr_probe = on_sr_probe,
    .sr_attach = on_sr_attach,
    .sr_detach = on_sr_detach,
    .sr_scan = on_sr_scan,
    .sr_stat = on_sr_stat,
    .vdi_create = on_vdi_create,
    .vdi_destroy = on_vdi_destroy,
    .vdi_resize = on_vdi_resize,
    .vdi_stat = on_vdi_stat,
    .vdi_copy = on_vdi_copy,
    .vdi_open = on_vdi_open,
    .vdi_export = on_vdi_export,
    .vdi_import = on_vdi_import,
    .job_wait = on_job_wait,
    .job_progress = on_job_progress,
    .job_cancel = on_job_cancel,
    .vdi_rename = on_vdi_rename,
};

struct storage_service *storage_service_new(struct loop *l, const struct sr_driver *const *drivers, int state_fd)
{
    struct storage_service *s = mem_new(struct storage_service);

    s->loop = l;
    s->drivers = drivers;
    s->state_fd = state_fd;
    s->srs = map_new();
    s->jobs = jobs_new(l, state_fd);
    return s;
}

void storage_service_restore(struct storage_service *s)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value all = attached_read(s->state_fd, a);

    for (size_t i = 0; i < all.n; i++) {
        const struct value *one = &all.items[2 * i + 1], *config = value_map_get(one, "config");
        struct err *e = config ? attach(s, all.items[2 * i].s, value_map_str(one, "type"), config) : NULL;

        if (e)
            log_err(LOG_WARN_, "an SR that was attached is not to be had; its users are told", e);
    }
}

void storage_service_free(struct storage_service *s)
{
    const char *uuid;
    void *sr;
    size_t it = 0;

    if (!s)
        return;
    jobs_free(s->jobs);
    while (map_next(s->srs, &it, &uuid, &sr))
        sr_unref(sr);
    map_free(s->srs);
    free(s);
}

/* A copy that nobody waits for any more is not worth finishing. */
void storage_mount(struct ipc_peer *p, struct storage_service *s)
{
    ipc_serve_with(p, &storage_service, &ops, s, IPC_INTERRUPT_ON_CLOSE);
}
