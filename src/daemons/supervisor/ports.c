#include "daemons/supervisor/ports.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define TRIES 100

union address {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static struct err *address_parse(struct str text, union address *ret)
{
    AUTO(mem_drop) char *plain = NULL;

    *ret = (union address){ 0 };
    if (text.len > 2 && text.p[0] == '[' && text.p[text.len - 1] == ']')
        plain = mem_printf("%.*s", (int)text.len - 2, text.p + 1);
    else
        plain = mem_printf("%.*s", (int)text.len, text.p);
    if (inet_pton(AF_INET, plain, &ret->v4.sin_addr) == 1) {
        ret->sa.sa_family = AF_INET;
        return NULL;
    }
    *ret = (union address){ 0 };
    if (inet_pton(AF_INET6, plain, &ret->v6.sin6_addr) == 1) {
        ret->sa.sa_family = AF_INET6;
        return NULL;
    }
    return err_internal("%s is no address", plain);
}

/* *port: 0 becomes the one that was free. An address family that this machine lacks is left to the gate to say. */
static struct err *keep(struct ports *p, union address a, int *port)
{
    AUTO(fd_drop) int fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    in_port_t *number = a.sa.sa_family == AF_INET ? &a.v4.sin_port : &a.v6.sin6_port;
    socklen_t len = a.sa.sa_family == AF_INET ? sizeof(a.v4) : sizeof(a.v6);

    if (fd < 0)
        return errno == EAFNOSUPPORT ? NULL : err_errno(errno, "socket");
    *number = htons((uint16_t)*port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (a.sa.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 1 }, sizeof(int));
    if (bind(fd, &a.sa, len) < 0)
        return errno == EADDRNOTAVAIL && a.sa.sa_family == AF_INET6 ? NULL : err_errno(errno, "find a free port");
    if (!*port && getsockname(fd, &a.sa, &len) == 0)
        *port = ntohs(*number);
    if (p->n == PORTS_KEPT_MAX)
        return err_internal("too many addresses to listen on");
    p->fds[p->n++] = fd_take(&fd);
    return NULL;
}

static void back_to(struct ports *p, size_t n)
{
    while (p->n > n)
        fd_drop(&p->fds[--p->n]);
}

static struct err *on_all(struct ports *p, const char *listen, int *ret_port)
{
    struct str rest = str_of(listen), word;
    union address a;
    int port = 0;

    while (rest.len) {
        str_cut(rest, ' ', &word, &rest);
        if (!word.len)
            continue;
        TRY(address_parse(word, &a));
        TRY(keep(p, a, &port));
    }
    *ret_port = port;
    return NULL;
}

static struct err *choose(struct ports *p, const char *listen, int *port)
{
    size_t before = p->n;

    if (*port != CONFIG_PORT_ANY)
        return NULL;
    for (int i = 0;; i++) { /* what is free on one address may be taken on the next */
        struct err *e = on_all(p, listen, port);

        if (!e)
            return *port > 0 ? NULL : err_internal("no address to listen on");
        back_to(p, before);
        if (i == TRIES || err_errno_get(e) != EADDRINUSE)
            return e;
        err_ignore(e, "another number");
    }
}

struct err *ports_choose(struct ports *p, struct config *c)
{
    *p = (struct ports){ 0 };
    TRY(choose(p, c->listen, &c->http_port));
    return choose(p, c->listen, &c->https_port);
}

void ports_done(struct ports *p)
{
    back_to(p, 0);
}
