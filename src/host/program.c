/* Programs that the machine's administrator installed for clients to call. */
#include <errno.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/run.h"
#include "gen/ipc_machine.h"
#include "host/machine.h"

#define PROGRAM_US (600UL * 1000 * 1000)
#define SAYS_MAX (512 * 1024) /* on each of its outputs */
#define NAME_MAX_LEN 64

static bool is_name(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.");

    return n && n <= NAME_MAX_LEN && !s[n] && s[0] != '.';
}

/* Only whoever could become us by other ways may have written it. */
static bool is_trusted(const struct stat *st)
{
    return (st->st_uid == 0 || st->st_uid == geteuid()) && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static struct err *find(
    struct machine *m, struct arena *a, const char *kind, const char *name, struct stat *ret_st, const char **ret_path)
{
    struct stat folder;

    *ret_path = NULL;
    if (!m->root || !is_name(name) || (!cstr_eq(kind, "plugins") && !cstr_eq(kind, "extensions")))
        return NULL;
    char *path = arena_printf(a, "%s/etc/runnymede/%s", m->root, kind);
    if (stat(path, &folder) < 0 || !is_trusted(&folder))
        return NULL;
    path = arena_printf(a, "%s/%s", path, name);
    if (stat(path, ret_st) < 0 || !S_ISREG(ret_st->st_mode) || !(ret_st->st_mode & S_IXUSR) || !is_trusted(ret_st))
        return NULL;
    *ret_path = path;
    return NULL;
}

struct err *machine_program_find(
    struct machine *m, struct arena *a, const char *kind, const char *name, const char **ret_path)
{
    struct stat st;

    return find(m, a, kind, name, &st, ret_path);
}

static int become_plugin(void *arg)
{
    const struct machine *m = arg;

    umask(022);
    return setgroups(0, NULL) || setresgid(m->plugin_gid, m->plugin_gid, m->plugin_gid) ||
            setresuid(m->plugin_uid, m->plugin_uid, m->plugin_uid)
        ? -1
        : 0;
}

/*
 * As the user for plug-ins, unless the file has the set-user-ID bit: then as
 * ourselves. The kernel ignores that bit on scripts, so it is free to say this.
 */
struct err *machine_program_run(
    struct machine *m, struct arena *a, const struct machine_program_req *req, struct machine_program_rep *rep)
{
    struct run_end end;
    struct stat st;
    const char *path;

    TRY(find(m, a, req->kind, req->name, &st, &path));
    if (!path)
        return NULL;
    const char *argv[] = { path, NULL };
    struct run_spec spec = { .argv = argv, .input = req->call, .out_max = SAYS_MAX, .timeout_us = PROGRAM_US };
    if (m->plugin_uid && !(st.st_mode & S_ISUID)) {
        spec.in_child = become_plugin;
        spec.arg = m;
    }
    TRY(run_program(m->loop, &spec, a, &end));
    *rep = (struct machine_program_rep){ .found = true, .status = end.status, .out = end.out, .err = end.err };
    return NULL;
}
