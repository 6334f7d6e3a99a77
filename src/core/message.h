#pragma once
#include "core/call.h"

/* Raises an alert; names and priorities as the model's alert list has them. Returns its ref, in the arena. */
const char *message_add(struct core *c, struct arena *a, const char *name, int64_t priority, const char *cls,
    const char *obj_uuid, const char *body);
