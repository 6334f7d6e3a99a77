#include "hyper/sim/tpm.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "hyper/hyper.h"

#define FILE_NAME "tpm"
#define HEAD "simulated TPM, boots: "
#define MEMORY_MAX 64

static struct err *open_dir(const struct hyper_env *env, int *ret_fd)
{
    int fd = open(env->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_errno(errno, "open folder of the VM");
    *ret_fd = fd;
    return NULL;
}

struct err *sim_tpm_put(const struct hyper_env *env, bool vtpm, struct str memory)
{
    AUTO(fd_drop) int dir = -1;
    struct str fresh = STR(HEAD "0\n");

    TRY(open_dir(env, &dir));
    if (!vtpm) {
        unlinkat(dir, FILE_NAME, 0);
        return NULL;
    }
    if (!memory.len)
        memory = fresh;
    return file_write_atomic(dir, FILE_NAME, memory.p, memory.len, 0600);
}

struct err *sim_tpm_memory(const struct hyper_env *env, struct buf *b)
{
    AUTO(fd_drop) int dir = -1;
    struct err *e;

    TRY(open_dir(env, &dir));
    e = file_read(dir, FILE_NAME, b);
    if (e && err_errno_get(e) == ENOENT) {
        err_ignore(e, "it has none");
        return NULL;
    }
    return e;
}

struct err *sim_tpm_boot(const struct hyper_env *env)
{
    AUTO(buf_done) struct buf b;
    AUTO(fd_drop) int dir = -1;
    struct str head, number;
    char text[MEMORY_MAX];
    uint64_t boots;

    buf_init(&b, MEMORY_MAX);
    TRY(sim_tpm_memory(env, &b));
    if (!b.len)
        return NULL;
    if (!str_cut(buf_str(&b), ':', &head, &number) || number.len < 3 ||
        !str_to_u64((struct str){ number.p + 1, number.len - 2 }, &boots))
        return err_internal("the simulated TPM's memory is none");
    int n = snprintf(text, sizeof(text), HEAD "%llu\n", (unsigned long long)boots + 1);
    TRY(open_dir(env, &dir));
    return file_write_atomic(dir, FILE_NAME, text, (size_t)n, 0600);
}
