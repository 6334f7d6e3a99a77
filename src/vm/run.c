#include "vm/run.h"
#include <inttypes.h>
#include "base/mem.h"
#include "gen/errors.h"
#include "proto/base64.h"
#include "vm/private.h"

#define SCRIPT_MAX 65536
#define OUT_MAX (256 * 1024)
#define LOOK_MIN_US 50000
#define LOOK_MAX_US 1000000

/* guest-exec-status tells bytes as base64; what is not, is nothing. */
static struct str bytes_of(struct arena *a, const struct value *status, const char *key)
{
    const char *text = value_map_str(status, key);
    AUTO(buf_done) struct buf b;
    struct base64 s = { 0 };

    buf_init(&b, OUT_MAX);
    if (!base64_decode(&s, &b, str_of(text)) || !base64_done(&s) || b.overflow)
        return STR("");
    return (struct str){ arena_dup(a, b.p ? b.p : "", b.len), b.len };
}

static int64_t number_of(const struct value *map, const char *key, int64_t otherwise)
{
    const struct value *v = map->kind == V_MAP ? value_map_get(map, key) : NULL;

    return v && v->kind == V_INT ? v->i : otherwise;
}

static struct err *start(struct vm_service *s, struct arena *a, const char *script, int64_t *ret_pid)
{
    AUTO(buf_done) struct buf args;
    struct value v = VALUE_NIL;

    buf_init(&args, SCRIPT_MAX * 2);
    buf_add_c(&args, "{\"path\":\"/bin/sh\",\"arg\":[\"-s\"],\"capture-output\":true,\"input-data\":\"");
    base64_encode(&args, str_of(script));
    buf_add_c(&args, "\"}");
    if (args.overflow)
        return err_xenapi_plugin_failure("length restriction", "", "The script is too long");
    TRY(vm_survey_talk(s, a, "guest-exec", args.p, &v));
    *ret_pid = number_of(&v, "pid", -1);
    return *ret_pid < 0 ? err_internal("the guest's agent does not say what it started") : NULL;
}

static struct err *wait_end(
    struct vm_service *s, struct arena *a, int64_t pid, uint64_t timeout_ms, struct vm_run_rep *rep)
{
    uint64_t deadline = clock_now(s->loop) + timeout_ms * 1000, pause = LOOK_MIN_US;
    const char *args = arena_printf(a, "{\"pid\":%" PRId64 "}", pid);

    for (;;) {
        struct value v = VALUE_NIL;

        TRY(vm_survey_talk(s, a, "guest-exec-status", args, &v));
        const struct value *exited = v.kind == V_MAP ? value_map_get(&v, "exited") : NULL;
        if (exited && exited->kind == V_BOOL && exited->b) {
            rep->exit = number_of(&v, "exitcode", 128 + number_of(&v, "signal", 0));
            rep->out = bytes_of(a, &v, "out-data");
            rep->err = bytes_of(a, &v, "err-data");
            return NULL;
        }
        if (clock_now(s->loop) >= deadline)
            return err_xenapi_plugin_failure("timeout", "", "The script is not done in time; it runs on");
        fiber_sleep(pause);
        if (fiber_interrupted())
            return ipc_interrupted();
        pause = pause * 2 > LOOK_MAX_US ? LOOK_MAX_US : pause * 2;
    }
}

struct err *vm_on_run(struct ipc_call *c, struct vm_run_req *req, struct vm_run_rep *rep)
{
    struct vm_service *s = c->ctx;
    struct err *e;
    int64_t pid = -1;

    TRY(vm_expect(s, VM_IN(VM_RUNNING), "running"));
    if (!s->survey.report.live || !s->survey.can_run)
        return err_vm_lacks_feature(s->plan.ref);
    vm_hold(s);
    s->survey.talks++;
    e = start(s, c->arena, req->script, &pid);
    if (!e)
        e = wait_end(s, c->arena, pid, req->timeout_ms, rep);
    s->survey.talks--;
    if (e && err_is(e, "INTERNAL_ERROR") && s->life == VM_RUNNING) {
        struct err *said = err_xenapi_plugin_failure("failed to execute fn", "", err_param(e, 0));
        err_ignore(e, "it is told as the plug-in's failure");
        e = said;
    } else if (e && err_is(e, "INTERNAL_ERROR")) {
        err_ignore(e, "the guest ended meanwhile");
        e = vm_expect(s, VM_IN(VM_RUNNING), "running");
    }
    vm_release(s);
    return e;
}
