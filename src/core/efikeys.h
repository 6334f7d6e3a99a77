#pragma once
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "proto/efivars.h"

/*
 * Secure Boot keys as an administrator brings them: a tar of PK.auth, KEK.auth, db.auth and dbx.auth, each the
 * signed update of one UEFI variable (UEFI specification 8.2.2: a time, a
 * certificate of the signer, then signature lists). PK, KEK and db must be
 * there. Whose signature it is does not matter here: the lists are put into a
 * store in which there are no keys yet, as the firmware's setup mode allows.
 */
#define EFIKEYS_MAX (768UL * 1024) /* bytes of a tar */

struct efikeys {
    struct str list[EFI_N_KEYS]; /* signature lists, empty: none */
};

/* False: *ret_why says what is wrong, in static words. */
bool efikeys_read(struct arena *a, struct str tar, struct efikeys *ret_keys, const char **ret_why) MUST_CHECK;
