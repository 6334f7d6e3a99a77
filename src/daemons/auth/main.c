/*
 * runnymede-auth: says whether a password is right. The host process starts one
 * per attempt; it reads `user NUL password NUL` from standard input and answers
 * with lines:
 *     ok superuser | ok user        then `group NAME` for each group
 *     no REASON
 * With --change it reads `user NUL old NUL new NUL`, and gives a superuser that
 * new password; its answers are `ok superuser`, `no REASON` (the old one is
 * wrong, or the user no superuser), `refused REASON`.
 * Taken over by the one who sends the password, it has root's rights until its
 * 20 seconds are over: so it reads at most 8 KiB, parses nothing, and exits.
 */
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemons/auth/pam.h"
#include "daemons/auth/passwd.h"
#include "daemons/lib/daemon.h"

#define INPUT_MAX 8192

#define SERVICE "runnymede"

static struct err *answer(const struct verdict *v, const char *refused)
{
    AUTO(buf_done) struct buf b = { 0 };

    buf_init(&b, 64 * 1024);
    if (!v->ok)
        buf_printf(&b, "no %s\n", v->reason);
    else if (refused)
        buf_printf(&b, "refused %s\n", refused);
    else
        buf_printf(&b, "ok %s\n", v->superuser ? "superuser" : "user");
    for (size_t i = 0; i < v->n_groups; i++)
        buf_printf(&b, "group %s\n", v->groups[i]);
    return fd_write_all(STDOUT_FILENO, b.p, b.len);
}

/* Reads n words; each is NUL-terminated inside the buffer. */
static struct err *words_read(struct buf *in, struct str *ret_words, size_t n)
{
    struct str rest;

    buf_init(in, INPUT_MAX);
    TRY(fd_read_all(STDIN_FILENO, in));
    rest = buf_str(in);
    for (size_t i = 0; i < n; i++)
        if (!str_cut(rest, 0, &ret_words[i], &rest))
            return err_internal("malformed attempt");
    return rest.len ? err_internal("malformed attempt") : NULL;
}

static struct err *attempt(struct arena *a, const char *passwd)
{
    AUTO(buf_done) struct buf in = { 0 };
    struct str w[2]; /* user, password */
    struct verdict v = { 0 };

    TRY(words_read(&in, w, 2));
    struct err *e = passwd ? passwd_check(a, passwd, w[0].p, w[1].p, &v) : pam_check(a, SERVICE, w[0].p, w[1].p, &v);
    mem_wipe(in.p, in.len);
    return e ? e : answer(&v, NULL);
}

static struct err *change(struct arena *a, const char *passwd)
{
    AUTO(buf_done) struct buf in = { 0 };
    struct str w[3]; /* user, old password, new one */
    struct verdict v = { 0 };
    const char *refused = NULL;

    TRY(words_read(&in, w, 3));
    struct err *e = passwd ? passwd_change(a, passwd, w[0].p, w[1].p, w[2].p, &v, &refused)
                           : pam_change(a, SERVICE, w[0].p, w[1].p, w[2].p, &v, &refused);
    mem_wipe(in.p, in.len);
    return e ? e : answer(&(struct verdict){ .ok = v.ok, .superuser = v.superuser, .reason = v.reason }, refused);
}

static struct err *make_hash(struct arena *a)
{
    AUTO(buf_done) struct buf in = { 0 };
    const char *hash = NULL;

    buf_init(&in, INPUT_MAX);
    TRY(fd_read_all(STDIN_FILENO, &in));
    while (in.len && (in.p[in.len - 1] == '\n' || in.p[in.len - 1] == '\r'))
        in.p[--in.len] = 0;
    if (!in.len || memchr(in.p, 0, in.len))
        return err_internal("no password on standard input");
    TRY(passwd_hash(a, in.p, &hash));
    mem_wipe(in.p, in.len);
    printf("%s\n", hash);
    return NULL;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "passwd", required_argument, NULL, 'p' },
        { "hash", no_argument, NULL, 'h' }, { "pam", no_argument, NULL, 'a' }, { "change", no_argument, NULL, 'c' },
        { 0 } };
    AUTO(arena_drop) struct arena *a = arena_new();
    const char *passwd = NULL;
    bool hash = false, changes = false;
    struct err *e;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'p')
            passwd = optarg;
        else if (c == 'h')
            hash = true;
        else if (c == 'c')
            changes = true;
        else if (c != 'a')
            return 2;
    }
    log_init("auth", LOG_INFO_);
    alarm(20);
    e = hash ? make_hash(a) : changes ? change(a, passwd) : attempt(a, passwd);
    return e ? daemon_fail("runnymede-auth", e) : 0;
}
