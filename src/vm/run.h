#pragma once
#include "gen/ipc_vm.h"

/*
 * A script in the guest: its agent feeds it to the guest's shell and hands back
 * what that says. The agent cannot stop what it started, so a script that is
 * not done in time runs on, and only its end is not waited for.
 */
struct ipc_call;
struct err *vm_on_run(struct ipc_call *c, struct vm_run_req *req, struct vm_run_rep *rep) MUST_CHECK;
