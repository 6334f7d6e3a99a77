/* host: the settings of its machine, but for time and SSH, which have files of their own. */
#include "core/machine.h"
#include <string.h>
#include "core/host.h"
#include "gen/ipc_machine.h"

#define DAYS_2_S 172800

struct err *machine_peer(struct call *c, const char *host_ref, struct ipc_peer **ret_peer)
{
    const struct row *host = NULL;

    TRY(call_row(c, C_host, host_ref, &host));
    return core_need_host(c->core, ret_peer);
}

bool machine_is_host_name(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.:");

    return n && n <= 253 && !s[n] && s[0] != '-' && s[0] != '.' && !strstr(s, "..");
}

const char *machine_text(struct arena *a, struct str bytes)
{
    char *text = arena_strndup(a, bytes.p ? bytes.p : "", bytes.len);

    for (size_t i = 0; i < bytes.len; i++)
        if (text[i] != '\n' && text[i] != '\t' && (text[i] < ' ' || text[i] > '~'))
            text[i] = '?';
    return text;
}

struct err *machine_take_facts(struct core *c)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct machine_facts_rep facts = { 0 };
    struct ipc_peer *peer = NULL;

    TRY(core_need_host(c, &peer));
    TRY(machine_facts(peer, a, &(struct machine_facts_req){ 0 }, &facts));
    struct tx *t = tx_begin(c->store);
    if (*facts.hostname)
        tx_set(t, c->host_ref, F_host_hostname, value_str(facts.hostname));
    tx_set(t, c->host_ref, F_host_timezone, value_str(facts.timezone));
    tx_set(t, c->host_ref, F_host_ssh_enabled, value_bool(facts.ssh));
    TRY(tx_commit(t));
    ssh_watch(c);
    return NULL;
}

/* One name as DNS has it; HOST_NAME_INVALID tells what is wrong. */
static struct err *check_hostname(const char *name)
{
    if (!*name)
        return err_host_name_invalid("the host name is empty");
    if (strlen(name) > 63)
        return err_host_name_invalid("the host name is longer than 63 characters");
    if (name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-")] || name[0] == '-' ||
        name[strlen(name) - 1] == '-')
        return err_host_name_invalid("the host name has characters that are not allowed there");
    return NULL;
}

static struct err *set_hostname_live(struct call *c, const struct host_set_hostname_live_args *a, struct value *ret)
{
    struct ipc_peer *peer = NULL;

    (void)ret;
    TRY(machine_peer(c, a->host, &peer));
    TRY(check_hostname(a->hostname));
    TRY(machine_hostname(peer, c->arena, &(struct machine_hostname_req){ a->hostname }));
    return core_set(c->core, a->host, F_host_hostname, value_str(a->hostname));
}

static struct err *syslog_reconfigure(struct call *c, const struct host_syslog_reconfigure_args *a, struct value *ret)
{
    struct ipc_peer *peer = NULL;

    (void)ret;
    TRY(machine_peer(c, a->host, &peer));
    const char *to =
        arena_strdup(c->arena, row_map_str(core_row(c->core, a->host), F_host_logging, "syslog_destination"));
    if (*to && !machine_is_host_name(to))
        return err_invalid_value("syslog_destination", to);
    return machine_syslog(peer, c->arena, &(struct machine_syslog_req){ to });
}

/* The field and the key of other_config that older clients read: both, in one commit. */
static struct err *set_with_key(
    struct call *c, const char *ref, const struct field *f, struct value v, const char *key, const char *text)
{
    const struct row *host = NULL;

    TRY(call_row(c, C_host, ref, &host));
    struct value config = value_map_with(c->arena, row_get(host, F_host_other_config), value_str(key), value_str(text));
    struct tx *t = tx_begin(c->core->store);
    tx_set(t, ref, f, v);
    tx_set(t, ref, F_host_other_config, config);
    return tx_commit(t);
}

/* RFC 3720: iqn.YYYY-MM.domain[:rest], eui. or naa. and hexadecimal digits */
static bool is_iscsi_name(const char *s)
{
    if (strlen(s) > 223 || s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-.:")] || strstr(s, ".."))
        return false;
    if (cstr_starts(s, "eui.") || cstr_starts(s, "naa."))
        return s[4] && !s[4 + strspn(s + 4, "0123456789abcdef")];
    const char *p = s + 4;
    return cstr_starts(s, "iqn.") && strspn(p, "0123456789") == 4 && p[4] == '-' && strspn(p + 5, "0123456789") == 2 &&
        p[7] == '.' && p[8];
}

static struct err *set_iscsi_iqn(struct call *c, const struct host_set_iscsi_iqn_args *a, struct value *ret)
{
    struct ipc_peer *peer = NULL;

    (void)ret;
    TRY(machine_peer(c, a->host, &peer));
    if (!is_iscsi_name(a->value))
        return err_invalid_value("value", a->value);
    TRY(machine_iscsi_name(peer, c->arena, &(struct machine_iscsi_name_req){ a->value }));
    return set_with_key(c, a->host, F_host_iscsi_iqn, value_str(a->value), "iscsi_iqn", a->value);
}

static struct err *set_multipathing(struct call *c, const struct host_set_multipathing_args *a, struct value *ret)
{
    struct ipc_peer *peer = NULL;

    (void)ret;
    TRY(machine_peer(c, a->host, &peer));
    TRY(machine_multipath(peer, c->arena, &(struct machine_multipath_req){ a->value }));
    return set_with_key(
        c, a->host, F_host_multipathing, value_bool(a->value), "multipathing", a->value ? "true" : "false");
}

static struct err *set_console_idle_timeout(
    struct call *c, const struct host_set_console_idle_timeout_args *a, struct value *ret)
{
    struct ipc_peer *peer = NULL;

    (void)ret;
    TRY(machine_peer(c, a->self, &peer));
    if (a->value < 0 || a->value > DAYS_2_S)
        return err_invalid_value("console_idle_timeout", arena_printf(c->arena, "%ld", (long)a->value));
    TRY(machine_console_timeout(peer, c->arena, &(struct machine_console_timeout_req){ (uint64_t)a->value }));
    return core_set(c->core, a->self, F_host_console_idle_timeout, value_int(a->value));
}

/* The gate speaks TLS 1.2 and newer, and nothing turns that back. */
static struct err *set_ssl_legacy(struct call *c, const struct host_set_ssl_legacy_args *a, struct value *ret)
{
    const struct row *host = NULL;

    (void)ret;
    TRY(call_row(c, C_host, a->self, &host));
    if (a->value)
        return err_value_not_supported("value", "true", "TLS before version 1.2 is not spoken here");
    return core_set(c->core, a->self, F_host_ssl_legacy, value_bool(false));
}

static struct err *dmesg(struct call *c, const struct host_dmesg_args *a, struct value *ret)
{
    struct machine_kernel_log_rep rep = { 0 };
    struct ipc_peer *peer = NULL;

    TRY(machine_peer(c, a->host, &peer));
    TRY(machine_kernel_log(peer, c->arena, &(struct machine_kernel_log_req){ 0 }, &rep));
    *ret = value_str(machine_text(c->arena, rep.text));
    return NULL;
}

void machine_register(struct api_handlers *h)
{
    h->host_set_hostname_live = set_hostname_live;
    h->host_syslog_reconfigure = syslog_reconfigure;
    h->host_set_iscsi_iqn = set_iscsi_iqn;
    h->host_set_multipathing = set_multipathing;
    h->host_set_console_idle_timeout = set_console_idle_timeout;
    h->host_set_ssl_legacy = set_ssl_legacy;
    h->host_dmesg = dmesg;
}
