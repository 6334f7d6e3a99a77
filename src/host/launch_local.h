#pragma once
#include "base/loop.h"
#include "host/launch.h"

/* vm services within this process, for hypervisors that need no walls (sim). All is borrowed. */
struct hyper_ops;
struct vm_local {
    struct loop *loop;
    const struct hyper_ops *ops;
};
struct launcher launcher_local(struct vm_local *l);
