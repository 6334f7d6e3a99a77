#include "storage/driver.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/fd.h"
#include "base/str.h"

#define TEXT_SIZE 1024

void sr_image_done(struct sr_image *i)
{
    fd_drop(&i->fd);
    fd_drop(&i->lease);
}

static struct err *failure(enum sr_failure_code code, const char *text)
{
    char name[40];

    snprintf(name, sizeof(name), "SR_BACKEND_FAILURE_%d", (int)code);
    return err_new(name, (const char *const[]){ "", text, "" }, 3);
}

struct err *sr_failure(enum sr_failure_code code, const char *fmt, ...)
{
    char text[TEXT_SIZE];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return failure(code, text);
}

struct err *sr_failure_errno(enum sr_failure_code code, int errnum, const char *fmt, ...)
{
    char text[TEXT_SIZE];
    va_list ap;
    int n;

    if (errnum == ENOSPC || errnum == EDQUOT)
        code = SR_NO_SPACE;
    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(text))
        snprintf(text + n, sizeof(text) - (size_t)n, ": %s", strerrordesc_np(errnum));
    return failure(code, text);
}

struct err *sr_folder_open(const struct value *config, bool make, int *ret_fd)
{
    const char *location = config->kind == V_MAP ? value_map_str(config, "location") : "";
    int fd;

    if (cstr_empty(location))
        return sr_failure(SR_CONFIG_MISSING, "The request is missing the location parameter");
    if (*location != '/')
        return sr_failure(SR_BAD_TARGET, "The location must be the absolute path of a folder: %s", location);
    if (make) {
        struct err *e = dir_make(location, 0755);
        if (e) {
            int errnum = err_errno_get(e);
            err_ignore(e, "told as a storage error");
            return sr_failure_errno(SR_UNAVAILABLE, errnum, "Cannot make the folder %s", location);
        }
    }
    fd = open(location, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return sr_failure_errno(SR_BAD_TARGET, errno, "Cannot open the folder %s", location);
    *ret_fd = fd;
    return NULL;
}
