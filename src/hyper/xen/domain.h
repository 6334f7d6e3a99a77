#pragma once
#include <stdbool.h>
#include <libxl.h>
#include "base/err.h"
#include "hyper/hyper.h"

/*
 * One domain through libxl and xenstore. All calls but domain_done() block, so
 * they run on a thread (fiber_offload), one at a time.
 *
 * A domain is known by its uuid; its number is looked up, and nothing is done
 * to a number that does not carry the uuid. Domain 0 is never touched.
 */
struct xs_handle;

/* What libxl complained about during a call, for the note of the error. */
struct words {
    xentoollog_logger logger;
    char text[400];
    size_t len;
};

struct domain {
    libxl_uuid uuid;
    uint32_t id;          /* 0: none */
    libxl_ctx *ctx;       /* owned */
    struct xs_handle *xs; /* owned; its descriptor tells that some domain of this host ended */
    struct words words;
};

struct err *domain_open(struct domain *d) MUST_CHECK; /* fails where there is no Xen */
void domain_done(struct domain *d);                   /* zeroed is fine; the domain lives on */

struct err *domain_host(struct domain *d, struct hyper_info *info) MUST_CHECK;
struct err *domain_find(struct domain *d) MUST_CHECK; /* sets the number, 0 if there is none */

/* Makes it, and leaves it paused; undoes what it did on failure. The files must stay where they are. */
struct err *domain_create(
    struct domain *d, const struct vm_plan *plan, const char *kernel, const char *initrd) MUST_CHECK;
/* HYPER_GONE also while it is being torn down. */
struct err *domain_look(struct domain *d, enum hyper_power *ret_power) MUST_CHECK;
struct err *domain_pause(struct domain *d) MUST_CHECK; /* Xen counts pauses; here two are as good as one */
struct err *domain_unpause(struct domain *d) MUST_CHECK;
/* False in *ret_heard: the guest has nobody who would listen. */
struct err *domain_ask_shutdown(struct domain *d, bool *ret_heard) MUST_CHECK;
/* A domain cannot run from its start again: another one of the same configuration takes its place, running. */
struct err *domain_start_over(struct domain *d) MUST_CHECK;
struct err *domain_destroy(struct domain *d) MUST_CHECK; /* gone already is fine */

/* Takes what the descriptor of d->xs told. False: xenstored is gone. Does not block. */
bool domain_events(struct domain *d);
