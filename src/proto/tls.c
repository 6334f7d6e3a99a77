#include "proto/tls.h"
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/epoll.h>
#include "base/mem.h"

#define TEN_YEARS_S (10L * 365 * 24 * 3600)

static void bio_drop(BIO **b)
{
    BIO_free(*b);
}

static void x509_drop(X509 **x)
{
    X509_free(*x);
}

static void key_drop(EVP_PKEY **k)
{
    EVP_PKEY_free(*k);
}

static struct err *failed(const char *what)
{
    char text[160] = "unknown";
    unsigned long code = ERR_peek_last_error();

    if (code)
        ERR_error_string_n(code, text, sizeof(text));
    ERR_clear_error();
    return err_internal("TLS: %s: %s", what, text);
}

/* Keys are never protected by a pass phrase: without this OpenSSL would ask the terminal. */
static int no_password(char *p, int size, int rw, void *arg)
{
    (void)p;
    (void)size;
    (void)rw;
    (void)arg;
    return -1;
}

static struct err *use_pem(SSL_CTX *ctx, struct str pem)
{
    AUTO(bio_drop) BIO *certs = BIO_new_mem_buf(pem.p, (int)pem.len);
    AUTO(bio_drop) BIO *keys = BIO_new_mem_buf(pem.p, (int)pem.len);
    AUTO(x509_drop) X509 *cert = PEM_read_bio_X509(certs, NULL, no_password, NULL);
    AUTO(key_drop) EVP_PKEY *key = PEM_read_bio_PrivateKey(keys, NULL, no_password, NULL);
    X509 *more;

    if (!cert || !key)
        return failed("read certificate and key");
    if (SSL_CTX_use_certificate(ctx, cert) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return failed("use certificate and key");
    while ((more = PEM_read_bio_X509(certs, NULL, no_password, NULL)))
        if (SSL_CTX_add0_chain_cert(ctx, more) != 1) {
            X509_free(more);
            return failed("use certificate chain");
        }
    ERR_clear_error(); /* the end of the file counts as an error */
    return NULL;
}

static bool set_policy(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx,
        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
            SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(
        ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets serve, and cost no memory per client */
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
        SSL_CTX_set_cipher_list(ctx, "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256") == 1 &&
        SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256") == 1 &&
        SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") == 1;
}

struct tls_server {
    SSL_CTX *ctx;
};

struct err *tls_server_new(struct str pem, struct tls_server **ret_server)
{
    AUTO(tls_server_drop) struct tls_server *s = mem_new(struct tls_server);

    s->ctx = SSL_CTX_new(TLS_server_method());
    if (!s->ctx || !set_policy(s->ctx))
        return failed("set up");
    TRY(use_pem(s->ctx, pem));
    *ret_server = MOVE(s);
    return NULL;
}

void tls_server_free(struct tls_server *s)
{
    if (!s)
        return;
    SSL_CTX_free(s->ctx);
    free(s);
}

struct err *tls_server_certificate(const struct tls_server *s, struct buf *ret_pem)
{
    AUTO(bio_drop) BIO *out = BIO_new(BIO_s_mem());
    char *text;

    if (!out || PEM_write_bio_X509(out, SSL_CTX_get0_certificate(s->ctx)) != 1)
        return failed("write certificate");
    long len = BIO_get_mem_data(out, &text);
    buf_add(ret_pem, text, (size_t)len);
    return NULL;
}

struct tls {
    SSL *ssl;
    uint32_t want;
    bool broken;
};

struct tls *tls_new(struct tls_server *s, int fd)
{
    struct tls *t = mem_new(struct tls);

    t->ssl = SSL_new(s->ctx);
    if (!t->ssl || !SSL_set_fd(t->ssl, fd))
        abort(); /* out of memory, as in mem.h */
    SSL_set_accept_state(t->ssl);
    return t;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t);
}

static ssize_t answer(struct tls *t, int result)
{
    int saved = errno;

    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ:
        t->want = EPOLLIN;
        return -EAGAIN;
    case SSL_ERROR_WANT_WRITE:
        t->want = EPOLLOUT;
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        t->broken = true;
        ERR_clear_error();
        return saved ? -saved : -ECONNRESET;
    default:
        t->broken = true;
        ERR_clear_error();
        return -EPROTO;
    }
}

int tls_handshake(struct tls *t)
{
    ssize_t n;
    int r;

    ERR_clear_error();
    r = SSL_do_handshake(t->ssl);
    if (r == 1)
        return 0;
    n = answer(t, r);
    return n == -EAGAIN ? -EAGAIN : -EPROTO;
}

ssize_t tls_read(struct tls *t, void *p, size_t len)
{
    int n;

    ERR_clear_error();
    n = SSL_read(t->ssl, p, len > INT32_MAX ? INT32_MAX : (int)len);
    return n > 0 ? n : answer(t, n);
}

ssize_t tls_write(struct tls *t, const void *p, size_t len)
{
    int n;

    ERR_clear_error();
    n = SSL_write(t->ssl, p, len > INT32_MAX ? INT32_MAX : (int)len);
    if (n > 0)
        return n;
    n = (int)answer(t, n);
    return n ? n : -EPIPE;
}

void tls_end(struct tls *t)
{
    if (t->broken || SSL_in_init(t->ssl))
        return;
    ERR_clear_error();
    SSL_shutdown(t->ssl);
    ERR_clear_error();
}

bool tls_pending(const struct tls *t)
{
    return SSL_pending(t->ssl) > 0;
}

uint32_t tls_want(const struct tls *t)
{
    return t->want;
}

static bool add_extension(X509 *x, int nid, const char *text)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, text);
    bool ok = ext && X509_add_ext(x, ext, -1) == 1;

    X509_EXTENSION_free(ext);
    return ok;
}

/* Only what cannot be mistaken for more of OpenSSL's configuration syntax. */
static bool is_hostname(const char *s)
{
    return s && *s && strlen(s) <= 64 &&
        strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == strlen(s);
}

static void list_names(struct buf *names, const char *hostname, const char *const *addresses, size_t n_addresses)
{
    unsigned char bin[16];

    buf_printf(names, "DNS:%s", hostname);
    for (size_t i = 0; i < n_addresses; i++)
        if (inet_pton(AF_INET, addresses[i], bin) == 1 || inet_pton(AF_INET6, addresses[i], bin) == 1)
            buf_printf(names, ",IP:%s", addresses[i]);
}

static bool fill_certificate(X509 *x, EVP_PKEY *key, const char *hostname, const char *names)
{
    X509_NAME *name = X509_get_subject_name(x);
    BIGNUM *serial = BN_new();
    bool ok = serial && BN_rand(serial, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
        BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(x));

    BN_free(serial);
    return ok && X509_set_version(x, X509_VERSION_3) == 1 && X509_gmtime_adj(X509_getm_notBefore(x), -3600) &&
        X509_gmtime_adj(X509_getm_notAfter(x), TEN_YEARS_S) &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)hostname, -1, -1, 0) == 1 &&
        X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1 &&
        add_extension(x, NID_subject_alt_name, names) && add_extension(x, NID_ext_key_usage, "serverAuth") &&
        add_extension(x, NID_basic_constraints, "critical,CA:FALSE") && X509_sign(x, key, EVP_sha256()) > 0;
}

struct err *tls_make_self_signed(
    const char *hostname, const char *const *addresses, size_t n_addresses, struct buf *pem)
{
    AUTO(key_drop) EVP_PKEY *key = EVP_RSA_gen(2048);
    AUTO(x509_drop) X509 *x = X509_new();
    AUTO(bio_drop) BIO *out = BIO_new(BIO_s_mem());
    AUTO(buf_done) struct buf names;
    char *text;
    long len;

    buf_init(&names, 16 * 1024);
    if (!is_hostname(hostname))
        hostname = "localhost";
    list_names(&names, hostname, addresses, n_addresses);
    if (!key || !x || !out || names.overflow || !fill_certificate(x, key, hostname, names.p))
        return failed("make certificate");
    if (PEM_write_bio_PKCS8PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) != 1 || PEM_write_bio_X509(out, x) != 1)
        return failed("write certificate");
    len = BIO_get_mem_data(out, &text);
    buf_add(pem, text, (size_t)len);
    mem_wipe(text, (size_t)len);
    return NULL;
}

struct err *tls_thumbprint(struct str pem, const char *digest, struct buf *ret_text)
{
    AUTO(bio_drop) BIO *in = BIO_new_mem_buf(pem.p, (int)pem.len);
    AUTO(x509_drop) X509 *x = PEM_read_bio_X509(in, NULL, no_password, NULL);
    const EVP_MD *md = EVP_get_digestbyname(digest);
    unsigned char bin[EVP_MAX_MD_SIZE];
    unsigned len;

    if (!x || !md || X509_digest(x, md, bin, &len) != 1)
        return failed("read certificate");
    for (unsigned i = 0; i < len; i++)
        buf_printf(ret_text, i ? ":%02X" : "%02X", bin[i]);
    return NULL;
}
