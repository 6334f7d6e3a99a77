#include "cli/console.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include "base/fd.h"

#define ESCAPE 0x1d /* Ctrl-] */
#define PIECE 4096

struct terminal {
    bool raw;
    struct termios old;
};

static void terminal_back(struct terminal *t)
{
    if (t->raw)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &t->old);
}

static void terminal_raw(struct terminal *t)
{
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &t->old) < 0)
        return;
    raw = t->old;
    cfmakeraw(&raw);
    t->raw = tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) == 0;
}

static struct err *from_guest(struct web *w, bool *ret_ended)
{
    char piece[PIECE];
    size_t n;

    do {
        TRY(web_read(w, piece, sizeof(piece), &n));
        *ret_ended = n == 0;
        TRY(fd_write_all(STDOUT_FILENO, piece, n));
    } while (n && (w->in.len || link_pending(w->link)));
    return NULL;
}

/* *more: standard input goes on; *ended: the user is done. */
static struct err *to_guest(struct web *w, bool *more, bool *ended)
{
    char piece[PIECE];
    ssize_t n = read(STDIN_FILENO, piece, sizeof(piece));
    char *escape = n > 0 ? memchr(piece, ESCAPE, (size_t)n) : NULL;

    if (n < 0 && errno == EINTR)
        return NULL;
    *more = n > 0;
    *ended = escape != NULL;
    if (escape)
        n = escape - piece;
    return n > 0 ? link_write(w->link, piece, (size_t)n) : NULL;
}

static struct err *carry(struct web *w)
{
    bool ended = false, more = true;

    if (w->in.len)
        TRY(from_guest(w, &ended));
    while (!ended) {
        struct pollfd fds[] = { { link_fd(w->link), POLLIN, 0 }, { more ? STDIN_FILENO : -1, POLLIN, 0 } };

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return err_errno(errno, "poll");
        if (fds[1].revents)
            TRY(to_guest(w, &more, &ended));
        if (!ended && fds[0].revents)
            TRY(from_guest(w, &ended));
    }
    return NULL;
}

struct err *console_attach(struct xe *x, const char *console_uuid)
{
    const char *const pairs[] = { "uuid", console_uuid };
    struct terminal terminal = { 0 };
    struct web w;
    struct err *e;

    TRY(xe_open(x, &w));
    e = web_send(&w, "CONNECT", xe_query(x, "/console", pairs, 1), "", NULL, -1);
    if (!e)
        e = web_answer(&w);
    if (!e && w.status != 200)
        e = usage("the server answers %d %s", w.status, w.reason);
    w.left = -1;
    if (!e) {
        fprintf(stderr, "Connected; Ctrl-] ends.\n");
        terminal_raw(&terminal);
        e = carry(&w);
        terminal_back(&terminal);
        fprintf(stderr, "\n");
    }
    web_done(&w);
    return e;
}
