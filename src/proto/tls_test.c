#include "proto/tls.h"
#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include "base/fd.h"
#include "test.h"

struct pair {
    struct tls_server *server;
    struct tls *t;
    SSL_CTX *ctx;
    SSL *client;
    int fds[2];
};

static bool connect_pair(struct pair *p, int max_version, const char *ciphers)
{
    AUTO(buf_done) struct buf pem;
    int server = -EAGAIN, client = 0;

    signal(SIGPIPE, SIG_IGN);
    buf_init(&pem, 64 * 1024);
    CHECK_OK(
        tls_make_self_signed("host-1.example", (const char *[]){ "192.0.2.1", "2001:db8::1", "x,DNS:evil" }, 3, &pem));
    CHECK_OK(tls_server_new(buf_str(&pem), &p->server));
    CHECK_OK(socket_pair(p->fds));
    CHECK_OK(fd_set_nonblock(p->fds[0], true));
    CHECK_OK(fd_set_nonblock(p->fds[1], true));
    p->t = tls_new(p->server, p->fds[0]);
    p->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(p->ctx, max_version);
    if (ciphers)
        SSL_CTX_set_cipher_list(p->ctx, ciphers);
    p->client = SSL_new(p->ctx);
    SSL_set_fd(p->client, p->fds[1]);
    for (int i = 0; i < 20 && !(client == 1 && server == 0); i++) {
        client = SSL_connect(p->client);
        if (server == -EAGAIN)
            server = tls_handshake(p->t);
    }
    return client == 1 && server == 0;
}

static void done(struct pair *p)
{
    SSL_free(p->client);
    SSL_CTX_free(p->ctx);
    tls_free(p->t);
    tls_server_free(p->server);
    fd_drop(&p->fds[0]);
    fd_drop(&p->fds[1]);
}

TEST(bytes_go_both_ways)
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

    for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
        struct pair p = { 0 };
        char b[10] = "";

        CHECK(connect_pair(&p, versions[i], NULL));
        CHECK_INT(tls_read(p.t, b, 5), -EAGAIN);
        CHECK_INT(SSL_write(p.client, "hello", 5), 5);
        CHECK_INT(tls_read(p.t, b, 2), 2);
        CHECK(tls_pending(p.t));
        CHECK_INT(tls_read(p.t, b + 2, 8), 3);
        CHECK_STR(b, "hello");
        CHECK_INT(tls_write(p.t, "bye", 3), 3);
        CHECK_INT(SSL_read(p.client, b, 10), 3);
        tls_end(p.t);
        CHECK_INT(SSL_read(p.client, b, 10), 0);
        SSL_shutdown(p.client);
        CHECK_INT(tls_read(p.t, b, 1), 0);
        done(&p);
    }
}

TEST(a_cut_connection_ends_the_stream)
{
    struct pair p = { 0 };
    char b;

    CHECK(connect_pair(&p, TLS1_3_VERSION, NULL));
    SSL_read(p.client, &b, 1); /* tickets: unread bytes would make it a reset */
    fd_drop(&p.fds[1]);
    CHECK_INT(tls_read(p.t, &b, 1), 0);
    done(&p);
}

TEST(old_versions_and_weak_ciphers_are_refused)
{
    struct pair p = { 0 }, q = { 0 };

    CHECK(!connect_pair(&p, TLS1_1_VERSION, NULL));
    done(&p);
    CHECK(!connect_pair(&q, TLS1_2_VERSION, "AES256-SHA"));
    done(&q);
}

TEST(the_certificate_names_the_host)
{
    struct pair p = { 0 };
    AUTO(buf_done) struct buf pem, text;
    X509 *x;

    CHECK(connect_pair(&p, TLS1_3_VERSION, NULL));
    x = SSL_get1_peer_certificate(p.client);
    CHECK_INT(X509_check_host(x, "host-1.example", 0, 0, NULL), 1);
    CHECK_INT(X509_check_ip_asc(x, "192.0.2.1", 0), 1);
    CHECK_INT(X509_check_ip_asc(x, "2001:db8::1", 0), 1);
    CHECK_INT(X509_check_host(x, "evil", 0, 0, NULL), 0);
    X509_free(x);
    done(&p);

    buf_init(&pem, 64 * 1024);
    buf_init(&text, 1024);
    CHECK_OK(tls_make_self_signed("x y", NULL, 0, &pem));
    CHECK_OK(tls_thumbprint(buf_str(&pem), "sha256", &text));
    CHECK_INT(text.len, 32 * 3 - 1);
    AUTO(err_drop) struct err *e = tls_thumbprint(STR("nothing"), "sha256", &text);
    CHECK(e);
}
