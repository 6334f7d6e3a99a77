#include "hyper/xen/xen.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <libxl.h>
#include <libxl_event.h>
#include <libxl_utils.h>
#include <xenstore.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "base/value.h"
#include "gen/errors.h"
#include "gen/ipc_vm.h"
#include "ipc/ipc.h"

#define RECORD "xen.guest"
#define KERNEL "kernel"
#define INITRD "initrd"
#define KERNEL_MAX (1024LL * 1024 * 1024)
#define VCPUS_MAX 128 /* of a PVH guest in Xen 4.17 */

/* What libxl complained about during a call, for the note of the error. */
struct words {
    xentoollog_logger logger; /* first: libxl gives this back to us */
    char text[400];
    size_t len;
};

struct xen {
    struct hyper_guest base;
    struct hyper_env env;
    struct words words;
    libxl_ctx *ctx;             /* owned; used by one job at a time */
    struct xs_handle *releases; /* owned; its descriptor tells that some domain of this host ended */
    struct watch *watch;        /* owned */
    struct timer *tell_reset;   /* owned */
    uint32_t domid;             /* 0: none */
    libxl_uuid uuid;
    char ref[80];
    bool no_reboot; /* a guest's own reboot switches it off */
};

static struct xen *xen_of(struct hyper_guest *g)
{
    return CONTAINER_OF(g, struct xen, base);
}

/* ---- jobs: all that touches libxl, on a thread ---- */

struct job {
    struct xen *x;
    struct err *(*fn)(struct job *j);
    struct err *e;
    const struct vm_plan *plan; /* start */
    struct hyper_info *info;    /* probe */
    enum hyper_power power;     /* query */
    bool found, rebooted;
};

static void job_main(void *arg)
{
    struct job *j = arg;

    j->x->words.len = 0;
    j->x->words.text[0] = 0;
    j->e = j->fn(j);
}

static struct err *job_run(struct job *j)
{
    fiber_offload(job_main, j);
    return j->e;
}

static struct err *failed(struct xen *x, int rc, const char *what)
{
    struct err *e = err_internal("libxl cannot %s (%d)", what, rc);

    return x->words.len ? err_note(e, "libxl said: %s", x->words.text) : e;
}

static void on_words(xentoollog_logger *l, xentoollog_level level, int errnum, const char *context, const char *format,
    va_list ap) __attribute__((format(printf, 5, 0)));
static void on_words(xentoollog_logger *l, xentoollog_level level, int errnum UNUSED, const char *context UNUSED,
    const char *format, va_list ap)
{
    struct words *w = CONTAINER_OF(l, struct words, logger);
    size_t room = sizeof(w->text) - w->len;
    int n;

    if (level < XTL_ERROR || room < 3)
        return;
    if (w->len) {
        memcpy(w->text + w->len, "; ", 3);
        w->len += 2;
        room -= 2;
    }
    n = vsnprintf(w->text + w->len, room, format, ap);
    w->len += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

static void on_words_end(xentoollog_logger *l UNUSED)
{
}

static struct err *open_libxl(struct xen *x)
{
    static const libxl_childproc_hooks children = { .chldowner = libxl_sigchld_owner_libxl_always_selective_reap };
    int rc;

    x->words.logger = (xentoollog_logger){ .vmessage = on_words, .destroy = on_words_end };
    rc = libxl_ctx_alloc(&x->ctx, LIBXL_VERSION, 0, &x->words.logger);
    if (rc)
        return failed(x, rc, "be opened; does this host run Xen?");
    libxl_childproc_setmode(x->ctx, &children, NULL);
    return NULL;
}

/* Whether our domain is still there. One that is being torn down is not; one that took over its number neither. */
static struct err *look(struct xen *x, libxl_dominfo *info, bool *ret_found)
{
    int rc = x->domid ? libxl_domain_info(x->ctx, info, x->domid) : ERROR_DOMAIN_NOTFOUND;

    if (rc && rc != ERROR_DOMAIN_NOTFOUND)
        return failed(x, rc, "look at the domain");
    *ret_found = !rc && !info->dying && !memcmp(&info->uuid, &x->uuid, sizeof(x->uuid));
    return NULL;
}

/* As look(), for calls that need a guest. Nothing is ever done to a domain that did not pass here just before. */
static struct err *look_alive(struct xen *x, libxl_dominfo *info)
{
    bool found = false;

    TRY(look(x, info, &found));
    if (!found)
        return err_internal("the domain is gone");
    assert(libxl_domid_valid_guest(x->domid)); /* domain 0 would take the host with it */
    return NULL;
}

static void info_done(libxl_dominfo *info)
{
    libxl_dominfo_dispose(info);
}

#define INFO(name)                                                                                                     \
    AUTO(info_done) libxl_dominfo name = {};                                                                           \
    libxl_dominfo_init(&name)

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
    int n = snprintf(line, sizeof(line), LIBXL_UUID_FMT " %s %d\n", LIBXL_UUID_BYTES(x->uuid), x->ref, x->no_reboot);

    return file_write_atomic(dir, RECORD, line, (size_t)n, 0600);
}

static struct err *record_read(struct xen *x, bool *ret_found)
{
    AUTO(fd_drop) int dir = -1;
    AUTO(buf_done) struct buf b;
    char uuid[40];
    int no_reboot;
    struct err *e;

    buf_init(&b, 256);
    TRY(open_dir(&x->env, &dir));
    e = file_read(dir, RECORD, &b);
    if (e && err_errno_get(e) == ENOENT) {
        err_ignore(e, "it was never started, or ended properly");
        return NULL;
    }
    TRY(e);
    if (!b.len || sscanf(b.p, "%39s %79s %d", uuid, x->ref, &no_reboot) != 3 || libxl_uuid_from_string(&x->uuid, uuid))
        return err_internal("malformed " RECORD);
    x->no_reboot = no_reboot;
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

static struct err *configure(struct xen *x, const struct vm_plan *plan, libxl_domain_config *c)
{
    const char *pool = plan->platform.kind == V_MAP ? value_map_str(&plan->platform, "cpupool") : "";
    uint32_t n_max = plan->vcpus_max > plan->vcpus ? plan->vcpus_max : plan->vcpus;
    libxl_domain_create_info *ci = &c->c_info;
    libxl_domain_build_info *bi = &c->b_info;
    int rc;

    ci->type = LIBXL_DOMAIN_TYPE_PVH;
    ci->uuid = x->uuid;
    ci->name = mem_strdup(plan->vm); /* libxl wants names to be unique; those of VMs are not */
    ci->pool_name = pool[0] ? mem_strdup(pool) : NULL;
    libxl_domain_build_info_init_type(bi, LIBXL_DOMAIN_TYPE_PVH);
    bi->max_memkb = bi->target_memkb = plan->memory / 1024;
    bi->kernel = mem_printf("%s/" KERNEL, x->env.dir);
    bi->ramdisk = plan->initrd >= 0 ? mem_printf("%s/" INITRD, x->env.dir) : NULL;
    bi->cmdline = mem_strdup(plan->cmdline);
    bi->max_vcpus = (int)n_max;
    rc = libxl_cpu_bitmap_alloc(x->ctx, &bi->avail_vcpus, (int)n_max);
    if (rc)
        return failed(x, rc, "make a set of CPUs");
    libxl_bitmap_set_none(&bi->avail_vcpus);
    for (uint32_t i = 0; i < plan->vcpus; i++)
        libxl_bitmap_set(&bi->avail_vcpus, (int)i);
    return NULL;
}

static struct err *create(struct xen *x, libxl_domain_config *c)
{
    uint32_t domid = INVALID_DOMID;
    int rc;

    c->c_info.domid = INVALID_DOMID;
    rc = libxl_domain_create_new(x->ctx, c, &domid, NULL, NULL);
    if (rc)
        return failed(x, rc, "build the domain"); /* it has undone what it did */
    x->domid = domid;
    return NULL;
}

static void config_done(libxl_domain_config *c)
{
    libxl_domain_config_dispose(c);
}

static struct err *build(struct xen *x, const struct vm_plan *plan)
{
    AUTO(config_done) libxl_domain_config config = {};
    AUTO(fd_drop) int dir = -1;

    libxl_domain_config_init(&config);
    TRY(open_dir(&x->env, &dir));
    TRY(record_write(x, dir));
    TRY(keep(dir, KERNEL, plan->kernel));
    if (plan->initrd >= 0)
        TRY(keep(dir, INITRD, plan->initrd));
    TRY(configure(x, plan, &config));
    return create(x, &config);
}

static struct err *run(struct xen *x)
{
    int rc = libxl_domain_unpause(x->ctx, x->domid, NULL);

    return rc ? failed(x, rc, "unpause the domain") : NULL;
}

static struct err *do_start(struct job *j)
{
    TRY(open_libxl(j->x));
    TRY(build(j->x, j->plan));
    return j->plan->paused ? NULL : run(j->x);
}

static struct err *do_destroy(struct job *j)
{
    struct xen *x = j->x;
    bool found = false;
    int rc;
    INFO(info);

    if (!x->ctx)
        return NULL; /* a start that did not even get that far */
    TRY(look(x, &info, &found));
    if (found) {
        assert(libxl_domid_valid_guest(x->domid));
        rc = libxl_domain_destroy(x->ctx, x->domid, NULL);
        if (rc && rc != ERROR_DOMAIN_NOTFOUND)
            return failed(x, rc, "destroy the domain");
    }
    x->domid = 0;
    forget_files(&x->env);
    return NULL;
}

/* ---- what happens by itself ---- */

static void tell(struct xen *x, enum hyper_event_kind kind)
{
    struct hyper_event ev = { kind, NULL };

    if (x->env.on_event)
        x->env.on_event(x->env.ctx, &ev);
}

static void on_tell_reset(void *arg)
{
    tell(arg, HYPER_EV_RESET);
}

/* Some domain of this host ended; whether it was ours, query() finds out. */
static void on_release(void *arg, uint32_t events UNUSED)
{
    struct xen *x = arg;
    char **what;

    while ((what = xs_check_watch(x->releases)))
        free(what);
    if (errno != EAGAIN)
        watch_drop(&x->watch); /* xenstored is gone, and with it everything else */
    tell(x, HYPER_EV_STATE);
}

static struct err *do_listen(struct job *j)
{
    struct xen *x = j->x;

    x->releases = xs_open(0);
    if (!x->releases || !xs_watch(x->releases, "@releaseDomain", ""))
        return err_errno(errno, "watch for the end of domains");
    return NULL;
}

static struct err *listen_for_releases(struct xen *x)
{
    TRY(job_run(&(struct job){ .x = x, .fn = do_listen }));
    x->watch = watch_new(x->env.loop, xs_fileno(x->releases), EPOLLIN, on_release, x);
    return NULL;
}

/* ---- the object ---- */

static struct xen *xen_new(const struct hyper_env *env)
{
    struct xen *x = mem_new(struct xen);

    x->base.ops = &hyper_xen;
    x->env = *env;
    x->tell_reset = timer_new(env->loop, on_tell_reset, x);
    return x;
}

static void xen_free(struct hyper_guest *g)
{
    struct xen *x = g ? xen_of(g) : NULL;

    if (!x)
        return;
    watch_free(x->watch);
    timer_free(x->tell_reset);
    xs_close(x->releases);
    libxl_ctx_free(x->ctx);
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
    x->no_reboot = cstr_eq(plan->on_reboot, "destroy");
    snprintf(x->ref, sizeof(x->ref), "%s", plan->ref);
    if (libxl_uuid_from_string(&x->uuid, plan->vm))
        e = err_internal("plan without a uuid");
    else
        e = job_run(&(struct job){ .x = x, .fn = do_start, .plan = plan });
    if (!e)
        e = listen_for_releases(x);
    if (!e && fiber_interrupted())
        e = ipc_interrupted();
    if (e) {
        fiber_interrupt_clear(); /* who cancels a start wants no half of it left behind */
        e = err_first(e, job_run(&(struct job){ .x = x, .fn = do_destroy }));
        xen_free(&x->base);
        return e;
    }
    *ret_guest = &x->base;
    return NULL;
}

/* ---- attach ---- */

static struct err *find(struct xen *x)
{
    int n = 0;
    libxl_dominfo *list = libxl_list_domain(x->ctx, &n);

    if (!list)
        return failed(x, ERROR_FAIL, "list the domains");
    for (int i = 0; i < n; i++)
        if (libxl_domid_valid_guest(list[i].domid) && !list[i].dying &&
            !memcmp(&list[i].uuid, &x->uuid, sizeof(x->uuid)))
            x->domid = list[i].domid;
    libxl_dominfo_list_free(list, n);
    return NULL;
}

static struct err *do_attach(struct job *j)
{
    TRY(record_read(j->x, &j->found));
    if (!j->found)
        return NULL;
    TRY(open_libxl(j->x));
    TRY(find(j->x));
    if (!j->x->domid)
        forget_files(&j->x->env);
    return NULL;
}

static struct err *xen_attach(const struct hyper_env *env, struct hyper_guest **ret_guest, const char **ret_reason)
{
    struct xen *x = xen_new(env);
    struct job j = { .x = x, .fn = do_attach };
    struct err *e = job_run(&j);

    if (!e && x->domid)
        e = listen_for_releases(x);
    if (e || !x->domid) {
        xen_free(&x->base);
        TRY(e);
        *ret_guest = NULL;
        *ret_reason = j.found ? "gone" : "";
        return NULL;
    }
    *ret_guest = &x->base;
    *ret_reason = "";
    return NULL;
}

/* ---- life ---- */

/* A domain cannot be run from its start again; another one from the same configuration takes its place. */
static struct err *start_over(struct xen *x)
{
    AUTO(config_done) libxl_domain_config config = {};
    int rc;

    libxl_domain_config_init(&config);
    rc = libxl_retrieve_domain_configuration(x->ctx, x->domid, &config, NULL);
    if (rc)
        return failed(x, rc, "tell the domain's configuration");
    rc = libxl_domain_destroy(x->ctx, x->domid, NULL);
    if (rc)
        return failed(x, rc, "destroy the domain that starts over");
    x->domid = 0;
    TRY(create(x, &config));
    return run(x);
}

static enum hyper_power power_of(const libxl_dominfo *info)
{
    if (info->shutdown)
        switch (info->shutdown_reason) {
        case LIBXL_SHUTDOWN_REASON_CRASH:
        case LIBXL_SHUTDOWN_REASON_WATCHDOG:
            return HYPER_CRASHED;
        case LIBXL_SHUTDOWN_REASON_SUSPEND:
            return HYPER_PAUSED;
        default:
            return HYPER_OFF;
        }
    if (info->paused)
        return info->cpu_time ? HYPER_PAUSED : HYPER_BUILT;
    return HYPER_RUNNING;
}

static struct err *do_query(struct job *j)
{
    struct xen *x = j->x;
    bool found = false;
    INFO(info);

    TRY(look(x, &info, &found));
    j->power = found ? power_of(&info) : HYPER_GONE;
    if (j->power != HYPER_OFF || info.shutdown_reason != LIBXL_SHUTDOWN_REASON_REBOOT || x->no_reboot)
        return NULL;
    TRY(start_over(x));
    j->rebooted = true;
    j->power = HYPER_RUNNING;
    return NULL;
}

/* Xen only says that the guest wishes to reboot. That it does is made true here, in the caller's turn. */
static struct err *xen_query(struct hyper_guest *g, enum hyper_power *ret_power, pid_t *ret_pid)
{
    struct xen *x = xen_of(g);
    struct job j = { .x = x, .fn = do_query };

    TRY(job_run(&j));
    if (j.rebooted)
        timer_set(x->tell_reset, clock_now(x->env.loop));
    *ret_power = j.power;
    *ret_pid = 0;
    return NULL;
}

/* Xen counts pauses; here two are as good as one. */
static struct err *do_pause(struct job *j)
{
    int rc = 0;
    INFO(info);

    TRY(look_alive(j->x, &info));
    if (!info.paused)
        rc = libxl_domain_pause(j->x->ctx, j->x->domid, NULL);
    return rc ? failed(j->x, rc, "pause the domain") : NULL;
}

static struct err *do_unpause(struct job *j)
{
    INFO(info);

    TRY(look_alive(j->x, &info));
    return info.paused ? run(j->x) : NULL;
}

static struct err *do_request_shutdown(struct job *j)
{
    int rc;
    INFO(info);

    TRY(look_alive(j->x, &info));
    rc = libxl_domain_shutdown(j->x->ctx, j->x->domid, NULL);
    if (rc == ERROR_NOPARAVIRT) /* and a PVH guest has no power button either */
        return err_vm_lacks_feature(j->x->ref);
    return rc ? failed(j->x, rc, "ask the guest to shut down") : NULL;
}

static struct err *do_reset(struct job *j)
{
    INFO(info);

    TRY(look_alive(j->x, &info));
    return start_over(j->x);
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
    const libxl_version_info *v;
    libxl_physinfo phys;
    int rc;

    TRY(open_libxl(j->x));
    v = libxl_get_version_info(j->x->ctx);
    libxl_physinfo_init(&phys);
    rc = v ? libxl_get_physinfo(j->x->ctx, &phys) : ERROR_FAIL;
    if (rc)
        return failed(j->x, rc, "tell the host's abilities");
    snprintf(j->info->version, sizeof(j->info->version), "%d.%d%.20s", v->xen_version_major, v->xen_version_minor,
        v->xen_version_extra);
    snprintf(j->info->accelerator, sizeof(j->info->accelerator), "%s", phys.cap_hvm ? "hvm" : "none");
    if (!phys.cap_hvm)
        snprintf(j->info->detail, sizeof(j->info->detail), "the CPU's virtualization is absent or switched off");
    libxl_physinfo_dispose(&phys);
    return NULL;
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
    .console = xen_console,
    .nvram = xen_nvram,
};
