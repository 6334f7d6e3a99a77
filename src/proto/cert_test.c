#include "proto/cert.h"
#include <string.h>
#include <time.h>
#include "base/buf.h"
#include "proto/tls.h"
#include "test.h"

/* Key and certificate in one text, as the gate keeps them. */
static struct str own(struct arena *a)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 64 * 1024);
    CHECK_OK(tls_make_self_signed("meadow", NULL, 0, &b));
    return (struct str){ arena_strndup(a, b.p, b.len), b.len };
}

TEST(a_certificate_is_described)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf print;
    struct str pem = own(a);
    struct cert_facts f;

    buf_init(&print, 256);
    CHECK_OK(cert_read(a, pem, &f));
    CHECK_OK(tls_thumbprint(pem, "sha256", &print));
    CHECK_STR(f.sha256, print.p);
    CHECK_INT(strlen(f.sha1), 59);
    CHECK(f.not_before_s <= time(NULL) && f.not_after_s > time(NULL));
    CHECK(!strstr(f.pem, "PRIVATE"));
}

TEST(what_is_no_certificate_is_refused)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct cert_facts f;

    CHECK_ERR(cert_read(a, STR(""), &f), "INTERNAL_ERROR");
    CHECK_ERR(
        cert_read(a, STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), &f), "INTERNAL_ERROR");
    CHECK_ERR(cert_read_crl(own(a)), "INTERNAL_ERROR");
}

TEST(a_servers_certificate_is_judged_key_first)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct str one = own(a), other = own(a);
    AUTO(tls_server_drop) struct tls_server *server = NULL;
    int64_t now = time(NULL);
    const char *pem = NULL;

    CHECK_ERR(cert_check_server(a, now, one, STR("no key"), STR(""), &pem), "SERVER_CERTIFICATE_KEY_INVALID");
    CHECK_ERR(cert_check_server(a, now, STR("nothing"), one, STR(""), &pem), "SERVER_CERTIFICATE_INVALID");
    CHECK_ERR(cert_check_server(a, now, one, other, STR(""), &pem), "SERVER_CERTIFICATE_KEY_MISMATCH");
    CHECK_ERR(cert_check_server(a, 1000000000, one, one, STR(""), &pem), "SERVER_CERTIFICATE_NOT_VALID_YET");
    CHECK_ERR(cert_check_server(a, 4000000000, one, one, STR(""), &pem), "SERVER_CERTIFICATE_EXPIRED");
    CHECK_ERR(cert_check_server(a, now, one, one, STR("nothing"), &pem), "SERVER_CERTIFICATE_CHAIN_INVALID");
    CHECK(!pem);
    CHECK_OK(cert_check_server(a, now, one, one, other, &pem));
    CHECK_OK(tls_server_new(str_of(pem), &server));
}
