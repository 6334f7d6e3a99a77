/* Suspend, resume and migration: the host's part, which is to open doors and to know the true end. */
#include "base/fd.h"
#include "base/fiber.h"
#include "base/log.h"
#include "base/str.h"
#include "gen/errors.h"
#include "host/private.h"
#include "vm/image.h"

struct image {
    int fd, lease;
};

static void image_close(struct image *i)
{
    fd_drop(&i->fd);
    fd_drop(&i->lease);
}

static struct err *image_open(
    struct host_room *h, struct arena *a, const char *sr, const char *vdi, bool read_only, struct image *ret)
{
    struct vm_disk disk = { .sr = sr, .vdi = vdi, .read_only = read_only, .image = -1, .lease = -1 };

    TRY(broker_disk(&h->c.broker, a, &disk));
    *ret = (struct image){ disk.image, disk.lease };
    return NULL;
}

/*
 * However the operation ended for us (interrupted, or its process died): what
 * is so now. A new process finishes or undoes what the old one was at; a guest
 * that lives must not have a whole image beside it.
 */
static struct err *find_truth(struct ipc_call *c, struct cell *cell, int image)
{
    struct ipc_peer *peer = NULL;
    struct vm_attach_rep rep;

    fiber_interrupt_clear();
    while (cell->peer && !ipc_is_open(cell->peer)) /* its end is told to the cell too, in a moment */
        fiber_yield();
    TRY(cell_peer(cell, &peer));
    if (cell->gone)
        return NULL;
    TRY(vm_attach(peer, c->arena, &(struct vm_attach_req){ .vm = cell->uuid }, &rep)); /* waits for its turn */
    vm_plan_close(&rep.plan);
    cell_heard(cell, &rep.state);
    if (image >= 0 && vm_image_state(image) == VM_IMAGE_WHOLE && !cell_is_ended(cell))
        return vm_image_mark(image, VM_IMAGE_USED);
    return NULL;
}

static bool unknown_end(const struct err *e)
{
    return ipc_is_lost(e) || ipc_is_interrupted(e);
}

/* ---- suspend ---- */

static struct err *suspend(struct ipc_call *c, struct cell *cell, const struct image *image)
{
    struct vm_query_rep query;
    struct err *e;

    cell->saving = true;
    cell_overtakable(cell, true);
    e = vm_suspend(cell->peer, c->arena, &(struct vm_suspend_req){ .image = image->fd, .lease = image->lease });
    if (!e)
        e = vm_query(cell->peer, c->arena, &(struct vm_query_req){ 0 }, &query);
    if (!e)
        cell_heard(cell, &query.state);
    if (e && unknown_end(e)) {
        struct err *lost = find_truth(c, cell, image->fd);

        if (!lost && cstr_eq(cell->state.power, "Suspended")) {
            err_ignore(e, "what was wanted is so");
            e = NULL;
        }
        log_err(LOG_WARN_, "true end of a suspend is not known yet", lost);
    }
    cell->saving = false;
    cell_overtakable(cell, false);
    return e;
}

struct err *host_on_suspend(struct ipc_call *c, struct host_vm_suspend_req *req, struct host_vm_suspend_rep *rep)
{
    AUTO(image_close) struct image image = { -1, -1 };
    struct host_room *h = c->ctx;
    struct cell *cell = NULL;
    struct err *e;

    TRY(image_open(h, c->arena, req->sr, req->vdi, false, &image));
    TRY(host_guest_lock(h, req->vm, "running", &cell));
    e = suspend(c, cell, &image);
    rep->state = host_state_copy(c->arena, cell);
    if (!cell->gone && cell_is_ended(cell))
        rep->nvram = host_ended(c, cell);
    cell_unlock(cell);
    host_tell_late(c, "suspend", &rep->state, rep->nvram);
    return e;
}

/* ---- resume ---- */

static struct err *resume(struct ipc_call *c, struct cell *cell, struct vm_plan *plan, const struct image *image)
{
    struct vm_resume_req req = { .plan = *plan, .image = image->fd, .lease = image->lease };
    struct vm_resume_rep rep;
    struct err *e;

    cell_overtakable(cell, true);
    e = vm_resume(cell->peer, c->arena, &req, &rep);
    cell_overtakable(cell, false);
    if (!e)
        cell_heard(cell, &rep.state);
    if (e && unknown_end(e)) {
        struct err *lost = find_truth(c, cell, image->fd);

        log_err(LOG_WARN_, "true end of a resume is not known yet", lost);
        cell->unclean = lost != NULL;
        if (!cell->gone && !cell_is_ended(cell)) {
            err_ignore(e, "what was wanted is so");
            e = NULL;
        }
    }
    return e;
}

struct err *host_on_resume(struct ipc_call *c, struct host_vm_resume_req *req, struct host_vm_resume_rep *rep)
{
    AUTO(image_close) struct image image = { -1, -1 };
    struct host_room *h = c->ctx;
    struct cell *cell = NULL;
    struct err *e;

    TRY(image_open(h, c->arena, req->sr, req->vdi, false, &image));
    if (vm_image_state(image.fd) != VM_IMAGE_WHOLE)
        return err_internal("there is no guest in the image");
    TRY(cells_make(h->c.cells, &req->plan, &cell));
    host_newest_tpm(h, c->arena, &req->plan);
    cell_place(cell, c->arena, h->c.inventory.root, &req->plan);
    e = broker_plan(&h->c.broker, c->arena, &req->plan);
    if (!e)
        e = resume(c, cell, &req->plan, &image);
    rep->state = host_state_copy(c->arena, cell);
    if (e) {
        fiber_interrupt_clear();
        cell_remove(cell);
    }
    cell_unlock(cell);
    if (!e)
        host_tell_late(c, "resume", &rep->state, STR(""));
    return e;
}

/* ---- migration to this host ---- */

static struct err *migrate(struct ipc_call *c, struct cell *cell, struct vm_plan *plan)
{
    struct vm_migrate_req req = { .plan = *plan };
    struct vm_migrate_rep rep;
    struct err *e;

    cell->saving = true;
    cell_overtakable(cell, true);
    e = vm_migrate(cell->peer, c->arena, &req, &rep);
    cell->saving = false;
    cell_overtakable(cell, false);
    if (!e)
        cell_heard(cell, &rep.state);
    else if (unknown_end(e))
        e = err_first(e, find_truth(c, cell, -1));
    return e;
}

struct err *host_on_migrate(struct ipc_call *c, struct host_vm_migrate_req *req, struct host_vm_migrate_rep *rep)
{
    struct host_room *h = c->ctx;
    struct cell *cell = NULL;
    struct err *e;

    TRY(host_guest_lock(h, req->plan.vm, "running", &cell));
    cell_place(cell, c->arena, h->c.inventory.root, &req->plan);
    e = broker_plan_beside(&h->c.broker, c->arena, &req->plan);
    if (!e)
        e = cell_limit(cell, 2); /* there are two for a while */
    if (!e)
        e = migrate(c, cell, &req->plan);
    if (!cell->gone)
        e = err_first(e, cell_limit(cell, 1));
    rep->state = host_state_copy(c->arena, cell);
    cell_unlock(cell);
    if (!e)
        host_tell_late(c, "migrate", &rep->state, STR(""));
    return e;
}

/* ---- looking on: without the lock ---- */

struct err *host_on_progress(struct ipc_call *c, struct host_vm_progress_req *req, struct host_vm_progress_rep *rep)
{
    struct host_room *h = c->ctx;
    struct cell *cell = cells_find(h->c.cells, req->vm);
    struct vm_progress_rep inner = { 0 };

    if (cell && cell->peer && cell->overtakable)
        TRY(vm_progress(cell->peer, c->arena, &(struct vm_progress_req){ 0 }, &inner));
    *rep = (struct host_vm_progress_rep){ .done = inner.done, .total = inner.total };
    return NULL;
}

/* Bytes that a taken-over guest could have written, but they are only compared. */
struct err *host_on_image_probe(struct ipc_call *c, struct host_image_probe_req *req, struct host_image_probe_rep *rep)
{
    AUTO(image_close) struct image image = { -1, -1 };

    TRY(image_open(c->ctx, c->arena, req->sr, req->vdi, true, &image));
    rep->whole = vm_image_state(image.fd) == VM_IMAGE_WHOLE;
    return NULL;
}
