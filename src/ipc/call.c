#include <assert.h>
#include <string.h>
#include "base/log.h"
#include "base/mem.h"
#include "ipc/peer.h"

/* A client's call, on the stack of the fiber that waits for it. */
struct waiting_call {
    struct waitq answered;
    bool done;
    bool lost;
    uint8_t kind; /* IPC_REPLY or IPC_ERROR */
    struct arena *arena;
    struct str payload; /* in the arena */
    struct ipc_fds fds;
};

/* A server's call, in its own arena. */
struct served_call {
    struct ipc_call pub;
    struct fiber *fiber;
    const struct ipc_op *op;
    const void *ops;
    unsigned flags;
    uint16_t op_number;
    uint32_t id;
    void *req;
    void *rep;
};

/* An error on the wire. */
struct wire_error {
    const char *code;
    const char **params;
    size_t n_params;
    const char *note; /* with its trace */
    int64_t errnum;
};
static const struct ipc_field wire_error_fields[] = {
    { "code", IPC_STRING, false, 1, offsetof(struct wire_error, code), 0, NULL },
    { "params", IPC_STRING, true, 1, offsetof(struct wire_error, params), offsetof(struct wire_error, n_params), NULL },
    { "note", IPC_STRING, false, 1, offsetof(struct wire_error, note), 0, NULL },
    { "errnum", IPC_I64, false, 1, offsetof(struct wire_error, errnum), 0, NULL },
};
static const struct ipc_type wire_error_type = { "error", sizeof(struct wire_error), 22, 4, wire_error_fields };

#define LOST_HEAD "connection to "
#define LOST_TAIL " lost"

struct err *ipc_lost(const char *whom)
{
    return err_internal(LOST_HEAD "%s" LOST_TAIL, whom);
}

bool ipc_is_lost(const struct err *e)
{
    struct str text = str_of(err_param(e, 0));

    return err_is(e, "INTERNAL_ERROR") && str_starts(text, STR(LOST_HEAD)) && str_ends(text, STR(LOST_TAIL));
}

struct err *ipc_interrupted(void)
{
    return err_new("TASK_CANCELLED", (const char *const[]){ "" }, 1);
}

bool ipc_is_interrupted(const struct err *e)
{
    return err_is(e, "TASK_CANCELLED");
}

struct err *ipc_refused(const char *op)
{
    return err_internal("%s is not offered here", op);
}

/* Frames of calls */

static struct err *frame_make(
    const struct ipc_head *head, const struct ipc_type *t, const void *x, struct frame **ret_frame)
{
    AUTO(frame_drop) struct frame *f = frame_new();
    struct ipc_head h = *head;
    char room[IPC_HEAD_SIZE] = { 0 };

    buf_add(&f->bytes, room, sizeof(room));
    if (t->n_fields)
        TRY(ipc_encode(&f->bytes, &f->fds, t, x));
    h.len = (uint32_t)(f->bytes.len - IPC_HEAD_SIZE);
    h.n_fds = (uint8_t)f->fds.n;
    ipc_head_put(f->bytes.p, &h);
    *ret_frame = MOVE(f);
    return NULL;
}

static struct err *request_make(
    const struct ipc_service *s, unsigned op, const void *req, struct ipc_head *h, struct frame **ret_frame)
{
    AUTO(frame_drop) struct frame *f = NULL;

    assert(op < s->n_ops);
    h->op = (uint16_t)(s->id << 8 | op);
    TRY(frame_make(h, s->ops[op].req, req, &f));
    if (f->bytes.len - IPC_HEAD_SIZE > s->ops[op].max)
        return err_internal("request of %s is too large", s->ops[op].name);
    *ret_frame = MOVE(f);
    return NULL;
}

/* What err_text() says after code and parameters: note and trace. */
static const char *error_note(struct err *e)
{
    const char *text = err_text(e);
    size_t n = err_n_params(e), skip = strlen(err_code(e)) + strlen(" []") + (n ? 2 * (n - 1) : 0);

    for (size_t i = 0; i < n; i++)
        skip += strlen(err_param(e, i));
    text += skip <= strlen(text) ? skip : 0;
    return text + strspn(text, " ");
}

/* Errors quote what others said, which may be no UTF-8; better a mutilated quote than none. */
static const char *clean_text(struct arena *a, const char *text)
{
    char *copy;

    if (str_is_utf8(str_of(text)))
        return text;
    copy = arena_strdup(a, text);
    for (char *p = copy; *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    return copy;
}

static struct frame *error_frame(const struct ipc_head *h, struct err *e)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    size_t n = err_n_params(e);
    const char **params = arena_new_array(a, n, const char *);
    struct wire_error w = { clean_text(a, err_code(e)), params, n, clean_text(a, error_note(e)), err_errno_get(e) };
    struct wire_error plain = { err_code(e), NULL, 0, "its text is too long to be sent", err_errno_get(e) };
    struct frame *f = NULL;

    for (size_t i = 0; i < n; i++)
        params[i] = clean_text(a, err_param(e, i));
    err_ignore(frame_make(h, &wire_error_type, &w, &f), "then without its text");
    if (!f)
        err_ignore(frame_make(h, &wire_error_type, &plain, &f), "codes are short");
    return f;
}

static struct err *error_decode(
    struct arena *a, struct str payload, struct ipc_fds *fds, const char *op, struct err **ret_error)
{
    struct wire_error w;
    struct err *e;

    TRY(ipc_decode(a, payload, fds, &wire_error_type, &w));
    e = err_new(w.code, w.params, w.n_params);
    err_errno_set(e, (int)w.errnum);
    *ret_error = *w.note ? err_note(e, "%s: %s", op, w.note) : err_note(e, "%s", op);
    return NULL;
}

/* Client */

static struct err *slot_take(
    struct ipc_peer *p, const struct ipc_service *s, uint16_t op, struct waiting_call *call, uint32_t *ret_id)
{
    struct out_slot *slot;
    size_t i;

    if (!p->free_calls.len) {
        if (p->calls.len == IPC_SLOTS_MAX)
            return err_internal("too many open calls to %s", s->name);
        vec_push(&p->free_calls, (uint16_t)p->calls.len);
        vec_push(&p->calls, ((struct out_slot){ .serial = 0 }));
    }
    i = p->free_calls.p[--p->free_calls.len];
    slot = &p->calls.p[i];
    slot->open = true;
    slot->call = call;
    slot->op = op;
    if (!++slot->serial) /* call 0 is none */
        slot->serial = 1;
    *ret_id = (uint32_t)slot->serial << 16 | (uint32_t)i;
    return NULL;
}

static struct out_slot *slot_find(struct ipc_peer *p, uint32_t id)
{
    size_t i = id & (IPC_SLOTS_MAX - 1);
    struct out_slot *slot = i < p->calls.len ? &p->calls.p[i] : NULL;

    return slot && slot->open && slot->serial == id >> 16 ? slot : NULL;
}

static void slot_give(struct ipc_peer *p, struct out_slot *slot)
{
    assert(slot);
    slot->open = false;
    slot->call = NULL;
    vec_push(&p->free_calls, (uint16_t)(slot - p->calls.p));
}

static struct err *call_start(struct ipc_peer *p, const struct ipc_service *s, unsigned op, const void *req,
    struct waiting_call *call, uint32_t *ret_id)
{
    AUTO(frame_drop) struct frame *f = NULL;
    struct ipc_head h = { .kind = IPC_CALL };
    struct err *e;

    if (fiber_interrupted())
        return ipc_interrupted();
    TRY(request_make(s, op, req, &h, &f));
    TRY(peer_wait_room(p, s->name));
    h.len = (uint32_t)(f->bytes.len - IPC_HEAD_SIZE);
    h.n_fds = (uint8_t)f->fds.n;
    TRY(slot_take(p, s, h.op, call, &h.call));
    ipc_head_put(f->bytes.p, &h);
    e = peer_put(p, MOVE(f));
    if (e)
        slot_give(p, slot_find(p, h.call));
    *ret_id = h.call;
    return e;
}

/* The caller's fiber was interrupted: the server is told, its answer will be dropped. */
static void call_give_up(struct ipc_peer *p, uint32_t id)
{
    static const struct ipc_type nothing = { "cancel", 0, 0, 0, NULL };
    struct out_slot *slot = slot_find(p, id);
    struct ipc_head h = { .kind = IPC_CANCEL, .call = id };
    struct frame *f = NULL;

    assert(slot); /* open until its answer comes */
    h.op = slot->op;
    slot->call = NULL;
    err_ignore(frame_make(&h, &nothing, NULL, &f), "a head alone cannot fail");
    err_ignore(peer_put(p, f), "without descriptors it cannot fail");
}

/* *ret_result is the handler's error; an answer that makes no sense is returned. */
static struct err *call_finish(
    struct waiting_call *w, const struct ipc_op *op, struct arena *a, void *ret_rep, struct err **ret_result)
{
    struct str in = w->payload;
    void *rep;

    if (w->kind == IPC_ERROR)
        return error_decode(w->arena, in, &w->fds, op->name, ret_result);
    if (ret_rep)
        in.p = arena_dup(a, in.p, in.len);
    else
        a = w->arena;
    rep = ret_rep ? ret_rep : arena_alloc(a, op->rep->size);
    TRY(ipc_decode(a, in, &w->fds, op->rep, rep));
    if (!ret_rep)
        ipc_close_fds(op->rep, rep);
    return NULL;
}

struct err *ipc_invoke(
    struct ipc_peer *p, const struct ipc_service *s, unsigned op, struct arena *a, const void *req, void *ret_rep)
{
    struct waiting_call w = { .done = false };
    struct err *result = NULL, *e;
    uint32_t id = 0;

    assert(fiber_self());
    waitq_init(&w.answered);
    ipc_ref(p);
    e = call_start(p, s, op, req, &w, &id);
    while (!e && !w.done)
        if (!waitq_wait(&w.answered, FOREVER) && !w.done) {
            call_give_up(p, id);
            e = ipc_interrupted();
        }
    if (!e && w.lost)
        e = ipc_lost(s->name);
    if (e) {
        ipc_unref(p);
        return e;
    }
    e = call_finish(&w, &s->ops[op], a, ret_rep, &result);
    ipc_fds_close(&w.fds);
    arena_free(w.arena);
    if (e) {
        peer_end(p, e);
        result = ipc_lost(s->name);
    }
    ipc_unref(p);
    return result;
}

struct err *ipc_post(struct ipc_peer *p, const struct ipc_service *s, unsigned op, const void *req)
{
    struct ipc_head h = { .kind = IPC_ONEWAY };
    struct frame *f = NULL;

    if (!p->open)
        return ipc_lost(s->name);
    if (p->queued > IPC_QUEUE_MAX)
        return err_internal("%s does not read", s->name);
    TRY(request_make(s, op, req, &h, &f));
    return peer_put(p, f);
}

/* Server */

void ipc_serve_with(struct ipc_peer *p, const struct ipc_service *s, const void *ops, void *ctx, unsigned flags)
{
    for (size_t i = 0; i < p->services.len; i++)
        assert(p->services.p[i].service->id != s->id);
    vec_push(&p->services, ((struct service_entry){ s, ops, ctx, flags }));
}

void ipc_serve(struct ipc_peer *p, const struct ipc_service *s, const void *ops, void *ctx)
{
    ipc_serve_with(p, s, ops, ctx, 0);
}

static const struct service_entry *service_find(const struct ipc_peer *p, uint16_t op)
{
    for (size_t i = 0; i < p->services.len; i++)
        if (p->services.p[i].service->id == op >> 8)
            return (op & 255) < p->services.p[i].service->n_ops ? &p->services.p[i] : NULL;
    return NULL;
}

static struct served_call *served_find(const struct ipc_peer *p, uint32_t id)
{
    size_t i = id & (IPC_SLOTS_MAX - 1);

    return i < p->served.len ? p->served.p[i] : NULL;
}

struct err *calls_admit(struct ipc_peer *p, const struct ipc_head *h)
{
    const struct service_entry *se = service_find(p, h->op);
    const struct out_slot *slot = slot_find(p, h->call);
    const struct ipc_op *op;

    switch (h->kind) {
    case IPC_CANCEL:
        return NULL;
    case IPC_REPLY:
    case IPC_ERROR:
        if (!slot || slot->op != h->op)
            return err_internal("malformed frame: answer to no call (op %u)", h->op);
        return NULL;
    default:
        if (!se)
            return err_internal("malformed frame: op %u is not served", h->op);
        op = &se->service->ops[h->op & 255];
        if (op->oneway != (h->kind == IPC_ONEWAY))
            return err_internal("malformed frame: %s is of another kind", op->name);
        if (h->len > op->max)
            return err_internal("malformed frame: %u bytes for %s", h->len, op->name);
        if (h->kind == IPC_CALL && served_find(p, h->call))
            return err_internal("malformed frame: call %u is open already", h->call);
        return NULL;
    }
}

/* [waits] */
static void answer(struct served_call *c, struct err *e)
{
    struct ipc_peer *p = c->pub.peer;
    struct ipc_head h = { .kind = IPC_REPLY, .call = c->id, .op = c->op_number };
    AUTO(frame_drop) struct frame *f = NULL;

    if (!e)
        e = frame_make(&h, c->op->rep, c->rep, &f);
    err_ignore(peer_wait_room(p, c->op->name), "a lost peer wants no answer, and nobody interrupts here");
    if (!e && p->open)
        e = peer_put(p, MOVE(f));
    if (e && p->open) {
        h.kind = IPC_ERROR;
        err_ignore(peer_put(p, error_frame(&h, e)), "without descriptors it cannot fail");
    }
    err_ignore(e, "it was sent, or nobody is there");
}

static void run_served(void *arg)
{
    struct served_call *c = arg;
    struct ipc_peer *p = c->pub.peer;
    struct err *e;

    c->fiber = fiber_self();
    e = c->op->run(c->ops, &c->pub, c->req, c->rep);
    fiber_interrupt_clear();
    ipc_close_fds(c->op->req, c->req);
    if (c->op->oneway) {
        log_err(LOG_WARN_, "one-way call failed", err_note(e, "%s", c->op->name));
    } else {
        p->served.p[c->id & (IPC_SLOTS_MAX - 1)] = NULL; /* before the answer lets the client use the slot again */
        answer(c, e);
    }
    ipc_close_fds(c->op->rep, c->rep);
    arena_free(c->pub.arena); /* c lies in it */
    ipc_unref(p);
}

static struct err *take_call(
    struct ipc_peer *p, const struct ipc_head *h, struct arena *arena, struct str payload, struct ipc_fds *fds)
{
    AUTO(arena_drop) struct arena *a = arena;
    const struct service_entry *se = service_find(p, h->op);
    struct served_call *c = arena_new_of(a, struct served_call);
    size_t i = h->call & (IPC_SLOTS_MAX - 1);
    const struct ipc_op *op;

    assert(se); /* calls_admit() has seen it */
    op = &se->service->ops[h->op & 255];
    c->req = arena_alloc(a, op->req->size);
    c->rep = arena_alloc(a, op->rep->size);
    TRY(ipc_decode(a, payload, fds, op->req, c->req));
    c->pub = (struct ipc_call){ .arena = a, .peer = ipc_ref(p), .ctx = se->ctx };
    c->op = op;
    c->ops = se->ops;
    c->flags = se->flags;
    c->op_number = h->op;
    c->id = h->call;
    if (!op->oneway) {
        while (p->served.len <= i)
            vec_push(&p->served, NULL);
        p->served.p[i] = c;
    }
    a = NULL; /* the call's from here on */
    fiber_run(p->loop, op->name, run_served, c);
    return NULL;
}

static void take_answer(
    struct ipc_peer *p, const struct ipc_head *h, struct arena *a, struct str payload, struct ipc_fds *fds)
{
    struct out_slot *slot = slot_find(p, h->call);
    struct waiting_call *w;

    assert(slot); /* calls_admit() has seen it */
    w = slot->call;
    slot_give(p, slot);
    if (!w) {
        ipc_fds_close(fds);
        arena_free(a);
        return;
    }
    w->kind = h->kind;
    w->arena = a;
    w->payload = payload;
    w->fds = *fds;
    fds->n = 0;
    w->done = true;
    waitq_wake_all(&w->answered);
}

static void take_cancel(struct ipc_peer *p, const struct ipc_head *h)
{
    struct served_call *c = served_find(p, h->call);

    if (!c || c->id != h->call || c->op_number != h->op)
        return; /* it has been answered meanwhile */
    c->pub.cancelled = true;
    fiber_interrupt(c->fiber);
}

struct err *calls_take(
    struct ipc_peer *p, const struct ipc_head *h, struct arena *a, const char *payload, struct ipc_fds *fds)
{
    struct str in = { payload, h->len };
    struct err *e = NULL;

    if (h->kind == IPC_CALL || h->kind == IPC_ONEWAY) {
        e = take_call(p, h, a, in, fds);
    } else if (h->kind == IPC_CANCEL) {
        arena_free(a);
        take_cancel(p, h);
    } else {
        take_answer(p, h, a, in, fds);
    }
    if (e)
        ipc_fds_close(fds);
    return e;
}

void calls_lost(struct ipc_peer *p)
{
    for (size_t i = 0; i < p->calls.len; i++) {
        struct waiting_call *w = p->calls.p[i].call;

        p->calls.p[i].call = NULL;
        if (!w)
            continue;
        w->done = w->lost = true;
        waitq_wake_all(&w->answered);
    }
    for (size_t i = 0; i < p->served.len; i++) {
        struct served_call *c = p->served.p[i];

        if (!c || !(c->flags & IPC_INTERRUPT_ON_CLOSE))
            continue;
        c->pub.cancelled = true;
        fiber_interrupt(c->fiber);
    }
}
