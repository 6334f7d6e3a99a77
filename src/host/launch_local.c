#include "host/launch_local.h"
#include "base/mem.h"
#include "host/cell.h"
#include "vm/service.h"

/* The far end of a pair goes when the near one was closed, and its service with it. */
static void on_closed(void *ctx, struct ipc_peer *p)
{
    ipc_close(p);
    vm_service_free(ctx);
}

static struct err *local_launch(void *ctx, struct cell *cell, struct ipc_peer **ret_peer, int *ret_pidfd)
{
    struct vm_local *l = ctx;
    struct vm_service_env env = { .dir = cell->dir };
    struct vm_service *service = NULL;
    struct ipc_peer *far;

    TRY(vm_service_new(l->loop, l->ops, &env, &service));
    ipc_pair(l->loop, ret_peer, &far);
    vm_service_mount(service, far);
    ipc_on_close(far, on_closed, service);
    *ret_pidfd = -1;
    return NULL;
}

struct launcher launcher_local(struct vm_local *l)
{
    return (struct launcher){ l, local_launch, NULL, NULL };
}
