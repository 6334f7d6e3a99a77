#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/fiber.h"
#include "base/map.h"
#include "gen/ipc_vm.h"
#include "host/launch.h"
#include "host/numa.h"

/*
 * Cells: one per guest of this host. A cell is a folder <run>/vm/<uuid> that
 * belongs to the VM's own uid, a vm process behind walls, and this process's
 * connection to it. The folder is the only memory: whose it is says the uid,
 * and that it exists says that there may be a guest. So after a restart
 * cells_adopt() finds every guest again, and a vm process that dies is started
 * again and told to attach.
 *
 * One operation at a time per cell: cell_lock(). Whoever holds it may use
 * cell->peer; a cell found or locked stays in memory until cell_unlock(), even
 * if it is removed meanwhile.
 */
struct cells;

struct cell {
    struct cells *cells;
    char *uuid, *dir; /* owned */
    uid_t uid;        /* 0: none of its own */
    uint64_t memory;
    unsigned vcpus, cpu_weight, cpu_cap; /* weight and cap as in idl/ipc/vm.toml */
    struct numa_share share;             /* of the host's NUMA nodes */
    bool gone;                           /* removed: not in the table any more */
    struct ipc_peer *peer;               /* owned; NULL while there is no vm process */
    int pidfd;                           /* of the vm process; -1: none, or it is this process */
    struct arena *heard;                 /* owned: what the state lies in */
    struct vm_state state;               /* as last heard; vm and busy are ours to say */
    bool busy;                           /* locked */
    unsigned users;                      /* who keeps it in memory */
    struct waitq idle;
    bool reviving;    /* its keeper is at work */
    bool overtakable; /* the holder only waits for the guest's good will */
    bool saving;      /* overtakable, but a list of guests waits for its end all the same */
    bool unclean;     /* its processes may not all be known: clear by looking for them */
};

struct cells_config {
    const char *dir; /* <run>/vm; made if missing */
    const struct launcher *launcher;
    bool own_uids;
    uid_t uid_base;
    unsigned n_uids; /* 0: 65536 */
    /* A guest did something by itself. [waits] not. */
    void (*on_change)(void *ctx, const char *uuid, const char *what, const char *detail, const struct vm_state *state,
        struct str nvram);
    /* Its agent said something new. [waits] not. */
    void (*on_report)(void *ctx, const char *uuid, const struct vm_report *report);
    void (*on_tpm)(void *ctx, const char *uuid, struct str memory); /* the memory of a guest's TPM changed */
    void *ctx;
};

struct err *cells_new(struct loop *l, const struct cells_config *config, struct cells **ret_cells) MUST_CHECK;
void cells_free(struct cells *c); /* guests and folders stay; no fiber may be waiting in a cell */
DEFINE_DROP(cells)

/* Makes a locked cell for every folder and starts a fiber per cell that attaches to its guest. */
struct err *cells_adopt(struct cells *c) MUST_CHECK;

/* A new cell, locked, with its folder and its vm process. VM_BAD_POWER_STATE if there is one already. [waits] */
struct err *cells_make(struct cells *c, const struct vm_plan *plan, struct cell **ret_cell) MUST_CHECK;
/* Finds and locks; NULL in *ret_cell when there is no such cell. Fails only when interrupted. [waits] */
struct err *cells_lock(struct cells *c, const char *uuid, struct cell **ret_cell) MUST_CHECK;
struct cell *cells_find(struct cells *c, const char *uuid); /* not locked: valid until the next wait; NULL if none */
void cell_unlock(struct cell *c);                           /* NULL is fine */

/* The vm process of a locked cell, started again if need be. GONE: *ret_peer is NULL, and the cell was removed. [waits]
 */
struct err *cell_peer(struct cell *c, struct ipc_peer **ret_peer) MUST_CHECK;
/* Takes over what the vm process said. */
void cell_heard(struct cell *c, const struct vm_state *s);
/* Says that the holder only waits for the guest's good will (or for its start), or no longer. */
void cell_overtakable(struct cell *c, bool on);
/* There is no guest any more: Halted or Suspended. */
bool cell_is_ended(const struct cell *c);
/* Chooses NUMA nodes for the plan of this cell, and counts what it is promised of them; root as in host/numa.h. */
void cell_place(struct cell *c, struct arena *a, const char *root, struct vm_plan *plan);
/* Room for so many times the guest. */
struct err *cell_limit(struct cell *c, unsigned times) MUST_CHECK;
bool cell_weighs(const struct cell *c); /* its weight and cap are among the limits */
/* As a value that borrows from the cell, until it hears again. */
struct vm_state cell_state(const struct cell *c);
struct vm_state cell_state_copy(struct arena *a, const struct vm_state *s);
/* The guest has ended: the vm process, leftovers, folder and uid go. For a locked cell. [waits] */
void cell_remove(struct cell *c);

/* Waits for what is under way now (but not for guests asked to shut down), then returns every state. [waits] */
struct err *cells_list(struct cells *c, struct arena *a, struct vm_state **ret_states, size_t *ret_n) MUST_CHECK;
size_t cells_count(const struct cells *c);
/* Walks them in no order: size_t it = 0; NULL at the end. Not locked: valid until the next wait. */
struct cell *cells_next(const struct cells *c, size_t *it);
