#include "hyper/sim/screen.h"
#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/bytes.h"
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"

#define WIDTH 320
#define HEIGHT 200
#define CUT_TEXT_MAX 65536

/* Pixel as the client wants it; RFC 6143, 7.4. */
struct format {
    uint8_t bytes;
    bool big_endian;
    uint16_t max[3];
    uint8_t shift[3];
};

struct console {
    int fd;     /* owned */
    char *name; /* owned */
    bool is_screen;
    struct format format;
};

static bool read_n(int fd, void *p, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = recv(fd, (char *)p + at, len - at, MSG_DONTWAIT);

        if (n > 0)
            at += (size_t)n;
        else if (n == 0 || errno != EAGAIN || !fiber_wait_fd(fd, EPOLLIN, FOREVER))
            return false;
    }
    return true;
}

static bool write_n(int fd, const void *p, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = send(fd, (const char *)p + at, len - at, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n >= 0)
            at += (size_t)n;
        else if (errno != EAGAIN || !fiber_wait_fd(fd, EPOLLOUT, FOREVER))
            return false;
    }
    return true;
}

static bool skip_n(int fd, size_t len)
{
    char waste[512];

    for (; len > sizeof(waste); len -= sizeof(waste))
        if (!read_n(fd, waste, sizeof(waste)))
            return false;
    return read_n(fd, waste, len);
}

/* ---- the picture ---- */

static bool format_parse(const uint8_t p[16], struct format *ret)
{
    struct format f = { .bytes = p[0] / 8, .big_endian = p[2] };

    if ((p[0] != 8 && p[0] != 16 && p[0] != 32) || !p[3])
        return false; /* no colour maps */
    for (int i = 0; i < 3; i++) {
        f.max[i] = be16_get(p + 4 + 2 * i);
        f.shift[i] = p[10 + i];
        if (f.shift[i] > 31)
            return false;
    }
    *ret = f;
    return true;
}

/* Eight bars that darken downwards. */
static void pixel(const struct format *f, unsigned x, unsigned y, uint8_t *out)
{
    unsigned bar = x * 8 / WIDTH + 1, light = 255 - y * 128 / HEIGHT;
    uint32_t v = 0;

    for (int i = 0; i < 3; i++)
        v |= ((bar >> i & 1 ? light : light / 4) * f->max[i] / 255) << f->shift[i];
    for (int i = 0; i < f->bytes; i++)
        out[f->big_endian ? f->bytes - 1 - i : i] = (uint8_t)(v >> 8 * i);
}

static bool send_picture(struct console *c)
{
    uint8_t head[16] = { 0, 0, 0, 1 }, row[WIDTH * 4];

    be16_put(head + 8, WIDTH);
    be16_put(head + 10, HEIGHT);
    if (!write_n(c->fd, head, sizeof(head)))
        return false;
    for (unsigned y = 0; y < HEIGHT; y++) {
        for (unsigned x = 0; x < WIDTH; x++)
            pixel(&c->format, x, y, row + x * c->format.bytes);
        if (!write_n(c->fd, row, (size_t)WIDTH * c->format.bytes))
            return false;
    }
    return true;
}

/* ---- RFB ---- */

static bool greet(struct console *c)
{
    static const uint8_t first_format[16] = { 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0 };
    uint8_t in[12], init[24] = { 0 };

    if (!write_n(c->fd, "RFB 003.008\n", 12) || !read_n(c->fd, in, 12))
        return false;
    if (!write_n(c->fd, "\1\1", 2) || !read_n(c->fd, in, 1) || in[0] != 1) /* one way in: no authentication */
        return false;
    if (!write_n(c->fd, "\0\0\0\0", 4) || !read_n(c->fd, in, 1))
        return false;
    be16_put(init, WIDTH);
    be16_put(init + 2, HEIGHT);
    memcpy(init + 4, first_format, 16);
    be32_put(init + 20, (uint32_t)strlen(c->name));
    return format_parse(first_format, &c->format) && write_n(c->fd, init, sizeof(init)) &&
        write_n(c->fd, c->name, strlen(c->name));
}

static bool handle_message(struct console *c)
{
    uint8_t type, p[19];

    if (!read_n(c->fd, &type, 1))
        return false;
    switch (type) {
    case 0: /* SetPixelFormat */
        return read_n(c->fd, p, 19) && format_parse(p + 3, &c->format);
    case 2: /* SetEncodings: raw is always allowed */
        return read_n(c->fd, p, 3) && skip_n(c->fd, (size_t)be16_get(p + 1) * 4);
    case 3: /* FramebufferUpdateRequest; a still picture has no increments */
        return read_n(c->fd, p, 9) && (p[0] || send_picture(c));
    case 4: /* KeyEvent */
        return skip_n(c->fd, 7);
    case 5: /* PointerEvent */
        return skip_n(c->fd, 5);
    case 6: /* ClientCutText */
        return read_n(c->fd, p, 7) && be32_get(p + 3) <= CUT_TEXT_MAX && skip_n(c->fd, be32_get(p + 3));
    default:
        return false;
    }
}

static void serve_line(struct console *c)
{
    char hello[128], byte;
    int n = snprintf(hello, sizeof(hello), "%.64s: simulated guest\r\n", c->name);

    if (!write_n(c->fd, hello, (size_t)n))
        return;
    while (read_n(c->fd, &byte, 1))
        if (!write_n(c->fd, &byte, 1))
            return;
}

static void serve(void *arg)
{
    struct console *c = arg;

    if (!c->is_screen)
        serve_line(c);
    else if (greet(c))
        while (handle_message(c))
            ;
    fd_drop(&c->fd);
    free(c->name);
    free(c);
}

static struct err *console_open(struct loop *l, const char *name, bool is_screen, int *ret_fd)
{
    struct console *c;
    int fds[2];

    TRY(socket_pair(fds));
    c = mem_new(struct console);
    *c = (struct console){ .fd = fds[0], .name = mem_strdup(name), .is_screen = is_screen };
    fiber_start(l, "sim-console", serve, c);
    *ret_fd = fds[1];
    return NULL;
}

struct err *sim_screen_open(struct loop *l, const char *name, int *ret_fd)
{
    return console_open(l, name, true, ret_fd);
}

struct err *sim_line_open(struct loop *l, const char *name, int *ret_fd)
{
    return console_open(l, name, false, ret_fd);
}
