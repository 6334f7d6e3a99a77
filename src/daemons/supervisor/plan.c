#include "daemons/supervisor/plan.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemons/lib/daemon.h"

static void add(struct daemon_plan *p, char *text) /* takes text */
{
    if (p->n_args < DAEMON_ARGS_MAX)
        p->argv[p->n_args++] = text;
    else
        free(text);
}

static void option(struct daemon_plan *p, const char *name, const char *fmt, ...) PRINTF(3, 4);
static void option(struct daemon_plan *p, const char *name, const char *fmt, ...)
{
    char text[4200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    add(p, mem_strdup(name));
    add(p, mem_strdup(text));
}

static void user(struct daemon_plan *p, const struct config *c, const char *name)
{
    if (cstr_eq(c->users, "system"))
        option(p, "--user", "runnymede-%s", name);
}

static void port(struct daemon_plan *p, const char *name, int number)
{
    if (number)
        option(p, name, "%d", number);
    else
        option(p, name, "-");
}

static void plan_gate(const struct config *c, struct daemon_plan *p)
{
    struct str rest = str_of(c->listen), word;

    while (rest.len) {
        str_cut(rest, ' ', &word, &rest);
        if (word.len)
            option(p, "--listen", "%.*s", (int)word.len, word.p);
    }
    port(p, "--http", c->http_port);
    port(p, "--https", c->https_port);
    if (cstr_eq(c->users, "system"))
        option(p, "--core-user", "runnymede-core");
    option(p, "--unix", "%s/xapi.sock", c->run_dir);
    option(p, "--core-socket", "%s/gate/core.sock", c->run_dir);
    option(p, "--cert", "%s/gate.pem", c->state_dir);
    if (*c->novnc_dir && access(c->novnc_dir, X_OK) == 0)
        option(p, "--novnc", "%s", c->novnc_dir);
    if (*c->web_dir)
        option(p, "--web", "%s", c->web_dir);
    user(p, c, "gate");
}

static void plan_core(const struct config *c, struct daemon_plan *p)
{
    option(p, "--state", "%s", c->state_dir);
    option(p, "--run", "%s", c->run_dir);
    option(p, "--hyper", "%s", c->hypervisor);
    option(p, "--http-port", "%d", c->http_port);
    option(p, "--https-port", "%d", c->https_port);
    user(p, c, "core");
}

static void plan_host(const struct config *c, struct daemon_plan *p)
{
    option(p, "--run", "%s", c->run_dir);
    option(p, "--state", "%s", c->state_dir);
    option(p, "--hyper", "%s", c->hypervisor);
    option(p, "--auth", "%s", c->auth);
    if (*c->bin_dir)
        option(p, "--bin", "%s", c->bin_dir);
    if (cstr_eq(c->users, "system"))
        option(p, "--core-user", "runnymede-core");
    if (!cstr_eq(c->power, "no"))
        option(p, "--power", "%s", cstr_eq(c->power, "yes") ? "machine" : c->power);
    if (!cstr_eq(c->machine, "no"))
        option(p, "--machine", "%s", cstr_eq(c->machine, "yes") ? "machine" : c->machine);
    option(p, "--plugin-user", "%s", cstr_eq(c->users, "system") ? "runnymede-plugin" : "nobody");
}

static void plan_storage(const struct config *c, struct daemon_plan *p)
{
    option(p, "--run", "%s", c->run_dir);
    option(p, "--state", "%s", c->state_dir);
    user(p, c, "storage");
}

static void plan_net(const struct config *c, struct daemon_plan *p)
{
    option(p, "--run", "%s", c->run_dir);
    option(p, "--backend", "%s", c->net);
    if (cstr_eq(c->net, "sim") && !cstr_eq(c->hypervisor, "sim"))
        add(p, mem_strdup("--no-taps")); /* a real guest can do nothing with a simulated cable */
    if (cstr_eq(c->users, "system"))
        option(p, "--core-user", "runnymede-core");
    user(p, c, "net");
}

static void plan_metric(const struct config *c, struct daemon_plan *p)
{
    option(p, "--run", "%s", c->run_dir);
    option(p, "--state", "%s", c->state_dir);
    if (cstr_eq(c->users, "system"))
        option(p, "--core-user", "runnymede-core");
    user(p, c, "metric");
}

struct err *plan_make(const struct config *c, struct daemon_plan ret_plans[DAEMONS_N])
{
    static const struct {
        const char *name;
        void (*fill)(const struct config *c, struct daemon_plan *p);
    } kinds[DAEMONS_N] = { { "net", plan_net }, { "storage", plan_storage }, { "host", plan_host },
        { "gate", plan_gate }, { "metric", plan_metric }, { "core", plan_core } };

    memset(ret_plans, 0, DAEMONS_N * sizeof(*ret_plans));
    for (size_t i = 0; i < DAEMONS_N; i++) {
        char *path = NULL;
        ret_plans[i].name = kinds[i].name;
        struct err *e = daemon_find(c->bin_dir, kinds[i].name, &path);
        if (e) {
            plan_done(ret_plans);
            return e;
        }
        add(&ret_plans[i], path);
        kinds[i].fill(c, &ret_plans[i]);
    }
    return NULL;
}

void plan_done(struct daemon_plan plans[DAEMONS_N])
{
    for (size_t i = 0; i < DAEMONS_N; i++)
        for (size_t j = 0; j < plans[i].n_args; j++)
            free(plans[i].argv[j]);
    memset(plans, 0, DAEMONS_N * sizeof(*plans));
}

static struct err *folder(const struct config *c, const char *owner, mode_t mode, const char *fmt, ...) PRINTF(4, 5);
static struct err *folder(const struct config *c, const char *owner, mode_t mode, const char *fmt, ...)
{
    char path[4200], user_name[64];
    unsigned uid, gid;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(path, sizeof(path), fmt, ap);
    va_end(ap);
    TRY(dir_make(path, mode));
    if (!owner || !cstr_eq(c->users, "system"))
        return NULL;
    snprintf(user_name, sizeof(user_name), "runnymede-%s", owner);
    TRY(daemon_user(user_name, &uid, &gid));
    return lchown(path, uid, gid) < 0 ? err_errno(errno, "give %s to %s", path, user_name) : NULL;
}

struct err *plan_folders(const struct config *c)
{
    TRY(folder(c, NULL, 0755, "%s", c->run_dir));
    TRY(folder(c, NULL, 0711, "%s/vm", c->run_dir));
    TRY(folder(c, "gate", 0755, "%s/gate", c->run_dir));
    TRY(folder(c, NULL, 0755, "%s/pids", c->run_dir));
    TRY(folder(c, NULL, 0711, "%s", c->state_dir));
    TRY(folder(c, NULL, 0755, "%s/boot", c->state_dir));
    if (!cstr_eq(c->log_dir, "-"))
        TRY(folder(c, NULL, 0750, "%s", c->log_dir));
    return NULL;
}
