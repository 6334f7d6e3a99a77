#include "vm/survey.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "gen/ipc_vmevents.h"
#include "vm/qga.h"
#include "vm/private.h"
#include "vm/report.h"

#define ANSWER_US (10 * 1000000ULL)
#define POWER_OFF_US (3 * 1000000ULL) /* in which it would say no; there is no yes */
#define PAUSE_MIN_US (1 * 1000000ULL)
#define PAUSE_MAX_US (60 * 1000000ULL)
#define ROUND_COSTS_US (15 * 1000000ULL) /* of the allowance */
#define ALLOWANCE_US (8 * ROUND_COSTS_US)
#define FAILURES_DEAD 2 /* rounds without an answer, and it is not taken for alive any more */
#define FAILURES_SLOW 6 /* and then it is asked as seldom as ever */
#define AT_WORK_MAX 64  /* rounds of one process: thousands of simulated guests show up at once */
#define ROOM_US 20000   /* until one more is tried */

static unsigned n_at_work;

/* ---- what is known ---- */

static void encode(const struct vm_report *r, struct buf *b)
{
    const struct value *const maps[] = { &r->version, &r->os, &r->networks, &r->names, &r->features };

    buf_add_char(b, r->live ? '1' : '0');
    for (size_t i = 0; i < ARRAY_LEN(maps); i++)
        value_encode(b, maps[i]);
}

static bool same(const struct vm_report *x, const struct vm_report *y)
{
    AUTO(buf_done) struct buf a, b;

    buf_init(&a, 1024 * 1024);
    buf_init(&b, 1024 * 1024);
    encode(x, &a);
    encode(y, &b);
    return a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
}

/* Takes the arena, in which the report lives. True if it says something new. */
static bool learn(struct vm_service *s, struct arena **arena, const struct vm_report *r)
{
    struct vm_survey *v = &s->survey;

    if (v->spoken && same(r, &v->report))
        return false;
    v->spoken = true;
    arena_free(v->arena);
    v->arena = MOVE(*arena);
    v->report = *r;
    struct vmevents_reported_req req = { .vm = s->plan.vm, .report = v->report };
    if (s->peer && ipc_is_open(s->peer))
        log_err(LOG_WARN_, "a guest's report could not be told, whoever attaches hears the next",
            vmevents_reported(s->peer, &req));
    return true;
}

static void learn_silence(struct vm_service *s)
{
    struct vm_survey *v = &s->survey;

    if (v->spoken && !v->report.live)
        return;
    AUTO(arena_drop) struct arena *a = arena_new();
    struct vm_report r = v->report; /* lives in the old arena: through the wire's form into the new one */
    r.live = false;
    r.version = value_copy(a, &r.version);
    r.os = value_copy(a, &r.os);
    r.networks = value_copy(a, &r.networks);
    r.names = value_copy(a, &r.names);
    r.features = value_copy(a, &r.features);
    learn(s, &a, &r);
}

/* ---- one round ---- */

/* [waits] *ret_there: somebody in the guest listens, and v->agent is the stream to it. */
static struct err *connect_agent(struct vm_service *s, bool *ret_there)
{
    AUTO(fd_drop) int fd = -1;
    struct err *e = NULL;

    *ret_there = s->survey.agent != NULL;
    if (*ret_there)
        return NULL;
    TRY(vm_enter(s, false, false));
    if (s->guest && s->ops->agent && !s->closed)
        e = s->ops->agent(s->guest, &s->plan, &fd);
    if (!e && fd >= 0) {
        s->survey.agent = qga_new(s->loop, fd_take(&fd));
        *ret_there = true;
    }
    vm_leave(s);
    return e;
}

/* A command that this agent does not have, or that fails in this guest, is passed over. */
static struct err *ask(
    struct vm_service *s, struct arena *a, const struct value *info, const char *command, struct value *ret)
{
    struct err *e;

    *ret = VALUE_NIL;
    if (info && !report_can(info, command))
        return NULL;
    if (!s->survey.agent)
        return err_internal("the guest's agent is gone");
    e = qga_call(s->survey.agent, a, command, NULL, ANSWER_US, ret);
    if (qga_refused(e)) {
        err_ignore(e, "that part of the report stays empty");
        return NULL;
    }
    return e;
}

static struct err *survey(struct vm_service *s, bool *ret_changed)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct value info, os, name, networks;
    struct vm_report r;

    TRY(ask(s, a, NULL, "guest-info", &info));
    TRY(ask(s, a, &info, "guest-get-osinfo", &os));
    TRY(ask(s, a, &info, "guest-get-host-name", &name));
    TRY(ask(s, a, &info, "guest-network-get-interfaces", &networks));
    if (s->life != VM_RUNNING || s->closed)
        return NULL;
    report_init(&r);
    r.live = true;
    report_info(a, &info, &r);
    report_os(a, &os, &r);
    s->survey.can_run = report_can(&info, "guest-exec") && !cstr_eq(value_map_str(&r.os, "distro"), "mswindows");
    s->survey.can_use_vcpus = report_can(&info, "guest-get-vcpus") && report_can(&info, "guest-set-vcpus");
    report_name(a, &name, &r);
    report_networks(a, &networks, s->plan.nics, s->plan.n_nics, &r);
    *ret_changed = learn(s, &a, &r);
    return NULL;
}

static void hang_up(struct vm_survey *v)
{
    qga_drop(&v->agent);
}

static void plan_next(struct vm_service *s, bool again, bool changed)
{
    struct vm_survey *v = &s->survey;
    uint64_t now = clock_now(s->loop), at;

    v->pause_us = changed || !v->pause_us ? PAUSE_MIN_US : v->pause_us * 2;
    if (v->pause_us > PAUSE_MAX_US || v->failures > FAILURES_SLOW)
        v->pause_us = PAUSE_MAX_US;
    at = v->asked_for ? now : now + v->pause_us;
    if (v->allowance_us > now + ALLOWANCE_US && at < v->allowance_us - ALLOWANCE_US)
        at = v->allowance_us - ALLOWANCE_US;
    if (v->asked_for || again)
        timer_set(v->timer, at);
}

static void round_of(struct vm_service *s)
{
    struct vm_survey *v = &s->survey;
    bool there = false, changed = false;
    struct err *e = s->life == VM_RUNNING ? connect_agent(s, &there) : NULL;

    if (!e && there && s->life == VM_RUNNING) {
        e = survey(s, &changed);
        v->failures = e ? v->failures + 1 : 0;
    }
    if (e) {
        if (v->agent && v->failures == 1)
            log_err(LOG_INFO_, "the guest's agent does not answer, asked again later", e);
        else
            err_ignore(e, "the first one was logged, or it was us who hung up");
        hang_up(v);
    }
    if (s->ops->agent_tells && !v->talks)
        hang_up(v);
    if (!s->closed && s->life == VM_RUNNING && (!(there || e) || v->failures >= FAILURES_DEAD || (e && !v->spoken)))
        learn_silence(s);
    plan_next(s, e || (there && !s->ops->agent_tells), changed);
}

static void round_main(void *arg)
{
    struct vm_service *s = arg;
    struct vm_survey *v = &s->survey;
    uint64_t now = clock_now(s->loop);

    v->allowance_us = (v->allowance_us > now ? v->allowance_us : now) + ROUND_COSTS_US;
    v->asked_for = false;
    if (!s->closed)
        round_of(s);
    v->at_work = false;
    n_at_work--;
    vm_release(s);
}

static void on_timer(void *arg)
{
    struct vm_service *s = arg;
    struct vm_survey *v = &s->survey;

    if (v->at_work)
        return;
    if (n_at_work >= AT_WORK_MAX) {
        timer_set(v->timer, clock_now(s->loop) + ROOM_US);
        return;
    }
    n_at_work++;
    v->at_work = true;
    vm_hold(s);
    fiber_start(s->loop, "survey", round_main, s);
}

/* ---- */

void vm_survey_soon(struct vm_service *s)
{
    struct vm_survey *v = &s->survey;
    uint64_t at = clock_now(s->loop);

    if (!s->ops->agent || s->closed)
        return;
    v->asked_for = true;
    v->pause_us = 0;
    if (v->allowance_us > at + ALLOWANCE_US)
        at = v->allowance_us - ALLOWANCE_US;
    if (!v->at_work)
        timer_set(v->timer, at);
}

void vm_survey_anew(struct vm_service *s)
{
    hang_up(&s->survey);
    s->survey.failures = 0;
    vm_survey_soon(s);
}

void vm_survey_end(struct vm_service *s)
{
    struct vm_survey *v = &s->survey;

    hang_up(v);
    timer_stop(v->timer);
    arena_drop(&v->arena);
    report_init(&v->report);
    v->spoken = false;
    v->failures = 0;
    v->pause_us = 0;
}

void vm_survey_init(struct vm_service *s)
{
    s->survey.timer = timer_new(s->loop, on_timer, s);
    report_init(&s->survey.report);
}

void vm_survey_done(struct vm_service *s)
{
    vm_survey_end(s);
    timer_drop(&s->survey.timer);
}

struct err *vm_on_report(struct ipc_call *c, struct vm_report_req *req UNUSED, struct vm_report_rep *rep)
{
    struct vm_service *s = c->ctx;

    rep->report = s->survey.report; /* encoded before anybody else runs */
    return NULL;
}

struct err *vm_survey_talk(
    struct vm_service *s, struct arena *a, const char *command, const char *args, struct value *ret_value)
{
    bool there = false;

    TRY(connect_agent(s, &there));
    if (!there || !s->survey.agent)
        return err_internal("the guest's agent is gone");
    return qga_call(s->survey.agent, a, command, args, ANSWER_US, ret_value);
}

/* ---- power ---- */

static void power_off_main(void *arg)
{
    struct vm_service *s = arg;
    struct vm_survey *v = &s->survey;
    AUTO(arena_drop) struct arena *a = arena_new();
    struct err *e = v->agent ? qga_call(v->agent, a, "guest-shutdown", "{\"mode\":\"powerdown\"}", POWER_OFF_US, NULL)
                             : err_internal("the guest's agent is gone");

    if (!qga_silent(e)) { /* silence is how it agrees */
        v->power_off_failed = true;
        waitq_wake_all(&s->change);
    }
    err_ignore(e, "the button is next");
    vm_release(s);
}

bool vm_survey_power_off(struct vm_service *s)
{
    struct vm_survey *v = &s->survey;

    v->power_off_failed = false;
    if (!v->report.live || !*value_map_str(&v->report.features, "feature-shutdown"))
        return false;
    if (!v->agent) {
        AUTO(fd_drop) int fd = -1;

        err_ignore(s->ops->agent(s->guest, &s->plan, &fd), "then it is not there");
        if (fd < 0)
            return false;
        if (!v->agent)
            v->agent = qga_new(s->loop, fd_take(&fd));
    }
    vm_hold(s);
    fiber_start(s->loop, "power off", power_off_main, s);
    return true;
}
