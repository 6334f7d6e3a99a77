#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"

/*
 * The door to hypervisors: one guest behind one object, whatever runs it.
 *
 * A guest does not belong to our process: freeing the object, or dying, leaves
 * it running, and attach() finds it again from the files in the VM's folder.
 * Every call but free() runs in a fiber and [waits], has its own deadline, and
 * ends as early as it can when the fiber is interrupted (libxl's calls cannot
 * be cut). One call at a time per guest: the
 * vm room sees to that. Descriptors in plans are borrowed; what the guest needs
 * beyond the call, it gets as duplicates.
 */
struct arena;
struct vm_plan;
struct vm_disk;
struct vm_nic;
struct stats_guest;

enum hyper_power {
    HYPER_GONE,  /* there is no guest any more */
    HYPER_BUILT, /* built or reset, has not run a step yet */
    HYPER_RUNNING,
    HYPER_PAUSED,
    HYPER_OFF,          /* it switched itself off; its memory and devices are still there */
    HYPER_WANTS_REBOOT, /* the same, to be started over: reset() or destroy() follow */
    HYPER_CRASHED,      /* it panicked and stands still */
};

struct hyper_state {
    enum hyper_power power;
    pid_t pid;       /* of the hypervisor's process; 0: it has none */
    int64_t domid;   /* the hypervisor's own number of the guest, which a reset may change; -1: the plan's holds */
    uint64_t memory; /* bytes that the balloon leaves it; 0: there is no balloon */
};

enum hyper_event_kind {
    HYPER_EV_STATE, /* ask query() again: it stopped, ran on, switched off, panicked, or is gone */
    HYPER_EV_RESET, /* the guest rebooted by itself, and runs: what a hypervisor may do whose plan wants it so */
    HYPER_EV_UNPLUGGED,
    HYPER_EV_AGENT,  /* somebody in the guest opened or closed the agent's port */
    HYPER_EV_TPM,    /* its TPM's memory is not what it was */
    HYPER_EV_MEMORY, /* its balloon grew or shrank */
};

struct hyper_event {
    enum hyper_event_kind kind;
    const char *device; /* HYPER_EV_UNPLUGGED: "disk3", "nic0" */
    uint64_t memory;    /* HYPER_EV_MEMORY: bytes that it leaves the guest */
};

typedef void hyper_event_fn(void *ctx, const struct hyper_event *ev);

/* Where and for whom a guest is run. Borrowed; lives as long as the guest's object. */
struct hyper_env {
    struct loop *loop;
    const char *dir;          /* the VM's folder, absolute: sockets, process record, UEFI variables, TPM, log */
    hyper_event_fn *on_event; /* on the loop, never from inside a call of hyper_ops */
    void *ctx;
};

struct hyper_info {
    char name[16];        /* "qemu", "sim" */
    char version[32];     /* "7.2.22" */
    char accelerator[16]; /* "kvm", "tcg", "sim" */
    char detail[160];     /* why no better accelerator is used; empty if there is nothing to say */
    bool uefi;            /* firmware for UEFI guests is installed */
    bool secure_boot;     /* and one that can tell what is signed */
    uint32_t vcpus_max;
    uint64_t overhead, overhead_vcpu, overhead_screen; /* bytes that a guest costs besides its memory */
};

struct hyper_guest; /* embedded by each hypervisor as its first member */

struct hyper_ops {
    const char *name;

    struct err *(*probe)(struct hyper_info *ret_info);

    /* Builds the guest; runs it unless plan->paused. What was done is undone on failure. */
    struct err *(*start)(const struct hyper_env *env, const struct vm_plan *plan, struct hyper_guest **ret_guest);

    /* NULL in *ret_guest: there is none any more; *ret_reason says why as far as known (static text, maybe ""). */
    struct err *(*attach)(const struct hyper_env *env, struct hyper_guest **ret_guest, const char **ret_reason);

    void (*free)(struct hyper_guest *g); /* the object only */

    struct err *(*query)(struct hyper_guest *g, struct hyper_state *ret_state);
    struct err *(*pause)(struct hyper_guest *g);
    struct err *(*unpause)(struct hyper_guest *g);          /* also the first step of a built guest, or after a save */
    struct err *(*request_shutdown)(struct hyper_guest *g); /* presses the button; HYPER_EV_STATE tells */
    /* What a machine's front panel and keyboard can do: "power", "nmi", "wakeup", or "sysrq" with a key (a letter or
     * digit). Sent; what the guest makes of it is its own affair. NULL: nothing of the kind. */
    struct err *(*press)(struct hyper_guest *g, const char *what, char key);
    /* What the balloon of a plan with a memory_target is to leave, bytes: a wish, which a guest without a driver does
     * not even hear. HYPER_EV_MEMORY tells what it does. NULL: there are no balloons. */
    struct err *(*balloon)(struct hyper_guest *g, uint64_t target);
    /* Adds vCPUs until there are count (at most the plan's vcpus_max). NULL: cannot. */
    struct err *(*vcpus_add)(struct hyper_guest *g, uint32_t count);
    /* vCPUs run on these CPUs of the host alone, those that were added included; n 0: on all. NULL: cannot. */
    struct err *(*pin)(struct hyper_guest *g, const uint32_t *cpus, size_t n);
    struct err *(*reset)(struct hyper_guest *g);   /* starts over and runs, from any power but HYPER_GONE */
    struct err *(*destroy)(struct hyper_guest *g); /* at once; a guest already gone is success */

    struct err *(*disk_add)(struct hyper_guest *g, const struct vm_disk *disk);
    /* force: when the guest does not let go within the time, its image is taken from it anyway. */
    struct err *(*disk_remove)(struct hyper_guest *g, const struct vm_disk *disk, bool force, uint64_t deadline_us);
    struct err *(*media)(struct hyper_guest *g, const struct vm_disk *cd); /* empty vdi: takes the medium out */
    struct err *(*nic_add)(struct hyper_guest *g, const struct vm_nic *nic);
    struct err *(*nic_remove)(struct hyper_guest *g, const struct vm_nic *nic, bool force, uint64_t deadline_us);

    /* "rfb" or "vt100": a connected stream, caller's. */
    struct err *(*console)(struct hyper_guest *g, const char *protocol, int *ret_fd);

    /*
     * The agent in the guest (QEMU's protocol): a connected stream, caller's; *ret_fd stays as it is when nobody in the
     * guest has opened its end. NULL: there is no such thing. agent_tells: HYPER_EV_AGENT comes as well when it has
     * something new to say, so nobody need ask again.
     */
    struct err *(*agent)(struct hyper_guest *g, const struct vm_plan *plan, int *ret_fd);
    bool agent_tells;

    /*
     * Suspend and resume. layout() writes into the plan where the guest finds its devices, so that restore() puts them
     * there. save() stops the guest and writes it into fd from its offset on: after success it stands still, until
     * destroy() or unpause(); after failure it is as it was, and nobody writes any more. restore() is start() with what
     * save() wrote; the guest stands still and has not run a step.
     */
    struct err *(*layout)(struct hyper_guest *g, struct arena *a, struct vm_plan *plan);
    struct err *(*save)(struct hyper_guest *g, int fd);
    struct err *(*restore)(
        const struct hyper_env *env, const struct vm_plan *plan, int fd, struct hyper_guest **ret_guest);

    /*
     * Moves a running guest into a new process of the hypervisor, with the plan's layout and descriptors. After failure
     * it runs on where it was; attach() after a death in between finds it in exactly one place.
     */
    struct err *(*move)(struct hyper_guest *g, const struct vm_plan *plan);

    /* Counters: pid, disks, and either threads or times of the vCPUs. NULL: it has none. */
    struct err *(*stats)(
        struct hyper_guest *g, const struct vm_plan *plan, struct arena *a, struct stats_guest *ret_stats);

    /* The UEFI variables as they are now; adds nothing for other firmware. Works on the folder, guest or no guest. */
    struct err *(*nvram)(const struct hyper_env *env, struct buf *b);
    /* The UEFI variables that a guest with Secure Boot begins with: the keys. NULL: there is no such firmware. */
    struct err *(*secure_vars)(struct buf *b);
    /* The same as nvram() of the TPM's memory; nothing while it has none. NULL: this hypervisor has no TPMs. */
    struct err *(*tpm)(const struct hyper_env *env, struct buf *b);
};

struct hyper_guest {
    const struct hyper_ops *ops;
    uint64_t done, total; /* bytes of a save, restore or move under way; total 0: none */
};

static inline void hyper_guest_drop(struct hyper_guest **g)
{
    if (*g)
        (*g)->ops->free(*g);
    *g = NULL;
}
