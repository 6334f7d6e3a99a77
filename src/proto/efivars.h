#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

/*
 * UEFI variables as OVMF keeps them in flash: a firmware volume (UEFI PI
 * specification, volume 3, 3.2) that begins with one store of authenticated
 * variables (edk2, MdeModulePkg/Include/Guid/VariableFormat.h). A variable is
 * never changed in place: it is marked as deleted, and a new one is appended.
 *
 * Of a store only its four keys concern us. What is in it is the guest's word.
 */
#define EFIVARS_MAX (1024 * 1024) /* bytes of a store */

enum efi_key { EFI_PK, EFI_KEK, EFI_DB, EFI_DBX, EFI_N_KEYS };

bool efivars_valid(struct str store);
/* The variable's data; false: it is not there, or this is no store. */
bool efivars_key(struct str store, enum efi_key key, struct str *ret_data);
/* Changes a valid store: drops all keys. */
void efivars_drop_keys(char *store, size_t len);
/* Makes the keys of a valid store those of the other one. INTERNAL_ERROR when there is no room for them. */
struct err *efivars_take_keys(char *store, size_t len, struct str from) MUST_CHECK;
/* A new one without variables, len at least 4096: for those who have no firmware. */
void efivars_make(char *ret_store, size_t len);
/* Adds a key to a valid store. INTERNAL_ERROR when there is no room. */
struct err *efivars_add_key(char *store, size_t len, enum efi_key key, struct str data) MUST_CHECK;
