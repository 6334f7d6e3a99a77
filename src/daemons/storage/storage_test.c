/* The storage daemon as a process: killed in the middle of its work, and started again. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "gen/ipc_storage.h"
#include "ipc/ipc.h"
#include "test.h"

#define SR "11111111-1111-4111-8111-111111111111"
#define VDI "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
#define NEW_VDI "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
#define MIB (1024UL * 1024)

struct world {
    struct loop *loop;
    struct arena *a;
    char *socket, *location; /* in the arena */
    int pidfd;
    struct ipc_peer *p;
};

static void connect_to(struct world *w)
{
    for (int i = 0; i < 2000; i++) {
        int fd = -1;
        struct err *e = unix_connect(w->socket, &fd);

        if (!e) {
            CHECK_OK(ipc_peer_new(w->loop, fd, &w->p));
            return;
        }
        err_free(e);
        usleep(5000); /* real time: the loop's is simulated */
    }
    test_fail(__FILE__, __LINE__, "the daemon does not listen");
}

static void start(struct world *w)
{
    const char *argv[] = { STORAGE_DAEMON, "--run", test_tmpdir_path(), "--state", test_tmpdir_path(), NULL };
    pid_t pid;

    CHECK_OK(proc_spawn(&(struct proc_spec){ .argv = argv, .die_with_parent = SIGKILL }, &pid, &w->pidfd));
    connect_to(w);
}

static void kill_it(struct world *w)
{
    int status;

    CHECK_OK(proc_kill(w->pidfd, SIGKILL));
    CHECK(proc_wait(w->pidfd, FOREVER, &status));
    fd_drop(&w->pidfd);
    ipc_close(w->p);
}

static void world_init(struct world *w, struct loop *loop)
{
    *w = (struct world){ .loop = loop, .a = arena_new(), .pidfd = -1 };
    w->socket = arena_printf(w->a, "%s/storage.sock", test_tmpdir_path());
    w->location = arena_printf(w->a, "%s/sr", test_tmpdir_path());
    start(w);
}

static void world_done(struct world *w)
{
    kill_it(w);
    arena_free(w->a);
}

/* A child of the dead, between its fork and its exec, may still have the old listening socket: then the connection is
 * lost. */
static void attach(struct world *w)
{
    struct value pair[2] = { value_str("location"), value_str(w->location) };
    struct storage_sr_attach_req req = { .sr = SR, .type = "dir", .config = value_map(pair, 1) };
    struct err *e;

    while ((e = storage_sr_attach(w->p, w->a, &req)) && ipc_is_lost(e)) {
        err_free(e);
        ipc_close(w->p);
        connect_to(w);
    }
    CHECK_OK(e);
}

static struct err *create(struct world *w, const char *uuid, uint64_t size)
{
    struct storage_vdi_create_rep rep;
    struct storage_vdi_create_req req = {
        .sr = SR, .uuid = uuid, .name = "disk", .size = size, .type = "user", .sm_config = value_map(NULL, 0)
    };

    return storage_vdi_create(w->p, w->a, &req, &rep);
}

static size_t count(struct world *w)
{
    struct storage_sr_scan_rep rep;

    CHECK_OK(storage_sr_scan(w->p, w->a, &(struct storage_sr_scan_req){ .sr = SR }, &rep));
    return rep.n_vdis;
}

/* Once the children of the dead have gone too. */
static void open_when_free(struct world *w, struct storage_vdi_open_rep *ret)
{
    for (int i = 0; i < 2000; i++) {
        struct err *e = storage_vdi_open(w->p, w->a, &(struct storage_vdi_open_req){ .sr = SR, .uuid = VDI }, ret);

        if (!e)
            return;
        CHECK_ERR(e, "VDI_IN_USE");
        usleep(5000);
    }
    test_fail(__FILE__, __LINE__, "the lease is never given up");
}

TEST_FIBER(a_daemon_killed_during_an_import_leaves_a_disk_that_can_be_used)
{
    struct world w;
    struct storage_vdi_import_rep in;
    struct storage_vdi_open_rep open;

    world_init(&w, loop);
    attach(&w);
    CHECK_OK(create(&w, VDI, 64 * MIB));
    CHECK_OK(storage_vdi_import(w.p, w.a, &(struct storage_vdi_import_req){ .sr = SR, .uuid = VDI, .job = "in" }, &in));
    char *bytes = arena_alloc(w.a, MIB);
    memset(bytes, 'x', MIB);
    CHECK_OK(fd_set_nonblock(in.stream, true));
    CHECK(write(in.stream, bytes, MIB) > 0);
    kill_it(&w);
    fd_drop(&in.stream);
    start(&w);
    attach(&w);
    CHECK_INT(count(&w), 1);
    open_when_free(&w, &open);
    CHECK_INT(open.size, 64 * MIB);
    fd_drop(&open.image);
    fd_drop(&open.lease);
    world_done(&w);
}

TEST_FIBER(a_daemon_killed_at_any_moment_of_a_create_leaves_a_whole_disk_or_none)
{
    struct world w;

    world_init(&w, loop);
    attach(&w);
    for (unsigned delay = 0; delay < 40000; delay += 2000) {
        struct storage_vdi_create_req req = {
            .sr = SR, .uuid = NEW_VDI, .name = "disk", .size = MIB, .type = "user", .sm_config = value_map(NULL, 0)
        };

        pid_t child = _Fork();
        if (child == 0) {
            usleep(delay);
            err_ignore(proc_kill(w.pidfd, SIGKILL), "the test sees it");
            _exit(0);
        }
        struct storage_vdi_create_rep rep;
        struct err *e = storage_vdi_create(w.p, w.a, &req, &rep);
        bool made = !e;
        err_free(e);
        waitpid(child, NULL, 0);
        kill_it(&w);
        start(&w);
        attach(&w);
        size_t n = count(&w);
        CHECK(n <= 1 && (n == 1 || !made));
        if (n)
            CHECK_OK(storage_vdi_destroy(w.p, w.a, &(struct storage_vdi_destroy_req){ .sr = SR, .uuid = NEW_VDI }));
        CHECK_OK(create(&w, NEW_VDI, MIB)); /* nothing stands in the way */
        CHECK_OK(storage_vdi_destroy(w.p, w.a, &(struct storage_vdi_destroy_req){ .sr = SR, .uuid = NEW_VDI }));
    }
    world_done(&w);
}
