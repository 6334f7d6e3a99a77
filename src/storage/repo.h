#pragma once
#include "storage/driver.h"

/* An attached SR. Whoever works with it holds a reference, so that a detach meanwhile only takes it off the list. */
struct sr {
    const struct sr_driver *driver;
    char *uuid;        /* owned */
    struct buf config; /* owned: as it was attached, encoded */
    void *state;       /* owned: the driver's */
    unsigned refs;
};

struct sr *sr_ref(struct sr *sr);
void sr_unref(struct sr *sr); /* NULL is fine */
static inline UNUSED void sr_unref_drop(struct sr **sr)
{
    sr_unref(*sr);
    *sr = NULL;
}
