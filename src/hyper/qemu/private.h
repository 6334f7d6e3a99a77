#pragma once
#include "base/fiber.h"
#include "base/loop.h"
#include "hyper/hyper.h"
#include "hyper/qemu/devices.h"
#include "hyper/qemu/qmp.h"

/* What qemu.c, hotplug.c and migrate.c share. */

#define CALL_US (10 * 1000000ULL) /* for one QMP command: QEMU answers in milliseconds or is stuck */
#define N_UNPLUGGED 16
#define QEMU_BINARY "/usr/bin/qemu-system-x86_64"
#define QEMU_RECORD "qemu.pid"
#define QEMU_LOG "qemu.log"
#define QEMU_NEXT "next-"
#define QEMU_VARS_TEMPLATE "/usr/share/OVMF/OVMF_VARS_4M.fd"
#define QEMU_VARS_SECURE "/usr/share/OVMF/OVMF_VARS_4M.ms.fd" /* with Microsoft's keys, as most systems are signed */

struct qemu {
    struct hyper_guest base;
    struct hyper_env env;
    const char *prefix; /* of its files' names: "", or QEMU_NEXT while it is to become the guest */
    pid_t pid;
    int pidfd; /* owned */
    struct watch *exit_watch;
    struct timer *housekeeping;
    struct qmp *qmp;                           /* NULL or lost: reconnected at the next call */
    bool gone;                                 /* the process has ended */
    bool no_reboot;                            /* a guest's own reboot switches it off */
    bool wants_reboot;                         /* that is what switched it off */
    uint64_t resets;                           /* RESET events seen */
    uint64_t memory;                           /* that the balloon leaves it, bytes; 0: it has none */
    char unplugged[N_UNPLUGGED][QEMU_ID_SIZE]; /* devices that the guest let go of, a ring */
    unsigned n_unplugged;
    struct waitq change; /* something above changed */
    struct watch *tpm_watch;
    int tpm_notify; /* owned: inotify on its TPM's folder; -1: none */
};

static inline struct qemu *qemu_of(struct hyper_guest *g)
{
    return CONTAINER_OF(g, struct qemu, base);
}

/* [waits] qmp_call() that reconnects if need be. Takes args. */
struct err *qemu_call(struct qemu *q, const char *command, json_t *args, int fd, json_t **ret_value) MUST_CHECK;

/* qemu.c */
void qemu_tell(struct qemu *q, enum hyper_event_kind kind, const char *device);
struct qemu *qemu_new(const struct hyper_env *env, const char *prefix);
void qemu_free(struct hyper_guest *g);
struct err *qemu_open_dir(const struct hyper_env *env, int *ret_fd) MUST_CHECK;
/* [waits] A QEMU with its monitor open, which has not run a step. */
struct err *qemu_begin(const struct hyper_env *env, const struct vm_plan *plan, const char *prefix, bool incoming,
    struct qemu **ret_qemu) MUST_CHECK;
struct err *qemu_settle(struct qemu *q, const struct vm_plan *plan) MUST_CHECK; /* leases and cut cables */
/* [waits] Kills and frees it; e with its last words. */
struct err *qemu_abort(struct qemu *q, struct err *e) MUST_CHECK;
struct err *qemu_kill(struct qemu *q) MUST_CHECK;      /* [waits] */
void qemu_adopt(struct qemu *q, pid_t pid, int pidfd); /* takes pidfd */
/* *ret_found: there is a record; q->gone if its process has ended, else it is adopted. */
struct err *qemu_record_read(struct qemu *q, const char *name, bool *ret_found) MUST_CHECK;
void qemu_forget_files(const struct hyper_env *env, const char *prefix);
struct err *qemu_power(struct qemu *q, enum hyper_power *ret_power) MUST_CHECK;

/* room.c */
/* [waits] Learns q->memory: after a connection was opened, or memory arrived. */
struct err *qemu_balloon_ask(struct qemu *q) MUST_CHECK;
struct err *qemu_balloon(struct hyper_guest *g, uint64_t target) MUST_CHECK;
struct err *qemu_vcpus_add(struct hyper_guest *g, uint32_t count) MUST_CHECK;
struct err *qemu_pin(struct hyper_guest *g, const uint32_t *cpus, size_t n) MUST_CHECK;

/* migrate.c */
struct err *qemu_layout(struct hyper_guest *g, struct arena *a, struct vm_plan *plan) MUST_CHECK;
struct err *qemu_save(struct hyper_guest *g, int fd) MUST_CHECK;
struct err *qemu_restore(
    const struct hyper_env *env, const struct vm_plan *plan, int fd, struct hyper_guest **ret_guest) MUST_CHECK;
struct err *qemu_move(struct hyper_guest *g, const struct vm_plan *plan) MUST_CHECK;
/* Before attaching: a move that was interrupted is finished or undone. *ret_moved: the guest is to run on then. */
struct err *qemu_move_recover(const struct hyper_env *env, bool *ret_moved) MUST_CHECK;
/* [waits] Ends a migration that may be under way: after this nothing is being written any more. */
struct err *qemu_call_off(struct qemu *q) MUST_CHECK;
struct err *qemu_run_on(struct qemu *q) MUST_CHECK;

/* tpm.c */
/* A TPM with this memory (empty: a new one, or an arriving guest brings it along), and the socket by which to own it.
 */
struct err *qemu_tpm_start(struct qemu *q, int dir, struct str memory, int log, int *ret_fd) MUST_CHECK;
void qemu_tpm_end(int dir, const char *prefix); /* its process; the memory stays */
void qemu_tpm_watch(struct qemu *q);            /* HYPER_EV_TPM from now on; does nothing without a TPM */
void qemu_tpm_unwatch(struct qemu *q);
struct err *qemu_tpm_take_name(int dir) MUST_CHECK; /* after a move */
struct err *qemu_tpm_memory(const struct hyper_env *env, struct buf *b) MUST_CHECK;

/* probe.c */
struct err *qemu_probe(struct hyper_info *ret_info) MUST_CHECK;

/* hotplug.c */
struct err *qemu_lease_pass(struct qemu *q, const struct vm_disk *d) MUST_CHECK;
struct err *qemu_link_set(struct qemu *q, const struct vm_nic *n, bool up) MUST_CHECK;
struct err *qemu_disk_add(struct hyper_guest *g, const struct vm_disk *d) MUST_CHECK;
struct err *qemu_disk_remove(
    struct hyper_guest *g, const struct vm_disk *d, bool force, uint64_t deadline_us) MUST_CHECK;
struct err *qemu_media(struct hyper_guest *g, const struct vm_disk *cd) MUST_CHECK;
struct err *qemu_nic_add(struct hyper_guest *g, const struct vm_nic *n) MUST_CHECK;
struct err *qemu_nic_remove(struct hyper_guest *g, const struct vm_nic *n, bool force, uint64_t deadline_us) MUST_CHECK;
