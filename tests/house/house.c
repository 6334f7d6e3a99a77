#include "house/house.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "hyper/sim/sim.h"
#include "net/sim/sim.h"
#include "storage/dir/dir.h"
#include "storage/iso/iso.h"
#include "test.h"

#define ANSWER_MAX (64UL << 20)

static struct err *ask_storage(void *ctx, struct ipc_peer **ret_peer)
{
    *ret_peer = ((struct house *)ctx)->host_storage;
    return NULL;
}

static struct err *ask_net(void *ctx, struct ipc_peer **ret_peer)
{
    *ret_peer = ((struct house *)ctx)->host_net;
    return NULL;
}

static void open_host(struct house *h, const char *dir)
{
    static const char *const capabilities[] = { "hvm-3.0-x86_64" };
    static struct inventory_hyper hyper = {
        .name = "sim", .version = "1", .accelerator = "sim", .capabilities = capabilities, .n_capabilities = 1
    };
    char *vm_dir = arena_printf(h->arena, "%s/vm", dir), *boot_dir = arena_printf(h->arena, "%s/boot", dir);

    h->local = (struct vm_local){ h->loop, &hyper_sim };
    h->launcher = launcher_local(&h->local);
    struct cells_config cells = { .dir = vm_dir,
        .launcher = &h->launcher,
        .uid_base = 1000000,
        .on_change = host_room_changed,
        .on_tpm = host_room_tpm,
        .ctx = &h->host };
    CHECK_OK(dir_make(vm_dir, 0711));
    CHECK_OK(cells_new(h->loop, &cells, &h->cells));
    auth_door_init(&h->auth, h->loop, "/nonexistent", "/nonexistent"); /* the local door asks for no password */
    struct host_room_config room = { .cells = h->cells,
        .auth = &h->auth,
        .broker = { h, ask_storage, ask_net, boot_dir },
        .inventory = { .root = "", .hyper = &hyper } };
    h->host = host_room_new(&room);
}

static const struct sr_driver *const drivers[] = { &dir_driver, &iso_driver, NULL };

static void open_core(struct house *h)
{
    h->core = core_new(h->loop, h->store, &h->core_config);
    ipc_pair(h->loop, &h->core_host, &h->host_core);
    ipc_pair(h->loop, &h->core_storage, &h->storage_core);
    ipc_pair(h->loop, &h->core_net, &h->net_core);
    ipc_pair(h->loop, &h->gate_core, &h->core_gate);
    core_mount_events(h->core, h->core_host);
    host_room_mount(h->host, h->host_core);
    storage_mount(h->storage_core, h->storage);
    net_mount(h->net_core, &h->net);
    core_set_host(h->core, h->core_host);
    core_set_storage(h->core, h->core_storage);
    core_set_net(h->core, h->core_net);
    core_mount(h->core, h->core_gate);
    gate_add_core(h->gate, h->gate_core);
    CHECK_OK(core_start(h->core, clock_now(h->loop) + 60000000));
}

static void close_core(struct house *h)
{
    struct ipc_peer *peers[] = { h->gate_core, h->core_gate, h->core_host, h->host_core, h->core_storage,
        h->storage_core, h->core_net, h->net_core };

    for (size_t i = 0; i < ARRAY_LEN(peers); i++)
        ipc_close(peers[i]);
    fiber_sleep(1000);
    core_free(h->core);
}

void house_restart_core(struct house *h)
{
    close_core(h);
    open_core(h);
}

void house_open(struct house *h, struct loop *l)
{
    static unsigned n_houses; /* each has folders of its own: an SR's folder belongs to it for good */
    struct gate_config config = gate_defaults;

    *h = (struct house){ .loop = l, .arena = arena_new() };
    const char *dir = arena_printf(h->arena, "%s/%u", test_tmpdir_path(), n_houses++);
    CHECK_OK(store_open(l, NULL, NULL, &h->store));
    h->core_config = (struct core_config){ .product_version = "1.0",
        .address = "127.0.0.1",
        .hypervisor = "sim",
        .https_port = 443,
        .sr_dir = arena_printf(h->arena, "%s/sr", dir),
        .iso_dir = arena_printf(h->arena, "%s/iso", dir),
        .auth_delay_us = 5000000 };
    CHECK_OK(dir_make(h->core_config.sr_dir, 0755));
    CHECK_OK(dir_make(h->core_config.iso_dir, 0755));
    sim_net_init(&h->net, false);
    h->storage = storage_service_new(l, drivers, -1);
    ipc_pair(l, &h->host_storage, &h->storage_host);
    ipc_pair(l, &h->host_net, &h->net_host);
    storage_mount(h->storage_host, h->storage);
    net_mount(h->net_host, &h->net);
    open_host(h, dir);
    h->gate = gate_new(l, &config);
    open_core(h);
}

void house_close(struct house *h)
{
    struct ipc_peer *peers[] = { h->host_storage, h->storage_host, h->host_net, h->net_host };

    gate_close(h->gate);
    close_core(h);
    for (size_t i = 0; i < ARRAY_LEN(peers); i++)
        ipc_close(peers[i]);
    for (int i = 0; gate_n_conns(h->gate) && i < 1000; i++)
        fiber_sleep(1000);
    fiber_sleep(1000);
    gate_free(h->gate);
    host_room_free(h->host);
    cells_free(h->cells);
    storage_service_free(h->storage);
    net_backend_free(&h->net);
    store_close(h->store);
    arena_free(h->arena);
}

/* Reads until the peer closes: requests say Connection: close. */
static void read_all(int fd, struct buf *b)
{
    for (;;) {
        char *p = buf_reserve(b, 65536);
        ssize_t n = p ? read(fd, p, 65536) : 0;

        if (n > 0)
            buf_commit(b, (size_t)n);
        else if (n < 0 && errno == EAGAIN)
            CHECK(fiber_wait_fd(fd, EPOLLIN, clock_now(fiber_loop()) + 3600000000ULL));
        else
            return;
    }
}

const char *house_post(struct house *h, const char *path, const char *body)
{
    AUTO(fd_drop) int fd = -1;
    AUTO(buf_done) struct buf b;
    int fds[2];

    buf_init(&b, ANSWER_MAX);
    CHECK_OK(socket_pair(fds));
    fd = fds[0];
    CHECK_OK(fd_set_nonblock(fd, true));
    gate_accept(h->gate, fds[1], GATE_LOCAL, "local");
    char *head = arena_printf(h->arena,
        "POST %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", path, strlen(body), body);
    CHECK_OK(fd_write_all(fd, head, strlen(head)));
    read_all(fd, &b);
    const char *end = b.len ? strstr(b.p, "\r\n\r\n") : NULL;
    CHECK(end && strstr(b.p, " 200 "));
    return arena_strdup(h->arena, end + 4);
}

const char *house_call(struct house *h, const char *method, const char *params)
{
    return house_post(h, "/jsonrpc",
        arena_printf(h->arena, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":[\"\"%s%s]}", method,
            *params ? "," : "", params));
}

const char *house_text(struct house *h, const char *method, const char *params)
{
    const char *body = house_call(h, method, params), *p = strstr(body, "\"result\":\"");

    if (!p)
        test_fail(__FILE__, __LINE__, "%s: %s", method, body);
    p += strlen("\"result\":\"");
    return arena_strndup(h->arena, p, strcspn(p, "\""));
}
