#pragma once
#include "core/call.h"

/*
 * role: six of them are rows. What they grant are permissions, and each of
 * those can be looked at as an object of the class, too, by reference, uuid
 * and name. There are thousands, they are the same on every host, and no
 * client wants them in its cache; so they are no rows, no list of objects has
 * them, and no event. They are made when somebody asks for the first time.
 */
struct permissions;

void permissions_free(struct permissions *p); /* NULL is fine */
