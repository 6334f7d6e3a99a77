#include "host/inventory.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "host/cpu_features.h"
#include "host/pci.h"

#define FILE_MAX (1U << 20)
#define CPUS_MAX 4096

/* A map or a set under construction. */
struct list {
    struct arena *a;
    VEC(struct value) items;
};

static void list_done(struct list *l)
{
    vec_done(&l->items);
}

static void put(struct list *l, const char *key, struct value v)
{
    vec_push(&l->items, value_str(key));
    vec_push(&l->items, v);
}

static void put_str(struct list *l, const char *key, const char *text)
{
    put(l, key, value_str(arena_strdup(l->a, text ? text : "")));
}

static void put_number_text(struct list *l, const char *key, uint64_t n)
{
    put(l, key, value_str(arena_printf(l->a, "%llu", (unsigned long long)n)));
}

static struct value list_map(struct list *l)
{
    return value_map(arena_dup(l->a, l->items.p, l->items.len * sizeof(struct value)), l->items.len / 2);
}

static struct value list_set(struct list *l)
{
    return value_set(arena_dup(l->a, l->items.p, l->items.len * sizeof(struct value)), l->items.len);
}

/* A file's text in the arena, at most 1 MiB, "" when it cannot be read; what is no UTF-8 is no text. */
static const char *slurp(struct arena *a, const struct inventory_source *s, const char *path)
{
    AUTO(buf_done) struct buf b = { 0 };
    const char *full = arena_printf(a, "%s%s", s->root, path);

    buf_init(&b, FILE_MAX);
    struct err *e = file_read(AT_FDCWD, full, &b);
    if (e) {
        err_ignore(e, "a machine without this file has nothing to say about it");
        return "";
    }
    const char *nul = memchr(b.p ? b.p : "", 0, b.len);
    struct str text = nul ? (struct str){ b.p, (size_t)(nul - b.p) } : buf_str(&b);
    return str_is_utf8(text) ? arena_strndup(a, text.p, text.len) : "";
}

static const char *slurp_line(struct arena *a, const struct inventory_source *s, const char *path)
{
    struct str line, rest;

    str_cut(str_of(slurp(a, s, path)), '\n', &line, &rest);
    line = str_trim(line);
    return arena_strndup(a, line.p, line.len);
}

static uint64_t slurp_number(struct arena *a, const struct inventory_source *s, const char *path)
{
    uint64_t n = 0;

    str_to_u64(str_of(slurp_line(a, s, path)), &n);
    return n;
}

/* The value of the first "key: value" (or key=value) line; empty if there is none. */
static struct str field(const char *text, char sep, const char *key)
{
    struct str rest = str_of(text), line, head, value;

    while (rest.len) {
        str_cut(rest, '\n', &line, &rest);
        if (str_cut(line, sep, &head, &value) && str_eq_c(str_trim(head), key))
            return str_trim(value);
    }
    return STR("");
}

static const char *field_text(struct arena *a, const char *text, char sep, const char *key)
{
    struct str v = field(text, sep, key);

    if (v.len >= 2 && v.p[0] == '"' && v.p[v.len - 1] == '"')
        v = (struct str){ v.p + 1, v.len - 2 };
    return arena_strndup(a, v.p, v.len);
}

static uint64_t field_kib(const char *meminfo, const char *key)
{
    struct str number, unit;
    uint64_t n = 0;

    str_cut(field(meminfo, ':', key), ' ', &number, &unit);
    str_to_u64(number, &n);
    return n * 1024;
}

static unsigned mhz(struct str text)
{
    double d = 0;

    return str_to_double(text, &d) && d > 0 && d < 1e6 ? (unsigned)(d + 0.5) : 0;
}

struct cpus {
    unsigned count, sockets, threads, nodes, speed;
};

/* The topology files say which package a CPU is in; a tree without them (containers) is one package. */
static void cpus_count(
    struct arena *a, const struct inventory_source *s, const char *cpuinfo, struct cpus *c, struct list *ret_cpus)
{
    uint64_t packages[64] = { 0 };
    struct str rest = str_of(cpuinfo), line, head, value;

    *c = (struct cpus){ .threads = 1, .sockets = 0 };
    while (rest.len && c->count < CPUS_MAX) {
        str_cut(rest, '\n', &line, &rest);
        if (!str_cut(line, ':', &head, &value))
            continue;
        if (str_eq_c(str_trim(head), "processor")) {
            char path[96];
            uint64_t package;
            snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/topology/physical_package_id", c->count);
            package = slurp_number(a, s, path) % 4096;
            c->sockets += !(packages[package / 64] >> (package % 64) & 1);
            packages[package / 64] |= 1ULL << (package % 64);
            c->count++;
        } else if (str_eq_c(str_trim(head), "cpu MHz")) {
            unsigned speed = mhz(str_trim(value));
            struct value *pairs = arena_new_array(a, 4, struct value);
            c->speed = speed > c->speed ? speed : c->speed;
            pairs[0] = value_str("number");
            pairs[1] = value_int((int64_t)c->count - 1);
            pairs[2] = value_str("speed");
            pairs[3] = value_int(speed);
            vec_push(&ret_cpus->items, value_map(pairs, 2));
        }
    }
    for (const char *p = slurp_line(a, s, "/sys/devices/system/cpu/cpu0/topology/thread_siblings_list"); *p; p++)
        c->threads += *p == ',' || *p == '-';
    for (; c->nodes < 1024; c->nodes++) {
        char path[96];
        snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/meminfo", c->nodes);
        if (!*slurp(a, s, path))
            break;
    }
    c->sockets = c->sockets ? c->sockets : 1;
    c->nodes = c->nodes ? c->nodes : 1;
    c->count = c->count ? c->count : 1;
}

static void put_cpus(struct arena *a, const struct inventory_source *s, struct list *info)
{
    AUTO(list_done) struct list map = { .a = a }, each = { .a = a };
    const char *cpuinfo = slurp(a, s, "/proc/cpuinfo");
    const char *features = *s->root ? "" : cpu_features(a);
    struct cpus c;

    cpus_count(a, s, cpuinfo, &c, &each);
    put_number_text(&map, "cpu_count", c.count);
    put_number_text(&map, "socket_count", c.sockets);
    put_number_text(&map, "threads_per_core", c.threads);
    put_number_text(&map, "nr_nodes", c.nodes);
    put_str(&map, "vendor", field_text(a, cpuinfo, ':', "vendor_id"));
    put_number_text(&map, "speed", c.speed);
    put_str(&map, "modelname", field_text(a, cpuinfo, ':', "model name"));
    put_str(&map, "family", field_text(a, cpuinfo, ':', "cpu family"));
    put_str(&map, "model", field_text(a, cpuinfo, ':', "model"));
    put_str(&map, "stepping", field_text(a, cpuinfo, ':', "stepping"));
    put_str(&map, "flags", field_text(a, cpuinfo, ':', "flags"));
    put_str(&map, "features_hvm", features);
    put_str(&map, "features_hvm_host", features);
    put_str(&map, "features_pv", "");
    put_str(&map, "features_pv_host", "");
    put(info, "cpu_info", list_map(&map));
    put(info, "cpus", list_set(&each));
}

static void put_bios(struct arena *a, const struct inventory_source *s, struct list *info)
{
    static const struct {
        const char *key, *file;
    } names[] = {
        { "bios-vendor", "bios_vendor" },
        { "bios-version", "bios_version" },
        { "system-manufacturer", "sys_vendor" },
        { "system-product-name", "product_name" },
        { "system-version", "product_version" },
        { "system-serial-number", "product_serial" },
        { "baseboard-manufacturer", "board_vendor" },
        { "baseboard-product-name", "board_name" },
        { "baseboard-version", "board_version" },
        { "baseboard-serial-number", "board_serial" },
        { "baseboard-asset-tag", "board_asset_tag" },
        { "enclosure-asset-tag", "chassis_asset_tag" },
    };
    AUTO(list_done) struct list map = { .a = a };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[96];
        snprintf(path, sizeof(path), "/sys/class/dmi/id/%s", names[i].file);
        put_str(&map, names[i].key, slurp_line(a, s, path));
    }
    put(info, "bios_strings", list_map(&map));
}

/* DMI's UUID is lower or upper case; machine-id is the same 32 digits without hyphens. */
static const char *machine_id(struct arena *a, const struct inventory_source *s)
{
    const char *text = slurp_line(a, s, "/sys/class/dmi/id/product_uuid");
    char hex[33], *out;
    size_t n = 0;

    if (!*text)
        text = slurp_line(a, s, "/etc/machine-id");
    for (; *text && n < 33; text++) {
        char c = *text;
        if (c >= 'A' && c <= 'F')
            c = (char)(c - 'A' + 'a');
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))
            hex[n++] = c;
        else if (c != '-')
            return "";
    }
    if (n != 32)
        return "";
    out = arena_printf(a, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
    return out;
}

static bool has_iommu(const struct inventory_source *s)
{
    char path[4200];

    snprintf(path, sizeof(path), "%s/sys/kernel/iommu_groups/0", s->root);
    return access(path, F_OK) == 0;
}

static struct value set_of(struct arena *a, const char *const *texts, size_t n)
{
    struct value *items = arena_new_array(a, n ? n : 1, struct value);

    for (size_t i = 0; i < n; i++)
        items[i] = value_str(arena_strdup(a, texts[i]));
    return value_set(items, n);
}

struct err *inventory_read(struct arena *a, const struct inventory_source *s, struct value *ret_info)
{
    static const struct inventory_hyper none = { .name = "", .version = "", .accelerator = "" };
    const struct inventory_hyper *hyper = s->hyper ? s->hyper : &none;
    AUTO(list_done) struct list info = { .a = a };
    const char *meminfo = slurp(a, s, "/proc/meminfo");
    const char *release = slurp(a, s, "/etc/os-release");
    struct str btime = field(slurp(a, s, "/proc/stat"), ' ', "btime");
    uint64_t boot = 0, available = field_kib(meminfo, "MemAvailable");

    str_to_u64(btime, &boot);
    put_str(&info, "hostname", slurp_line(a, s, "/proc/sys/kernel/hostname"));
    put_str(&info, "machine_id", machine_id(a, s));
    put_str(&info, "kernel", slurp_line(a, s, "/proc/sys/kernel/osrelease"));
    put_str(&info, "arch", slurp_line(a, s, "/proc/sys/kernel/arch"));
    put_str(&info, "os_name", field_text(a, release, '=', "NAME"));
    put_str(&info, "os_version", field_text(a, release, '=', "VERSION_ID"));
    put_cpus(a, s, &info);
    put(&info, "memory_total", value_int((int64_t)field_kib(meminfo, "MemTotal")));
    put(&info, "memory_free", value_int((int64_t)(available ? available : field_kib(meminfo, "MemFree"))));
    put_bios(a, s, &info);
    put(&info, "boot_time", value_int((int64_t)boot));
    put(&info, "start_time", value_int((int64_t)s->start_time_s));
    put(&info, "iommu", value_bool(has_iommu(s)));
    put_str(&info, "hypervisor", hyper->name);
    put_str(&info, "hypervisor_version", hyper->version);
    put_str(&info, "accelerator", hyper->accelerator);
    put_str(&info, "accelerator_detail", hyper->detail);
    put(&info, "uefi", value_bool(hyper->uefi));
    put(&info, "vcpus_max", value_int(hyper->vcpus_max));
    put(&info, "overhead", value_int((int64_t)hyper->overhead));
    put(&info, "overhead_vcpu", value_int((int64_t)hyper->overhead_vcpu));
    put(&info, "overhead_screen", value_int((int64_t)hyper->overhead_screen));
    put(&info, "pci", pci_list(a, s->root));
    put(&info, "capabilities", set_of(a, hyper->capabilities, hyper->n_capabilities));
    put(&info, "capabilities_missing", set_of(a, s->walls_missing, s->n_walls_missing));
    *ret_info = list_map(&info);
    return NULL;
}
