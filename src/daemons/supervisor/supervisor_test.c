#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "daemons/supervisor/plan.h"
#include "daemons/supervisor/ports.h"
#include "test.h"

/* The supervisor as it is, over daemons that only sleep. */
static const char *const names[] = { "gate", "core", "host", "storage", "net", "metric" };

struct world {
    struct loop *loop;
    char *run, *state, *bin;
    int pidfd;
};

static void daemons_make(struct world *w)
{
    static const char script[] = "#!/bin/sh\nexec sleep 1000\n";

    CHECK_OK(dir_make(w->bin, 0755));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO(mem_drop) char *path = mem_printf("%s/runnymede-%s", w->bin, names[i]);
        CHECK_OK(file_write_atomic(AT_FDCWD, path, script, sizeof(script) - 1, 0755));
    }
}

static void supervisor_start(struct world *w)
{
    const char *argv[] = { SUPERVISOR_PROGRAM, "--run-dir", w->run, "--state-dir", w->state, "--bin-dir", w->bin,
        "--users", "none", "--hypervisor", "sim", "--auth", "file:/nonexistent", NULL };
    pid_t pid;

    CHECK_OK(proc_spawn(&(struct proc_spec){ .argv = argv, .die_with_parent = SIGKILL }, &pid, &w->pidfd));
}

static pid_t pid_of(struct world *w, const char *name)
{
    AUTO(mem_drop) char *path = mem_printf("%s/pids/%s.pid", w->run, name);
    AUTO(buf_done) struct buf b = { 0 };
    struct str word, rest;
    int64_t pid = 0;

    buf_init(&b, 128);
    err_ignore(file_read(AT_FDCWD, path, &b), "not yet there");
    str_cut(buf_str(&b), ' ', &word, &rest);
    str_to_i64(word, &pid);
    return (pid_t)pid;
}

/* Waits for another pid than the one before. */
static pid_t pid_next(struct world *w, const char *name, pid_t before)
{
    for (int i = 0; i < 500; i++) {
        pid_t pid = pid_of(w, name);
        if (pid && pid != before && kill(pid, 0) == 0)
            return pid;
        fiber_sleep(10000);
    }
    test_fail(__FILE__, __LINE__, "%s does not start", name);
}

static void story(void *arg)
{
    struct world *w = arg;
    pid_t pids[ARRAY_LEN(names)];
    int status = -1;

    supervisor_start(w);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        pids[i] = pid_next(w, names[i], 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        CHECK(kill(pids[i], SIGKILL) == 0);
        pids[i] = pid_next(w, names[i], pids[i]);
    }

    /* A second one in the same folder is refused and disturbs nobody. */
    int first = w->pidfd;
    supervisor_start(w);
    CHECK(proc_wait(w->pidfd, clock_now(w->loop) + 5000000, &status));
    CHECK_INT(status, 1);
    fd_drop(&w->pidfd);
    w->pidfd = first;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        CHECK_INT(pid_of(w, names[i]), pids[i]);

    /* Killed itself, it takes its daemons along, and the next one starts new ones. */
    CHECK_OK(proc_kill(w->pidfd, SIGKILL));
    CHECK(proc_wait(w->pidfd, clock_now(w->loop) + 5000000, &status));
    fd_drop(&w->pidfd);
    supervisor_start(w);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        pids[i] = pid_next(w, names[i], pids[i]);

    CHECK_OK(proc_kill(w->pidfd, SIGTERM));
    CHECK(proc_wait(w->pidfd, clock_now(w->loop) + 5000000, &status));
    CHECK_INT(status, 0);
    fd_drop(&w->pidfd);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        CHECK(kill(pids[i], 0) < 0);
        CHECK(!pid_of(w, names[i]));
    }
    loop_stop(w->loop);
}

TEST(what_dies_is_started_again_and_stopping_stops_all)
{
    AUTO(mem_drop) char *run = mem_printf("%s/run", test_tmpdir_path());
    AUTO(mem_drop) char *state = mem_printf("%s/state", test_tmpdir_path());
    AUTO(mem_drop) char *bin = mem_printf("%s/bin", test_tmpdir_path());
    struct world w = { .run = run, .state = state, .bin = bin, .pidfd = -1 };

    daemons_make(&w);
    CHECK_OK(loop_new(&w.loop));
    fiber_start(w.loop, "story", story, &w);
    loop_run(w.loop);
    loop_free(w.loop);
}

static bool has(const struct daemon_plan *p, const char *option, const char *value)
{
    for (size_t i = 0; i + 1 < p->n_args; i++)
        if (cstr_eq(p->argv[i], option) && cstr_eq(p->argv[i + 1], value))
            return true;
    return false;
}

TEST(the_configuration_becomes_options)
{
    AUTO(mem_drop) char *bin = mem_printf("%s/bin", test_tmpdir_path());
    struct world w = { .bin = bin };
    AUTO(config_done) struct config c;
    struct daemon_plan plans[DAEMONS_N];

    daemons_make(&w);
    config_init(&c);
    CHECK_OK(
        config_parse(&c, STR("http_port = 0\nhypervisor = qemu\nnet = sim\nlisten = 127.0.0.1 [::1]\nauth = file:/p")));
    CHECK_OK(config_set(&c, STR("bin_dir"), str_of(bin)));
    CHECK_OK(config_check(&c));
    CHECK_OK(plan_make(&c, plans));
    for (size_t i = 0; i < DAEMONS_N; i++) {
        const struct daemon_plan *p = &plans[i];
        if (cstr_eq(p->name, "gate")) {
            CHECK(has(p, "--http", "-"));
            CHECK(has(p, "--https", "443"));
            CHECK(has(p, "--listen", "127.0.0.1") && has(p, "--listen", "[::1]"));
            CHECK(has(p, "--user", "runnymede-gate"));
        } else if (cstr_eq(p->name, "host")) {
            CHECK(has(p, "--auth", "file:/p"));
            CHECK(has(p, "--core-user", "runnymede-core"));
            CHECK(!has(p, "--user", "runnymede-host"));
        } else if (cstr_eq(p->name, "net")) {
            CHECK(cstr_eq(p->argv[p->n_args - 1], "runnymede-net") && has(p, "--backend", "sim"));
        }
        CHECK(!p->argv[p->n_args]);
    }
    plan_done(plans);
}

TEST(a_chosen_port_can_be_opened_by_the_gate_again_and_again)
{
    AUTO(config_done) struct config c;
    struct ports ports;

    config_init(&c);
    CHECK_OK(config_parse(&c, STR("http_port = any\nhttps_port = any\nlisten = 127.0.0.1 127.0.0.2")));
    CHECK_OK(ports_choose(&ports, &c));
    CHECK(c.http_port > 0 && c.https_port > 0 && c.http_port != c.https_port);
    CHECK_INT(ports.n, 4);
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons((uint16_t)c.http_port) };
        AUTO(fd_drop) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
        CHECK(bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, 1) == 0);
    }
    ports_done(&ports);
}
