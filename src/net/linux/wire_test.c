#include "net/linux/wire_test.h"
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/proc.h"
#include "base/str.h"
#include "test.h"

void skipped(const char *why)
{
    CHECK(!getenv("NOTHING_SKIPPED"));
    printf("SKIP: %s\n", why);
}

bool in_own_network(void)
{
    if (unshare(CLONE_NEWNET) == 0)
        return true;
    skipped("no right to make a network namespace");
    return false;
}

static int exit_code(const char *const *argv)
{
    AUTO(fd_drop) int pidfd = -1;
    int status = -1;
    pid_t pid;

    CHECK_OK(proc_spawn(&(struct proc_spec){ .argv = argv }, &pid, &pidfd));
    CHECK(waitpid(pid, &status, 0) == pid);
    return WEXITSTATUS(status);
}

void run(const char *const *argv, int expected)
{
    CHECK_INT(exit_code(argv), expected);
}

bool succeeds(const char *const *argv)
{
    return exit_code(argv) == 0;
}

pid_t elsewhere_make(void)
{
    AUTO(fd_drop) int read_end = -1, write_end = -1;
    int ready[2];
    char byte = 0;

    CHECK(pipe2(ready, O_CLOEXEC) == 0);
    read_end = ready[0];
    write_end = ready[1];
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNET) < 0 || write(write_end, "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    CHECK(read(read_end, &byte, 1) == 1);
    return pid;
}

void elsewhere_end(pid_t pid)
{
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0) == pid);
}

int socket_there(pid_t pid)
{
    AUTO(fd_drop) int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), there = -1;
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
    there = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(here >= 0 && there >= 0 && setns(there, CLONE_NEWNET) == 0);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(setns(here, CLONE_NEWNET) == 0 && fd >= 0);
    return fd;
}

const struct net_nic *nic_find(struct arena *a, struct net_backend *b, const char *name)
{
    struct net_nic *nics;
    size_t n;

    CHECK_OK(b->scan(b->ctx, a, &nics, &n));
    for (size_t i = 0; i < n; i++)
        if (cstr_eq(nics[i].device, name))
            return &nics[i];
    return NULL;
}

/* Who would hand out addresses, and what it was told. */
struct net_range served;

static struct err *serve(void *ctx UNUSED, const struct net_range *range)
{
    served = *range;
    return NULL;
}

static struct err *end(void *ctx UNUSED, const char *bridge UNUSED)
{
    served = (struct net_range){ 0 };
    return NULL;
}

const struct net_dhcp dhcp = { NULL, serve, end };

struct err *bridge_up(struct net_backend *b, const char *name, const char *uplink)
{
    return b->bridge_up(
        b->ctx, &(struct net_network){ .bridge = name, .mtu = 1500, .uplink = uplink, .nat = "", .nat6 = "" });
}

struct err *bridge_down(struct net_backend *b, const char *name)
{
    return b->bridge_down(b->ctx, &(struct net_bridge_down_req){ .bridge = name, .nic = "" });
}

/* An Ethernet frame of the smallest size. */
void frame(unsigned char *f, const char *from, uint16_t type)
{
    memset(f, 0, 60);
    memset(f, 0xff, 6);
    CHECK(sscanf(from, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &f[6], &f[7], &f[8], &f[9], &f[10], &f[11]) == 6);
    f[12] = (unsigned char)(type >> 8);
    f[13] = (unsigned char)type;
}

/* Sends as the guest would: a tap's frames have ten bytes before them (IFF_VNET_HDR). False: its cable is cut. */
bool send_long(int tap, const unsigned char *f, size_t len)
{
    unsigned char with_header[128] = { 0 };

    memcpy(with_header + 10, f, len);
    return write(tap, with_header, len + 10) == (ssize_t)len + 10;
}

void send_frame(int tap, const unsigned char *f)
{
    CHECK(send_long(tap, f, 60));
}

/* The next frame of this type that comes out of the other tap within 0.3 s. */
bool hears(int tap, uint16_t type)
{
    for (unsigned char f[2048];;) {
        struct pollfd p = { .fd = tap, .events = POLLIN };

        if (poll(&p, 1, 300) <= 0)
            return false;
        ssize_t n = read(tap, f, sizeof(f));
        if (n >= 24 && f[22] == type >> 8 && f[23] == (type & 0xff))
            return true;
    }
}

/* The bridge has things to say as well. */
bool passes_as(int from, int to, const unsigned char *f, size_t len, const unsigned char *want, size_t want_len)
{
    unsigned char before[2048];

    while (read(to, before, sizeof(before)) > 0)
        continue;
    if (!send_long(from, f, len))
        return false;
    for (unsigned char got[2048];;) {
        struct pollfd p = { .fd = to, .events = POLLIN };

        if (poll(&p, 1, 300) <= 0)
            return false;
        if (read(to, got, sizeof(got)) >= (ssize_t)want_len + 10 && memcmp(got + 10, want, want_len) == 0)
            return true;
    }
}

bool passes(int from, int to, const unsigned char *f)
{
    size_t len = f[12] == 0x86 ? 78 : 60;

    return passes_as(from, to, f, len, f, len);
}
