#include "net/backend.h"
#include "base/fd.h"
#include "base/str.h"
#include "ipc/ipc.h"

void net_backend_free(struct net_backend *b)
{
    if (b->free)
        b->free(b->ctx);
    *b = (struct net_backend){ 0 };
}

bool net_name_valid(const char *name)
{
    size_t n = strlen(name);

    if (n < 1 || n > 15 || cstr_eq(name, ".") || cstr_eq(name, ".."))
        return false;
    for (; *name; name++)
        if (*name <= ' ' || *name == '/' || *name == '%' || *name == ':' || *name == 127)
            return false;
    return true;
}

static struct err *name_check(const char *name)
{
    return net_name_valid(name) ? NULL : err_internal("%s is no name for an interface", name);
}

static struct err *on_scan(struct ipc_call *c, struct net_scan_req *req, struct net_scan_rep *rep)
{
    struct net_backend *b = c->ctx;

    (void)req;
    return b->scan(b->ctx, c->arena, &rep->nics, &rep->n_nics);
}

static struct err *network_up(struct net_backend *b, const struct net_network *network)
{
    TRY(name_check(network->bridge));
    if (*network->uplink)
        TRY(name_check(network->uplink));
    if (*network->uplink && (*network->nat || *network->nat6))
        return err_internal("a network has an uplink, or NAT");
    if (network->tagged && (!*network->uplink || network->tag > NET_TAG_MAX))
        return err_internal("%u is no tag", network->tag);
    for (size_t i = 0; i < network->bond.n_members; i++)
        TRY(name_check(network->bond.members[i]));
    if (network->bond.n_members && (!*network->uplink || network->tagged))
        return err_internal("a bond is the uplink of its own network");
    return b->bridge_up(b->ctx, network);
}

static struct err *on_bridge_up(struct ipc_call *c, struct net_bridge_up_req *req)
{
    return network_up(c->ctx, &req->network);
}

static struct err *on_bridge_down(struct ipc_call *c, struct net_bridge_down_req *req)
{
    struct net_backend *b = c->ctx;

    TRY(name_check(req->bridge));
    if (*req->nic)
        TRY(name_check(req->nic));
    return b->bridge_down(b->ctx, req);
}

static struct err *on_tap_open(struct ipc_call *c, struct net_tap_open_req *req, struct net_tap_open_rep *rep)
{
    struct net_backend *b = c->ctx;
    char name[16] = "";

    TRY(name_check(req->bridge));
    TRY(b->tap_open(b->ctx, req, &rep->tap, name));
    rep->name = arena_strdup(c->arena, name);
    return NULL;
}

static struct err *on_tap_lock(struct ipc_call *c, struct net_tap_lock_req *req)
{
    struct net_backend *b = c->ctx;

    return b->tap_lock(b->ctx, req);
}

/* One message for both: of two moves the last one wins. */
static struct err *on_tap_move(struct ipc_call *c, struct net_tap_move_req *req)
{
    struct net_backend *b = c->ctx;

    TRY(network_up(b, &req->network));
    return b->tap_move(b->ctx, req);
}

static const struct net_ops ops = {
    .scan = on_scan,
    .bridge_up = on_bridge_up,
    .bridge_down = on_bridge_down,
    .tap_open = on_tap_open,
    .tap_lock = on_tap_lock,
    .tap_move = on_tap_move,
};

void net_mount(struct ipc_peer *peer, struct net_backend *b)
{
    ipc_serve(peer, &net_service, &ops, b);
}
