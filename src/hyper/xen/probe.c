/*
 * xen-probe: drives one PVH guest after the other through struct hyper_ops, in
 * a fiber on a real loop, and says what it saw. Needs a host that runs Xen, and
 * root. tools/xen-bed runs it; nothing of the product does.
 *
 *     xen-probe FOLDER CPUPOOL STUB [KERNEL INITRD]
 *     xen-probe FOLDER      only ends what a killed one left behind
 *
 * STUB is the guest of tools/xen-bed/guest; KERNEL and INITRD a Linux that
 * shuts down when asked. Exit code 0: everything was as promised.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "base/value.h"
#include "gen/ipc_vm.h"
#include "hyper/xen/xen.h"

#define PATIENCE_US (60 * 1000000ULL) /* the host is emulated */

struct probe {
    char **args; /* FOLDER CPUPOOL STUB [KERNEL INITRD], NULL */
    struct loop *loop;
    struct hyper_env env;
    struct waitq change;
    unsigned n_states; /* events seen */
    int n_bad;
};

static const struct hyper_ops *const ops = &hyper_xen;

static void PRINTF(3, 4) check(struct probe *p, bool good, const char *fmt, ...)
{
    va_list ap;

    printf("%8.3f %s ", (double)clock_now(p->loop) / 1e6, good ? "ok  " : "BAD ");
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
    fflush(stdout);
    p->n_bad += !good;
}

static bool check_ok(struct probe *p, struct err *e, const char *what)
{
    bool good = !e;

    check(p, good, "%s%s%s", what, good ? "" : ": ", good ? "" : err_text(e));
    err_free(e);
    return good;
}

static void check_code(struct probe *p, struct err *e, const char *code, const char *what)
{
    check(p, err_is(e, code), "%s: %s", what, e ? err_text(e) : "worked");
    err_free(e);
}

static void on_event(void *ctx, const struct hyper_event *ev UNUSED)
{
    struct probe *p = ctx;

    p->n_states++;
    waitq_wake_all(&p->change);
}

static const char *const powers[] = { "gone", "built", "running", "paused", "off", "wants to reboot", "crashed" };

static void check_power(struct probe *p, struct hyper_guest *g, enum hyper_power wanted, const char *when)
{
    struct hyper_state state = { .power = HYPER_GONE, .pid = -1 };
    struct err *e = ops->query(g, &state);

    if (e)
        check_ok(p, e, when);
    else
        check(p, state.power == wanted && state.pid == 0 && (state.power == HYPER_GONE || state.domid > 0), "%s: %s",
            when, powers[state.power]);
}

/* Waits as the vm room does: asks again whenever the hypervisor says that something changed. It may say so while the
 * question is still under way, when nobody waits yet. */
static void await_power(struct probe *p, struct hyper_guest *g, enum hyper_power wanted, const char *when)
{
    uint64_t deadline = clock_now(p->loop) + PATIENCE_US;
    struct hyper_state state;

    for (;;) {
        unsigned told = p->n_states;
        struct err *e = ops->query(g, &state);

        if (e) {
            check_ok(p, e, when);
            return;
        }
        if (state.power == wanted)
            break;
        if (told == p->n_states && !waitq_wait(&p->change, deadline))
            break;
    }
    check(p, state.power == wanted, "%s: %s, told of %u changes", when, powers[state.power], p->n_states);
}

static struct err *try_start(
    struct probe *p, const char *kernel, const char *initrd, const char *cmdline, struct hyper_guest **ret_guest)
{
    AUTO(fd_drop) int kernel_fd = open(kernel, O_RDONLY | O_CLOEXEC);
    AUTO(fd_drop) int initrd_fd = initrd ? open(initrd, O_RDONLY | O_CLOEXEC) : -1;
    struct value platform[] = { value_str("cpupool"), value_str(p->args[1]) };
    struct vm_plan plan = { .vm = "11111111-2222-4333-8444-555555555555",
        .ref = "OpaqueRef:vm",
        .name = "probe",
        .memory = (initrd ? 256U : 32U) << 20,
        .vcpus = 1,
        .vcpus_max = 2,
        .firmware = "direct",
        .kernel = kernel_fd,
        .initrd = initrd_fd,
        .cmdline = cmdline,
        .platform = value_map(platform, 1),
        .on_reboot = "restart",
        .paused = true };

    return ops->start(&p->env, &plan, ret_guest);
}

static struct hyper_guest *start(struct probe *p, const char *kernel, const char *initrd, const char *cmdline)
{
    struct hyper_guest *g = NULL;

    printf("-- %s\n", cmdline);
    p->n_states = 0;
    return check_ok(p, try_start(p, kernel, initrd, cmdline, &g), "start") ? g : NULL;
}

static void end(struct probe *p, struct hyper_guest **g)
{
    check_ok(p, ops->destroy(*g), "destroy");
    check_power(p, *g, HYPER_GONE, "after destroy");
    check_ok(p, ops->destroy(*g), "destroy again");
    hyper_guest_drop(g);
}

static void check_no_guest(struct probe *p, const char *when)
{
    struct hyper_guest *g = NULL;
    const char *reason = "?";

    if (check_ok(p, ops->attach(&p->env, &g, &reason), when))
        check(p, !g && !reason[0], "%s there is no guest", when);
    hyper_guest_drop(&g);
}

/* Built, run, paused, left alone, found again, started over, ended. */
static void life(struct probe *p)
{
    struct hyper_guest *g = start(p, p->args[2], NULL, "stay");
    const char *reason = "?";

    if (!g)
        return;
    check_power(p, g, HYPER_BUILT, "started paused");
    check_ok(p, ops->unpause(g), "unpause");
    check_power(p, g, HYPER_RUNNING, "after unpause");
    fiber_sleep(200000);
    check_ok(p, ops->pause(g), "pause");
    check_ok(p, ops->pause(g), "pause again");
    check_power(p, g, HYPER_PAUSED, "after pause");
    check_ok(p, ops->unpause(g), "unpause");
    check_power(p, g, HYPER_RUNNING, "after one unpause");
    hyper_guest_drop(&g);
    if (!check_ok(p, ops->attach(&p->env, &g, &reason), "attach") || !g) {
        check(p, false, "no guest to attach to (%s)", reason);
        return;
    }
    check_power(p, g, HYPER_RUNNING, "attached");
    check_code(p, ops->request_shutdown(g), "VM_LACKS_FEATURE", "asking a guest that cannot hear");
    check_code(p, ops->disk_add(g, &(struct vm_disk){ 0 }), "NOT_IMPLEMENTED", "a disk");
    check_ok(p, ops->reset(g), "reset");
    check_power(p, g, HYPER_RUNNING, "after reset");
    end(p, &g);
    check_no_guest(p, "after the end");
}

/* The stub does what its command line says as soon as it runs. */
static void acts(struct probe *p, const char *cmdline, enum hyper_power wanted)
{
    struct hyper_guest *g = start(p, p->args[2], NULL, cmdline);

    if (!g)
        return;
    check_ok(p, ops->unpause(g), cmdline);
    await_power(p, g, wanted, cmdline);
    end(p, &g);
}

static void reboots(struct probe *p)
{
    struct hyper_guest *g = start(p, p->args[2], NULL, "reboot");

    if (!g)
        return;
    check_ok(p, ops->unpause(g), "reboot");
    for (int i = 0; i < 2; i++) {
        await_power(p, g, HYPER_WANTS_REBOOT, "reboot");
        check_ok(p, ops->reset(g), "start over");
    }
    end(p, &g);
}

static void linux_shuts_down(struct probe *p)
{
    struct hyper_guest *g = start(p, p->args[3], p->args[4], "console=hvc0 quiet");
    uint64_t deadline = clock_now(p->loop) + PATIENCE_US;
    struct err *e = NULL;

    if (!g)
        return;
    check_ok(p, ops->unpause(g), "Linux");
    do { /* its kernel tells when it would listen */
        err_free(e);
        fiber_sleep(1000000);
        e = ops->request_shutdown(g);
    } while (err_is(e, "VM_LACKS_FEATURE") && clock_now(p->loop) < deadline);
    check_ok(p, e, "ask it to shut down");
    await_power(p, g, HYPER_OFF, "shutdown");
    end(p, &g);
}

static void end_leftover(struct probe *p)
{
    struct hyper_guest *g = NULL;
    const char *reason = "";

    if (!check_ok(p, ops->attach(&p->env, &g, &reason), "attach after a kill"))
        return;
    check(p, true, "left behind: %s", g ? "a guest" : reason[0] ? "its files" : "nothing");
    if (g)
        end(p, &g);
    check_no_guest(p, "after that");
}

static void try_everything(struct probe *p)
{
    struct hyper_guest *g = NULL;

    check_no_guest(p, "before the first start");
    life(p);
    acts(p, "off", HYPER_OFF);
    acts(p, "crash", HYPER_CRASHED);
    reboots(p);
    check_code(p, try_start(p, "/proc/cpuinfo", NULL, "", &g), "INTERNAL_ERROR", "what is no kernel");
    hyper_guest_drop(&g);
    check_no_guest(p, "after a failed start");
    if (p->args[3])
        linux_shuts_down(p);
}

static void probe_main(void *arg)
{
    struct probe *p = arg;
    struct hyper_info info = { 0 };

    if (!p->args[1]) {
        end_leftover(p);
    } else if (check_ok(p, ops->probe(&info), "probe")) {
        check(p, true, "Xen %s, %s %s", info.version, info.accelerator, info.detail);
        try_everything(p);
    }
    loop_stop(p->loop);
}

int main(int argc, char **argv)
{
    AUTO(loop_drop) struct loop *loop = NULL;
    struct probe p = { .args = argv + 1 };
    struct err *e;

    if (argc != 2 && argc != 4 && argc != 6) {
        fprintf(stderr, "usage: xen-probe FOLDER [CPUPOOL STUB [KERNEL INITRD]]\n");
        return 2;
    }
    e = loop_new(&loop);
    if (e) {
        fprintf(stderr, "%s\n", err_text(e));
        err_free(e);
        return 2;
    }
    p.loop = loop;
    p.env = (struct hyper_env){ .loop = loop, .dir = argv[1], .on_event = on_event, .ctx = &p };
    waitq_init(&p.change);
    fiber_start(loop, "probe", probe_main, &p);
    loop_run(loop);
    printf("xen-probe: %s, %d bad\n", p.n_bad ? "FAIL" : "PASS", p.n_bad);
    return p.n_bad ? 1 : 0;
}
