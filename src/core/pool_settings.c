/* pool: settings that every host has for itself, changed on all of them. */
#include <string.h>
#include "base/log.h"
#include "core/call.h"

typedef struct err *on_host_fn(struct call *c, const char *host, const void *arg, struct value *ret);

/* Others do not answer here: a setting of theirs is told as one that failed, never taken for granted. */
static struct err *on_one(
    struct call *c, const struct row *host, on_host_fn *fn, const void *arg, const char **ret_ref, struct value *ret)
{
    *ret_ref = arena_strdup(c->arena, row_ref(host));
    return strcmp(*ret_ref, c->core->host_ref) == 0 ? fn(c, *ret_ref, arg, ret) : err_host_offline(*ret_ref);
}

/* *ret_failed: refs of those where it failed, comma-separated. What the caller did wrong is the same everywhere. */
static struct err *on_all(struct call *c, const char *pool, on_host_fn *fn, const void *arg, const char **ret_failed)
{
    const struct row *p = NULL, *next;
    struct value ret = value_str("");

    *ret_failed = "";
    TRY(call_row(c, C_pool, pool, &p));
    for (const struct row *r = store_first(c->core->store, C_host); r; r = next) {
        const char *ref = NULL;
        struct err *e = on_one(c, r, fn, arg, &ref, &ret);

        r = core_row(c->core, ref); /* it waited */
        next = r ? store_next(r) : NULL;
        if (!e)
            continue;
        if (err_is(e, "INVALID_VALUE") || err_is(e, "VALUE_NOT_SUPPORTED"))
            return e;
        log_info("a setting of the pool failed on a host", F("host", ref), F("error", err_text(e)));
        err_free(e);
        *ret_failed = **ret_failed ? arena_printf(c->arena, "%s, %s", *ret_failed, ref) : ref;
    }
    return NULL;
}

/* ---- SSH ---- */

static struct err *enable_one(struct call *c, const char *host, const void *arg, struct value *ret)
{
    (void)arg;
    return c->core->handlers.host_enable_ssh(c, &(struct host_enable_ssh_args){ .self = host }, ret);
}

static struct err *enable_ssh(struct call *c, const struct pool_enable_ssh_args *a, struct value *ret)
{
    const char *failed;

    (void)ret;
    TRY(on_all(c, a->self, enable_one, NULL, &failed));
    return *failed ? err_enable_ssh_partially_failed(failed) : NULL;
}

static struct err *disable_one(struct call *c, const char *host, const void *arg, struct value *ret)
{
    (void)arg;
    return c->core->handlers.host_disable_ssh(c, &(struct host_disable_ssh_args){ .self = host }, ret);
}

static struct err *disable_ssh(struct call *c, const struct pool_disable_ssh_args *a, struct value *ret)
{
    const char *failed;

    (void)ret;
    TRY(on_all(c, a->self, disable_one, NULL, &failed));
    return *failed ? err_disable_ssh_partially_failed(failed) : NULL;
}

static struct err *ssh_timeout_one(struct call *c, const char *host, const void *arg, struct value *ret)
{
    return c->core->handlers.host_set_ssh_enabled_timeout(
        c, &(struct host_set_ssh_enabled_timeout_args){ .self = host, .value = *(const int64_t *)arg }, ret);
}

static struct err *set_ssh_enabled_timeout(
    struct call *c, const struct pool_set_ssh_enabled_timeout_args *a, struct value *ret)
{
    const char *failed;

    (void)ret;
    TRY(on_all(c, a->self, ssh_timeout_one, &a->value, &failed));
    return *failed ? err_set_ssh_timeout_partially_failed(failed) : NULL;
}

static struct err *console_timeout_one(struct call *c, const char *host, const void *arg, struct value *ret)
{
    return c->core->handlers.host_set_console_idle_timeout(
        c, &(struct host_set_console_idle_timeout_args){ .self = host, .value = *(const int64_t *)arg }, ret);
}

static struct err *set_console_idle_timeout(
    struct call *c, const struct pool_set_console_idle_timeout_args *a, struct value *ret)
{
    const char *failed;

    (void)ret;
    TRY(on_all(c, a->self, console_timeout_one, &a->value, &failed));
    return *failed ? err_set_console_timeout_partially_failed(failed) : NULL;
}

/* ---- TLS ---- */

static struct err *https_only_one(struct call *c, const char *host, const void *arg, struct value *ret)
{
    return c->core->handlers.host_set_https_only(
        c, &(struct host_set_https_only_args){ .self = host, .value = *(const bool *)arg }, ret);
}

static struct err *set_https_only(struct call *c, const struct pool_set_https_only_args *a, struct value *ret)
{
    const char *failed;

    (void)ret;
    TRY(on_all(c, a->self, https_only_one, &a->value, &failed));
    return *failed ? err_operation_partially_failed("pool.set_https_only") : NULL;
}

static struct err *ssl_legacy_one(struct call *c, const char *host, const void *arg, struct value *ret)
{
    (void)arg;
    return c->core->handlers.host_set_ssl_legacy(
        c, &(struct host_set_ssl_legacy_args){ .self = host, .value = false }, ret);
}

static struct err *disable_ssl_legacy(struct call *c, const struct pool_disable_ssl_legacy_args *a, struct value *ret)
{
    const char *failed;

    (void)ret;
    TRY(on_all(c, a->self, ssl_legacy_one, NULL, &failed));
    return *failed ? err_operation_partially_failed("pool.disable_ssl_legacy") : NULL;
}

/* ---- programs ---- */

struct question {
    const char *name;
    bool *all; /* have it */
};

static struct err *extension_one(struct call *c, const char *host, const void *arg, struct value *ret)
{
    const struct question *q = arg;

    TRY(c->core->handlers.host_has_extension(
        c, &(struct host_has_extension_args){ .host = host, .name = q->name }, ret));
    *q->all = *q->all && ret->b;
    return NULL;
}

/* The pool has what each of its hosts has: one that does not answer is no reason to say so. */
static struct err *has_extension(struct call *c, const struct pool_has_extension_args *a, struct value *ret)
{
    const char *failed;
    bool all = true;

    TRY(on_all(c, a->self, extension_one, &(struct question){ a->name, &all }, &failed));
    *ret = value_bool(all && !*failed);
    return NULL;
}

void pool_settings_register(struct api_handlers *h)
{
    h->pool_enable_ssh = enable_ssh;
    h->pool_disable_ssh = disable_ssh;
    h->pool_set_ssh_enabled_timeout = set_ssh_enabled_timeout;
    h->pool_set_console_idle_timeout = set_console_idle_timeout;
    h->pool_set_https_only = set_https_only;
    h->pool_disable_ssl_legacy = disable_ssl_legacy;
    h->pool_has_extension = has_extension;
}
