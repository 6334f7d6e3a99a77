#pragma once
#include <stdint.h>
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/*
 * Certificates that clients bring (semantics.md 14.2): read, judged, described.
 * The texts are strangers' bytes, so this runs where there are no rights.
 */
#define CERT_PEM_MAX (256 * 1024)

struct cert_facts {
    const char *pem; /* of the first certificate alone, written anew */
    const char *sha256, *sha1;
    int64_t not_before_s, not_after_s;
};

/* The first certificate in the text. INTERNAL_ERROR if there is none. */
struct err *cert_read(struct arena *a, struct str pem, struct cert_facts *ret) MUST_CHECK;
/* At least one certificate revocation list. INTERNAL_ERROR if there is none. */
struct err *cert_read_crl(struct str pem) MUST_CHECK;

/*
 * May a server show these? Fails with the SERVER_CERTIFICATE_... that says why
 * not: first the key is judged, then the certificate, then the chain (empty is
 * fine). *ret_pem is what tls_server_new() takes; it holds the key.
 */
struct err *cert_check_server(struct arena *a, int64_t now_s, struct str certificate, struct str key, struct str chain,
    const char **ret_pem) MUST_CHECK;
