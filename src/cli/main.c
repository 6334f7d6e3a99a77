/*
 * xe: the command line of the XenAPI.
 *
 * It runs as whoever starts it and holds no rights of its own. As root on the
 * server's machine it uses the local socket, where being root is enough;
 * elsewhere it logs in. What the server says is printed as it is said, except
 * that nothing is executed or written but the file that the user named.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "cli/verb.h"

#define RC_MAX 65536
#define CALLS_MAX (1 << 20)
#define LOCAL_SOCKET "/run/runnymede/xapi.sock"

/* ~/.xe; "" if there is none. */
static struct err *read_rc(struct arena *a, const char *home, const char **ret)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, RC_MAX);
    *ret = "";
    if (!home)
        return NULL;
    const char *path = arena_printf(a, "%s/.xe", home);
    if (access(path, R_OK) < 0)
        return NULL;
    TRY(file_read(AT_FDCWD, path, &b));
    *ret = arena_strndup(a, b.p ? b.p : "", b.len);
    return NULL;
}

static void choose_address(struct xe *x, const char *home)
{
    const char *socket = x->args.socket ? x->args.socket : getenv("XE_SOCKET");
    bool remote = x->args.server && !x->args.socket;

    size_t len = x->args.server ? strlen(x->args.server) : 0;

    if (len > 2 && x->args.server[0] == '[' && x->args.server[len - 1] == ']')
        x->args.server = arena_strndup(x->arena, x->args.server + 1, len - 2);
    x->address = (struct link_address){
        .socket = remote ? NULL
            : socket     ? socket
                         : LOCAL_SOCKET,
        .host = x->args.server,
        .port = x->args.port ? x->args.port
            : x->args.plain  ? "80"
                             : "443",
        .plain = x->args.plain,
        .known_file = home ? arena_printf(x->arena, "%s/.xe_known_hosts", home) : NULL,
    };
}

static struct err *unknown_verb(struct xe *x)
{
    const char *near = verb_near(x->arena, x->args.verb);

    return usage("Unknown command: %s.%s%s%s 'xe help --all' names all.", x->args.verb, near ? " Did you mean " : "",
        near ? near : "", near ? "?" : "");
}

static struct err *run(struct xe *x)
{
    struct verb_found v;
    struct err *e;

    if (x->args.version) {
        say("xe " RUNNYMEDE_VERSION);
        return NULL;
    }
    if (!x->args.verb || x->args.help)
        x->args.words = x->args.verb ? &x->args.verb : NULL, x->args.n_words = x->args.verb != NULL;
    if (!x->args.verb || x->args.help || strcmp(x->args.verb, "help") == 0)
        return help_run(x);
    if (!verb_find(x->arena, x->args.verb, &v))
        return unknown_verb(x);
    e = xe_login(x);
    return e ? e : verb_run(x, &v);
}

/* A reference in an error becomes "uuid (name)", where the parameter's name says of what class it is. */
static const char *name_param(void *arg, const char *param, const char *value)
{
    struct xe *x = arg;
    const struct model_class *c = model_class_find_nocase(param);
    const struct value *record;

    if (!cstr_starts(value, "OpaqueRef:") || !x->connected)
        return value;
    if (!c && (strcmp(param, "self") == 0 || strcmp(param, "value") == 0 || strcmp(param, "vm") == 0))
        c = C_VM;
    record = map_get(x->records, value);
    if (!record && c)
        record = xe_known(x, c, value);
    if (!record)
        return value;
    const char *name = value_map_str(record, "name_label");
    return *name ? arena_printf(x->arena, "%s (%s)", value_map_str(record, "uuid"), name)
                 : value_map_str(record, "uuid");
}

int main(int argc, char **argv)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(map_drop) struct map *records = map_new();
    struct xe x = { .arena = a, .records = records, .session = "" };
    const char *home = getenv("HOME"), *rc = "";
    struct err *e;

    buf_init(&x.calls, CALLS_MAX);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, isatty(STDOUT_FILENO) ? _IOLBF : _IOFBF, 65536);
    e = read_rc(a, home, &rc);
    if (!e)
        e = args_parse(a, argc, argv, rc, getenv("XE_EXTRA_ARGS"), &x.args);
    if (!e) {
        choose_address(&x, home);
        e = run(&x);
    }
    if (e)
        fail_print(stderr, e, name_param, &x);
    xe_logout(&x);
    if (e && x.calls.len)
        fputs(x.calls.p, stderr);
    buf_done(&x.calls);
    if (fflush(stdout) != 0 && !e) {
        fprintf(stderr, "Error: cannot write the output: %s\n", strerror(errno));
        return 1;
    }
    if (!e)
        return 0;
    err_free(e);
    return 1;
}
