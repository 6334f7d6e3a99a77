/* host: clock, time zone, and who sets the clock right. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/fd.h"
#include "core/machine.h"
#include "gen/ipc_machine.h"

#define ZONES_FILE "/usr/share/zoneinfo/tzdata.zi"
#define ZONES_FILE_MAX (1024 * 1024)
#define ZONES_MAX 4096

static struct err *get_servertime(struct call *c, const struct host_get_servertime_args *a, struct value *ret)
{
    const struct row *host = NULL;

    TRY(call_row(c, C_host, a->host, &host));
    *ret = value_datetime(now_text(c->core, c->arena));
    return NULL;
}

/* In the machine's zone, whatever zone this process was started in. */
static struct err *get_server_localtime(
    struct call *c, const struct host_get_server_localtime_args *a, struct value *ret)
{
    const struct row *host = NULL;
    time_t now = (time_t)(clock_wall(c->core->loop) / 1000000);
    char text[32];
    struct tm tm;

    TRY(call_row(c, C_host, a->host, &host));
    setenv("TZ", row_str(host, F_host_timezone), 1);
    tzset();
    localtime_r(&now, &tm);
    strftime(text, sizeof(text), "%Y%m%dT%H:%M:%S", &tm);
    *ret = value_datetime(arena_strdup(c->arena, text));
    return NULL;
}

static struct err *set_servertime(struct call *c, const struct host_set_servertime_args *a, struct value *ret)
{
    struct ipc_peer *peer = NULL;
    uint64_t wall_us;

    (void)ret;
    TRY(machine_peer(c, a->self, &peer));
    if (!datetime_parse(a->value, &wall_us))
        return err_invalid_value("value", a->value);
    if (strcmp(row_str(core_row(c->core, a->self), F_host_ntp_mode), "Disabled") != 0)
        return err_not_allowed_when_ntp_is_enabled(a->self);
    return machine_clock(peer, c->arena, &(struct machine_clock_req){ wall_us / 1000000 });
}

/* ---- time zones ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct value *)a)->s, ((const struct value *)b)->s);
}

/* Lines "Z NAME ..." are zones, "L TARGET NAME" other names of them. */
static struct err *read_zones(struct arena *a, struct value *ret)
{
    struct value *zones = arena_new_array(a, ZONES_MAX, struct value);
    AUTO(buf_done) struct buf b;
    struct str text, line, word, rest;
    size_t n = 0;

    buf_init(&b, ZONES_FILE_MAX);
    TRY(file_read(AT_FDCWD, ZONES_FILE, &b));
    text = buf_str(&b);
    while (text.len && n < ZONES_MAX) {
        str_cut(text, '\n', &line, &text);
        str_cut(line, ' ', &word, &rest);
        if (!str_eq_c(word, "Z") && !str_eq_c(word, "L"))
            continue;
        bool link = str_eq_c(word, "L");
        str_cut(rest, ' ', &word, &rest);
        if (link)
            str_cut(rest, ' ', &word, &rest);
        zones[n++] = value_str(arena_strndup(a, word.p, word.len));
    }
    qsort(zones, n, sizeof(*zones), by_name);
    *ret = value_set(zones, n);
    return NULL;
}

static struct err *list_timezones(struct call *c, const struct host_list_timezones_args *a, struct value *ret)
{
    const struct row *host = NULL;

    TRY(call_row(c, C_host, a->self, &host));
    return read_zones(c->arena, ret);
}

static struct err *set_timezone(struct call *c, const struct host_set_timezone_args *a, struct value *ret)
{
    struct ipc_peer *peer = NULL;
    struct value zones;

    (void)ret;
    TRY(machine_peer(c, a->self, &peer));
    TRY(read_zones(c->arena, &zones));
    if (!value_set_has(&zones, a->value))
        return err_invalid_value("timezone", a->value);
    TRY(machine_timezone(peer, c->arena, &(struct machine_timezone_req){ a->value }));
    return core_set(c->core, a->self, F_host_timezone, value_str(a->value));
}

/* ---- NTP ---- */

static struct err *tell_ntp(struct call *c, struct ipc_peer *peer, const char *mode, const struct value *servers)
{
    const char **names = arena_new_array(c->arena, servers->n + 1, const char *);

    if (strcmp(mode, "Custom") == 0 && !servers->n)
        return err_invalid_ntp_config("there are no custom servers");
    for (size_t i = 0; i < servers->n; i++)
        names[i] = arena_strdup(c->arena, servers->items[i].s);
    return machine_ntp(
        peer, c->arena, &(struct machine_ntp_req){ .mode = mode, .servers = names, .n_servers = servers->n });
}

static struct err *set_ntp_mode(struct call *c, const struct host_set_ntp_mode_args *a, struct value *ret)
{
    struct ipc_peer *peer = NULL;

    (void)ret;
    TRY(machine_peer(c, a->self, &peer));
    TRY(tell_ntp(c, peer, a->value, row_get(core_row(c->core, a->self), F_host_ntp_custom_servers)));
    return core_set(c->core, a->self, F_host_ntp_mode, value_str(a->value));
}

static struct err *set_ntp_custom_servers(
    struct call *c, const struct host_set_ntp_custom_servers_args *a, struct value *ret)
{
    struct ipc_peer *peer = NULL;

    (void)ret;
    TRY(machine_peer(c, a->self, &peer));
    for (size_t i = 0; i < a->value->n; i++)
        if (!machine_is_host_name(a->value->items[i].s))
            return err_invalid_ntp_config(arena_printf(c->arena, "%s is no server", a->value->items[i].s));
    if (strcmp(row_str(core_row(c->core, a->self), F_host_ntp_mode), "Custom") == 0)
        TRY(tell_ntp(c, peer, "Custom", a->value));
    return core_set(c->core, a->self, F_host_ntp_custom_servers, *a->value);
}

/* KEY=VALUE of the time service's words; empty if it does not say. */
static struct str said(struct str text, const char *key)
{
    struct str line, name, value;

    while (text.len) {
        str_cut(text, '\n', &line, &text);
        if (str_cut(line, '=', &name, &value) && str_eq_c(name, key))
            return value;
    }
    return STR("");
}

static struct err *ntp_says(struct call *c, const char *host_ref, struct str *ret_text)
{
    struct machine_ntp_state_rep rep = { 0 };
    struct ipc_peer *peer = NULL;

    TRY(machine_peer(c, host_ref, &peer));
    TRY(machine_ntp_state(peer, c->arena, &(struct machine_ntp_state_req){ 0 }, &rep));
    *ret_text = str_of(machine_text(c->arena, rep.text));
    return NULL;
}

/* Each server that is known; the one that the clock follows is told apart. */
static struct err *get_ntp_servers_status(
    struct call *c, const struct host_get_ntp_servers_status_args *a, struct value *ret)
{
    static const char *const lists[] = { "LinkNTPServers", "SystemNTPServers", "FallbackNTPServers" };
    struct value all = value_map(NULL, 0);
    struct str text, current;

    TRY(ntp_says(c, a->self, &text));
    current = said(text, "ServerName");
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        struct str rest = said(text, lists[i]), word;

        while (rest.len) {
            str_cut(rest, ' ', &word, &rest);
            if (word.len)
                all = value_map_with(c->arena, &all, value_str(arena_strndup(c->arena, word.p, word.len)),
                    value_str(str_eq(word, current) ? "current" : "not selected"));
        }
    }
    *ret = all;
    return NULL;
}

static struct err *get_ntp_synchronized(
    struct call *c, const struct host_get_ntp_synchronized_args *a, struct value *ret)
{
    struct str text;

    TRY(ntp_says(c, a->self, &text));
    *ret = value_bool(str_eq_c(said(text, "NTPSynchronized"), "yes"));
    return NULL;
}

void machine_time_register(struct api_handlers *h)
{
    h->host_get_servertime = get_servertime;
    h->host_get_server_localtime = get_server_localtime;
    h->host_set_servertime = set_servertime;
    h->host_list_timezones = list_timezones;
    h->host_set_timezone = set_timezone;
    h->host_set_ntp_mode = set_ntp_mode;
    h->host_set_ntp_custom_servers = set_ntp_custom_servers;
    h->host_get_ntp_servers_status = get_ntp_servers_status;
    h->host_get_ntp_synchronized = get_ntp_synchronized;
}
