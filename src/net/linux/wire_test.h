#pragma once
#include <stdio.h>
#include <sys/types.h>
#include "net/linux/linux.h"

/* What tests of this room share: a network of their own, and guests' frames on their taps. */

/* Says so; an error where the environment has NOTHING_SKIPPED. */
void skipped(const char *why);
/* Each test has a network namespace of its own; without the right to make one it is skipped, visibly. */
bool in_own_network(void);

void run(const char *const *argv, int expected);
bool succeeds(const char *const *argv);
#define IP(...) run((const char *const[]){ "/usr/sbin/ip", __VA_ARGS__, NULL }, 0)

/* A network namespace of somebody else, who does nothing; a socket of TCP over IPv6 in it. */
pid_t elsewhere_make(void);
void elsewhere_end(pid_t pid);
int socket_there(pid_t pid);
#define IP_THERE(pid, ...)                                                                                             \
    do {                                                                                                               \
        char ns_of_pid[16];                                                                                            \
        snprintf(ns_of_pid, sizeof(ns_of_pid), "%d", (int)(pid));                                                      \
        run((const char *const[]){ "/usr/bin/nsenter", "-t", ns_of_pid, "-n", "/usr/sbin/ip", __VA_ARGS__, NULL }, 0); \
    } while (0)

const struct net_nic *nic_find(struct arena *a, struct net_backend *b, const char *name);
struct err *bridge_up(struct net_backend *b, const char *name, const char *uplink);
struct err *bridge_down(struct net_backend *b, const char *name);

/* Who would hand out addresses, and what it was told. */
extern struct net_range served;
extern const struct net_dhcp dhcp;

#define MINE "52:54:00:00:00:01"
#define YOURS "52:54:00:00:00:02"
#define VM "11111111-2222-4333-8444-555555555555"

/* An Ethernet frame of the smallest size. */
void frame(unsigned char *f, const char *from, uint16_t type);
/* As the guest would. False: its cable is cut. */
bool send_long(int tap, const unsigned char *f, size_t len);
void send_frame(int tap, const unsigned char *f);
/* The next frame of this type that comes out of the other tap within 0.3 s. */
bool hears(int tap, uint16_t type);
/* This very frame, and not one that was sent before. */
bool passes(int from, int to, const unsigned char *f);
/* It comes out as another one. */
bool passes_as(int from, int to, const unsigned char *f, size_t len, const unsigned char *want, size_t want_len);
