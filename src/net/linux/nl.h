#pragma once
#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/vec.h"

/*
 * One rtnetlink socket: requests with their acknowledgement, and dumps. Blocks
 * for at most five seconds (the kernel answers in microseconds).
 */
struct nl;
struct err *nl_open(struct nl **ret_nl) MUST_CHECK;
void nl_free(struct nl *n);
DEFINE_DROP(nl)

/* A message under construction in the socket's buffer; nl_send() sends it. */
struct nlmsghdr *nl_begin(struct nl *n, uint16_t type, uint16_t flags);
struct err *nl_send(struct nl *n, struct nlmsghdr *m, const char *what) MUST_CHECK;

/* Calls fn for each message of the dump; m is valid inside fn only. */
typedef void nl_fn(void *arg, const struct nlmsghdr *m);
struct err *nl_dump(struct nl *n, uint16_t type, uint8_t family, nl_fn *fn, void *arg) MUST_CHECK;

/* The interfaces as they are. */
struct nl_link {
    int index, master; /* master 0: none */
    int parent;        /* of a VLAN: the interface that it is on; 0: none */
    uint32_t tag;      /* of a VLAN */
    struct nl_bond {
        uint8_t mode, hash, rate; /* BOND_MODE_, BOND_XMIT_POLICY_; 1: fast */
        uint16_t key;
    } bond; /* of a bond */
    char name[16];
    char kind[16];  /* "bridge", "vlan", "bond", "tun", "veth"; "" for hardware */
    char alias[64]; /* a tap's: uuid of its VM, "/", its number */
    uint8_t mac[6];
    bool ethernet, carrier, up;
    uint32_t mtu;
};
struct nl_links {
    VEC(struct nl_link) v;
};
void nl_links_done(struct nl_links *l);
struct err *nl_links_read(struct nl *n, struct nl_links *ret) MUST_CHECK;
struct nl_link *nl_links_find(struct nl_links *l, const char *name);
struct nl_link *nl_links_at(struct nl_links *l, int index);
