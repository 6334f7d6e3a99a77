#pragma once
#include <stdbool.h>
#include "base/str.h"

/*
 * Memories of TPMs that no core has confirmed yet. A guest's TPM changed it,
 * and perhaps there is no core now, or it dies before it is durable: so what
 * was told is told again until a core says that it keeps it, and whoever starts
 * the guest before that takes it from here.
 */
struct tpms;
struct ipc_peer;

struct tpms *tpms_new(struct ipc_peer *(*core)(void *ctx), void *ctx); /* core: NULL while there is none */
void tpms_free(struct tpms *t);
DEFINE_DROP(tpms)

void tpms_put(struct tpms *t, const char *vm, struct str memory);        /* the newest; copied */
void tpms_deliver(struct tpms *t);                                       /* there is a core again */
bool tpms_newest(const struct tpms *t, const char *vm, struct str *ret); /* borrowed until the next wait */
