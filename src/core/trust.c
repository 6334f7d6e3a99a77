/* pool: certificates of others that it trusts, and revocation lists (semantics.md 14.2). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "base/uuid.h"
#include "core/certificate.h"
#include "core/core.h"
#include "core/trust.h"
#include "gen/ipc_door.h"

#define NAME_MAX_LEN 128
#define LISTS_MAX 4096

bool trust_is_name(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.");

    return n && n <= NAME_MAX_LEN && !s[n] && s[0] != '.' && s[0] != '-';
}

static const char *path_of(const struct core *c, struct arena *a, const char *kind, const char *name)
{
    return arena_printf(a, "%s/%s/%s", c->config->trust_dir, kind, name);
}

struct writing {
    const char *path, *text;
    struct err *err;
};

static void write_now(void *arg)
{
    struct writing *w = arg;

    w->err = file_write_atomic(AT_FDCWD, w->path, w->text, strlen(w->text), 0600);
}

static struct err *write_file(struct core *c, struct arena *a, const char *kind, const char *name, const char *text)
{
    struct writing w = { .path = path_of(c, a, kind, name), .text = text };

    TRY(dir_make(arena_printf(a, "%s/%s", c->config->trust_dir, kind), 0700));
    fiber_offload(write_now, &w); /* it waits for the disk */
    return w.err;
}

static const struct row *trusted(struct core *c, const char *name)
{
    const struct row *r;

    for (r = store_first(c->store, C_Certificate); r; r = store_next(r))
        if (strcmp(row_str(r, F_Certificate_type), "ca") == 0 && strcmp(row_str(r, F_Certificate_name), name) == 0)
            return r;
    return NULL;
}

static struct err *read_text(struct call *c, const char *pem, struct door_facts *ret)
{
    struct door_read_rep rep = { 0 };
    struct ipc_peer *gate = NULL;

    TRY(core_need_gate(c->core, &gate));
    TRY(door_read(gate, c->arena, &(struct door_read_req){ pem }, &rep));
    *ret = rep.facts;
    return NULL;
}

/* The file has the name of the row's uuid: names given by clients are data. */
static struct err *add(
    struct call *c, const char *type, const char *name, const struct door_facts *f, const struct value *purpose)
{
    char uuid[UUID_LEN + 1];

    uuid_make(uuid);
    TRY(write_file(c->core, c->arena, "certs", uuid, f->pem));
    struct tx *t = tx_begin(c->core->store);
    certificate_create(t, c->arena, uuid, type, name, REF_NULL, f, purpose);
    return tx_commit(t);
}

static struct err *remove_row(struct call *c, const struct row *r)
{
    const char *path = path_of(c->core, c->arena, "certs", row_str(r, F_Certificate_uuid));
    struct tx *t = tx_begin(c->core->store);

    tx_destroy(t, row_ref(r));
    TRY(tx_commit(t));
    if (unlink(path) < 0 && errno != ENOENT)
        return err_errno(errno, "remove %s", path);
    return NULL;
}

/* ---- by name ---- */

static struct err *install(struct call *c, const char *name, const char *text)
{
    struct door_facts f;

    if (!trust_is_name(name))
        return err_certificate_name_invalid(name);
    if (trusted(c->core, name))
        return err_certificate_already_exists(name);
    TRY(read_text(c, text, &f));
    if (!*f.pem)
        return err_certificate_corrupt(name);
    if (trusted(c->core, name)) /* meanwhile */
        return err_certificate_already_exists(name);
    return add(c, "ca", name, &f, NULL);
}

static struct err *uninstall(struct call *c, const char *name)
{
    const struct row *r;

    if (!trust_is_name(name))
        return err_certificate_name_invalid(name);
    r = trusted(c->core, name);
    return r ? remove_row(c, r) : err_certificate_does_not_exist(name);
}

static struct err *install_ca_certificate(
    struct call *c, const struct pool_install_ca_certificate_args *a, struct value *ret)
{
    (void)ret;
    return install(c, a->name, a->cert);
}

static struct err *certificate_install(struct call *c, const struct pool_certificate_install_args *a, struct value *ret)
{
    (void)ret;
    return install(c, a->name, a->cert);
}

static struct err *uninstall_ca_certificate(
    struct call *c, const struct pool_uninstall_ca_certificate_args *a, struct value *ret)
{
    (void)ret; /* `force` is for a file that is missing, and that never is in the way here */
    return uninstall(c, a->name);
}

static struct err *certificate_uninstall(
    struct call *c, const struct pool_certificate_uninstall_args *a, struct value *ret)
{
    (void)ret;
    return uninstall(c, a->name);
}

static struct err *certificate_list(struct call *c, const struct pool_certificate_list_args *a, struct value *ret)
{
    struct core *core = c->core;
    struct value *names = arena_new_array(c->arena, store_count(core->store, C_Certificate) + 1, struct value);
    size_t n = 0;

    (void)a;
    for (const struct row *r = store_first(core->store, C_Certificate); r; r = store_next(r))
        if (strcmp(row_str(r, F_Certificate_type), "ca") == 0 && *row_str(r, F_Certificate_name))
            names[n++] = value_str(arena_strdup(c->arena, row_str(r, F_Certificate_name)));
    *ret = value_set(names, n);
    return NULL;
}

/* ---- by purpose ---- */

static struct err *install_trusted_certificate(
    struct call *c, const struct pool_install_trusted_certificate_args *a, struct value *ret)
{
    int64_t now = (int64_t)(clock_wall(c->core->loop) / 1000000);
    const struct row *pool = NULL;
    struct door_facts f;

    (void)ret;
    TRY(call_row(c, C_pool, a->self, &pool));
    if (!a->ca && !a->purpose->n)
        return err_certificate_lacks_purpose();
    TRY(read_text(c, a->cert, &f));
    if (!*f.pem)
        return err_trusted_certificate_invalid();
    if (now < f.not_before_s)
        return err_trusted_certificate_not_valid_yet(
            certificate_time(c->arena, now).s, certificate_time(c->arena, f.not_before_s).s);
    if (now > f.not_after_s)
        return err_trusted_certificate_expired(
            certificate_time(c->arena, now).s, certificate_time(c->arena, f.not_after_s).s);
    for (const struct row *r = store_first(c->core->store, C_Certificate); r; r = store_next(r))
        if (strcmp(row_str(r, F_Certificate_type), "host") != 0 &&
            strcmp(row_str(r, F_Certificate_fingerprint_sha256), f.sha256) == 0)
            return err_trusted_certificate_already_exists(f.sha256);
    return add(c, a->ca ? "ca" : "pinned", "", &f, a->purpose);
}

static struct err *uninstall_trusted_certificate(
    struct call *c, const struct pool_uninstall_trusted_certificate_args *a, struct value *ret)
{
    const struct row *pool = NULL, *r = NULL;

    (void)ret;
    TRY(call_row(c, C_pool, a->self, &pool));
    TRY(call_row(c, C_Certificate, a->certificate, &r));
    if (cstr_starts(row_str(r, F_Certificate_type), "host"))
        return err_not_trusted_certificate(a->certificate);
    return remove_row(c, r);
}

/* ---- revocation lists: files, and nothing else ---- */

static bool is_list(struct call *c, const char *name)
{
    return access(path_of(c->core, c->arena, "crls", name), F_OK) == 0;
}

static struct err *crl_install(struct call *c, const struct pool_crl_install_args *a, struct value *ret)
{
    struct door_read_crl_rep rep = { 0 };
    struct ipc_peer *gate = NULL;

    (void)ret;
    if (!trust_is_name(a->name))
        return err_crl_name_invalid(a->name);
    if (is_list(c, a->name))
        return err_crl_already_exists(a->name);
    TRY(core_need_gate(c->core, &gate));
    TRY(door_read_crl(gate, c->arena, &(struct door_read_crl_req){ a->cert }, &rep));
    if (!rep.ok)
        return err_crl_corrupt(a->name);
    return write_file(c->core, c->arena, "crls", a->name, a->cert);
}

static struct err *crl_uninstall(struct call *c, const struct pool_crl_uninstall_args *a, struct value *ret)
{
    (void)ret;
    if (!trust_is_name(a->name))
        return err_crl_name_invalid(a->name);
    if (unlink(path_of(c->core, c->arena, "crls", a->name)) == 0)
        return NULL;
    return errno == ENOENT ? err_crl_does_not_exist(a->name) : err_errno(errno, "remove %s", a->name);
}

/* Calls fn for each plain name in one of the two folders. */
static void each_file(
    struct core *c, struct arena *a, const char *kind, void (*fn)(void *arg, const char *name), void *arg)
{
    DIR *d = opendir(path_of(c, a, kind, "."));

    for (const struct dirent *e; d && (e = readdir(d));)
        if (trust_is_name(e->d_name))
            fn(arg, e->d_name);
    if (d)
        closedir(d);
}

struct names {
    struct arena *arena;
    struct value v[LISTS_MAX];
    size_t n;
};

static void add_name(void *arg, const char *name)
{
    struct names *names = arg;

    if (names->n < LISTS_MAX)
        names->v[names->n++] = value_str(arena_strdup(names->arena, name));
}

static struct err *crl_list(struct call *c, const struct pool_crl_list_args *a, struct value *ret)
{
    struct names *names = arena_new_of(c->arena, struct names);

    (void)a;
    names->arena = c->arena;
    each_file(c->core, c->arena, "crls", add_name, names);
    *ret = value_set(names->v, names->n);
    return NULL;
}

/* ---- what a killed core left ---- */

struct tidy {
    struct core *core;
    struct arena *arena;
};

static void tidy_one(void *arg, const char *name)
{
    struct tidy *t = arg;
    const char *path = path_of(t->core, t->arena, "certs", name);

    if (store_by_uuid(t->core->store, C_Certificate, name))
        return;
    log_info("a certificate that nobody knows goes", F("file", path));
    if (unlink(path) < 0)
        log_warn("it stays", F("file", path));
}

void trust_tidy(struct core *c)
{
    AUTO(arena_drop) struct arena *a = arena_new();

    if (c->config->trust_dir)
        each_file(c, a, "certs", tidy_one, &(struct tidy){ c, a });
}

void trust_register(struct api_handlers *h)
{
    h->pool_install_ca_certificate = install_ca_certificate;
    h->pool_uninstall_ca_certificate = uninstall_ca_certificate;
    h->pool_certificate_install = certificate_install;
    h->pool_certificate_uninstall = certificate_uninstall;
    h->pool_certificate_list = certificate_list;
    h->pool_install_trusted_certificate = install_trusted_certificate;
    h->pool_uninstall_trusted_certificate = uninstall_trusted_certificate;
    h->pool_crl_install = crl_install;
    h->pool_crl_uninstall = crl_uninstall;
    h->pool_crl_list = crl_list;
}
