/* host: the certificate of its front door (semantics.md 14.2), and whether it opens without one. */
#include "core/certificate.h"
#include <string.h>
#include "base/uuid.h"
#include "core/machine.h"
#include "gen/ipc_door.h"
#include "gen/ipc_machine.h"

static const struct row *shown_row(struct core *c)
{
    const struct row *host = core_host_row(c);

    for (size_t i = 0; i < row_n_related(host, F_host_certificates); i++)
        if (strcmp(row_str(row_related(host, F_host_certificates, i), F_Certificate_type), "host") == 0)
            return row_related(host, F_host_certificates, i);
    return NULL;
}

struct value certificate_time(struct arena *a, int64_t seconds)
{
    return value_datetime(datetime_text(a, seconds > 0 ? (uint64_t)seconds * 1000000 : 0));
}

void certificate_create(struct tx *t, struct arena *a, const char *uuid, const char *type, const char *name,
    const char *host, const struct door_facts *f, const struct value *purpose)
{
    const struct tx_field fields[] = {
        { F_Certificate_uuid, value_str(uuid) },
        { F_Certificate_name, value_str(name) },
        { F_Certificate_type, value_str(type) },
        { F_Certificate_host, value_str(host) },
        { F_Certificate_not_before, certificate_time(a, f->not_before_s) },
        { F_Certificate_not_after, certificate_time(a, f->not_after_s) },
        { F_Certificate_fingerprint, value_str(f->sha256) },
        { F_Certificate_fingerprint_sha256, value_str(f->sha256) },
        { F_Certificate_fingerprint_sha1, value_str(f->sha1) },
        { F_Certificate_purpose, purpose ? *purpose : value_set(NULL, 0) },
    };

    tx_create(t, C_Certificate, NULL, fields, ARRAY_LEN(fields));
}

/* Another certificate is another object. */
static struct err *take_shown(struct core *c, struct arena *a)
{
    struct door_shown_rep rep = { 0 };
    struct ipc_peer *gate = NULL;

    TRY(core_need_gate(c, &gate));
    TRY(door_shown(gate, a, &(struct door_shown_req){ 0 }, &rep));
    char uuid[UUID_LEN + 1];
    const struct row *old = shown_row(c);
    if (old && strcmp(row_str(old, F_Certificate_fingerprint_sha256), rep.facts.sha256) == 0)
        return NULL;
    uuid_make(uuid);
    struct tx *t = tx_begin(c->store);
    if (old)
        tx_destroy(t, arena_strdup(a, row_ref(old)));
    if (*rep.facts.pem)
        certificate_create(t, a, uuid, "host", "", c->host_ref, &rep.facts, NULL);
    return tx_commit(t);
}

static struct err *tell_tls_only(struct core *c, struct arena *a, bool on)
{
    struct ipc_peer *gate = NULL;

    TRY(core_need_gate(c, &gate));
    return door_tls_only(gate, a, &(struct door_tls_only_req){ on });
}

struct err *certificate_catch_up(struct core *c)
{
    AUTO(arena_drop) struct arena *a = arena_new();

    TRY(tell_tls_only(c, a, row_bool(core_host_row(c), F_host_https_only)));
    return take_shown(c, a);
}

/* Onto the disk first: a gate that starts again between the two steps shows the new one by itself. */
static struct err *use(struct core *c, struct arena *a, const char *pem)
{
    struct ipc_peer *gate = NULL, *host = NULL;

    TRY(core_need_host(c, &host));
    TRY(core_need_gate(c, &gate));
    TRY(machine_gate_certificate(host, a, &(struct machine_gate_certificate_req){ pem }));
    TRY(door_show(gate, a, &(struct door_show_req){ pem }));
    return take_shown(c, a);
}

static struct err *install_server_certificate(
    struct call *c, const struct host_install_server_certificate_args *a, struct value *ret)
{
    struct door_judge_req req = { clock_wall(c->core->loop) / 1000000, a->certificate, a->private_key,
        a->certificate_chain };
    struct door_judge_rep rep = { 0 };
    const struct row *host = NULL;
    struct ipc_peer *gate = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->host, &host));
    TRY(core_need_gate(c->core, &gate));
    TRY(door_judge(gate, c->arena, &req, &rep));
    return use(c->core, c->arena, rep.pem);
}

/* For the name and the addresses that this host has now. */
static struct err *reset(struct core *c, struct arena *a)
{
    const struct row *host = core_host_row(c);
    size_t n_pifs = row_n_related(host, F_host_PIFs), n = 0;
    const char **addresses = arena_new_array(a, n_pifs + 1, const char *);
    struct door_make_rep rep = { 0 };
    struct ipc_peer *gate = NULL;

    for (size_t i = 0; i < n_pifs; i++)
        if (*row_str(row_related(host, F_host_PIFs, i), F_PIF_IP))
            addresses[n++] = arena_strdup(a, row_str(row_related(host, F_host_PIFs, i), F_PIF_IP));
    const char *name = arena_strdup(a, row_str(host, F_host_hostname));
    TRY(core_need_gate(c, &gate));
    TRY(door_make(gate, a, &(struct door_make_req){ name, addresses, n }, &rep));
    return use(c, a, rep.pem);
}

static struct err *reset_server_certificate(
    struct call *c, const struct host_reset_server_certificate_args *a, struct value *ret)
{
    const struct row *host = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->host, &host));
    return reset(c->core, c->arena);
}

static struct err *emergency_reset_server_certificate(
    struct call *c, const struct host_emergency_reset_server_certificate_args *a, struct value *ret)
{
    (void)a;
    (void)ret;
    return reset(c->core, c->arena);
}

static struct err *get_server_certificate(
    struct call *c, const struct host_get_server_certificate_args *a, struct value *ret)
{
    struct door_shown_rep rep = { 0 };
    const struct row *host = NULL;
    struct ipc_peer *gate = NULL;

    TRY(call_row(c, C_host, a->host, &host));
    TRY(core_need_gate(c->core, &gate));
    TRY(door_shown(gate, c->arena, &(struct door_shown_req){ 0 }, &rep));
    *ret = value_str(rep.facts.pem);
    return NULL;
}

/* The file says it to a gate that starts again, before this process can. */
static struct err *set_https_only(struct call *c, const struct host_set_https_only_args *a, struct value *ret)
{
    struct ipc_peer *host = NULL;

    (void)ret;
    TRY(machine_peer(c, a->self, &host));
    TRY(machine_gate_tls_only(host, c->arena, &(struct machine_gate_tls_only_req){ a->value }));
    TRY(core_set(c->core, a->self, F_host_https_only, value_bool(a->value)));
    return tell_tls_only(c->core, c->arena, a->value);
}

void certificate_register(struct api_handlers *h)
{
    h->host_install_server_certificate = install_server_certificate;
    h->host_reset_server_certificate = reset_server_certificate;
    h->host_emergency_reset_server_certificate = emergency_reset_server_certificate;
    h->host_get_server_certificate = get_server_certificate;
    h->host_set_https_only = set_https_only;
}
