/*
 * The password file, with a crypt_r() that accepts nothing: no file may make
 * an attempt succeed, and none may cost minutes because of its hashes.
 */
#include <crypt.h>
#include <stdint.h>
#include <stdio.h>
#include "base/fd.h"
#include "base/mem.h"
#include "daemons/auth/passwd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

char *crypt_r(const char *phrase UNUSED, const char *setting UNUSED, struct crypt_data *restrict data)
{
    snprintf(data->output, sizeof(data->output), "*0");
    return data->output;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(fd_drop) int fd = -1;
    char path[32];
    struct verdict v;
    struct err *e;

    err_ignore(fd_memfd("passwd", data, len, &fd), "a fuzzer without descriptors shows at once");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    e = passwd_check(a, path, "root", "secret", &v);
    if (!e && (v.ok || v.superuser || v.n_groups || !v.reason))
        abort();
    err_ignore(e, "too large, perhaps");
    return 0;
}
