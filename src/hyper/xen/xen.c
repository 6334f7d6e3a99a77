#include "hyper/xen/xen.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <xenstore.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "gen/errors.h"
#include "gen/ipc_vm.h"
#include "hyper/xen/domain.h"
#include "ipc/ipc.h"

#define RECORD "xen.guest"
#define KERNEL "kernel"
#define INITRD "initrd"
#define KERNEL_MAX (1024LL * 1024 * 1024)
#define VCPUS_MAX 128 /* of a PVH guest in Xen 4.17 */

struct xen {
    struct hyper_guest base;
    struct hyper_env env;
    struct domain domain; /* used by one job at a time */
    struct watch *watch;  /* owned */
    char ref[80];
};

static struct xen *xen_of(struct hyper_guest *g)
{
    return CONTAINER_OF(g, struct xen, base);
}

/* ---- jobs: what blocks, on a thread ---- */

struct job {
    struct xen *x;
    struct err *(*fn)(struct job *j);
    struct err *e;
    const struct vm_plan *plan; /* start */
    struct hyper_info *info;    /* probe */
    enum hyper_power power;     /* query */
    bool found;
};

static void job_main(void *arg)
{
    struct job *j = arg;

    j->x->domain.words.len = 0;
    j->e = j->fn(j);
}

static struct err *job_run(struct job *j)
{
    fiber_offload(job_main, j);
    return j->e;
}

/* ---- files ---- */

static struct err *open_dir(const struct hyper_env *env, int *ret_fd)
{
    int fd = open(env->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(errno, "open folder of the VM");
    *ret_fd = fd;
    return NULL;
}

static void forget_files(const struct hyper_env *env)
{
    static const char *const names[] = { RECORD, KERNEL, INITRD };
    AUTO(fd_drop) int dir = -1;

    err_ignore(open_dir(env, &dir), "no folder, no files");
    for (size_t i = 0; dir >= 0 && i < ARRAY_LEN(names); i++)
        unlinkat(dir, names[i], 0);
}

static struct err *record_write(struct xen *x, int dir)
{
    char line[160];
    int n = snprintf(line, sizeof(line), LIBXL_UUID_FMT " %s\n", LIBXL_UUID_BYTES(x->domain.uuid), x->ref);

    return file_write_atomic(dir, RECORD, line, (size_t)n, 0600);
}

static struct err *record_read(struct xen *x, bool *ret_found)
{
    AUTO(fd_drop) int dir = -1;
    AUTO(buf_done) struct buf b;
    char uuid[40];
    struct err *e;

    buf_init(&b, 256);
    TRY(open_dir(&x->env, &dir));
    e = file_read(dir, RECORD, &b);
    if (e && err_errno_get(e) == ENOENT) {
        err_ignore(e, "it was never started, or ended properly");
        return NULL;
    }
    TRY(e);
    if (!b.len || sscanf(b.p, "%39s %79s", uuid, x->ref) != 2 || libxl_uuid_from_string(&x->domain.uuid, uuid))
        return err_internal("malformed " RECORD);
    *ret_found = true;
    return NULL;
}

/* libxl opens kernels by path, now and whenever the guest starts over, after we are long gone. */
static struct err *keep(int dir, const char *name, int from)
{
    AUTO(fd_drop) int to = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    char block[65536];
    ssize_t n;

    if (to < 0)
        return err_errno(errno, "create %s", name);
    for (off_t at = 0; (n = pread(from, block, sizeof(block), at)) != 0; at += n) {
        if (n < 0 || at + n > KERNEL_MAX)
            return err_errno(n < 0 ? errno : EFBIG, "read %s", name);
        TRY(fd_write_all(to, block, (size_t)n));
    }
    return NULL;
}

/* ---- start ---- */

static struct err *build(struct xen *x, const struct vm_plan *plan)
{
    AUTO(fd_drop) int dir = -1;
    AUTO(mem_drop) char *kernel = mem_printf("%s/" KERNEL, x->env.dir);
    AUTO(mem_drop) char *initrd = plan->initrd >= 0 ? mem_printf("%s/" INITRD, x->env.dir) : NULL;

    TRY(open_dir(&x->env, &dir));
    TRY(record_write(x, dir));
    TRY(keep(dir, KERNEL, plan->kernel));
    if (initrd)
        TRY(keep(dir, INITRD, plan->initrd));
    return domain_create(&x->domain, plan, kernel, initrd);
}

static struct err *do_start(struct job *j)
{
    struct domain *d = &j->x->domain;

    if (libxl_uuid_from_string(&d->uuid, j->plan->vm))
        return err_internal("plan without a uuid");
    TRY(domain_open(d));
    TRY(build(j->x, j->plan));
    return j->plan->paused ? NULL : domain_unpause(d);
}

static struct err *do_destroy(struct job *j)
{
    TRY(domain_destroy(&j->x->domain));
    forget_files(&j->x->env);
    return NULL;
}

/* ---- what happens by itself ---- */

static void tell(struct xen *x, enum hyper_event_kind kind)
{
    struct hyper_event ev = { kind, NULL };

    if (x->env.on_event)
        x->env.on_event(x->env.ctx, &ev);
}

/* Some domain of this host ended; whether it was ours, query() finds out. */
static void on_release(void *arg, uint32_t events UNUSED)
{
    struct xen *x = arg;

    if (!domain_events(&x->domain))
        watch_drop(&x->watch); /* xenstored is gone, and with it everything else */
    tell(x, HYPER_EV_STATE);
}

static void listen_for_releases(struct xen *x)
{
    x->watch = watch_new(x->env.loop, xs_fileno(x->domain.xs), EPOLLIN, on_release, x);
}

/* ---- the object ---- */

static struct xen *xen_new(const struct hyper_env *env)
{
    struct xen *x = mem_new(struct xen);

    x->base.ops = &hyper_xen;
    x->env = *env;
    return x;
}

static void xen_free(struct hyper_guest *g)
{
    struct xen *x = g ? xen_of(g) : NULL;

    if (!x)
        return;
    watch_free(x->watch);
    domain_done(&x->domain);
    free(x);
}

static struct err *check_plan(const struct vm_plan *plan)
{
    if (!cstr_eq(plan->firmware, "direct"))
        return err_not_implemented("Xen guests with firmware");
    if (plan->kernel < 0)
        return err_internal("direct start without a kernel");
    if (plan->n_disks || plan->n_nics)
        return err_not_implemented("Xen guests with devices");
    return NULL;
}

static struct err *xen_start(const struct hyper_env *env, const struct vm_plan *plan, struct hyper_guest **ret_guest)
{
    struct xen *x;
    struct err *e;

    TRY(check_plan(plan));
    x = xen_new(env);
    snprintf(x->ref, sizeof(x->ref), "%s", plan->ref);
    e = job_run(&(struct job){ .x = x, .fn = do_start, .plan = plan });
    if (!e && fiber_interrupted())
        e = ipc_interrupted();
    if (e) {
        fiber_interrupt_clear(); /* who cancels a start wants no half of it left behind */
        e = err_first(e, job_run(&(struct job){ .x = x, .fn = do_destroy }));
        xen_free(&x->base);
        return e;
    }
    listen_for_releases(x);
    *ret_guest = &x->base;
    return NULL;
}

/* ---- attach ---- */

static struct err *do_attach(struct job *j)
{
    TRY(record_read(j->x, &j->found));
    if (!j->found)
        return NULL;
    TRY(domain_open(&j->x->domain));
    TRY(domain_find(&j->x->domain));
    if (!j->x->domain.id)
        forget_files(&j->x->env);
    return NULL;
}

static struct err *xen_attach(const struct hyper_env *env, struct hyper_guest **ret_guest, const char **ret_reason)
{
    struct xen *x = xen_new(env);
    struct job j = { .x = x, .fn = do_attach };
    struct err *e = job_run(&j);

    if (e || !x->domain.id) {
        xen_free(&x->base);
        TRY(e);
        *ret_guest = NULL;
        *ret_reason = j.found ? "gone" : "";
        return NULL;
    }
    listen_for_releases(x);
    *ret_guest = &x->base;
    *ret_reason = "";
    return NULL;
}

/* ---- life ---- */

static struct err *do_query(struct job *j)
{
    return domain_look(&j->x->domain, &j->power);
}

static struct err *xen_query(struct hyper_guest *g, struct hyper_state *ret_state)
{
    struct xen *x = xen_of(g);
    struct job j = { .x = x, .fn = do_query };

    TRY(job_run(&j));
    *ret_state = (struct hyper_state){ .power = j.power, .domid = j.power == HYPER_GONE ? -1 : (int64_t)x->domain.id };
    return NULL;
}

static struct err *do_pause(struct job *j)
{
    return domain_pause(&j->x->domain);
}

static struct err *do_unpause(struct job *j)
{
    return domain_unpause(&j->x->domain);
}

static struct err *do_request_shutdown(struct job *j)
{
    bool heard = false;

    TRY(domain_ask_shutdown(&j->x->domain, &heard));
    return heard ? NULL : err_vm_lacks_feature(j->x->ref); /* a PVH guest has no power button either */
}

static struct err *do_reset(struct job *j)
{
    return domain_start_over(&j->x->domain);
}

static struct err *xen_pause(struct hyper_guest *g)
{
    return job_run(&(struct job){ .x = xen_of(g), .fn = do_pause });
}

static struct err *xen_unpause(struct hyper_guest *g)
{
    return job_run(&(struct job){ .x = xen_of(g), .fn = do_unpause });
}

static struct err *xen_request_shutdown(struct hyper_guest *g)
{
    return job_run(&(struct job){ .x = xen_of(g), .fn = do_request_shutdown });
}

static struct err *xen_reset(struct hyper_guest *g)
{
    return job_run(&(struct job){ .x = xen_of(g), .fn = do_reset });
}

static struct err *xen_destroy(struct hyper_guest *g)
{
    return job_run(&(struct job){ .x = xen_of(g), .fn = do_destroy });
}

/* ---- not yet ---- */

static struct err *xen_disk_add(struct hyper_guest *g UNUSED, const struct vm_disk *d UNUSED)
{
    return err_not_implemented("disks of Xen guests");
}

static struct err *xen_disk_remove(
    struct hyper_guest *g UNUSED, const struct vm_disk *d UNUSED, bool force UNUSED, uint64_t deadline_us UNUSED)
{
    return err_not_implemented("disks of Xen guests");
}

static struct err *xen_media(struct hyper_guest *g UNUSED, const struct vm_disk *cd UNUSED)
{
    return err_not_implemented("CD drives of Xen guests");
}

static struct err *xen_nic_add(struct hyper_guest *g UNUSED, const struct vm_nic *n UNUSED)
{
    return err_not_implemented("NICs of Xen guests");
}

static struct err *xen_nic_remove(
    struct hyper_guest *g UNUSED, const struct vm_nic *n UNUSED, bool force UNUSED, uint64_t deadline_us UNUSED)
{
    return err_not_implemented("NICs of Xen guests");
}

static struct err *xen_console(struct hyper_guest *g UNUSED, const char *protocol UNUSED, int *ret_fd UNUSED)
{
    return err_not_implemented("consoles of Xen guests");
}

static struct err *xen_nvram(const struct hyper_env *env UNUSED, struct buf *b UNUSED)
{
    return NULL; /* no UEFI guests, no variables */
}

/* ---- probe ---- */

static struct err *do_probe(struct job *j)
{
    TRY(domain_open(&j->x->domain));
    return domain_host(&j->x->domain, j->info);
}

static struct err *xen_probe(struct hyper_info *ret_info)
{
    struct hyper_info info = { .name = "xen", .vcpus_max = VCPUS_MAX };
    struct hyper_env env = { .loop = fiber_loop() };
    struct xen *x = xen_new(&env);
    struct err *e = job_run(&(struct job){ .x = x, .fn = do_probe, .info = &info });

    xen_free(&x->base);
    TRY(e);
    *ret_info = info;
    return NULL;
}

/* ---- not built yet: libxl's save and restore streams, and migration ---- */

static struct err *xen_layout(struct hyper_guest *g UNUSED, struct arena *a UNUSED, struct vm_plan *plan UNUSED)
{
    return NULL; /* libxl finds the places again by itself */
}

static struct err *xen_save(struct hyper_guest *g UNUSED, int fd UNUSED)
{
    return err_not_implemented("suspend on Xen");
}

static struct err *xen_restore(const struct hyper_env *env UNUSED, const struct vm_plan *plan UNUSED, int fd UNUSED,
    struct hyper_guest **ret_guest UNUSED)
{
    return err_not_implemented("resume on Xen");
}

static struct err *xen_move(struct hyper_guest *g UNUSED, const struct vm_plan *plan UNUSED)
{
    return err_not_implemented("migration on Xen");
}

const struct hyper_ops hyper_xen = {
    .name = "xen",
    .probe = xen_probe,
    .start = xen_start,
    .attach = xen_attach,
    .free = xen_free,
    .query = xen_query,
    .pause = xen_pause,
    .unpause = xen_unpause,
    .request_shutdown = xen_request_shutdown,
    .reset = xen_reset,
    .destroy = xen_destroy,
    .disk_add = xen_disk_add,
    .disk_remove = xen_disk_remove,
    .media = xen_media,
    .nic_add = xen_nic_add,
    .nic_remove = xen_nic_remove,
    .layout = xen_layout,
    .save = xen_save,
    .restore = xen_restore,
    .move = xen_move,
    .console = xen_console,
    .nvram = xen_nvram,
};
