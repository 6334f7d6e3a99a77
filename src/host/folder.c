#include "host/folder.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/str.h"

#define DEPTH_MAX 4 /* what a VM may nest; deeper folders stay and are told */

static struct err *empty(int at, const char *name, unsigned depth)
{
    AUTO(fd_drop) int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct err *e = NULL;

    if (!d)
        return err_errno(errno, "open folder %s", name);
    fd = -1; /* d owns it */
    for (struct dirent *de; !e && (de = readdir(d));) {
        if (cstr_eq(de->d_name, ".") || cstr_eq(de->d_name, ".."))
            continue;
        if (unlinkat(dirfd(d), de->d_name, 0) == 0 || errno == ENOENT)
            continue;
        if (errno != EISDIR && errno != EPERM)
            e = err_errno(errno, "remove %s", de->d_name);
        else if (depth == DEPTH_MAX)
            e = err_internal("%s is nested too deep", de->d_name);
        else
            e = empty(dirfd(d), de->d_name, depth + 1);
        if (!e && unlinkat(dirfd(d), de->d_name, AT_REMOVEDIR) < 0)
            e = err_errno(errno, "remove folder %s", de->d_name);
    }
    closedir(d);
    return e;
}

struct err *folder_remove(const char *path)
{
    struct err *e = empty(AT_FDCWD, path, 0);

    if (e && err_errno_get(e) == ENOENT) {
        err_ignore(e, "already gone");
        return NULL;
    }
    if (!e && rmdir(path) < 0 && errno != ENOENT)
        e = err_errno(errno, "remove folder %s", path);
    return e;
}

struct err *folder_make(const char *path, uid_t uid)
{
    TRY(folder_remove(path));
    if (mkdir(path, 0700) < 0)
        return err_errno(errno, "make folder %s", path);
    if (uid && lchown(path, uid, uid) < 0)
        return err_errno(errno, "give folder %s away", path);
    return NULL;
}
