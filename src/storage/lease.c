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

struct err *lease_take(int dir_fd, const char *uuid, bool write, const char *op, int *ret_fd)
{
    char name[NAME_SIZE];

    name_of(uuid, name);
    /* Whoever held the write lease may have removed the file between our open and our lock: then it is another file. */
    for (int i = 0; i < TRIES_MAX; i++) {
        struct flock lock = { .l_type = write ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET };
        AUTO(fd_drop) int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        struct stat st;

        if (fd < 0)
            return sr_failure_errno(SR_VDI_UNAVAILABLE, errno, "Cannot open the lease of %s", uuid);
        if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
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

void lease_remove(int dir_fd, const char *uuid)
{
    char name[NAME_SIZE];

    name_of(uuid, name);
    unlinkat(dir_fd, name, 0); /* one that stays behind is taken again or swept away */
}
