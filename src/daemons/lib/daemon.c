#include "daemons/lib/daemon.h"
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define KEPT_MEMORY (8 << 20) /* bytes */

static void on_stop(void *arg)
{
    loop_stop(arg);
}

static enum log_level level_get(void)
{
    static const char *const names[] = { "debug", "info", "warn", "error" };
    const char *text = getenv("RUNNYMEDE_LOG");

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (cstr_eq(text, names[i]))
            return (enum log_level)i;
    return LOG_INFO_;
}

struct err *daemon_start(const char *program, struct loop **ret_loop)
{
    AUTO(loop_drop) struct loop *l = NULL;

    log_init(program, level_get());
    signal(SIGPIPE, SIG_IGN);
    umask(022); /* folders have the mode that we say */
    TRY(loop_new(&l));
    TRY(loop_signal(l, SIGTERM, on_stop, l));
    TRY(loop_signal(l, SIGINT, on_stop, l));
    *ret_loop = MOVE(l);
    return NULL;
}

void daemon_keep_memory(void)
{
    mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY);
    mallopt(M_TOP_PAD, KEPT_MEMORY / 32);
}

struct err *daemon_find(const char *bin_dir, const char *name, char **ret_path)
{
    char self[PATH_MAX];
    AUTO(mem_drop) char *path = NULL;
    ssize_t n;

    if (!cstr_empty(bin_dir)) {
        path = mem_printf("%s/runnymede-%s", bin_dir, name);
    } else {
        n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        if (n < 0)
            return err_errno(errno, "read /proc/self/exe");
        self[n] = 0;
        *strrchr(self, '/') = 0;
        path = mem_printf("%s/runnymede-%s", self, name);
        if (access(path, X_OK) < 0) {
            free(path);
            path = mem_printf("%s/../%s/runnymede-%s", self, name, name);
        }
    }
    char *real = access(path, X_OK) == 0 ? realpath(path, NULL) : NULL;
    if (!real)
        return err_errno(errno, "find runnymede-%s", name);
    *ret_path = real;
    return NULL;
}

struct err *daemon_user(const char *name, unsigned *ret_uid, unsigned *ret_gid)
{
    errno = 0;
    struct passwd *pw = getpwnam(name);

    if (!pw)
        return err_errno(errno ? errno : ENOENT, "find user %s", name);
    *ret_uid = pw->pw_uid;
    *ret_gid = pw->pw_gid;
    return NULL;
}

void daemon_ready(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    AUTO(fd_drop) int fd = -1;

    if (!path || !*path || strlen(path) >= sizeof(addr.sun_path))
        return;
    memcpy(addr.sun_path, path, strlen(path));
    if (addr.sun_path[0] == '@')
        addr.sun_path[0] = 0;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&addr,
            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))) < 0)
        log_warn("cannot tell systemd that we are ready", FI("errno", errno));
}

int daemon_fail(const char *program, struct err *e)
{
    fprintf(stderr, "%s: %s\n", program, err_text(e));
    err_free(e);
    return 1;
}
