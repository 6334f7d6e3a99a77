#pragma once
#include "base/buf.h"
#include "base/err.h"

/* A pretended TPM: it counts the boots of its guest, in a file of the VM's folder. */
struct hyper_env;
struct err *sim_tpm_put(const struct hyper_env *env, bool vtpm, struct str memory) MUST_CHECK; /* none: takes it away */
struct err *sim_tpm_boot(const struct hyper_env *env) MUST_CHECK; /* does nothing without one */
struct err *sim_tpm_memory(const struct hyper_env *env, struct buf *b) MUST_CHECK;
