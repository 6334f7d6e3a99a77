#include "cli/link.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"
#include "cli/fail.h"

#define KNOWN_MAX (1 << 20)

struct link {
    int fd;
    SSL_CTX *ctx; /* NULL without TLS */
    SSL *ssl;
};

void link_free(struct link *l)
{
    if (!l)
        return;
    if (l->ssl) {
        SSL_shutdown(l->ssl);
        SSL_free(l->ssl);
    }
    SSL_CTX_free(l->ctx);
    fd_drop(&l->fd);
    free(l);
}

/* TCP */

static struct err *dial(const char *host, const char *port, int *ret_fd)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all = NULL;
    int failed = getaddrinfo(host, port, &hints, &all), errnum = EADDRNOTAVAIL;
    AUTO(fd_drop) int fd = -1;

    if (failed)
        return usage("cannot find the server %s: %s", host, gai_strerror(failed));
    for (struct addrinfo *i = all; i && fd < 0; i = i->ai_next) {
        fd = socket(i->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, i->ai_addr, i->ai_addrlen) == 0)
            continue;
        errnum = errno;
        fd_drop(&fd);
    }
    freeaddrinfo(all);
    if (fd < 0)
        return usage("cannot connect to %s port %s: %s", host, port, strerror(errnum));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    *ret_fd = fd_take(&fd);
    return NULL;
}

/* Trust */

static struct err *fingerprint(SSL *ssl, struct buf *ret_text)
{
    X509 *cert = SSL_get1_peer_certificate(ssl);
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int ok = cert && X509_digest(cert, EVP_sha256(), md, &len);

    X509_free(cert);
    if (!ok)
        return usage("the server shows no certificate");
    for (unsigned i = 0; i < len; i++)
        buf_printf(ret_text, "%s%02X", i ? ":" : "", md[i]);
    return NULL;
}

/* Lines of "name fingerprint"; *ret_known points into `text`. */
static struct str known_find(struct str text, const char *name)
{
    struct str line, left, right;

    for (bool more = true; more;) {
        more = str_cut(text, '\n', &line, &text);
        if (str_cut(line, ' ', &left, &right) && str_eq_c(left, name))
            return str_trim(right);
    }
    return (struct str){ 0 };
}

static struct err *remember(const char *file, const char *name, const char *print)
{
    AUTO(fd_drop) int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    AUTO(mem_drop) char *line = mem_printf("%s %s\n", name, print);

    if (fd < 0)
        return usage("cannot remember the server's certificate in %s: %s", file, strerror(errno));
    fprintf(stderr, "The certificate of %s is new and remembered: SHA-256 %s\n", name, print);
    return fd_write_all(fd, line, strlen(line));
}

static struct err *trust(const struct link_address *to, SSL *ssl)
{
    AUTO(mem_drop) char *name = mem_printf("%s:%s", to->host, to->port);
    AUTO(buf_done) struct buf print, known;
    struct str old;

    buf_init(&print, 256);
    buf_init(&known, KNOWN_MAX);
    TRY(fingerprint(ssl, &print));
    if (to->known_file && access(to->known_file, F_OK) == 0)
        TRY(file_read(AT_FDCWD, to->known_file, &known));
    old = known_find(buf_str(&known), name);
    if (old.len && !str_eq(old, buf_str(&print)))
        return usage(
            "the certificate of %s is not the one that was there before.\n"
            "now:    SHA-256 %s\nbefore: SHA-256 %.*s\n"
            "If the server's certificate was replaced, remove its line from %s; if not, somebody else answers.",
            name, print.p, (int)old.len, old.p, to->known_file);
    if (old.len || SSL_get_verify_result(ssl) == X509_V_OK)
        return NULL;
    if (!to->known_file)
        return usage(
            "nobody vouches for the certificate of %s, and without a home folder it cannot be remembered", name);
    return remember(to->known_file, name, print.p);
}

static struct err *tls_failed(const char *what)
{
    char text[160] = "the connection ended";
    unsigned long code = ERR_peek_last_error();

    if (code)
        ERR_error_string_n(code, text, sizeof(text));
    ERR_clear_error();
    return usage("TLS: %s: %s", what, text);
}

static struct err *start_tls(struct link *l, const struct link_address *to)
{
    unsigned char address[16];

    l->ctx = SSL_CTX_new(TLS_client_method());
    if (!l->ctx || SSL_CTX_set_min_proto_version(l->ctx, TLS1_2_VERSION) != 1)
        return tls_failed("set up");
    SSL_CTX_set_default_verify_paths(l->ctx);
    SSL_CTX_set_verify(l->ctx, SSL_VERIFY_NONE, NULL); /* trust() looks at the result */
    SSL_CTX_set_options(l->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(l->ctx, SSL_MODE_AUTO_RETRY);
    l->ssl = SSL_new(l->ctx);
    if (!l->ssl || SSL_set_fd(l->ssl, l->fd) != 1)
        return tls_failed("set up");
    if (inet_pton(AF_INET, to->host, address) == 1 || inet_pton(AF_INET6, to->host, address) == 1) {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(l->ssl), to->host);
    } else {
        SSL_set_tlsext_host_name(l->ssl, to->host);
        SSL_set1_host(l->ssl, to->host);
    }
    if (SSL_connect(l->ssl) != 1)
        return tls_failed("handshake");
    return trust(to, l->ssl);
}

struct err *link_open(const struct link_address *to, struct link **ret_link)
{
    AUTO(link_drop) struct link *l = mem_new(struct link);
    struct err *e;

    l->fd = -1;
    if (to->socket) {
        e = unix_connect(to->socket, &l->fd);
        if (e) {
            int errnum = err_errno_get(e);

            err_ignore(e, "told with what to do about it");
            return usage("cannot connect to the local server at %s: %s.\n"
                         "Is it running, and are you root? For another server name it: xe -s SERVER -u USER ...",
                to->socket, strerror(errnum));
        }
        TRY(fd_set_nonblock(l->fd, false));
    } else {
        TRY(dial(to->host, to->port, &l->fd));
        if (!to->plain)
            TRY(start_tls(l, to));
    }
    *ret_link = MOVE(l);
    return NULL;
}

/* Bytes */

struct err *link_read(struct link *l, void *p, size_t len, size_t *ret_len)
{
    ssize_t n;

    if (l->ssl) {
        int got = SSL_read(l->ssl, p, len > INT32_MAX ? INT32_MAX : (int)len);
        int why = got > 0 ? 0 : SSL_get_error(l->ssl, got);

        if (why == SSL_ERROR_SYSCALL && errno == EINTR)
            return err_errno(EINTR, "read from the server");
        if (got <= 0 && why != SSL_ERROR_ZERO_RETURN)
            return tls_failed("read from the server");
        *ret_len = got > 0 ? (size_t)got : 0;
        return NULL;
    }
    n = read(l->fd, p, len);
    if (n < 0)
        return err_errno(errno, "read from the server");
    *ret_len = (size_t)n;
    return NULL;
}

struct err *link_write(struct link *l, const void *p, size_t len)
{
    const char *at = p;

    if (!l->ssl) {
        struct err *e = fd_write_all(l->fd, p, len);
        int errnum = e ? err_errno_get(e) : 0;

        if (!e)
            return NULL;
        err_ignore(e, "told in our words");
        return usage("the server takes no more: %s", strerror(errnum));
    }
    while (len) {
        int n = SSL_write(l->ssl, at, len > (1 << 20) ? 1 << 20 : (int)len);

        if (n <= 0)
            return tls_failed("write to the server");
        at += n;
        len -= (size_t)n;
    }
    return NULL;
}

void link_end_write(struct link *l)
{
    if (l->ssl)
        SSL_shutdown(l->ssl);
    else
        shutdown(l->fd, SHUT_WR);
}

int link_fd(const struct link *l)
{
    return l->fd;
}

bool link_pending(const struct link *l)
{
    return l->ssl && SSL_pending(l->ssl) > 0;
}
