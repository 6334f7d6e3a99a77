#pragma once
#include "core/call.h"

/* Raises an alert: its name is one of model_alerts, which has its priority. */
void message_raise(
    struct core *c, struct arena *a, const char *name, const char *cls, const char *obj_uuid, const char *body);

/* The same with a priority of its own; 0: that of the list. */
void message_raise_at(struct core *c, struct arena *a, const char *name, int64_t priority, const char *cls,
    const char *obj_uuid, const char *body);

/* The same about a VM: "VM 'its name' <what> on host: ...". Nothing if it is gone. */
void message_raise_vm(struct core *c, struct arena *a, const char *name, const char *vm_ref, const char *what);
