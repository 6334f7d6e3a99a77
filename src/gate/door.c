/* The service of the front door: what the core may ask about certificates, and change of the gate. */
#include "base/mem.h"
#include "gate/conn.h"
#include "gen/ipc_door.h"
#include "proto/cert.h"

static struct door_facts facts_of(const struct cert_facts *f)
{
    return (struct door_facts){ f->pem, f->sha256, f->sha1, f->not_before_s, f->not_after_s };
}

static const struct door_facts nothing = { "", "", "", 0, 0 };

static struct err *on_shown(struct ipc_call *c, struct door_shown_req *req, struct door_shown_rep *rep)
{
    struct tls_server *tls = gate_config(c->ctx)->tls;
    AUTO(buf_done) struct buf pem;
    struct cert_facts f;

    (void)req;
    buf_init(&pem, CERT_PEM_MAX);
    rep->facts = nothing;
    if (!tls)
        return NULL;
    TRY(tls_server_certificate(tls, &pem));
    TRY(cert_read(c->arena, buf_str(&pem), &f));
    rep->facts = facts_of(&f);
    return NULL;
}

static struct err *on_judge(struct ipc_call *c, struct door_judge_req *req, struct door_judge_rep *rep)
{
    return cert_check_server(
        c->arena, (int64_t)req->now_s, str_of(req->certificate), str_of(req->key), str_of(req->chain), &rep->pem);
}

static struct err *on_make(struct ipc_call *c, struct door_make_req *req, struct door_make_rep *rep)
{
    AUTO(buf_done) struct buf pem;

    buf_init(&pem, CERT_PEM_MAX);
    TRY(tls_make_self_signed(req->hostname, req->addresses, req->n_addresses, &pem));
    rep->pem = arena_strndup(c->arena, pem.p, pem.len);
    mem_wipe(pem.p, pem.len);
    return NULL;
}

static struct err *on_show(struct ipc_call *c, struct door_show_req *req)
{
    struct tls_server *tls = NULL;

    TRY(tls_server_new(str_of(req->pem), &tls));
    gate_take_tls(c->ctx, tls);
    return NULL;
}

static struct err *on_read(struct ipc_call *c, struct door_read_req *req, struct door_read_rep *rep)
{
    struct cert_facts f;
    struct err *e = cert_read(c->arena, str_of(req->pem), &f);

    rep->facts = e ? nothing : facts_of(&f);
    if (e)
        err_ignore(e, "whose text this is has words of its own for that");
    return NULL;
}

static struct err *on_read_crl(struct ipc_call *c, struct door_read_crl_req *req, struct door_read_crl_rep *rep)
{
    struct err *e = cert_read_crl(str_of(req->pem));

    (void)c;
    rep->ok = !e;
    if (e)
        err_ignore(e, "whose text this is has words of its own for that");
    return NULL;
}

static struct err *on_tls_only(struct ipc_call *c, struct door_tls_only_req *req)
{
    gate_set_tls_only(c->ctx, req->on);
    return NULL;
}

static struct err *on_requests(struct ipc_call *c, struct door_requests_req *req, struct door_requests_rep *rep)
{
    const struct gate_count *counts = gate_counts(c->ctx);

    (void)req;
    rep->counts = arena_new_array(c->arena, ACTIONS_MAX, struct door_count);
    for (size_t i = 0; i < ACTIONS_MAX && counts[i].action; i++)
        rep->counts[rep->n_counts++] = (struct door_count){ counts[i].action->method, counts[i].action->path,
            counts[i].requests, counts[i].connections };
    return NULL;
}

void door_mount(struct gate *g, struct ipc_peer *core)
{
    static const struct door_ops ops = {
        .shown = on_shown,
        .judge = on_judge,
        .make = on_make,
        .show = on_show,
        .read = on_read,
        .read_crl = on_read_crl,
        .tls_only = on_tls_only,
        .requests = on_requests,
    };

    ipc_serve(core, &door_service, &ops, g);
}
