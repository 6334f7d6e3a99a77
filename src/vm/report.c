#include "vm/report.h"
#include <arpa/inet.h>
#include <strings.h>
#include "base/str.h"
#include "gen/ipc_vm.h"

#define TEXT_MAX 200
#define INTERFACES_MAX 256
#define ADDRESSES_MAX 16 /* of each kind, of a NIC */
#define NICS_MAX 16

/* A map under construction. */
struct pairs {
    struct arena *a;
    struct value *items;
    uint32_t n, max;
};

static struct pairs pairs_new(struct arena *a, uint32_t max)
{
    return (struct pairs){ a, arena_new_array(a, 2 * (size_t)max, struct value), 0, max };
}

static void put(struct pairs *p, const char *key, const char *text)
{
    if (cstr_empty(text) || p->n == p->max)
        return;
    p->items[2 * p->n] = value_str(key);
    p->items[2 * p->n++ + 1] = value_str(text);
}

static struct value pairs_map(const struct pairs *p)
{
    return value_map(p->items, p->n);
}

/* At most TEXT_MAX bytes, cut between characters; no control characters. */
static const char *clean(struct arena *a, const char *s)
{
    size_t len = strnlen(s, TEXT_MAX + 1);

    if (len > TEXT_MAX)
        for (len = TEXT_MAX; len && ((unsigned char)s[len] & 0xc0) == 0x80;)
            len--;
    char *out = arena_strndup(a, s, len);
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    return out;
}

static const char *text_of(struct arena *a, const struct value *answer, const char *key)
{
    return answer->kind == V_MAP ? clean(a, value_map_str(answer, key)) : "";
}

void report_init(struct vm_report *r)
{
    struct value none = value_map(NULL, 0);

    *r = (struct vm_report){ .version = none, .os = none, .networks = none, .names = none, .features = none };
}

/* The leading numbers of "7.2.22 (Debian ...)"; at most n of them, the rest are left. */
static void put_numbers(struct pairs *p, const char *version, const char *const *keys, size_t n)
{
    const char *at = version;

    for (size_t i = 0; i < n; i++) {
        size_t digits = strspn(at, "0123456789");

        if (!digits || digits > 9)
            return;
        put(p, keys[i], arena_strndup(p->a, at, digits));
        at += digits;
        if (*at++ != '.')
            return;
    }
}

bool report_can(const struct value *info, const char *command)
{
    const struct value *all = info->kind == V_MAP ? value_map_get(info, "supported_commands") : NULL;

    for (size_t i = 0; all && all->kind == V_SET && i < all->n; i++) {
        const struct value *c = &all->items[i];

        if (c->kind != V_MAP || !cstr_eq(value_map_str(c, "name"), command))
            continue;
        const struct value *enabled = value_map_get(c, "enabled");
        return enabled && enabled->kind == V_BOOL && enabled->b;
    }
    return false;
}

void report_info(struct arena *a, const struct value *answer, struct vm_report *r)
{
    static const char *const numbers[] = { "major", "minor", "micro", "build" };
    static const struct {
        const char *command, *feature;
    } features[] = {
        { "guest-shutdown", "feature-shutdown" },
        { "guest-shutdown", "feature-poweroff" },
        { "guest-shutdown", "feature-reboot" },
    };
    struct pairs version = pairs_new(a, ARRAY_LEN(numbers)), can = pairs_new(a, ARRAY_LEN(features) + 1);

    put_numbers(&version, text_of(a, answer, "version"), numbers, ARRAY_LEN(numbers));
    if (!version.n) /* it is there, whatever it calls itself: clients look for a number */
        put(&version, "major", "0");
    for (size_t i = version.n; i < ARRAY_LEN(numbers); i++)
        put(&version, numbers[i], "0");
    r->version = pairs_map(&version);
    put(&can, "feature-suspend", "1"); /* takes no help of the guest's */
    for (size_t i = 0; i < ARRAY_LEN(features); i++)
        if (report_can(answer, features[i].command))
            put(&can, features[i].feature, "1");
    r->features = pairs_map(&can);
}

void report_os(struct arena *a, const struct value *answer, struct vm_report *r)
{
    static const char *const numbers[] = { "major", "minor" };
    struct pairs os = pairs_new(a, 5);
    const char *name = text_of(a, answer, "pretty-name");

    put(&os, "name", *name ? name : text_of(a, answer, "name"));
    put(&os, "uname", text_of(a, answer, "kernel-release"));
    put(&os, "distro", text_of(a, answer, "id"));
    put_numbers(&os, text_of(a, answer, "version-id"), numbers, ARRAY_LEN(numbers));
    r->os = pairs_map(&os);
}

void report_name(struct arena *a, const struct value *answer, struct vm_report *r)
{
    struct pairs names = pairs_new(a, 2);
    const char *whole = text_of(a, answer, "host-name");
    struct str host, domain;

    if (str_cut(str_of(whole), '.', &host, &domain))
        put(&names, "domain", arena_strndup(a, domain.p, domain.len));
    put(&names, "host_name", arena_strndup(a, host.p, host.len));
    r->names = pairs_map(&names);
}

/* ---- addresses ---- */

struct nic_addresses {
    unsigned n[2]; /* of IPv4, IPv6 */
};

static void put_address(
    struct pairs *p, const struct vm_nic *nic, struct nic_addresses *have, const struct value *address)
{
    const char *given = address->kind == V_MAP ? value_map_str(address, "ip-address") : "";
    const char *kind = address->kind == V_MAP ? value_map_str(address, "ip-address-type") : "";
    bool six = cstr_eq(kind, "ipv6");
    char binary[16], text[INET6_ADDRSTRLEN];

    if (!six && !cstr_eq(kind, "ipv4"))
        return;
    if (have->n[six] >= ADDRESSES_MAX || inet_pton(six ? AF_INET6 : AF_INET, given, binary) != 1 ||
        !inet_ntop(six ? AF_INET6 : AF_INET, binary, text, sizeof(text)))
        return;
    const char *copy = arena_strdup(p->a, text);
    if (!six && have->n[0] == 0)
        put(p, arena_printf(p->a, "%lld/ip", (long long)nic->position), copy);
    put(p, arena_printf(p->a, "%lld/ipv%c/%u", (long long)nic->position, six ? '6' : '4', have->n[six]++), copy);
}

void report_networks(
    struct arena *a, const struct value *answer, const struct vm_nic *nics, size_t n_nics, struct vm_report *r)
{
    struct pairs p = pairs_new(a, NICS_MAX * (2 * ADDRESSES_MAX + 1));
    struct nic_addresses have[NICS_MAX] = { 0 };

    for (size_t i = 0; answer->kind == V_SET && i < answer->n && i < INTERFACES_MAX; i++) {
        const struct value *one = &answer->items[i];
        const char *mac = one->kind == V_MAP ? value_map_str(one, "hardware-address") : "";
        const struct value *addresses = one->kind == V_MAP ? value_map_get(one, "ip-addresses") : NULL;

        for (size_t n = 0; n < n_nics && n < NICS_MAX; n++) {
            if (!*mac || strcasecmp(nics[n].mac, mac) != 0)
                continue;
            for (size_t k = 0; addresses && addresses->kind == V_SET && k < addresses->n; k++)
                put_address(&p, &nics[n], &have[n], &addresses->items[k]);
        }
    }
    r->networks = pairs_map(&p);
}
