/*
 * Runs one fuzz target over files, without libFuzzer:
 *     x_corpus FILE|FOLDER...
 * A target that finds something aborts; the last word is then the file's name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"

#define INPUT_MAX (1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static char present[4096];
static int n_passed;

static void name_culprit(int signo)
{
    if (write(STDERR_FILENO, present, strlen(present)) < 0 || write(STDERR_FILENO, ": died of it\n", 13) < 0)
        _exit(2);
    raise(signo);
}

static struct err *run_file(int dir_fd, const char *folder, const char *name)
{
    AUTO(buf_done) struct buf b;
    AUTO(mem_drop) uint8_t *exact = NULL; /* so that reading past the end shows */

    buf_init(&b, INPUT_MAX);
    snprintf(present, sizeof(present), "%s%s%s", folder, *folder ? "/" : "", name);
    TRY(file_read(dir_fd, name, &b));
    exact = mem_dup(b.p, b.len);
    LLVMFuzzerTestOneInput(exact, b.len);
    n_passed++;
    return NULL;
}

static struct err *run_folder(DIR *dir, const char *folder)
{
    for (const struct dirent *d; (d = readdir(dir));)
        if (d->d_name[0] != '.')
            TRY(run_file(dirfd(dir), folder, d->d_name));
    return NULL;
}

static struct err *run(const char *path)
{
    DIR *dir = opendir(path);
    struct err *e;

    if (!dir && errno == ENOTDIR)
        return run_file(AT_FDCWD, "", path);
    if (!dir)
        return err_errno(errno, "open %s", path);
    e = run_folder(dir, path);
    closedir(dir);
    return e;
}

int main(int argc, char **argv)
{
    signal(SIGABRT, name_culprit);
    for (int i = 1; i < argc; i++) {
        AUTO(err_drop) struct err *e = run(argv[i]);

        if (e) {
            fprintf(stderr, "%s: %s\n", argv[i], err_text(e));
            return 1;
        }
    }
    printf("%d passed, 0 failed\n", n_passed);
    return n_passed ? 0 : 1;
}
