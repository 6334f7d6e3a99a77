#pragma once
#include "base/arena.h"
#include "base/loop.h"
#include "gen/ipc_vm.h"
#include "gen/ipc_vmevents.h"
#include "test.h"

/*
 * A VM to try things on: a real loop, a vm service on a real hypervisor in this
 * test's folder, and the host's side of its connection.
 *
 *     REAL_TEST(guest_says_that_it_is_up) { rig_start(rig); rig_expect(rig, "up"); }
 */
struct hyper_ops;
struct vm_service;

struct rig {
    struct loop *loop;
    struct arena *arena;
    const struct hyper_ops *ops;
    struct vm_service *service;
    struct ipc_peer *host, *vm;
    struct vm_plan plan; /* a small direct-boot guest; change it before rig_start() */
    struct vm_disk disks[2];
    struct vm_nic nics[2];
    int serial;       /* a console to the guest, open since before its first step */
    char said[65536]; /* by the guest, since the last rig_expect() */
    size_t n_said;
    char told[512]; /* vmevents so far: "shutdown/Halted " ... */
    bool has_nvram;
    char tpm[16384]; /* its memory, as told last */
    size_t n_tpm;
};

typedef void rig_fn(struct rig *rig);
void rig_run(rig_fn *fn); /* in a fiber of a real loop; ends the guest afterwards */

#define REAL_TEST(name)                       \
    static void real_##name(struct rig *rig); \
    TEST(name)                                \
    {                                         \
        rig_run(real_##name);                 \
    }                                         \
    static void real_##name(struct rig *rig)

const char *rig_guest(const char *name); /* path of a test guest's image */
int rig_open_guest(const char *name, int flags);
void rig_start(struct rig *rig); /* and waits until the guest says that it is up (direct, bios) */
void rig_start_quiet(struct rig *rig);
void rig_expect(struct rig *rig, const char *text); /* [waits] until the serial line has said so */
void rig_type(struct rig *rig, char c);
void rig_console_open(struct rig *rig);
void rig_restart_service(struct rig *rig, const char *power, const char *reason); /* a new process attaches */
void rig_forget_service(struct rig *rig);
void rig_wait_told(struct rig *rig, const char *what);
const char *rig_power(struct rig *rig);
pid_t rig_pid(struct rig *rig);

/* runnymede-vm on this rig's folder; the rig's host peer talks to it instead of to the service within. */
struct process {
    pid_t pid;
    int pidfd;
};
struct process rig_spawn(struct rig *rig);
void rig_ended(struct rig *rig, struct process *p); /* [waits] */
int rig_n_qemus(void);                              /* whose working directory is this test's folder */
