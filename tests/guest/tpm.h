#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

enum tpm_answer { TPM_NONE, TPM_DEFINED, TPM_HAD_IT };
enum tpm_answer tpm_define(void); /* a place in the TPM's lasting memory */
