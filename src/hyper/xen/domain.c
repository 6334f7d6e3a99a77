#include "hyper/xen/domain.h"
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <libxl_event.h>
#include <libxl_utils.h>
#include <xenstore.h>
#include "base/mem.h"
#include "base/value.h"
#include "gen/ipc_vm.h"

/* ---- libxl's complaints ---- */

static struct err *failed(struct domain *d, int rc, const char *what)
{
    struct err *e = err_internal("libxl cannot %s (%d)", what, rc);

    if (d->words.len)
        e = err_note(e, "libxl said: %s", d->words.text);
    d->words.len = 0;
    return e;
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

/* ---- the handle ---- */

struct err *domain_open(struct domain *d)
{
    static const libxl_childproc_hooks children = { .chldowner = libxl_sigchld_owner_libxl_always_selective_reap };
    int rc;

    d->words.logger = (xentoollog_logger){ .vmessage = on_words, .destroy = on_words_end };
    rc = libxl_ctx_alloc(&d->ctx, LIBXL_VERSION, 0, &d->words.logger);
    if (rc)
        return failed(d, rc, "be opened; does this host run Xen?");
    libxl_childproc_setmode(d->ctx, &children, NULL);
    d->xs = xs_open(0);
    if (!d->xs || !xs_watch(d->xs, "@releaseDomain", ""))
        return err_errno(errno, "watch for the end of domains");
    return NULL;
}

void domain_done(struct domain *d)
{
    xs_close(d->xs);
    libxl_ctx_free(d->ctx);
}

bool domain_events(struct domain *d)
{
    char **what;

    while ((what = xs_check_watch(d->xs)))
        free(what);
    return errno == EAGAIN;
}

struct err *domain_host(struct domain *d, struct hyper_info *info)
{
    const libxl_version_info *v = libxl_get_version_info(d->ctx);
    libxl_physinfo phys;
    int rc;

    libxl_physinfo_init(&phys);
    rc = v ? libxl_get_physinfo(d->ctx, &phys) : ERROR_FAIL;
    if (rc)
        return failed(d, rc, "tell the host's abilities");
    snprintf(info->version, sizeof(info->version), "%d.%d%.20s", v->xen_version_major, v->xen_version_minor,
        v->xen_version_extra);
    snprintf(info->accelerator, sizeof(info->accelerator), "%s", phys.cap_hvm ? "hvm" : "none");
    if (!phys.cap_hvm)
        snprintf(info->detail, sizeof(info->detail), "the CPU's virtualization is absent or switched off");
    libxl_physinfo_dispose(&phys);
    return NULL;
}

/* ---- looking ---- */

static bool is_ours(const struct domain *d, const libxl_dominfo *info)
{
    return libxl_domid_valid_guest(info->domid) && !info->dying && !memcmp(&info->uuid, &d->uuid, sizeof(d->uuid));
}

struct err *domain_find(struct domain *d)
{
    int n = 0;
    libxl_dominfo *list = libxl_list_domain(d->ctx, &n);

    if (!list)
        return failed(d, ERROR_FAIL, "list the domains");
    d->id = 0;
    for (int i = 0; i < n; i++)
        if (is_ours(d, &list[i]))
            d->id = list[i].domid;
    libxl_dominfo_list_free(list, n);
    return NULL;
}

static enum hyper_power power_of(const libxl_dominfo *info)
{
    if (info->shutdown) {
        switch (info->shutdown_reason) {
        case LIBXL_SHUTDOWN_REASON_CRASH:
        case LIBXL_SHUTDOWN_REASON_WATCHDOG:
            return HYPER_CRASHED;
        case LIBXL_SHUTDOWN_REASON_SUSPEND:
            return HYPER_PAUSED;
        case LIBXL_SHUTDOWN_REASON_REBOOT:
            return HYPER_WANTS_REBOOT;
        default:
            return HYPER_OFF;
        }
    }
    if (info->paused)
        return info->cpu_time ? HYPER_PAUSED : HYPER_BUILT;
    return HYPER_RUNNING;
}

/* *ret_paused (may be NULL): by us, whatever else it is. */
static struct err *look(struct domain *d, enum hyper_power *ret_power, bool *ret_paused)
{
    libxl_dominfo info;
    int rc;

    libxl_dominfo_init(&info);
    rc = d->id ? libxl_domain_info(d->ctx, &info, d->id) : ERROR_DOMAIN_NOTFOUND;
    if (rc && rc != ERROR_DOMAIN_NOTFOUND)
        return failed(d, rc, "look at the domain");
    *ret_power = !rc && is_ours(d, &info) ? power_of(&info) : HYPER_GONE;
    if (ret_paused)
        *ret_paused = info.paused;
    libxl_dominfo_dispose(&info);
    return NULL;
}

struct err *domain_look(struct domain *d, enum hyper_power *ret_power)
{
    return look(d, ret_power, NULL);
}

/* Before all that is done to a domain. */
static struct err *expect_alive(struct domain *d, bool *ret_paused)
{
    enum hyper_power power = HYPER_GONE;

    TRY(look(d, &power, ret_paused));
    if (power == HYPER_GONE)
        return err_internal("the domain is gone");
    assert(libxl_domid_valid_guest(d->id)); /* domain 0 would take the host with it */
    return NULL;
}

/* ---- making ---- */

static void config_done(libxl_domain_config *c)
{
    libxl_domain_config_dispose(c);
}

static struct err *configure(struct domain *d, const struct vm_plan *plan, libxl_domain_config *c)
{
    const char *pool = plan->platform.kind == V_MAP ? value_map_str(&plan->platform, "cpupool") : "";
    uint32_t n_max = plan->vcpus_max > plan->vcpus ? plan->vcpus_max : plan->vcpus;
    libxl_domain_create_info *ci = &c->c_info;
    libxl_domain_build_info *bi = &c->b_info;
    int rc;

    ci->type = LIBXL_DOMAIN_TYPE_PVH;
    ci->uuid = d->uuid;
    ci->name = mem_strdup(plan->vm); /* libxl wants names to be unique; those of VMs are not */
    ci->pool_name = pool[0] ? mem_strdup(pool) : NULL;
    libxl_domain_build_info_init_type(bi, LIBXL_DOMAIN_TYPE_PVH);
    bi->max_memkb = bi->target_memkb = plan->memory / 1024;
    bi->cmdline = mem_strdup(plan->cmdline);
    bi->max_vcpus = (int)n_max;
    rc = libxl_cpu_bitmap_alloc(d->ctx, &bi->avail_vcpus, (int)n_max);
    if (rc)
        return failed(d, rc, "make a set of CPUs");
    libxl_bitmap_set_none(&bi->avail_vcpus);
    for (uint32_t i = 0; i < plan->vcpus; i++)
        libxl_bitmap_set(&bi->avail_vcpus, (int)i);
    return NULL;
}

static struct err *make(struct domain *d, libxl_domain_config *c)
{
    uint32_t id = INVALID_DOMID;
    int rc;

    c->c_info.domid = INVALID_DOMID; /* libxl chooses */
    rc = libxl_domain_create_new(d->ctx, c, &id, NULL, NULL);
    if (rc)
        return failed(d, rc, "build the domain");
    d->id = id;
    return NULL;
}

struct err *domain_create(struct domain *d, const struct vm_plan *plan, const char *kernel, const char *initrd)
{
    AUTO(config_done) libxl_domain_config config;

    libxl_domain_config_init(&config);
    TRY(configure(d, plan, &config));
    config.b_info.kernel = mem_strdup(kernel);
    config.b_info.ramdisk = mem_strdup(initrd);
    return make(d, &config);
}

struct err *domain_start_over(struct domain *d)
{
    AUTO(config_done) libxl_domain_config config;
    int rc;

    libxl_domain_config_init(&config);
    TRY(expect_alive(d, NULL));
    rc = libxl_retrieve_domain_configuration(d->ctx, d->id, &config, NULL);
    if (rc)
        return failed(d, rc, "tell the domain's configuration");
    TRY(domain_destroy(d));
    TRY(make(d, &config));
    return domain_unpause(d);
}

/* ---- acting ---- */

struct err *domain_pause(struct domain *d)
{
    bool paused;
    int rc;

    TRY(expect_alive(d, &paused));
    rc = paused ? 0 : libxl_domain_pause(d->ctx, d->id, NULL);
    return rc ? failed(d, rc, "pause the domain") : NULL;
}

struct err *domain_unpause(struct domain *d)
{
    bool paused;
    int rc;

    TRY(expect_alive(d, &paused));
    rc = paused ? libxl_domain_unpause(d->ctx, d->id, NULL) : 0;
    return rc ? failed(d, rc, "unpause the domain") : NULL;
}

/*
 * By the protocol of xen-xenstore-paths(7), not by libxl_domain_shutdown():
 * that waits up to a minute for the guest's answer, and nothing can end the wait.
 */
struct err *domain_ask_shutdown(struct domain *d, bool *ret_heard)
{
    static const char wish[] = "poweroff";
    char path[64];
    char *listens; /* the guest's word: compared, never more */
    unsigned len = 0;

    TRY(expect_alive(d, NULL));
    snprintf(path, sizeof(path), "/local/domain/%u/control/feature-poweroff", d->id);
    listens = xs_read(d->xs, XBT_NULL, path, &len);
    *ret_heard = listens && len == 1 && listens[0] == '1';
    free(listens);
    if (!*ret_heard)
        return NULL;
    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", d->id);
    if (!xs_write(d->xs, XBT_NULL, path, wish, sizeof(wish) - 1))
        return err_errno(errno, "write %s", path);
    return NULL;
}

struct err *domain_destroy(struct domain *d)
{
    enum hyper_power power = HYPER_GONE;
    int rc;

    TRY(look(d, &power, NULL));
    if (power != HYPER_GONE) {
        assert(libxl_domid_valid_guest(d->id));
        rc = libxl_domain_destroy(d->ctx, d->id, NULL);
        if (rc && rc != ERROR_DOMAIN_NOTFOUND)
            return failed(d, rc, "destroy the domain");
    }
    d->id = 0;
    return NULL;
}
