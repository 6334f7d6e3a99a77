#include "proto/cert.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include "base/buf.h"
#include "base/mem.h"
#include "base/value.h"

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 4096
#define CHAIN_MAX 32

static void bio_drop(BIO **b)
{
    BIO_free(*b);
}

static void x509_drop(X509 **x)
{
    X509_free(*x);
}

static void crl_drop(X509_CRL **x)
{
    X509_CRL_free(*x);
}

static void key_drop(EVP_PKEY **k)
{
    EVP_PKEY_free(*k);
}

/* A key behind a pass phrase is no key to us: nobody is there to be asked. */
static int no_password(char *p, int size, int rw, void *arg)
{
    (void)p;
    (void)size;
    (void)rw;
    (void)arg;
    return -1;
}

static BIO *open_text(struct str pem)
{
    return pem.len && pem.len <= CERT_PEM_MAX ? BIO_new_mem_buf(pem.p, (int)pem.len) : NULL;
}

static X509 *read_x509(BIO *in)
{
    X509 *x = in ? PEM_read_bio_X509(in, NULL, no_password, NULL) : NULL;

    ERR_clear_error(); /* the end of a text counts as an error */
    return x;
}

static bool seconds(const ASN1_TIME *t, int64_t *ret_s)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, rest = 0;
    bool ok = epoch && ASN1_TIME_diff(&days, &rest, epoch, t) == 1;

    ASN1_TIME_free(epoch);
    *ret_s = (int64_t)days * 86400 + rest;
    return ok;
}

static const char *fingerprint(struct arena *a, const X509 *x, const EVP_MD *md)
{
    unsigned char bin[EVP_MAX_MD_SIZE];
    AUTO(buf_done) struct buf text;
    unsigned n = 0;

    buf_init(&text, 3 * sizeof(bin) + 1);
    if (X509_digest(x, md, bin, &n) != 1)
        return "";
    for (unsigned i = 0; i < n; i++)
        buf_printf(&text, i ? ":%02X" : "%02X", bin[i]);
    return arena_strdup(a, text.p);
}

static const char *written(struct arena *a, X509 *x)
{
    AUTO(bio_drop) BIO *out = BIO_new(BIO_s_mem());
    char *text = NULL;

    if (!out || PEM_write_bio_X509(out, x) != 1)
        return "";
    long n = BIO_get_mem_data(out, &text);
    return arena_strndup(a, text, (size_t)n);
}

struct err *cert_read(struct arena *a, struct str pem, struct cert_facts *ret)
{
    AUTO(bio_drop) BIO *in = open_text(pem);
    AUTO(x509_drop) X509 *x = read_x509(in);
    struct cert_facts f = { 0 };

    if (!x || !seconds(X509_get0_notBefore(x), &f.not_before_s) || !seconds(X509_get0_notAfter(x), &f.not_after_s))
        return err_internal("there is no certificate in this text");
    f.pem = written(a, x);
    f.sha256 = fingerprint(a, x, EVP_sha256());
    f.sha1 = fingerprint(a, x, EVP_sha1());
    *ret = f;
    return NULL;
}

struct err *cert_read_crl(struct str pem)
{
    AUTO(bio_drop) BIO *in = open_text(pem);
    AUTO(crl_drop) X509_CRL *crl = in ? PEM_read_bio_X509_CRL(in, NULL, no_password, NULL) : NULL;

    ERR_clear_error();
    return crl ? NULL : err_internal("there is no revocation list in this text");
}

/* ---- a server's ---- */

static struct err *refuse(const char *code, const char *first, const char *second)
{
    const char *params[] = { first, second };

    return err_new(code, params, second ? 2 : first ? 1 : 0);
}

static struct err *check_key(struct arena *a, const EVP_PKEY *key)
{
    BIGNUM *third = NULL;

    if (!key)
        return refuse("SERVER_CERTIFICATE_KEY_INVALID", NULL, NULL);
    if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
        const char *name = OBJ_nid2sn(EVP_PKEY_get_base_id(key));
        return refuse("SERVER_CERTIFICATE_KEY_ALGORITHM_NOT_SUPPORTED", name ? name : "", NULL);
    }
    int bits = EVP_PKEY_get_bits(key);
    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX)
        return refuse("SERVER_CERTIFICATE_KEY_RSA_LENGTH_NOT_SUPPORTED", arena_printf(a, "%d", bits), NULL);
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_FACTOR3, &third) == 1) {
        BN_free(third);
        return refuse("SERVER_CERTIFICATE_KEY_RSA_MULTI_NOT_SUPPORTED", NULL, NULL);
    }
    ERR_clear_error();
    return NULL;
}

static const char *time_text(struct arena *a, int64_t s)
{
    return datetime_text(a, s > 0 ? (uint64_t)s * 1000000 : 0);
}

static struct err *check_leaf(struct arena *a, int64_t now_s, X509 *x, EVP_PKEY *key)
{
    int64_t from, to;

    if (!x || !seconds(X509_get0_notBefore(x), &from) || !seconds(X509_get0_notAfter(x), &to))
        return refuse("SERVER_CERTIFICATE_INVALID", NULL, NULL);
    bool match = X509_check_private_key(x, key) == 1;
    ERR_clear_error();
    if (!match)
        return refuse("SERVER_CERTIFICATE_KEY_MISMATCH", NULL, NULL);
    if (now_s < from)
        return refuse("SERVER_CERTIFICATE_NOT_VALID_YET", time_text(a, now_s), time_text(a, from));
    if (now_s > to)
        return refuse("SERVER_CERTIFICATE_EXPIRED", time_text(a, now_s), time_text(a, to));
    int nid = X509_get_signature_nid(x);
    if (nid != NID_sha256WithRSAEncryption && nid != NID_sha384WithRSAEncryption && nid != NID_sha512WithRSAEncryption)
        return refuse("SERVER_CERTIFICATE_SIGNATURE_NOT_SUPPORTED", NULL, NULL);
    return NULL;
}

/* Every certificate of the chain, written anew behind the leaf. */
static struct err *add_chain(struct arena *a, struct str chain, struct buf *b)
{
    AUTO(bio_drop) BIO *in = open_text(chain);
    X509 *x;
    size_t n = 0;

    if (!chain.len)
        return NULL;
    while (n < CHAIN_MAX && (x = read_x509(in))) {
        buf_add_c(b, written(a, x));
        X509_free(x);
        n++;
    }
    return n ? NULL : refuse("SERVER_CERTIFICATE_CHAIN_INVALID", NULL, NULL);
}

static void add_key(EVP_PKEY *key, struct buf *b)
{
    AUTO(bio_drop) BIO *out = BIO_new(BIO_s_mem());
    char *text = NULL;

    if (!out || PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1)
        abort(); /* out of memory, as in mem.h */
    long n = BIO_get_mem_data(out, &text);
    buf_add(b, text, (size_t)n);
    mem_wipe(text, (size_t)n);
}

struct err *cert_check_server(
    struct arena *a, int64_t now_s, struct str certificate, struct str key, struct str chain, const char **ret_pem)
{
    AUTO(bio_drop) BIO *cert_in = open_text(certificate);
    AUTO(bio_drop) BIO *key_in = open_text(key);
    AUTO(key_drop) EVP_PKEY *k = key_in ? PEM_read_bio_PrivateKey(key_in, NULL, no_password, NULL) : NULL;
    AUTO(x509_drop) X509 *x = read_x509(cert_in);
    AUTO(buf_done) struct buf b;

    buf_init(&b, 4 * CERT_PEM_MAX);
    TRY(check_key(a, k));
    TRY(check_leaf(a, now_s, x, k));
    add_key(k, &b);
    buf_add_c(&b, written(a, x));
    struct err *e = add_chain(a, chain, &b);
    if (!e && b.overflow)
        e = refuse("SERVER_CERTIFICATE_CHAIN_INVALID", NULL, NULL);
    if (!e)
        *ret_pem = arena_strndup(a, b.p, b.len);
    mem_wipe(b.p, b.len);
    return e;
}
