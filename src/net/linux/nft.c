#include "net/linux/nft.h"
#include <nftables/libnftables.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"

struct nft {
    struct nft_ctx *ctx; /* owned */
};

void nft_close(struct nft *n)
{
    if (!n)
        return;
    nft_ctx_free(n->ctx);
    free(n);
}

struct err *nft_open(struct nft **ret_nft)
{
    struct nft *n = mem_new(struct nft);

    n->ctx = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!n->ctx || nft_ctx_buffer_error(n->ctx)) {
        if (n->ctx)
            nft_ctx_free(n->ctx);
        free(n);
        return err_internal("the packet filter cannot be opened");
    }
    *ret_nft = n;
    return NULL;
}

bool nft_name_valid(const char *name)
{
    return *name && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == strlen(name);
}

struct err *nft_run(struct nft *n, const char *what, const char *fmt, ...)
{
    AUTO(mem_drop) char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        abort();
    va_end(ap);
    if (nft_run_cmd_from_buffer(n->ctx, text) == 0)
        return NULL;
    const char *why = nft_ctx_get_error_buffer(n->ctx);
    return err_internal("%s: %.*s", what, why ? (int)strcspn(why, "\n") : 0, why ? why : "");
}
