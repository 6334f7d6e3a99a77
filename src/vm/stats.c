#include "vm/stats.h"
#include "gen/ipc_stats.h"
#include "vm/private.h"

/* With a turn of its own, so nobody frees the guest meanwhile; given up for who wants to destroy it. */
static struct err *on_one(struct ipc_call *c, struct stats_one_req *req UNUSED, struct stats_one_rep *rep)
{
    struct vm_service *s = c->ctx;
    struct err *e = NULL;

    rep->guest.vm = "";
    TRY(vm_enter(s, true, false));
    if (s->guest && s->ops->stats)
        e = s->ops->stats(s->guest, &s->plan, c->arena, &rep->guest);
    vm_leave(s);
    return e;
}

void vm_stats_mount(struct vm_service *s, struct ipc_peer *p)
{
    static const struct stats_ops ops = { .one = on_one };

    ipc_serve(p, &stats_service, &ops, s);
}
