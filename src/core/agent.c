#include "core/agent.h"
#include <string.h>
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "core/core.h"
#include "gen/ipc_metric.h"

#define CLIENTS_MAX 128
#define NAME_MAX_LEN 256
#define DELAY_MAX_S 86400
#define FAREWELL_US 200000 /* answers, and rows that nobody waits for, are on their way */

struct timing {
    uint64_t n, sum_us, max_us;
};

struct client {
    char *name;
    uint64_t seen_us; /* wall clock */
};

struct agent {
    struct timing *timings; /* by MSG_ number */
    struct client clients[CLIENTS_MAX];
    size_t n_clients;
};

struct agent *agent_new(void)
{
    struct agent *a = mem_new(struct agent);

    a->timings = mem_new_array(model_n_msgs(), struct timing);
    return a;
}

void agent_free(struct agent *a)
{
    for (size_t i = 0; i < a->n_clients; i++)
        free(a->clients[i].name);
    free(a->timings);
    free(a);
}

/* The place of a name, a new one, or that of whoever was silent longest. */
static struct client *place_for(struct agent *a, const char *name)
{
    struct client *oldest = &a->clients[0];

    for (size_t i = 0; i < a->n_clients; i++) {
        if (strcmp(a->clients[i].name, name) == 0)
            return &a->clients[i];
        if (a->clients[i].seen_us < oldest->seen_us)
            oldest = &a->clients[i];
    }
    if (a->n_clients < CLIENTS_MAX)
        oldest = &a->clients[a->n_clients++];
    free(oldest->name);
    oldest->name = mem_strdup(name);
    return oldest;
}

void agent_called(struct core *c, const char *user_agent)
{
    if (*user_agent && strlen(user_agent) <= NAME_MAX_LEN)
        place_for(c->agent, user_agent)->seen_us = clock_wall(c->loop);
}

void agent_answered(struct core *c, const struct msg *m, uint64_t took_us)
{
    struct timing *t = &c->agent->timings[m->id];

    t->n++;
    t->sum_us += took_us;
    if (took_us > t->max_us)
        t->max_us = took_us;
}

static struct err *get_diagnostic_timing_stats(
    struct call *c, const struct host_get_diagnostic_timing_stats_args *a, struct value *ret)
{
    const struct row *host = NULL;
    struct value *pairs = arena_new_array(c->arena, 2 * model_n_msgs(), struct value);
    size_t n = 0;

    TRY(call_row(c, C_host, a->host, &host));
    for (size_t i = 0; i < model_n_msgs(); i++) {
        const struct timing *t = &c->core->agent->timings[i];

        if (!t->n)
            continue;
        pairs[2 * n] = value_str(model_msg(i)->name);
        pairs[2 * n + 1] = value_str(a->counts ? arena_printf(c->arena, "%lu", (unsigned long)t->n)
                                               : arena_printf(c->arena, "%.6f s [max %.6f s]",
                                                     (double)t->sum_us / (double)t->n / 1e6, (double)t->max_us / 1e6));
        n++;
    }
    *ret = value_map(pairs, n);
    return NULL;
}

static struct err *get_tracked_user_agents(
    struct call *c, const struct host_get_tracked_user_agents_args *a, struct value *ret)
{
    const struct agent *agent = c->core->agent;
    const struct row *host = NULL;
    struct value *pairs = arena_new_array(c->arena, 2 * CLIENTS_MAX, struct value);

    TRY(call_row(c, C_host, a->self, &host));
    for (size_t i = 0; i < agent->n_clients; i++) {
        pairs[2 * i] = value_str(arena_strdup(c->arena, agent->clients[i].name));
        pairs[2 * i + 1] = value_str(datetime_text(c->arena, agent->clients[i].seen_us));
    }
    *ret = value_map(pairs, agent->n_clients);
    return NULL;
}

/* What this process is at: its fibers as a number, the tasks under way by name. */
static struct err *get_thread_diagnostics(
    struct call *c, const struct host_get_thread_diagnostics_args *a, struct value *ret)
{
    const struct row *host = NULL;
    AUTO(buf_done) struct buf text;

    buf_init(&text, 1024 * 1024);
    TRY(call_row(c, C_host, a->host, &host));
    buf_printf(&text, "fibers: %zu\n", fiber_count(c->core->loop));
    for (const struct row *t = store_first(c->core->store, C_task); t; t = store_next(t))
        if (strcmp(row_str(t, F_task_status), "pending") == 0)
            buf_printf(&text, "task %s since %s: %s\n", row_str(t, F_task_uuid), row_str(t, F_task_created),
                row_str(t, F_task_name_label));
    *ret = value_str(arena_strdup(c->arena, text.p));
    return NULL;
}

/* Those that do something here: a client that is told of others calls them. */
static struct err *list_methods(struct call *c, const struct host_list_methods_args *a, struct value *ret)
{
    struct value *names = arena_new_array(c->arena, model_n_msgs(), struct value);
    size_t n = 0;

    (void)a;
    for (size_t i = 0; i < model_n_msgs(); i++) {
        const struct msg *m = model_msg(i);
        bool built = m->implicit != IMPLICIT_NONE || api_is_built(&c->core->handlers, m);

        if (built && !m->removed && !m->pool_internal)
            names[n++] = value_str(m->name);
    }
    *ret = value_set(names, n);
    return NULL;
}

static void save_figures(struct core *c, struct arena *a)
{
    struct ipc_peer *metric = NULL;
    struct err *e = core_need_metric(c, &metric);

    if (!e)
        e = metric_backup(metric, a, &(struct metric_backup_req){ 0 });
    log_err(LOG_WARN_, "the figures are not saved; they are at their own time", e);
}

struct later {
    struct core *core;
    uint64_t us;
};

static void save_later(void *arg)
{
    struct later *l = arg;
    AUTO(arena_drop) struct arena *a = arena_new();

    fiber_sleep(l->us);
    save_figures(l->core, a);
    free(l);
}

/* At once, or after so many seconds, for which nobody waits. */
static struct err *backup_rrds(struct call *c, const struct host_backup_rrds_args *a, struct value *ret)
{
    const struct row *host = NULL;
    struct ipc_peer *metric = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->host, &host));
    if (!(a->delay >= 0 && a->delay <= DELAY_MAX_S))
        return err_invalid_value("delay", arena_printf(c->arena, "%g", a->delay));
    if (a->delay > 0) {
        struct later *l = mem_new(struct later);

        *l = (struct later){ c->core, (uint64_t)(a->delay * 1e6) };
        fiber_start(c->core->loop, "backup", save_later, l);
        return NULL;
    }
    TRY(core_need_metric(c->core, &metric));
    return metric_backup(metric, c->arena, &(struct metric_backup_req){ 0 });
}

static void leave(void *arg)
{
    struct core *c = arg;

    fiber_sleep(FAREWELL_US);
    log_info("the core starts again, as it was asked to");
    c->config->on_restart(c->config->restart_arg);
}

void agent_restart(struct core *c)
{
    if (c->config->on_restart)
        fiber_start(c->loop, "restart", leave, c);
}

/* Whoever started this process starts it again; sessions and guests outlive it. */
static struct err *restart_agent(struct call *c, const struct host_restart_agent_args *a, struct value *ret)
{
    const struct row *host = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->host, &host));
    if (!c->core->config->on_restart)
        return err_internal("nobody would start this process again");
    agent_restart(c->core);
    return NULL;
}

void agent_register(struct api_handlers *h)
{
    h->host_get_diagnostic_timing_stats = get_diagnostic_timing_stats;
    h->host_get_tracked_user_agents = get_tracked_user_agents;
    h->host_get_thread_diagnostics = get_thread_diagnostics;
    h->host_restart_agent = restart_agent;
    h->host_list_methods = list_methods;
    h->host_backup_rrds = backup_rrds;
}
