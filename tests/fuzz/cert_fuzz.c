/* Certificates, keys and revocation lists that clients bring. */
#include <stddef.h>
#include <stdint.h>
#include "proto/cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct str text = { (const char *)data, size };
    struct cert_facts f;
    const char *pem;

    err_free(cert_read(a, text, &f));
    err_free(cert_read_crl(text));
    err_free(cert_check_server(a, 1769850300, text, text, text, &pem));
    return 0;
}
