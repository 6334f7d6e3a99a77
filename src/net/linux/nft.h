#pragma once
#include <stdbool.h>
#include "base/compiler.h"
#include "base/err.h"

/*
 * The packet filter of this kernel, through libnftables: one text of commands is
 * one transaction, all of it or nothing. Blocks for as long as the kernel takes.
 * Needs CAP_NET_ADMIN over the network namespace.
 */
struct nft;
struct err *nft_open(struct nft **ret_nft) MUST_CHECK;
void nft_close(struct nft *n); /* NULL is fine */
static inline UNUSED void nft_close_drop(struct nft **n)
{
    nft_close(*n);
    *n = NULL;
}

/* Letters, digits, '_', '-' and '.' only: safe within the text. */
bool nft_name_valid(const char *name);
/* What has been checked to be names and addresses only may stand in the text. */
struct err *nft_run(struct nft *n, const char *what, const char *fmt, ...) PRINTF(3, 4) MUST_CHECK;
