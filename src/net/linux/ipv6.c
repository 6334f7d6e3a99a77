#include "net/linux/ipv6.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define SETTINGS "/proc/sys/net/ipv6/conf"

/* One digit. *ret is unchanged where the kernel has no such setting. */
static struct err *setting_get(const char *interface, const char *name, char *ret)
{
    AUTO(mem_drop) char *path = mem_printf(SETTINGS "/%s/%s", interface, name);
    AUTO(fd_drop) int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? NULL : err_errno(errno, "open %s", path);
    return read(fd, ret, 1) == 1 ? NULL : err_errno(errno, "read %s", path);
}

static struct err *setting_put(const char *interface, const char *name, char value)
{
    AUTO(mem_drop) char *path = mem_printf(SETTINGS "/%s/%s", interface, name);
    char now = value;

    TRY(setting_get(interface, name, &now));
    if (now == value) /* there is none, or some process with more rights did it before */
        return NULL;
    AUTO(fd_drop) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(errno, "open %s", path);
    return write(fd, &value, 1) == 1 ? NULL : err_errno(errno, "write %s", path);
}

struct err *ipv6_off(const char *interface)
{
    return setting_put(interface, "disable_ipv6", '1');
}

struct err *ipv6_own(const char *interface)
{
    TRY(setting_put(interface, "accept_ra", '0'));
    TRY(setting_put(interface, "autoconf", '0'));
    return setting_put(interface, "disable_ipv6", '0');
}

struct err *ipv6_on(const char *interface)
{
    char off = '0';

    TRY(setting_get("default", "disable_ipv6", &off));
    return setting_put(interface, "disable_ipv6", off);
}

static struct err *keep_believing(const char *interface)
{
    char believes = '0', forwards = '0';

    TRY(setting_get(interface, "accept_ra", &believes));
    TRY(setting_get(interface, "forwarding", &forwards));
    return believes == '1' && forwards == '0' ? setting_put(interface, "accept_ra", '2') : NULL;
}

struct err *ipv6_forward(void)
{
    struct err *e = NULL;
    struct dirent *entry;
    char now = '1';

    TRY(setting_get("all", "forwarding", &now));
    if (now == '1')
        return NULL;
    DIR *all = opendir(SETTINGS);
    if (!all)
        return err_errno(errno, "open " SETTINGS);
    while (!e && (entry = readdir(all)))
        if (entry->d_name[0] != '.' && !cstr_eq(entry->d_name, "all") && !cstr_eq(entry->d_name, "lo"))
            e = keep_believing(entry->d_name);
    closedir(all);
    return e ? e : setting_put("all", "forwarding", '1');
}
