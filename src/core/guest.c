#include "core/guest.h"
#include <string.h>
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/core.h"
#include "core/message.h"
#include "core/nvram.h"
#include "core/guest_report.h"
#include "core/pif.h"
#include "core/suspend.h"
#include "core/vm.h"
#include "core/vtpm.h"
#include "gen/ipc_host.h"
#include "gen/ipc_vmevents.h"

void guest_put_nvram(struct core *c, struct tx *t, struct arena *a, const char *vm_ref, struct str bytes)
{
    const struct row *vm = store_find_of(c->store, C_VM, vm_ref);

    if (!vm || !bytes.len)
        return;
    const char *text = nvram_to_text(a, bytes);

    if (*text)
        tx_set(t, vm_ref, F_VM_NVRAM,
            value_map_with(a, row_get(vm, F_VM_NVRAM), value_str("EFI-variables"), value_str(text)));
}

/* What is in the guest, and what is not, whoever died while it was plugged. */
static void take_devices(struct core *c, struct tx *t, const char *vm_ref, const struct vm_state *s)
{
    const struct row *vm = store_find_of(c->store, C_VM, vm_ref);
    AUTO(map_drop) struct map *there = map_new();

    for (size_t i = 0; i < s->n_devices; i++)
        map_put(there, s->devices[i].ref, (void *)(uintptr_t)s->devices[i].name);
    for (size_t i = 0; vm && i < row_n_related(vm, F_VM_VBDs); i++) {
        const struct row *vbd = row_related(vm, F_VM_VBDs, i);
        const char *name = map_get(there, row_ref(vbd));

        if (row_get(vbd, F_VBD_current_operations)->n) /* its end says it */
            continue;
        tx_set(t, row_ref(vbd), F_VBD_currently_attached, value_bool(name != NULL));
        if (name)
            tx_set(t, row_ref(vbd), F_VBD_device, value_str(name));
    }
    for (size_t i = 0; vm && i < row_n_related(vm, F_VM_VIFs); i++) {
        const struct row *vif = row_related(vm, F_VM_VIFs, i);
        bool is_there = map_get(there, row_ref(vif));

        if (row_get(vif, F_VIF_current_operations)->n)
            continue;
        tx_set(t, row_ref(vif), F_VIF_currently_attached, value_bool(is_there));
        if (is_there)
            pif_note_plugged(c, t, row_str(vif, F_VIF_network));
    }
}

void guest_take_state(struct core *c, struct tx *t, const char *vm_ref, const struct vm_state *s)
{
    if (strcmp(s->power, "Halted") == 0)
        vm_set_halted(c, t, vm_ref);
    else if (strcmp(s->power, "Suspended") == 0)
        vm_set_suspended(c, t, vm_ref);
    else if (strcmp(s->power, "Running") == 0 || strcmp(s->power, "Paused") == 0) {
        vm_set_running(c, t, vm_ref, s);
        if (s->domid > 0) /* else nobody has asked the guest yet: it is only known to be there */
            take_devices(c, t, vm_ref, s);
    }
}

struct err *guest_ask(struct core *c, struct arena *a, const char *uuid, struct vm_state *ret_state)
{
    struct ipc_peer *host = NULL;
    struct host_vm_list_rep rep = { 0 };

    TRY(core_need_host(c, &host));
    TRY(host_vm_list(host, a, &(struct host_vm_list_req){ 0 }, &rep));
    *ret_state = (struct vm_state){ .vm = uuid, .ref = "", .power = "Halted" };
    for (size_t i = 0; i < rep.n_vms; i++)
        if (strcmp(rep.vms[i].vm, uuid) == 0)
            *ret_state = rep.vms[i];
    return strcmp(ret_state->power, "Halted") == 0 ? suspend_truth(c, a, uuid, &ret_state->power) : NULL;
}

/* What it did by itself. Of what an operation of ours asked for, the operation's end tells; a crash nobody asked for.
 */
static void raise_for(struct core *c, struct arena *a, const char *vm_ref, const char *what, bool asked)
{
    static const struct {
        const char *what, *alert, *text;
        bool unasked;
    } alerts[] = {
        { "shutdown", "VM_SHUTDOWN", "shut itself down", false },
        { "reboot", "VM_REBOOTED", "rebooted itself", false },
        { "crash", "VM_CRASHED", "crashed", true },
        { "gone", "VM_CRASHED", "ended without shutting down", false },
    };

    for (size_t i = 0; i < ARRAY_LEN(alerts); i++)
        if (strcmp(alerts[i].what, what) == 0 && (alerts[i].unasked || !asked))
            message_raise_vm(c, a, alerts[i].alert, vm_ref, alerts[i].text);
}

static void told(
    struct core *c, struct arena *a, const char *vm_ref, const struct vm_state *s, const char *what, struct str nvram)
{
    struct vm_state is = *s;
    struct err *lost = strcmp(s->power, "Halted") == 0 ? suspend_truth(c, a, arena_strdup(a, s->vm), &is.power) : NULL;
    const struct row *vm = store_find_of(c->store, C_VM, vm_ref);

    if (lost) /* asked again when the host comes back */
        err_ignore(lost, "then it is as was told");
    if (!vm || row_get(vm, F_VM_current_operations)->n) { /* begun while we asked: its end looks again */
        free(vm ? map_put(c->missed, row_str(vm, F_VM_uuid), mem_strdup("unknown")) : NULL);
        return;
    }
    struct tx *t = tx_begin(c->store);
    guest_put_nvram(c, t, a, vm_ref, nvram);
    guest_take_state(c, t, vm_ref, &is);
    struct err *e = tx_commit(t);
    log_info(
        "guest changed", F("vm", s->vm), F("what", what), F("power", is.power), F("error", e ? err_text(e) : NULL));
    err_free(e);
    ops_refresh_vm(c, vm_ref);
    suspend_tidy_after(c, vm_ref);
    waitq_wake_all(&c->ops);
}

/* Balloons move while anything else goes on. What an operation brings may be older than this, so its end looks again.
 */
static struct err *take_memory(struct core *c, const struct row *vm, uint64_t bytes)
{
    if (row_get(vm, F_VM_current_operations)->n)
        free(map_put(c->missed, row_str(vm, F_VM_uuid), mem_strdup("unknown")));
    const struct row *metrics = row_follow(c->store, vm, F_VM_metrics);

    if (metrics && bytes)
        log_err(LOG_WARN_, "what a balloon leaves a guest is not noted",
            core_set(c, row_ref(metrics), F_VM_metrics_memory_actual, value_int((int64_t)bytes)));
    return NULL;
}

static struct err *on_changed(struct ipc_call *ic, struct vmevents_changed_req *req)
{
    struct core *c = ic->ctx;
    const struct row *vm = store_by_uuid(c->store, C_VM, req->vm);

    if (!vm)
        return NULL;
    if (strcmp(req->what, "memory") == 0)
        return take_memory(c, vm, req->state.memory);
    bool asked = row_get(vm, F_VM_current_operations)->n != 0;
    const char *ref = arena_strdup(ic->arena, row_ref(vm));
    raise_for(c, ic->arena, ref, req->what, asked);
    if (!asked)
        told(c, ic->arena, ref, &req->state, req->what, req->nvram);
    else /* the operation's end tells the state; guest_catch_up() looks whether this came after it */
        free(map_put(c->missed, req->vm, mem_strdup(req->state.power)));
    return NULL;
}

struct question {
    struct core *core;
    char *vm_ref; /* owned */
};

static void ask_again(void *arg)
{
    struct question *q = arg;
    struct core *c = q->core;
    AUTO(mem_drop) char *ref = q->vm_ref;
    AUTO(arena_drop) struct arena *a = arena_new();
    const struct row *vm = store_find_of(c->store, C_VM, ref);
    struct vm_state state;

    free(q);
    if (!vm)
        return;
    struct err *e = guest_ask(c, a, arena_strdup(a, row_str(vm, F_VM_uuid)), &state);
    if (e) { /* a host that is gone is asked for everything when it comes back */
        log_err(LOG_WARN_, "cannot ask for a guest's state", e);
        return;
    }
    vm = store_find_of(c->store, C_VM, ref);
    if (vm && row_get(vm, F_VM_current_operations)->n) /* the next one has begun already: look again at its end */
        free(map_put(c->missed, row_str(vm, F_VM_uuid), mem_strdup("unknown")));
    else if (vm)
        told(c, a, ref, &state, "found", (struct str){ "", 0 });
}

void guest_catch_up(struct core *c, const char *vm_ref)
{
    const struct row *vm = store_find_of(c->store, C_VM, vm_ref);
    AUTO(mem_drop) char *state = vm ? map_remove(c->missed, row_str(vm, F_VM_uuid)) : NULL;

    if (!state || strcmp(state, row_str(vm, F_VM_power_state)) == 0)
        return;
    struct question *q = mem_new(struct question);
    *q = (struct question){ c, mem_strdup(vm_ref) };
    fiber_start(c->loop, "ask again", ask_again, q);
}

static struct err *on_reported(struct ipc_call *ic, struct vmevents_reported_req *req)
{
    struct core *c = ic->ctx;
    const struct row *vm = store_by_uuid(c->store, C_VM, req->vm);
    struct err *e = vm ? guest_report_take(c, arena_strdup(ic->arena, row_ref(vm)), &req->report) : NULL;

    if (e)
        log_err(LOG_WARN_, "a guest's report is not kept, the next one may be", e);
    return NULL;
}

void core_mount_events(struct core *c, struct ipc_peer *host)
{
    static const struct vmevents_ops ops = { .changed = on_changed, .reported = on_reported, .tpm_keep = vtpm_on_keep };

    ipc_serve(host, &vmevents_service, &ops, c);
}
