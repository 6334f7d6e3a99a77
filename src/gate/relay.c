#include "gate/relay.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "gate/rfb.h"

/*
 * Bytes go from the source into one scratch buffer that all relays share, and
 * from there to the sink at once; only what the sink did not take is copied
 * into the relay. While such a rest waits, its source is not read.
 */
#define SCRATCH_SIZE (256 * 1024)
#define REST_MAX (1024 * 1024)
#define ROUNDS_AT_ONCE 8                  /* then others have their turn */
#define GRACE_US ((uint64_t)10 * 1000000) /* for the core to close after the client has */

static char scratch[SCRATCH_SIZE];

struct relay {
    struct relay_spec spec;
    struct watch *client, *core; /* core is NULL for files: always ready */
    struct timer *timer;
    struct buf to_client, to_core; /* rests */
    uint64_t up, down;             /* bytes relayed */
    uint64_t active_us;            /* last sign of a person */
    uint64_t ends_us;              /* 0, or when patience ends */
    struct ws_in ws;
    struct base64 base64;
    struct rfb_watch rfb;
    uint32_t client_want, core_want; /* events asked for in this run */
    bool up_ended;                   /* nothing more from the client; after its rest the core is told */
    bool up_told;
    bool down_ended; /* nothing more to the client but the rest */
    bool complete, finished, again;
};

static void run(struct relay *r);

static bool is_file(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
}

static void finish(struct relay *r, bool complete)
{
    if (r->finished)
        return;
    r->complete = complete;
    r->finished = true;
}

static void destroy(struct relay *r)
{
    struct relay_spec spec = r->spec;
    uint64_t bytes = spec.direction == RELAY_UP ? r->up : spec.direction == RELAY_DOWN ? r->down : r->up + r->down;
    bool complete = r->complete;

    watch_free(r->client);
    watch_free(r->core);
    timer_free(r->timer);
    stream_done(&spec.client);
    fd_drop(&spec.fd);
    buf_done(&r->to_client);
    buf_done(&r->to_core);
    buf_done(&r->spec.early);
    free(r);
    spec.done(spec.ctx, bytes, complete);
}

/* To the core. 0: all gone; -EAGAIN: a rest waits; other: the core does not listen. */
static int push_core(struct relay *r, const char *p, size_t len)
{
    while (len) {
        ssize_t n = write(r->spec.fd, p, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return -errno;
        if (n < 0) {
            buf_add(&r->to_core, p, len);
            return r->to_core.overflow ? -ENOBUFS : -EAGAIN;
        }
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int push_client(struct relay *r, const char *p, size_t len)
{
    while (len) {
        ssize_t n = stream_write(&r->spec.client, p, len);

        if (n == -EAGAIN) {
            r->client_want |= stream_want(&r->spec.client, EPOLLOUT);
            buf_add(&r->to_client, p, len);
            return r->to_client.overflow ? -ENOBUFS : -EAGAIN;
        }
        if (n < 0)
            return (int)n;
        p += n;
        len -= (size_t)n;
    }
    return 0;
}

static int flush_rest(struct relay *r, struct buf *rest, int (*push)(struct relay *r, const char *p, size_t len))
{
    struct buf old = *rest;
    int result;

    if (!old.len)
        return 0;
    buf_init(rest, REST_MAX); /* the push fills it anew with what remains */
    result = push(r, old.p, old.len);
    buf_done(&old);
    return result;
}

static void end_up(struct relay *r, bool complete)
{
    r->up_ended = true;
    r->complete = complete;
    if (r->spec.direction == RELAY_BOTH) {
        r->ends_us = clock_now(r->spec.loop) + GRACE_US;
        timer_set(r->timer, r->ends_us);
    }
}

/* Everything has been handed on: the core sees the end of the stream, and may still answer by closing. */
static void tell_core(struct relay *r)
{
    r->up_told = true;
    if (shutdown(r->spec.fd, SHUT_WR) < 0 && r->spec.direction == RELAY_UP)
        finish(r, r->complete); /* a pipe or a file: nobody will answer */
}

static void add_client_frame(struct relay *r, struct str payload)
{
    AUTO(buf_done) struct buf text;

    buf_init(&text, SCRATCH_SIZE * 2);
    if (r->spec.protocol != WS_BASE64) {
        ws_frame(&r->to_client, WS_OP_BINARY, payload);
        return;
    }
    base64_encode(&text, payload);
    ws_frame(&r->to_client, WS_OP_TEXT, buf_str(&text));
}

static int websocket_payload(struct relay *r, struct str data, struct buf *out)
{
    if (r->spec.protocol != WS_BASE64)
        buf_add_str(out, data);
    else if (!base64_decode(&r->base64, out, data))
        return -EPROTO;
    else if (!r->base64.n_bits || r->base64.padded)
        base64_done(&r->base64);
    return 0;
}

/* Takes frames apart; payload goes to `out`, answers to control frames to the client's rest. */
static int websocket_in(struct relay *r, char *p, size_t len, struct buf *out)
{
    for (size_t at = 0, used; at < len && !r->up_ended; at += used) {
        struct str data = { NULL, 0 };

        switch (ws_next(&r->ws, p + at, len - at, &used, &data)) {
        case WS_DATA:
            if (websocket_payload(r, data, out) < 0)
                return -EPROTO;
            break;
        case WS_PING:
            ws_frame(&r->to_client, WS_OP_PONG, data);
            break;
        case WS_CLOSE:
            ws_frame(&r->to_client, WS_OP_CLOSE, data);
            end_up(r, true);
            r->down_ended = true;
            break;
        case WS_BAD:
            return -EPROTO;
        case WS_MORE:
        case WS_PONG:
            break;
        }
    }
    return 0;
}

/* What the client sent, in scratch or early. */
static int take_from_client(struct relay *r, char *p, size_t len)
{
    struct str payload = { p, len };
    AUTO(buf_done) struct buf out;
    int result = 0;

    buf_init(&out, REST_MAX);
    if (r->spec.websocket) {
        result = websocket_in(r, p, len, &out);
        payload = buf_str(&out);
        if (result < 0) {
            ws_frame(&r->to_client, WS_OP_CLOSE, STR("\003\352")); /* 1002: protocol error */
            end_up(r, false);
            r->down_ended = true;
        }
    }
    if (r->spec.idle_timeout_s && rfb_activity(&r->rfb, payload))
        r->active_us = clock_now(r->spec.loop);
    r->up += payload.len;
    result = push_core(r, payload.p, payload.len);
    if (r->spec.direction == RELAY_UP && r->spec.up_bytes >= 0 && r->up >= (uint64_t)r->spec.up_bytes)
        end_up(r, true);
    return result;
}

static size_t up_wish(const struct relay *r)
{
    size_t most = r->spec.websocket ? SCRATCH_SIZE / 4 : SCRATCH_SIZE;

    if (r->spec.direction != RELAY_UP || r->spec.up_bytes < 0)
        return most;
    return (uint64_t)r->spec.up_bytes - r->up < most ? (size_t)((uint64_t)r->spec.up_bytes - r->up) : most;
}

static int pump_early(struct relay *r)
{
    struct buf early = r->spec.early;
    size_t wish = r->spec.direction == RELAY_UP ? up_wish(r) : early.len;
    int result;

    buf_init(&r->spec.early, 0);
    result = early.len ? take_from_client(r, early.p, early.len < wish ? early.len : wish) : 0;
    buf_done(&early);
    return result;
}

/* One round of client to core: true if more may come at once. */
static bool pump_up(struct relay *r)
{
    int pushed = flush_rest(r, &r->to_core, push_core);
    ssize_t n;

    if (!pushed && r->spec.early.len)
        pushed = pump_early(r);
    if (pushed == -EAGAIN) {
        r->core_want |= EPOLLOUT;
        return false;
    }
    if (pushed < 0) {
        finish(r, false);
        return false;
    }
    if (r->up_ended) {
        if (!r->up_told)
            tell_core(r);
        return false;
    }
    n = stream_read(&r->spec.client, scratch, up_wish(r));
    if (n == -EAGAIN) {
        r->client_want |= stream_want(&r->spec.client, EPOLLIN);
        return false;
    }
    if (n <= 0) { /* an announced length is often a guess: to be cut off is how some clients end */
        end_up(r, n == 0 && r->spec.up_bytes < 0);
        return true;
    }
    pushed = take_from_client(r, scratch, (size_t)n);
    if (pushed < 0 && pushed != -EAGAIN)
        finish(r, false);
    return true;
}

static void core_ended(struct relay *r)
{
    r->down_ended = true;
    r->complete = true;
    if (r->spec.websocket)
        ws_frame(&r->to_client, WS_OP_CLOSE, STR("\003\350")); /* 1000: that was all */
}

/* One round of core to client. */
static bool pump_down(struct relay *r)
{
    int pushed = flush_rest(r, &r->to_client, push_client);
    ssize_t n;

    if (pushed == -EAGAIN)
        return false;
    if (pushed < 0 || r->down_ended) {
        finish(r, r->complete && !pushed);
        return false;
    }
    n = read(r->spec.fd, scratch, r->spec.websocket ? SCRATCH_SIZE / 4 : SCRATCH_SIZE);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        r->core_want |= EPOLLIN;
        return false;
    }
    if (n < 0 && r->spec.direction == RELAY_DOWN) {
        finish(r, false);
        return false;
    }
    if (n <= 0) {
        core_ended(r);
        return true;
    }
    r->down += (uint64_t)n;
    if (!r->spec.websocket) {
        pushed = push_client(r, scratch, (size_t)n);
        if (pushed < 0 && pushed != -EAGAIN)
            finish(r, false);
        return pushed == 0;
    }
    add_client_frame(r, (struct str){ scratch, (size_t)n });
    return true;
}

/* An upload's core side has nothing to say but that it is done, or has given up. */
static bool watch_for_end(struct relay *r)
{
    ssize_t n = r->core ? read(r->spec.fd, scratch, SCRATCH_SIZE) : -1;

    if (n > 0)
        return true;
    if (n < 0 && (!r->core || errno == EAGAIN || errno == EINTR || errno == EBADF)) {
        if (r->core && errno != EBADF) /* EBADF: the write end of a pipe */
            r->core_want |= EPOLLIN;
        return false;
    }
    finish(r, r->complete && r->up_told);
    return false;
}

static void on_again(void *arg)
{
    struct relay *r = arg;

    r->again = false;
    run(r);
}

static void run(struct relay *r)
{
    bool more = true;

    r->client_want = r->core_want = 0;
    for (int i = 0; more && !r->finished && i < ROUNDS_AT_ONCE; i++) {
        r->client_want = r->core_want = 0;
        more = false;
        if (r->spec.direction != RELAY_DOWN)
            more |= pump_up(r);
        if (!r->finished)
            more |= r->spec.direction == RELAY_UP ? watch_for_end(r) : pump_down(r);
        if (r->to_client.overflow || r->to_core.overflow) /* pings, and nobody reads what answers them */
            finish(r, false);
    }
    if (r->finished && !r->again) {
        destroy(r);
        return;
    }
    if (r->finished)
        return; /* on_again() still holds us, and comes back here */
    if (!r->client_want && r->spec.direction == RELAY_DOWN)
        r->client_want = EPOLLPRI; /* only to hear when the client is gone */
    watch_set(r->client, more ? 0 : r->client_want);
    if (r->core)
        watch_set(r->core, more ? 0 : r->core_want);
    if (more && !r->again) {
        r->again = true;
        loop_defer(r->spec.loop, on_again, r);
    }
}

static void on_client(void *arg, uint32_t events)
{
    struct relay *r = arg;

    if (r->spec.direction == RELAY_DOWN && events & (EPOLLHUP | EPOLLERR))
        finish(r, false);
    run(r);
}

static void on_core(void *arg, uint32_t events)
{
    (void)events;
    run(arg);
}

static void on_timer(void *arg)
{
    struct relay *r = arg;
    uint64_t now = clock_now(r->spec.loop);
    uint64_t idle_at = r->active_us + (uint64_t)r->spec.idle_timeout_s * 1000000;

    if ((r->ends_us && now >= r->ends_us) || (!r->ends_us && now >= idle_at)) {
        relay_stop(r);
        return;
    }
    timer_set(r->timer, r->ends_us ? r->ends_us : idle_at);
}

void relay_stop(struct relay *r)
{
    finish(r, false);
    run(r);
}

struct relay *relay_start(const struct relay_spec *spec)
{
    struct relay *r = mem_new(struct relay);

    r->spec = *spec;
    buf_init(&r->to_client, REST_MAX);
    buf_init(&r->to_core, REST_MAX);
    r->client = watch_new(spec->loop, spec->client.fd, 0, on_client, r);
    if (!is_file(spec->fd)) {
        r->core = watch_new(spec->loop, spec->fd, 0, on_core, r);
        err_ignore(fd_set_nonblock(spec->fd, true), "a descriptor that cannot do it never says EAGAIN");
    }
    r->timer = timer_new(spec->loop, on_timer, r);
    r->active_us = clock_now(spec->loop);
    if (spec->idle_timeout_s)
        timer_set(r->timer, r->active_us + (uint64_t)spec->idle_timeout_s * 1000000);
    if (spec->direction == RELAY_UP && spec->up_bytes == 0)
        end_up(r, true);
    r->again = true; /* the first run, when our caller has put everything in place */
    loop_defer(spec->loop, on_again, r);
    return r;
}
