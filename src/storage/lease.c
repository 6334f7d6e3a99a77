#include "storage/lease.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/uuid.h"
#include "gen/errors.h"
#include "storage/driver.h"

#define NAME_SIZE (UUID_LEN + 16)
#define TRIES_MAX 16

static void name_of(const char *uuid, char ret[NAME_SIZE])
{
    snprintf(ret, NAME_SIZE, "%s.lease", uuid);
}

static bool lock(int fd, short type, off_t start, off_t len)
{
    struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

    return fcntl(fd, F_OFD_SETLK, &l) == 0;
}

enum kind { READER, WRITER, BESIDE };

static bool take(int fd, enum kind kind)
{
    switch (kind) {
    case READER:
        return lock(fd, F_RDLCK, 0, 2);
    case WRITER:
        return lock(fd, F_WRLCK, 0, 2) && lock(fd, F_UNLCK, 1, 1);
    case BESIDE:
        return lock(fd, F_WRLCK, 1, 1) || lock(fd, F_WRLCK, 0, 1);
    }
    return false;
}

static struct err *lease_open(int dir_fd, const char *uuid, enum kind kind, const char *op, int *ret_fd)
{
    char name[NAME_SIZE];

    name_of(uuid, name);
    /* Whoever held the write lease may have removed the file between our open and our lock: then it is another file. */
    for (int i = 0; i < TRIES_MAX; i++) {
        AUTO(fd_drop) int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        struct stat st;

        if (fd < 0)
            return sr_failure_errno(SR_VDI_UNAVAILABLE, errno, "Cannot open the lease of %s", uuid);
        if (!take(fd, kind)) {
            if (errno == EAGAIN || errno == EACCES)
                return err_vdi_in_use(uuid, op);
            return sr_failure_errno(SR_VDI_UNAVAILABLE, errno, "Cannot lock the lease of %s", uuid);
        }
        if (fstat(fd, &st) == 0 && st.st_nlink > 0) {
            *ret_fd = fd_take(&fd);
            return NULL;
        }
    }
    return err_vdi_in_use(uuid, op);
}

struct err *lease_take(int dir_fd, const char *uuid, bool write, const char *op, int *ret_fd)
{
    return lease_open(dir_fd, uuid, write ? WRITER : READER, op, ret_fd);
}

struct err *lease_take_beside(int dir_fd, const char *uuid, const char *op, int *ret_fd)
{
    return lease_open(dir_fd, uuid, BESIDE, op, ret_fd);
}

void lease_remove(int dir_fd, const char *uuid)
{
    char name[NAME_SIZE];

    name_of(uuid, name);
    unlinkat(dir_fd, name, 0); /* one that stays behind is taken again or swept away */
}
