#include "host/service.h"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "gen/ipc_host.h"
#include "gen/ipc_net.h"
#include "gen/ipc_storage.h"
#include "gen/ipc_vmevents.h"
#include "test.h"

/*
 * The whole room on a simulated loop: cells, broker and service, with vm
 * services, storage, net and a core that are played here.
 */
#define VM1 "6a0f2f0e-3a0b-4c9d-8d43-2d8a4a0a7c11"
#define VM2 "6a0f2f0e-3a0b-4c9d-8d43-2d8a4a0a7c12"

/* A played vm service: remembers its guest across its own deaths, as the folder does. */
struct fake_vm {
    char uuid[40];
    char power[16];
    struct ipc_peer *far; /* owned */
    struct waitq change;
    bool destroyed;
};

struct room {
    struct loop *loop;
    struct host_room *host;
    struct cells *cells;
    struct launcher launcher;
    struct auth_door auth;
    struct ipc_peer *core, *core_far, *storage, *storage_far, *net, *net_far;
    struct fake_vm vms[4];
    unsigned n_launches, n_failing; /* the next so many launches fail */
    const char *fail_start;         /* vm.start fails with this */
    uint64_t slow_us;               /* vm.start takes that long */
    unsigned in_start, max_in_start;
    char what[64];
    unsigned n_events;
    unsigned n_opened;
    int image_probe[2]; /* a pipe: the images are its read end */
};

static struct room *the; /* vm services have their fake_vm as context */

static struct fake_vm *fake_of(const char *uuid)
{
    for (size_t i = 0; i < ARRAY_LEN(the->vms); i++) {
        if (cstr_eq(the->vms[i].uuid, uuid))
            return &the->vms[i];
        if (!*the->vms[i].uuid) {
            snprintf(the->vms[i].uuid, sizeof(the->vms[i].uuid), "%s", uuid);
            snprintf(the->vms[i].power, sizeof(the->vms[i].power), "Halted");
            waitq_init(&the->vms[i].change);
            return &the->vms[i];
        }
    }
    test_fail(__FILE__, __LINE__, "too many VMs");
}

static void power_set(struct fake_vm *f, const char *power)
{
    snprintf(f->power, sizeof(f->power), "%s", power);
    waitq_wake_all(&f->change);
}

static struct vm_state fake_state(struct fake_vm *f)
{
    return (struct vm_state){ .vm = f->uuid, .ref = "ref", .power = f->power, .domid = 7, .pid = 4242 };
}

static struct err *fake_start(struct ipc_call *c, struct vm_start_req *req, struct vm_start_rep *rep)
{
    struct fake_vm *f = c->ctx;

    the->in_start++;
    the->max_in_start = the->in_start > the->max_in_start ? the->in_start : the->max_in_start;
    CHECK(req->plan.n_disks == 0 || req->plan.disks[0].image > 0);
    fiber_sleep(the->slow_us);
    the->in_start--;
    if (fiber_interrupted())
        return ipc_interrupted();
    if (the->fail_start)
        return err_internal("%s", the->fail_start);
    power_set(f, "Running");
    rep->state = fake_state(f);
    return NULL;
}

static struct err *fake_attach(struct ipc_call *c, struct vm_attach_req *req, struct vm_attach_rep *rep)
{
    CHECK_STR(req->vm, ((struct fake_vm *)c->ctx)->uuid);
    rep->state = fake_state(c->ctx);
    rep->reason = "crash";
    return NULL;
}

static struct err *fake_pause(struct ipc_call *c, struct vm_pause_req *req)
{
    (void)req;
    power_set(c->ctx, "Paused");
    return NULL;
}

static struct err *fake_shutdown(struct ipc_call *c, struct vm_shutdown_req *req)
{
    struct fake_vm *f = c->ctx;
    uint64_t deadline = clock_now(the->loop) + req->timeout_ms * 1000;

    while (!cstr_eq(f->power, "Halted"))
        if (!waitq_wait(&f->change, deadline))
            return fiber_interrupted() ? ipc_interrupted() : err_new("VM_SHUTDOWN_TIMEOUT", NULL, 0);
    return f->destroyed ? err_internal("overtaken") : NULL;
}

static struct err *fake_destroy(struct ipc_call *c, struct vm_destroy_req *req)
{
    struct fake_vm *f = c->ctx;

    (void)req;
    f->destroyed = true;
    power_set(f, "Halted");
    return NULL;
}

static struct err *fake_query(struct ipc_call *c, struct vm_query_req *req, struct vm_query_rep *rep)
{
    (void)req;
    rep->state = fake_state(c->ctx);
    return NULL;
}

static struct err *fake_nvram(struct ipc_call *c, struct vm_nvram_req *req, struct vm_nvram_rep *rep)
{
    (void)c;
    (void)req;
    rep->nvram = STR("variables");
    return NULL;
}

static const struct vm_ops fake_ops = { .start = fake_start,
    .attach = fake_attach,
    .pause = fake_pause,
    .shutdown = fake_shutdown,
    .destroy = fake_destroy,
    .query = fake_query,
    .nvram = fake_nvram };

static struct err *launch(void *ctx, struct cell *cell, struct ipc_peer **ret_peer, int *ret_pidfd)
{
    struct room *r = ctx;
    struct fake_vm *f = fake_of(cell->uuid);

    r->n_launches++;
    if (r->n_failing) {
        r->n_failing--;
        return err_internal("no process");
    }
    ipc_close(f->far);
    ipc_pair(r->loop, ret_peer, &f->far);
    ipc_serve(f->far, &vm_service, &fake_ops, f);
    *ret_pidfd = -1;
    return NULL;
}

static struct err *play_vdi_open(struct ipc_call *c, struct storage_vdi_open_req *req, struct storage_vdi_open_rep *rep)
{
    struct room *r = c->ctx;

    if (cstr_eq(req->uuid, "missing"))
        return err_internal("no such disk");
    r->n_opened++;
    CHECK_OK(fd_dup(r->image_probe[1], &rep->image));
    rep->format = "qcow2";
    rep->size = 1 << 20;
    return NULL;
}

static struct err *play_bridge_up(struct ipc_call *c, struct net_bridge_up_req *req)
{
    (void)c;
    CHECK_STR(req->network.uplink, "eth1");
    return NULL;
}

static struct err *play_tap_open(struct ipc_call *c, struct net_tap_open_req *req, struct net_tap_open_rep *rep)
{
    (void)c;
    (void)req;
    rep->name = "tap0";
    return NULL;
}

static struct err *play_changed(struct ipc_call *c, struct vmevents_changed_req *req)
{
    struct room *r = c->ctx;

    snprintf(r->what, sizeof(r->what), "%s/%s", req->what, req->state.power);
    r->n_events++;
    return NULL;
}

static const struct storage_ops storage_played = { .vdi_open = play_vdi_open };
static const struct net_ops net_played = { .bridge_up = play_bridge_up, .tap_open = play_tap_open };
static const struct vmevents_ops core_played = { .changed = play_changed };

static struct err *give_storage(void *ctx, struct ipc_peer **ret)
{
    *ret = ((struct room *)ctx)->storage;
    return NULL;
}

static struct err *give_net(void *ctx, struct ipc_peer **ret)
{
    *ret = ((struct room *)ctx)->net;
    return NULL;
}

static char *vm_dir(const char *uuid)
{
    return mem_printf("%s/vm%s%s", test_tmpdir_path(), *uuid ? "/" : "", uuid);
}

static void room_init(struct room *r, struct loop *loop)
{
    AUTO(mem_drop) char *dir = vm_dir("");

    the = r;
    r->loop = loop;
    r->launcher = (struct launcher){ r, launch, NULL };
    CHECK(pipe2(r->image_probe, O_CLOEXEC | O_NONBLOCK) == 0);
    ipc_pair(loop, &r->storage, &r->storage_far);
    ipc_serve(r->storage_far, &storage_service, &storage_played, r);
    ipc_pair(loop, &r->net, &r->net_far);
    ipc_serve(r->net_far, &net_service, &net_played, r);
    auth_door_init(&r->auth, loop, "/nonexistent/auth", NULL);
    struct cells_config config = { .dir = dir,
        .launcher = &r->launcher,
        .on_change = host_room_changed,
        .on_report = host_room_reported,
        .on_tpm = host_room_tpm,
        .ctx = &r->host };
    CHECK_OK(cells_new(loop, &config, &r->cells));
    struct host_room_config host = { .cells = r->cells,
        .broker = { r, give_storage, give_net, "/nonexistent" },
        .auth = &r->auth,
        .inventory = { .root = "/nonexistent" } };
    r->host = host_room_new(&host);
    ipc_pair(loop, &r->core_far, &r->core);
    host_room_mount(r->host, r->core_far);
    ipc_serve(r->core, &vmevents_service, &core_played, r);
}

static void room_done(struct room *r)
{
    ipc_close(r->core);
    ipc_close(r->core_far);
    cells_free(r->cells);
    host_room_free(r->host);
    ipc_close(r->storage);
    ipc_close(r->storage_far);
    ipc_close(r->net);
    ipc_close(r->net_far);
    for (size_t i = 0; i < ARRAY_LEN(r->vms); i++)
        ipc_close(r->vms[i].far);
    fd_drop(&r->image_probe[0]);
    fd_drop(&r->image_probe[1]);
}

/* True when nobody holds a disk's image any more. */
static bool images_closed(struct room *r)
{
    char c;

    fiber_sleep(1000);
    fd_drop(&r->image_probe[1]);
    return read(r->image_probe[0], &c, 1) == 0;
}

static struct err *start(struct room *r, const char *vm, const char *vdi)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct vm_disk disk = { .vbd = "vbd", .sr = "sr", .vdi = vdi };
    struct vm_nic nic = { .vif = "vif", .network = { .bridge = "xenbr0", .uplink = "eth1" } };
    struct host_vm_start_req req = {
        .plan = { .vm = vm, .ref = "ref", .disks = &disk, .n_disks = vdi ? 1 : 0, .nics = &nic, .n_nics = 1 }
    };
    struct host_vm_start_rep rep;

    TRY(host_vm_start(r->core, a, &req, &rep));
    CHECK_STR(rep.state.power, "Running");
    return NULL;
}

static struct err *op(struct room *r, const char *vm, const char *name, char ret_power[16])
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct host_vm_op_req req = { .vm = vm, .op = name, .timeout_ms = 60000 };
    struct host_vm_op_rep rep;

    TRY(host_vm_op(r->core, a, &req, &rep));
    snprintf(ret_power, 16, "%s", rep.state.power);
    if (cstr_eq(rep.state.power, "Halted") && !cstr_empty(rep.state.ref))
        CHECK(str_eq_c(rep.nvram, "variables"));
    return NULL;
}

static size_t count(struct room *r)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct host_vm_list_rep rep;

    CHECK_OK(host_vm_list(r->core, a, &(struct host_vm_list_req){ 0 }, &rep));
    return rep.n_vms;
}

static bool folder_exists(const char *uuid)
{
    AUTO(mem_drop) char *path = vm_dir(uuid);

    return access(path, F_OK) == 0;
}

struct job {
    struct room *r;
    const char *vm, *op; /* op NULL: start */
    struct err *e;
    char power[16];
    bool done;
};

static void job_run(void *arg)
{
    struct job *j = arg;

    j->e = j->op ? op(j->r, j->vm, j->op, j->power) : start(j->r, j->vm, "vdi");
    j->done = true;
}

TEST_FIBER(a_vm_is_started_used_and_destroyed)
{
    struct room r = { 0 };
    char power[16];

    room_init(&r, loop);
    CHECK_ERR(start(&r, "../../etc", NULL), "UUID_INVALID");
    CHECK_OK(start(&r, VM1, "vdi"));
    CHECK(folder_exists(VM1));
    CHECK_ERR(start(&r, VM1, "vdi"), "VM_BAD_POWER_STATE");
    CHECK_INT(count(&r), 1);
    CHECK_OK(op(&r, VM1, "pause", power));
    CHECK_STR(power, "Paused");
    CHECK_ERR(op(&r, VM1, "explode", power), "INTERNAL_ERROR");
    CHECK_OK(op(&r, VM1, "destroy", power));
    CHECK_STR(power, "Halted");
    CHECK(!folder_exists(VM1));
    CHECK_INT(count(&r), 0);
    CHECK_ERR(op(&r, VM1, "pause", power), "VM_BAD_POWER_STATE");
    CHECK_OK(op(&r, VM1, "destroy", power));
    CHECK(images_closed(&r));
    room_done(&r);
}

TEST_FIBER(a_failed_start_gives_everything_back)
{
    struct room r = { .fail_start = "no memory" };

    room_init(&r, loop);
    CHECK_ERR(start(&r, VM1, "vdi"), "INTERNAL_ERROR");
    CHECK(!folder_exists(VM1));
    CHECK_ERR(start(&r, VM1, "missing"), "INTERNAL_ERROR");
    r.n_failing = 1;
    CHECK_ERR(start(&r, VM1, NULL), "INTERNAL_ERROR");
    CHECK(!folder_exists(VM1));
    CHECK_INT(count(&r), 0);
    CHECK_INT(r.n_opened, 1);
    CHECK(images_closed(&r));
    room_done(&r);
}

TEST_FIBER(vms_start_side_by_side_and_one_vm_once)
{
    struct room r = { .slow_us = 1000000 };
    struct job jobs[] = { { &r, VM1 }, { &r, VM2 }, { &r, VM1 } };

    room_init(&r, loop);
    for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
        fiber_start(loop, "job", job_run, &jobs[i]);
    fiber_sleep(500000);
    CHECK_INT(r.in_start, 2);
    CHECK_INT(count(&r), 2); /* waits until both are there */
    fiber_sleep(2000000);
    CHECK_OK(jobs[0].e);
    CHECK_OK(jobs[1].e);
    CHECK(jobs[2].done);
    CHECK_ERR(jobs[2].e, "VM_BAD_POWER_STATE");
    room_done(&r);
}

TEST_FIBER(destroy_overtakes_a_shutdown_that_waits)
{
    struct room r = { 0 };
    struct job shutdown = { &r, VM1, .op = "shutdown" };
    char power[16];

    room_init(&r, loop);
    CHECK_OK(start(&r, VM1, NULL));
    fiber_start(loop, "shutdown", job_run, &shutdown);
    fiber_sleep(1000000);
    CHECK(!shutdown.done);
    CHECK_OK(op(&r, VM1, "destroy", power));
    CHECK_STR(power, "Halted");
    fiber_sleep(1000);
    CHECK(shutdown.done);
    CHECK_ERR(shutdown.e, "INTERNAL_ERROR");
    CHECK(!folder_exists(VM1));
    CHECK(clock_now(loop) < 30000000);
    room_done(&r);
}

TEST_FIBER(a_core_that_comes_back_hears_the_end_of_what_it_had_asked)
{
    struct room r = { 0 };
    struct job shutdown = { &r, VM1, .op = "shutdown" };

    room_init(&r, loop);
    CHECK_OK(start(&r, VM1, NULL));
    fiber_start(loop, "shutdown", job_run, &shutdown);
    fiber_sleep(1000000);
    ipc_close(r.core);
    fiber_sleep(1000);
    CHECK(shutdown.done);
    CHECK_ERR(shutdown.e, "INTERNAL_ERROR");
    ipc_close(r.core_far);
    ipc_pair(loop, &r.core_far, &r.core);
    host_room_mount(r.host, r.core_far);
    ipc_serve(r.core, &vmevents_service, &core_played, &r);
    CHECK_INT(count(&r), 1); /* without waiting for the guest's good will */
    CHECK(clock_now(loop) < 2000000);
    power_set(fake_of(VM1), "Halted");
    fiber_sleep(1000);
    CHECK_STR(r.what, "shutdown/Halted");
    CHECK_INT(r.n_events, 1);
    CHECK_INT(count(&r), 0);
    room_done(&r);
}

TEST_FIBER(a_cancelled_start_is_undone)
{
    struct room r = { .slow_us = 5000000 };
    struct job job = { &r, VM1 };

    room_init(&r, loop);
    struct fiber *f = fiber_start(loop, "job", job_run, &job);
    fiber_sleep(1000000);
    fiber_interrupt(f);
    fiber_sleep(100000);
    CHECK(job.done);
    CHECK_ERR(job.e, "TASK_CANCELLED");
    fiber_sleep(6000000);
    CHECK_INT(count(&r), 0);
    CHECK(!folder_exists(VM1));
    room_done(&r);
}

TEST_FIBER(a_vm_process_that_dies_comes_back_with_its_guest)
{
    struct room r = { 0 };
    char power[16];

    room_init(&r, loop);
    CHECK_OK(start(&r, VM1, NULL));
    CHECK_INT(r.n_launches, 1);
    r.n_failing = 3;
    ipc_close(MOVE(fake_of(VM1)->far));
    fiber_sleep(1000);
    CHECK_INT(r.n_launches, 2);
    fiber_sleep(10000000);
    CHECK_INT(r.n_launches, 5);
    CHECK_OK(op(&r, VM1, "pause", power));
    CHECK_STR(power, "Paused");
    CHECK_INT(r.n_events, 0);
    room_done(&r);
}

TEST_FIBER(a_guest_that_ends_by_itself_is_told_once_and_cleared)
{
    struct room r = { 0 };

    room_init(&r, loop);
    CHECK_OK(start(&r, VM1, NULL));
    struct fake_vm *f = fake_of(VM1);
    struct vmevents_changed_req ev = { .vm = VM1, .what = "reboot", .detail = "", .state = fake_state(f) };
    CHECK_OK(vmevents_changed(f->far, &ev));
    fiber_sleep(1000);
    CHECK_STR(r.what, "reboot/Running");
    ev.vm = VM2; /* of another it may not speak */
    CHECK_OK(vmevents_changed(f->far, &ev));
    fiber_sleep(1000);
    CHECK_INT(r.n_events, 1);

    power_set(f, "Halted");
    ev = (struct vmevents_changed_req){ .vm = VM1, .what = "shutdown", .detail = "", .state = fake_state(f) };
    CHECK_OK(vmevents_changed(f->far, &ev));
    fiber_sleep(1000);
    CHECK_STR(r.what, "shutdown/Halted");
    CHECK_INT(r.n_events, 2);
    CHECK(!folder_exists(VM1));
    CHECK_OK(start(&r, VM1, NULL)); /* and may start again */
    room_done(&r);
}

TEST_FIBER(a_restarted_host_finds_its_guests_by_their_folders)
{
    struct room r = { 0 };
    AUTO(mem_drop) char *one = vm_dir(VM1);
    AUTO(mem_drop) char *two = vm_dir(VM2);
    AUTO(mem_drop) char *junk = vm_dir("no-uuid");

    room_init(&r, loop);
    CHECK_OK(dir_make(one, 0700));
    CHECK_OK(dir_make(two, 0700));
    CHECK_OK(dir_make(junk, 0700));
    power_set(fake_of(VM1), "Running");
    fake_of(VM2); /* ended while nobody looked */
    r.n_failing = 1;
    CHECK_OK(cells_adopt(r.cells));
    CHECK_INT(count(&r), 1); /* waits, also for the one that takes two attempts */
    CHECK(folder_exists(VM1));
    CHECK(!folder_exists(VM2));
    CHECK_STR(r.what, "crash/Halted");
    CHECK_ERR(start(&r, VM1, NULL), "VM_BAD_POWER_STATE");
    room_done(&r);
}

TEST(the_auth_process_is_believed_only_when_it_makes_sense)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct host_auth_rep rep;

    CHECK_OK(auth_answer_parse(a, STR("ok superuser\ngroup wheel\ngroup staff\n"), &rep));
    CHECK(rep.ok && rep.superuser);
    CHECK_INT(rep.n_groups, 2);
    CHECK_STR(rep.groups[1], "staff");
    CHECK_OK(auth_answer_parse(a, STR("no wrong password\n"), &rep));
    CHECK(!rep.ok && !rep.superuser);
    CHECK_STR(rep.reason, "wrong password");
    CHECK_ERR(auth_answer_parse(a, STR(""), &rep), "INTERNAL_ERROR");
    CHECK_ERR(auth_answer_parse(a, STR("ok"), &rep), "INTERNAL_ERROR");
    CHECK_ERR(auth_answer_parse(a, STR("ok root\n"), &rep), "INTERNAL_ERROR");
    CHECK_ERR(auth_answer_parse(a, STR("ok user\ngroup x"), &rep), "INTERNAL_ERROR");
}

TEST(the_auth_process_tells_a_wrong_password_from_one_that_is_not_taken)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct host_auth_change_rep rep;

    CHECK_OK(auth_change_parse(a, STR("ok superuser\n"), &rep));
    CHECK(rep.known && rep.ok);
    CHECK_OK(auth_change_parse(a, STR("refused the password is empty\n"), &rep));
    CHECK(rep.known && !rep.ok);
    CHECK_STR(rep.reason, "the password is empty");
    CHECK_OK(auth_change_parse(a, STR("no wrong password\n"), &rep));
    CHECK(!rep.known && !rep.ok);
    CHECK_ERR(auth_change_parse(a, STR(""), &rep), "INTERNAL_ERROR");
    CHECK_ERR(auth_change_parse(a, STR("ok user\n"), &rep), "INTERNAL_ERROR");
    CHECK_ERR(auth_change_parse(a, STR("ok superuser\nrefused\n"), &rep), "INTERNAL_ERROR");
}
