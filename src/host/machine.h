#pragma once
#include "base/loop.h"
#include "ipc/ipc.h"

/*
 * The machine service (idl/ipc/machine.toml): what an administrator sets on the
 * machine itself. Settings that a tool of systemd has a word for are made with
 * that tool; the others are one file each, named for Runnymede, so that nothing
 * of the administrator's own is ever rewritten.
 *
 * `root` says whose machine. "": this one. A folder: a pretended one, whose
 * etc/ is written and whose program `control` stands for every tool (its
 * arguments are the tool and the tool's), so that a throwaway host changes
 * nothing outside of its folder. NULL: no setting may be changed, and there are
 * no programs to call.
 *
 * Every text is checked again here before it becomes an argument or a line of a
 * file: what comes from the core came from a client once.
 */
struct machine {
    struct loop *loop; /* set by machine_mount() */
    const char *root;
    const char *report; /* the program that writes a status report; NULL: there is none */
    const char *run_dir;
    const char *state_dir; /* holds gate.pem, and gate.pem.only while plain HTTP is off */
    uid_t plugin_uid;      /* whom programs run as that do not ask for more; 0: as ourselves */
    gid_t plugin_gid;
};

/* The machine is borrowed until the peer's last call has ended. */
void machine_mount(struct ipc_peer *core, struct machine *m);

/* program.c: programs in <root>/etc/runnymede/<kind>. */
struct machine_program_req;
struct machine_program_rep;
struct err *machine_program_run(struct machine *m, struct arena *a, const struct machine_program_req *req,
    struct machine_program_rep *rep) MUST_CHECK;
struct err *machine_program_find(
    struct machine *m, struct arena *a, const char *kind, const char *name, const char **ret_path) MUST_CHECK;

/* report.c */
struct machine_report_req;
struct err *machine_report_start(struct machine *m, const struct machine_report_req *req, int *ret_stream) MUST_CHECK;
