/*
 * Feeds a stream of bytes to a peer that serves, and has a call open: heads,
 * admission, the codec and every handler's way out. The first byte chooses
 * where the stream is cut in two, as sockets do.
 */
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/fiber.h"
#include "ipc/ipc_echo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct err *on_echo(struct ipc_call *c, struct echo_echo_req *req, struct echo_echo_rep *rep)
{
    echo_all_take(c->arena, &req->all, &rep->all);
    return NULL;
}

static struct err *on_fail(struct ipc_call *c, struct echo_fail_req *req)
{
    (void)c;
    return err_new(req->code, req->params, req->n_params);
}

static struct err *on_note(struct ipc_call *c, struct echo_note_req *req)
{
    (void)c;
    (void)req;
    return NULL;
}

static const struct echo_ops ops = { .echo = on_echo, .fail = on_fail, .note = on_note };

static void call(void *arg)
{
    struct ipc_peer *p = arg;
    struct arena *a = arena_new();
    struct echo_echo_rep rep = { 0 };
    struct err *e = echo_echo(p, a, &(struct echo_echo_req){ 0 }, &rep); /* call 1 << 16, what an answer must name */

    if (!e)
        echo_all_close(&rep.all);
    err_ignore(e, "the answers are noise");
    arena_free(a);
    ipc_unref(p);
}

static void turn(struct loop *l)
{
    while (loop_turn(l, false))
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    size_t cut = len ? data[0] % len : 0;
    struct ipc_peer *p;
    struct loop *l;
    int fds[2];

    if (len > 65536)
        return 0;
    l = loop_new_simulated(0);
    err_ignore(socket_pair(fds), "a fuzzer without descriptors shows at once");
    err_ignore(ipc_peer_new(l, fds[0], &p), "it is a socket");
    err_ignore(fd_set_nonblock(fds[1], true), "it is a socket");
    ipc_serve(p, &echo_service, &ops, NULL);
    fiber_start(l, "call", call, ipc_ref(p));
    turn(l);
    if (len && send(fds[1], data + 1, cut, MSG_NOSIGNAL) >= 0) {
        turn(l);
        if (send(fds[1], data + 1 + cut, len - 1 - cut, MSG_NOSIGNAL) >= 0)
            turn(l);
    }
    close(fds[1]);
    turn(l);
    ipc_close(p);
    turn(l);
    loop_free(l);
    return 0;
}
