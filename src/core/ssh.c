/* host: the machine's SSH service, for good or for a while. */
#include <string.h>
#include "base/log.h"
#include "core/machine.h"
#include "gen/ipc_machine.h"

#define DAYS_2_S 172800
#define AGAIN_US (60UL * 1000 * 1000) /* after an end that failed */

/* When what is on goes off again: `seconds` from now, or never. */
static struct value expiry(const struct core *c, struct arena *a, int64_t seconds)
{
    uint64_t at = clock_wall(c->loop) + (uint64_t)seconds * 1000000;

    return value_datetime(seconds > 0 ? datetime_text(a, at) : DATETIME_EPOCH);
}

static struct err *record(struct core *c, struct arena *a, bool on)
{
    const struct row *host = core_host_row(c);
    int64_t seconds = on ? row_int(host, F_host_ssh_enabled_timeout) : 0;
    struct tx *t = tx_begin(c->store);

    tx_set(t, c->host_ref, F_host_ssh_enabled, value_bool(on));
    tx_set(t, c->host_ref, F_host_ssh_expiry, expiry(c, a, seconds));
    TRY(tx_commit(t));
    ssh_watch(c);
    return NULL;
}

static struct err *turn(struct core *c, struct arena *a, bool on)
{
    struct ipc_peer *peer = NULL;

    TRY(core_need_host(c, &peer));
    struct err *e = machine_ssh(peer, a, &(struct machine_ssh_req){ on });
    if (e) {
        log_err(LOG_WARN_, "the SSH service does not do as told", e);
        return on ? err_enable_ssh_failed(c->host_ref) : err_disable_ssh_failed(c->host_ref);
    }
    return record(c, a, on);
}

static void expire(void *arg)
{
    struct core *c = arg;
    AUTO(arena_drop) struct arena *a = arena_new();
    struct err *e = turn(c, a, false);

    if (e)
        timer_set(c->ssh, clock_now(c->loop) + AGAIN_US);
    log_err(LOG_WARN_, "SSH stays on beyond its time; it is tried again", e);
}

static void on_time(void *arg)
{
    struct core *c = arg;

    fiber_start(c->loop, "ssh", expire, c);
}

void ssh_watch(struct core *c)
{
    const struct row *host = core_host_row(c);
    uint64_t now = clock_wall(c->loop), at = 0;

    if (!c->ssh)
        c->ssh = timer_new(c->loop, on_time, c);
    timer_stop(c->ssh);
    if (!host || !row_bool(host, F_host_ssh_enabled) || !datetime_parse(row_str(host, F_host_ssh_expiry), &at) || !at)
        return;
    timer_set(c->ssh, clock_now(c->loop) + (at > now ? at - now : 0));
}

static struct err *enable_ssh(struct call *c, const struct host_enable_ssh_args *a, struct value *ret)
{
    const struct row *host = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->self, &host));
    return turn(c->core, c->arena, true);
}

static struct err *disable_ssh(struct call *c, const struct host_disable_ssh_args *a, struct value *ret)
{
    const struct row *host = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->self, &host));
    return turn(c->core, c->arena, false);
}

static struct err *set_ssh_enabled_timeout(
    struct call *c, const struct host_set_ssh_enabled_timeout_args *a, struct value *ret)
{
    const struct row *host = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->self, &host));
    if (a->value < 0 || a->value > DAYS_2_S)
        return err_invalid_value("ssh_enabled_timeout", arena_printf(c->arena, "%ld", (long)a->value));
    bool on = row_bool(host, F_host_ssh_enabled);
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, a->self, F_host_ssh_enabled_timeout, value_int(a->value));
    if (on)
        tx_set(t, a->self, F_host_ssh_expiry, expiry(c->core, c->arena, a->value));
    TRY(tx_commit(t));
    ssh_watch(c->core);
    return NULL;
}

void ssh_register(struct api_handlers *h)
{
    h->host_enable_ssh = enable_ssh;
    h->host_disable_ssh = disable_ssh;
    h->host_set_ssh_enabled_timeout = set_ssh_enabled_timeout;
}
