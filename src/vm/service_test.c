#include "vm/service.h"
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "gen/ipc_vm.h"
#include "gen/ipc_vmevents.h"
#include "hyper/sim/sim.h"
#include "test.h"
#include "vm/image.h"
#include "vm/state.h"

#define UUID "11111111-2222-4333-8444-555555555555"

static struct rig {
    struct arena *arena;
    struct loop *loop;
    struct vm_service *service;
    struct ipc_peer *host, *vm;
    struct vm_plan plan;
    char told[256];
    char agent_said[512];
    bool agent_live;
    unsigned n_reports;
} rig;

static struct err *on_changed(struct ipc_call *c UNUSED, struct vmevents_changed_req *req)
{
    size_t at = strlen(rig.told);

    if (at < sizeof(rig.told) - 1)
        snprintf(rig.told + at, sizeof(rig.told) - at, "%s/%s ", req->what, req->state.power);
    return NULL;
}

static struct err *on_reported(struct ipc_call *c UNUSED, struct vmevents_reported_req *req)
{
    rig.n_reports++;
    rig.agent_live = req->report.live;
    snprintf(rig.agent_said, sizeof(rig.agent_said), "%s|%s|%s|%s", value_map_str(&req->report.os, "name"),
        value_map_str(&req->report.names, "host_name"), value_map_str(&req->report.networks, "2/ip"),
        value_map_str(&req->report.version, "major"));
    return NULL;
}

static const struct vmevents_ops event_ops = { .changed = on_changed, .reported = on_reported };

static void mount(void)
{
    struct vm_service_env env = { .dir = test_tmpdir_path() };

    CHECK_OK(vm_service_new(rig.loop, &hyper_sim, &env, &rig.service));
    ipc_pair(rig.loop, &rig.host, &rig.vm);
    ipc_serve(rig.host, &vmevents_service, &event_ops, NULL);
    vm_service_mount(rig.service, rig.vm);
}

static void unmount(void)
{
    ipc_peer_drop(&rig.host);
    ipc_peer_drop(&rig.vm);
    fiber_sleep(1000);
    vm_service_drop(&rig.service);
}

static struct value fail_map[2];

static void setup(struct loop *loop, const char *fail)
{
    memset(&rig, 0, sizeof(rig));
    rig.loop = loop;
    rig.arena = arena_new();
    fail_map[0] = value_str("sim-fail");
    fail_map[1] = value_str(fail);
    rig.plan = (struct vm_plan){ .vm = UUID,
        .ref = "OpaqueRef:vm",
        .name = "name",
        .domid = 7,
        .memory = 64 << 20,
        .vcpus = 1,
        .vcpus_max = 1,
        .cores_per_socket = 1,
        .firmware = "bios",
        .boot_order = "",
        .cmdline = "",
        .platform = value_map(fail_map, 1),
        .bios_strings = value_map(NULL, 0),
        .on_shutdown = "destroy",
        .on_reboot = "restart",
        .on_crash = "restart" };
    mount();
}

static void done(void)
{
    CHECK_OK(vm_destroy(rig.host, rig.arena, &(struct vm_destroy_req){ 0 }));
    unmount();
    arena_drop(&rig.arena);
}

static void start(void)
{
    struct vm_start_rep rep;

    CHECK_OK(vm_start(rig.host, rig.arena, &(struct vm_start_req){ .plan = rig.plan }, &rep));
    CHECK_STR(rep.state.power, rig.plan.paused ? "Paused" : "Running");
    CHECK_INT(rep.state.domid, 7);
}

static const char *power(void)
{
    struct vm_query_rep rep;

    CHECK_OK(vm_query(rig.host, rig.arena, &(struct vm_query_req){ 0 }, &rep));
    return rep.state.power;
}

static void attach(const char *want_power, const char *want_reason)
{
    struct vm_attach_rep rep;

    CHECK_OK(vm_attach(rig.host, rig.arena, &(struct vm_attach_req){ .vm = UUID }, &rep));
    CHECK_STR(rep.state.power, want_power);
    CHECK_STR(rep.reason, want_reason);
}

TEST_FIBER(life_from_start_to_shutdown)
{
    setup(loop, "");
    start();
    struct vm_start_rep rep;
    CHECK_ERR(vm_start(rig.host, rig.arena, &(struct vm_start_req){ .plan = rig.plan }, &rep), "VM_BAD_POWER_STATE");
    CHECK_OK(vm_pause(rig.host, rig.arena, &(struct vm_pause_req){ 0 }));
    CHECK_ERR(vm_shutdown(rig.host, rig.arena, &(struct vm_shutdown_req){ 1000 }), "VM_BAD_POWER_STATE");
    CHECK_OK(vm_unpause(rig.host, rig.arena, &(struct vm_unpause_req){ 0 }));
    CHECK_OK(vm_reboot(rig.host, rig.arena, &(struct vm_reboot_req){ 1000 }));
    CHECK_OK(vm_hard_reboot(rig.host, rig.arena, &(struct vm_hard_reboot_req){ 0 }));
    CHECK_STR(power(), "Running");
    CHECK_OK(vm_shutdown(rig.host, rig.arena, &(struct vm_shutdown_req){ 1000 }));
    CHECK_STR(power(), "Halted");
    CHECK_OK(vm_destroy(rig.host, rig.arena, &(struct vm_destroy_req){ 0 })); /* gone already is success */
    fiber_sleep(1000000);
    CHECK_STR(rig.told, ""); /* all of it was asked for */
    done();
}

TEST_FIBER(paused_start_waits_for_its_first_step)
{
    setup(loop, "");
    rig.plan.paused = true;
    start();
    fiber_sleep(1000000);
    CHECK_STR(power(), "Paused");
    CHECK_OK(vm_unpause(rig.host, rig.arena, &(struct vm_unpause_req){ 0 }));
    CHECK_STR(power(), "Running");
    done();
}

TEST_FIBER(failed_start_leaves_it_halted)
{
    struct vm_start_rep rep;

    setup(loop, "start");
    CHECK_ERR(vm_start(rig.host, rig.arena, &(struct vm_start_req){ .plan = rig.plan }, &rep), "INTERNAL_ERROR");
    CHECK_STR(power(), "Halted");
    attach("Halted", "start failed");
    done();
}

TEST_FIBER(deaf_guest_times_out_after_the_seconds_given)
{
    setup(loop, "shutdown");
    start();
    struct err *e = vm_shutdown(rig.host, rig.arena, &(struct vm_shutdown_req){ 5000 });
    CHECK(err_is(e, "VM_SHUTDOWN_TIMEOUT"));
    CHECK_STR(err_param(e, 0), "OpaqueRef:vm");
    CHECK_STR(err_param(e, 1), "5");
    err_free(e);
    CHECK_STR(power(), "Running");
    CHECK_ERR(vm_reboot(rig.host, rig.arena, &(struct vm_reboot_req){ 5000 }), "VM_SHUTDOWN_TIMEOUT");
    CHECK_STR(power(), "Running");
    done();
}

TEST_FIBER(press_that_a_booting_guest_missed_is_made_again)
{
    setup(loop, "press");
    start();
    CHECK_OK(vm_shutdown(rig.host, rig.arena, &(struct vm_shutdown_req){ 20000 }));
    CHECK_STR(power(), "Halted");
    done();
}

static void wait_in_vain(void *arg)
{
    *(bool *)arg = true;
    err_ignore(vm_shutdown(rig.host, rig.arena, &(struct vm_shutdown_req){ 3600000 }), "checked by the time it took");
    *(bool *)arg = false;
}

TEST_FIBER(destroy_overtakes_a_waiting_shutdown)
{
    bool waiting = false;

    setup(loop, "shutdown");
    start();
    fiber_start(loop, "waiter", wait_in_vain, &waiting);
    fiber_sleep(1000);
    CHECK(waiting);
    CHECK_OK(vm_destroy(rig.host, rig.arena, &(struct vm_destroy_req){ 0 }));
    fiber_sleep(1000);
    CHECK(!waiting);
    CHECK_STR(power(), "Halted");
    done();
}

TEST_FIBER(crash_is_told_and_starts_over)
{
    setup(loop, "crash-after:500");
    start();
    fiber_sleep(2000000);
    CHECK_STR(rig.told, "crash/Running ");
    CHECK_STR(power(), "Running");
    done();
}

TEST_FIBER(crash_can_be_preserved)
{
    setup(loop, "crash-after:500");
    rig.plan.on_crash = "preserve";
    start();
    fiber_sleep(2000000);
    CHECK_STR(rig.told, "crash/Paused ");
    CHECK_ERR(vm_unpause(rig.host, rig.arena, &(struct vm_unpause_req){ 0 }), "VM_BAD_POWER_STATE");
    CHECK_OK(vm_hard_reboot(rig.host, rig.arena, &(struct vm_hard_reboot_req){ 0 }));
    CHECK_STR(power(), "Running");
    done();
}

TEST_FIBER(guests_own_acts_are_told)
{
    setup(loop, "");
    start();
    CHECK(hyper_sim_act(UUID, SIM_REBOOT));
    fiber_sleep(1000000);
    CHECK_STR(rig.told, "reboot/Running ");
    rig.told[0] = 0;
    CHECK(hyper_sim_act(UUID, SIM_OFF));
    fiber_sleep(1000);
    CHECK_STR(rig.told, "shutdown/Halted ");
    CHECK(!hyper_sim_act(UUID, SIM_OFF));
    done();
}

TEST_FIBER(guests_reboot_follows_its_own_policy)
{
    setup(loop, "reboot-after:5000");
    rig.plan.on_reboot = "destroy";
    rig.plan.on_shutdown = "restart";
    start();
    CHECK(hyper_sim_act(UUID, SIM_OFF));
    fiber_sleep(1000000);
    CHECK_STR(rig.told, "reboot/Running ");
    rig.told[0] = 0;
    CHECK(hyper_sim_act(UUID, SIM_REBOOT));
    fiber_sleep(1000000);
    CHECK_STR(rig.told, "shutdown/Halted ");
    start();
    unmount();
    fiber_sleep(10000000);
    mount();
    attach("Halted", "shutdown"); /* also when it happened while nobody looked */
    done();
}

TEST_FIBER(new_service_attaches)
{
    setup(loop, "off-after:5000");
    attach("Halted", "");
    start();
    unmount();
    mount();
    attach("Running", "");
    unmount();
    fiber_sleep(10000000);
    mount();
    attach("Halted", "shutdown"); /* it went off while nobody looked */
    CHECK_STR(rig.told, "");      /* the answer said it */
    unmount();
    mount();
    attach("Halted", "shutdown"); /* and still knows why */
    done();
}

TEST_FIBER(destroy_works_without_attach)
{
    setup(loop, "");
    start();
    unmount();
    mount();
    CHECK_OK(vm_destroy(rig.host, rig.arena, &(struct vm_destroy_req){ 0 }));
    unmount();
    mount();
    attach("Halted", "destroyed");
    done();
}

TEST_FIBER(devices_are_part_of_the_plan_that_attach_returns)
{
    struct vm_attach_rep rep;
    struct vm_disk d = { .vbd = "vbd", .position = 0, .device = "xvda", .sr = "s", .vdi = "v", .format = "raw" };
    struct vm_nic n = {
        .vif = "vif", .position = 0, .mac = "52:54:00:00:00:01", .network = { .bridge = "b" }, .model = "virtio"
    };

    setup(loop, "unplug");
    start();
    CHECK_OK(vm_disk_plug(rig.host, rig.arena, &(struct vm_disk_plug_req){ d }));
    CHECK_ERR(vm_disk_plug(rig.host, rig.arena, &(struct vm_disk_plug_req){ d }), "DEVICE_ALREADY_ATTACHED");
    CHECK_OK(vm_nic_plug(rig.host, rig.arena, &(struct vm_nic_plug_req){ n }));
    CHECK_ERR(vm_disk_unplug(rig.host, rig.arena, &(struct vm_disk_unplug_req){ "vbd", false, 1000 }),
        "DEVICE_DETACH_TIMEOUT");
    CHECK_ERR(vm_disk_unplug(rig.host, rig.arena, &(struct vm_disk_unplug_req){ "other", false, 1000 }),
        "DEVICE_ALREADY_DETACHED");
    unmount();
    mount();
    CHECK_OK(vm_attach(rig.host, rig.arena, &(struct vm_attach_req){ .vm = UUID }, &rep));
    CHECK_INT(rep.plan.n_disks, 1);
    CHECK_STR(rep.plan.disks[0].vbd, "vbd");
    CHECK_STR(rep.plan.nics[0].mac, n.mac);
    CHECK_OK(vm_disk_unplug(rig.host, rig.arena, &(struct vm_disk_unplug_req){ "vbd", true, 1000 }));
    CHECK_OK(vm_nic_unplug(rig.host, rig.arena, &(struct vm_nic_unplug_req){ "vif", true, 1000 }));
    CHECK_ERR(vm_nic_unplug(rig.host, rig.arena, &(struct vm_nic_unplug_req){ "vif", true, 1000 }),
        "DEVICE_ALREADY_DETACHED");
    done();
}

static void read_exactly(int fd, void *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t got = recv(fd, (char *)p + at, n - at, MSG_DONTWAIT);

        CHECK(got != 0);
        if (got > 0)
            at += (size_t)got;
        else
            fiber_yield();
    }
}

TEST_FIBER(screen_shows_a_picture)
{
    struct vm_console_rep rep;
    unsigned char b[32], update[10] = { 3, 0, 0, 0, 0, 0, 1, 64, 0, 200 };
    size_t left = 320 * 200 * 4;

    setup(loop, "");
    start();
    CHECK_OK(vm_console(rig.host, rig.arena, &(struct vm_console_req){ "rfb" }, &rep));
    read_exactly(rep.stream, b, 12);
    CHECK(!memcmp(b, "RFB 003.008\n", 12) && write(rep.stream, b, 12) == 12);
    read_exactly(rep.stream, b, 2);
    CHECK(b[0] == 1 && b[1] == 1 && write(rep.stream, "\1", 1) == 1);
    read_exactly(rep.stream, b, 4);
    CHECK(write(rep.stream, "\1", 1) == 1);
    read_exactly(rep.stream, b, 24 + 4);
    CHECK(!memcmp(b + 24, "name", 4));
    CHECK(write(rep.stream, update, 10) == 10);
    read_exactly(rep.stream, b, 16);
    CHECK_INT(b[3], 1);
    while (left) {
        read_exactly(rep.stream, b, 32);
        left -= 32;
    }
    close(rep.stream);
    done();
}

#define MANY 300

static size_t n_open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    size_t n = 0;

    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

TEST_FIBER(idle_guests_hold_no_descriptor_or_fiber)
{
    struct vm_service *services[MANY];
    struct ipc_peer *hosts[MANY], *vms[MANY];
    struct vm_start_rep rep;
    char dir[512], uuid[40];

    setup(loop, "");
    size_t fds = n_open_fds(), fibers = fiber_count(loop);
    for (int i = 0; i < MANY; i++) {
        struct vm_service_env env = { .dir = dir };

        snprintf(dir, sizeof(dir), "%s/%d", test_tmpdir_path(), i);
        snprintf(uuid, sizeof(uuid), "11111111-2222-4333-8444-%012d", i);
        CHECK_OK(dir_make(dir, 0700));
        CHECK_OK(vm_service_new(loop, &hyper_sim, &env, &services[i]));
        ipc_pair(loop, &hosts[i], &vms[i]);
        ipc_serve(hosts[i], &vmevents_service, &event_ops, NULL);
        vm_service_mount(services[i], vms[i]);
        rig.plan.vm = uuid;
        CHECK_OK(vm_start(hosts[i], rig.arena, &(struct vm_start_req){ .plan = rig.plan }, &rep));
        CHECK(i % 2 == 0 || hyper_sim_act(uuid, SIM_REBOOT));
    }
    fiber_sleep(1000000);
    CHECK_INT(n_open_fds(), fds);
    CHECK_INT(fiber_count(loop), fibers);
    for (int i = 0; i < MANY; i++) {
        ipc_peer_drop(&hosts[i]);
        ipc_peer_drop(&vms[i]);
        vm_service_free(services[i]);
    }
    done();
}

TEST(every_life_that_moves_can_end)
{
    for (int l = 0; l < VM_N_LIVES; l++) {
        enum vm_life life = (enum vm_life)l;

        CHECK(!vm_may_move(life, life));
        if (vm_life_has_guest(life) && life != VM_ENDING)
            CHECK(vm_may_move(life, VM_ENDING));
        if (life != VM_STARTING && vm_life_has_guest(life) && life != VM_ENDING)
            CHECK(!vm_may_move(life, VM_HALTED)); /* only by way of ENDING */
    }
    CHECK(vm_may_move(VM_ENDING, VM_HALTED));
    CHECK(vm_may_move(VM_STARTING, VM_HALTED));
    CHECK(!vm_may_move(VM_HALTED, VM_STOPPING));
}

/* ---- suspend and resume ---- */

static int image_open(void)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/image", test_tmpdir_path());
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    return fd;
}

static struct err *suspend(int image)
{
    return vm_suspend(rig.host, rig.arena, &(struct vm_suspend_req){ .image = image, .lease = -1 });
}

static struct err *resume(int image)
{
    struct vm_resume_rep rep;

    return vm_resume(
        rig.host, rig.arena, &(struct vm_resume_req){ .plan = rig.plan, .image = image, .lease = -1 }, &rep);
}

TEST_FIBER(suspended_guest_is_in_its_image_and_nowhere_else)
{
    AUTO(fd_drop) int image = image_open();

    setup(loop, "");
    start();
    CHECK_OK(suspend(image));
    CHECK_STR(power(), "Suspended");
    CHECK_ERR(suspend(image), "VM_BAD_POWER_STATE");
    unmount();
    mount();
    attach("Suspended", "suspended");
    CHECK_OK(resume(image));
    CHECK_STR(power(), "Running");
    CHECK_INT(vm_image_state(image), VM_IMAGE_USED);
    CHECK_OK(vm_destroy(rig.host, rig.arena, &(struct vm_destroy_req){ 0 }));
    CHECK_ERR(resume(image), "INTERNAL_ERROR");
    done();
}

TEST_FIBER(guest_whose_save_fails_runs_on)
{
    AUTO(fd_drop) int image = image_open();

    setup(loop, "save");
    start();
    CHECK_ERR(suspend(image), "INTERNAL_ERROR");
    CHECK_STR(power(), "Running");
    CHECK_INT(vm_image_state(image), VM_IMAGE_OPEN);
    done();
}

static void destroy_soon(void *arg)
{
    (void)arg;
    fiber_sleep(20000);
    CHECK_OK(vm_destroy(rig.host, rig.arena, &(struct vm_destroy_req){ 0 }));
}

TEST_FIBER(destroy_overtakes_a_suspend)
{
    AUTO(fd_drop) int image = image_open();

    setup(loop, "");
    start();
    fiber_start(loop, "destroy", destroy_soon, NULL);
    CHECK_ERR(suspend(image), "TASK_CANCELLED");
    fiber_sleep(100000);
    CHECK_STR(power(), "Halted");
    CHECK(vm_image_state(image) != VM_IMAGE_WHOLE);
    done();
}

TEST_FIBER(guest_migrates_to_itself)
{
    struct vm_migrate_rep rep;

    setup(loop, "");
    start();
    rig.plan.domid = 8;
    CHECK_OK(vm_migrate(rig.host, rig.arena, &(struct vm_migrate_req){ .plan = rig.plan }, &rep));
    CHECK_STR(rep.state.power, "Running");
    CHECK_INT(rep.state.domid, 8);
    done();
}

static struct vm_nic nic = { .vif = "OpaqueRef:nic", .position = 2, .mac = "02:00:00:01:02:03", .model = "virtio" };

TEST_FIBER(what_the_agent_says_is_told_once)
{
    setup(loop, "");
    rig.plan.nics = &nic;
    rig.plan.n_nics = 1;
    start();
    fiber_sleep(1000000);
    CHECK(rig.agent_live);
    CHECK_STR(rig.agent_said, "Simulated guest 1.0|name|10.1.2.3|7");
    CHECK_INT(rig.n_reports, 1);
    CHECK_OK(vm_pause(rig.host, rig.arena, &(struct vm_pause_req){ 0 }));
    CHECK_OK(vm_unpause(rig.host, rig.arena, &(struct vm_unpause_req){ 0 }));
    CHECK_OK(vm_hard_reboot(rig.host, rig.arena, &(struct vm_hard_reboot_req){ 0 }));
    fiber_sleep(200 * 1000000ULL);
    CHECK_INT(rig.n_reports, 1); /* asked again, nothing new */

    struct vm_report_rep rep;
    CHECK_OK(vm_report(rig.host, rig.arena, &(struct vm_report_req){ 0 }, &rep));
    CHECK(rep.report.live);
    CHECK_STR(value_map_str(&rep.report.features, "feature-shutdown"), "1");
    CHECK_OK(vm_shutdown(rig.host, rig.arena, &(struct vm_shutdown_req){ 1000 }));
    CHECK_OK(vm_report(rig.host, rig.arena, &(struct vm_report_req){ 0 }, &rep));
    CHECK(!rep.report.live);
    CHECK_INT(rep.report.version.n, 0); /* nothing is left of a guest that ended */
    done();
}

TEST_FIBER(a_new_process_tells_again)
{
    setup(loop, "");
    start();
    fiber_sleep(1000000);
    CHECK_INT(rig.n_reports, 1);
    unmount();
    mount();
    attach("Running", "");
    fiber_sleep(1000000);
    CHECK_INT(rig.n_reports, 2);
    CHECK(rig.agent_live);
    done();
}

TEST_FIBER(bad_agents_harm_nothing)
{
    static const struct {
        const char *fail, *said;
        bool live;
    } bad[] = { { "agent-none", "|||", false }, { "agent-stalls", "|||", false }, { "agent-floods", "|||", false },
        { "agent-dies", "|||", false }, { "agent-lies", " bell two|name||0", true } };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        setup(loop, bad[i].fail);
        rig.plan.nics = &nic;
        rig.plan.n_nics = 1;
        start();
        fiber_sleep(100 * 1000000ULL);
        CHECK_STR(power(), "Running");
        CHECK_INT(rig.agent_live, bad[i].live);
        CHECK_STR(rig.agent_said, bad[i].said);
        CHECK_OK(vm_shutdown(rig.host, rig.arena, &(struct vm_shutdown_req){ 20000 }));
        done();
    }
}
