#pragma once
#include "core/call.h"
#include "core/ops.h"

/* What the files about VMs share. */

/* VM_BAD_POWER_STATE [vm, expected, actual] unless it is in that state. */
struct err *vm_assert_power_state(const struct row *vm, const char *expected) MUST_CHECK;

/* The same unless it is Halted or Suspended. */
struct err *vm_assert_at_rest(const struct row *vm) MUST_CHECK;

/* Brings the database in line with what the host says about a guest: power state, domain, consoles, devices. */
struct vm_state;
void vm_set_running(struct core *c, struct tx *t, const char *vm_ref, const struct vm_state *s);
void vm_set_halted(struct core *c, struct tx *t, const char *vm_ref);

/* Checks of semantics.md 3, as VM.start makes them. */
struct err *vm_check_params(struct core *c, const struct row *vm) MUST_CHECK;

/* INVALID_VALUE */
struct err *vm_bad_number(struct call *c, const char *field, int64_t v) MUST_CHECK;

/* core/vm_memory.c: the part about memory. */
bool vm_is_pinned(const struct row *vm); /* its memory cannot be ballooned */
struct err *vm_check_memory(const struct row *vm) MUST_CHECK;

/* VM.start on this host, all checks included. */
struct err *vm_start_here(struct call *c, const char *vm_ref, bool paused) MUST_CHECK;

/* VM.clean_shutdown, VM.hard_shutdown, VM.shutdown. */
enum vm_stop { VM_STOP_CLEAN, VM_STOP_HARD, VM_STOP_EITHER };
struct err *vm_stop(struct call *c, const char *vm_ref, enum vm_stop how) MUST_CHECK;

/* VM.hard_reboot, as the operation of that name. */
struct err *vm_reset_hard(struct call *c, const char *vm_ref, const char *op_name) MUST_CHECK;

/* semantics.md 8, in its order. */
struct err *vm_assert_can_boot_here(struct call *c, const char *vm_ref, const char *host_ref) MUST_CHECK;

/* A copy of a VM record and its devices. disks: how its disks are copied. */
enum vm_copy { VM_CLONE, VM_COPY };
struct err *vm_duplicate(struct call *c, const char *vm_ref, const char *name, enum vm_copy how, const char *sr,
    const char **ret_ref) MUST_CHECK;

/* Removes the record with its devices and metrics; disks stay. */
struct err *vm_destroy_record(struct call *c, const char *vm_ref) MUST_CHECK;

/* Device numbers: "0", "xvda", "hda" and "sda" all name position 0; false if it names none. */
bool vbd_position(const char *userdevice, int64_t *ret);
bool vm_disk_is_ide(const struct row *vm, int64_t position); /* what the guest finds there, at its next start */

/* core/vm_vcpus.c: VM.VCPUs_params for the host; INVALID_VALUE. In the arena. */
struct vm_cpu;
struct err *vm_cpu_params(struct core *c, struct arena *a, const struct value *params, struct vm_cpu *ret) MUST_CHECK;

/* MAC from seed and device number, semantics.md 5. */
void vif_mac(const char *seed, int64_t device, char ret_mac[18]);

/* core/secure_boot.c: platform:secureboot, with what `auto` means. */
bool vm_wants_secure_boot(struct core *c, const struct row *vm);
/* [waits] The UEFI variables that a VM with Secure Boot begins with, where the pool has keys of its own; else empty. */
struct err *secure_boot_own_vars(struct call *c, struct str *ret_vars) MUST_CHECK;

/* The plan of a start: everything the host must know. */
struct vm_plan;
void vm_plan_memory(struct vm_plan *plan, const struct row *vm, int64_t target);
struct err *vm_plan_make(struct call *c, const struct row *vm, bool paused, struct vm_plan *ret) MUST_CHECK;
struct vm_disk;
struct vm_nic;
struct err *vm_plan_disk(struct call *c, const struct row *vbd, struct vm_disk *ret) MUST_CHECK;
struct err *vm_plan_nic(struct call *c, const struct row *vif, struct vm_nic *ret) MUST_CHECK;
