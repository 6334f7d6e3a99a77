#include "host/pci.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/str.h"

#define DEVICES "/sys/bus/pci/devices"
#define IDS "/usr/share/misc/pci.ids"
#define IDS_MAX (8UL << 20)
#define NAME_LEN_MAX 200

enum { CLASS, VENDOR, DEVICE, SUB_VENDOR, SUB_DEVICE, N_IDS };

struct device {
    const char *address, *driver;
    uint32_t id[N_IDS];        /* CLASS: class and subclass */
    const char *name[N_IDS];   /* "" while unknown */
    const char *class_general; /* of its class without subclass */
    bool has_subsystem;
};

/* ---- what the kernel says ---- */

/* "0x8086\n"; false: there is no such file, or something else in it. */
static bool read_hex(const char *dir, const char *file, uint32_t *ret)
{
    AUTO(buf_done) struct buf b;
    char path[600], *end;
    struct err *e;

    snprintf(path, sizeof(path), "%s/%s", dir, file);
    buf_init(&b, 64);
    e = file_read(AT_FDCWD, path, &b);
    if (e) {
        err_ignore(e, "it is gone, or never was");
        return false;
    }
    unsigned long v = strtoul(b.len ? b.p : "", &end, 16);
    *ret = (uint32_t)v;
    return b.len && end > b.p && v <= UINT32_MAX;
}

static const char *driver_of(struct arena *a, const char *dir)
{
    char path[600], target[256];

    snprintf(path, sizeof(path), "%s/driver", dir);
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    if (n <= 0)
        return "";
    target[n] = 0;
    const char *slash = strrchr(target, '/');
    slash = slash ? slash + 1 : target;
    return str_is_utf8(str_of(slash)) ? arena_strdup(a, slash) : "";
}

static bool read_device(struct arena *a, const char *root, const char *address, struct device *ret)
{
    struct device d = { .address = arena_strdup(a, address), .class_general = "" };
    char dir[512];

    snprintf(dir, sizeof(dir), "%s" DEVICES "/%s", root, address);
    if (!read_hex(dir, "class", &d.id[CLASS]) || !read_hex(dir, "vendor", &d.id[VENDOR]) ||
        !read_hex(dir, "device", &d.id[DEVICE]))
        return false;
    d.id[CLASS] = d.id[CLASS] >> 8 & 0xffff;
    d.has_subsystem = read_hex(dir, "subsystem_vendor", &d.id[SUB_VENDOR]) && d.id[SUB_VENDOR] &&
        read_hex(dir, "subsystem_device", &d.id[SUB_DEVICE]);
    d.driver = driver_of(a, dir);
    for (size_t i = 0; i < N_IDS; i++)
        d.name[i] = "";
    *ret = d;
    return true;
}

static int by_address(const void *x, const void *y)
{
    const struct device *p = x, *q = y;

    return strcmp(p->address, q->address);
}

static size_t read_devices(struct arena *a, const char *root, struct device *ret)
{
    char path[512];
    size_t n = 0;

    snprintf(path, sizeof(path), "%s" DEVICES, root);
    DIR *dir = opendir(path);
    if (!dir)
        return 0; /* a machine without that bus */
    for (struct dirent *e; n < PCI_MAX && (e = readdir(dir));)
        n += e->d_name[0] != '.' && strlen(e->d_name) < 32 && read_device(a, root, e->d_name, &ret[n]);
    closedir(dir);
    qsort(ret, n, sizeof(*ret), by_address);
    return n;
}

/* ---- names ---- */

/*
 * pci.ids, by its depth of tabs:  vendor / device / subsystem's vendor and device;  "C class" / subclass.
 * One pass over the lines; a line is only looked at for devices that its upper lines fit.
 */
struct place {
    uint32_t id[3]; /* of the lines above and this one */
    bool is_class;
};

static bool hex_word(struct str *line, size_t digits, uint32_t *ret)
{
    uint32_t v = 0;

    if (line->len < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        char c = line->p[i];

        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
        v = v << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *line = str_trim((struct str){ line->p + digits, line->len - digits });
    *ret = v;
    return true;
}

static const char *name_of(struct arena *a, struct str text)
{
    text.len = text.len > NAME_LEN_MAX ? NAME_LEN_MAX : text.len;
    return str_is_utf8(text) ? arena_strndup(a, text.p, text.len) : "";
}

static void take_class(struct arena *a, const struct place *p, size_t depth, struct str name, struct device *d)
{
    if (d->id[CLASS] >> 8 != p->id[0])
        return;
    if (depth == 0)
        d->class_general = name_of(a, name);
    else if (depth == 1 && (d->id[CLASS] & 0xff) == p->id[1])
        d->name[CLASS] = name_of(a, name);
}

static void take_vendor(struct arena *a, const struct place *p, size_t depth, struct str name, struct device *d)
{
    if (depth == 0 && d->has_subsystem && d->id[SUB_VENDOR] == p->id[0])
        d->name[SUB_VENDOR] = name_of(a, name);
    if (d->id[VENDOR] != p->id[0])
        return;
    if (depth == 0)
        d->name[VENDOR] = name_of(a, name);
    else if (depth == 1 && d->id[DEVICE] == p->id[1])
        d->name[DEVICE] = name_of(a, name);
    else if (depth == 2 && d->has_subsystem && d->id[DEVICE] == p->id[1] &&
        (d->id[SUB_VENDOR] << 16 | d->id[SUB_DEVICE]) == p->id[2])
        d->name[SUB_DEVICE] = name_of(a, name);
}

/* False: a line that says nothing. */
static bool read_line(struct str *line, struct place *p, size_t *ret_depth)
{
    size_t depth = 0;
    uint32_t second = 0;

    if (!line->len || line->p[0] == '#')
        return false;
    while (depth < 2 && line->len > depth && line->p[depth] == '\t')
        depth++;
    *line = (struct str){ line->p + depth, line->len - depth };
    *ret_depth = depth;
    if (depth == 0)
        p->is_class = line->len > 2 && line->p[0] == 'C' && line->p[1] == ' ';
    if (depth == 0 && p->is_class)
        *line = (struct str){ line->p + 2, line->len - 2 };
    if (!hex_word(line, p->is_class ? 2 : 4, &p->id[depth])) {
        if (depth == 0)
            p->id[0] = UINT32_MAX; /* nobody's: what is below it is of another kind */
        return false;
    }
    if (depth < 2 || p->is_class)
        return true;
    if (!hex_word(line, 4, &second))
        return false;
    p->id[2] = p->id[2] << 16 | second;
    return true;
}

static void read_names(struct arena *a, const char *root, struct device *devices, size_t n)
{
    AUTO(buf_done) struct buf b;
    struct place p = { .id = { UINT32_MAX } };
    struct str rest, line;
    char path[512];
    size_t depth;

    snprintf(path, sizeof(path), "%s" IDS, root);
    buf_init(&b, IDS_MAX);
    struct err *e = n ? file_read(AT_FDCWD, path, &b) : NULL;
    if (e) {
        err_ignore(e, "it is not installed");
        return;
    }
    for (rest = buf_str(&b); rest.len;) {
        str_cut(rest, '\n', &line, &rest);
        if (!read_line(&line, &p, &depth))
            continue;
        for (size_t i = 0; i < n; i++)
            (p.is_class ? take_class : take_vendor)(a, &p, depth, line, &devices[i]);
    }
}

/* ---- both ---- */

static struct value describe(struct arena *a, const struct device *d)
{
    static const char *const keys[N_IDS][2] = {
        { "class_id", "class_name" },
        { "vendor_id", "vendor_name" },
        { "device_id", "device_name" },
        { "subsystem_vendor_id", "subsystem_vendor_name" },
        { "subsystem_device_id", "subsystem_device_name" },
    };
    struct value *pairs = arena_new_array(a, 2 * (2 + 2 * N_IDS), struct value);
    size_t n = 0;

    pairs[n++] = value_str("pci_id");
    pairs[n++] = value_str(d->address);
    pairs[n++] = value_str("driver_name");
    pairs[n++] = value_str(d->driver);
    for (size_t i = 0; i < N_IDS; i++) {
        bool there = i < SUB_VENDOR || d->has_subsystem;
        const char *name = i == CLASS && !*d->name[CLASS] ? d->class_general : d->name[i];

        pairs[n++] = value_str(keys[i][0]);
        pairs[n++] = value_str(there ? arena_printf(a, "%04x", d->id[i]) : "");
        pairs[n++] = value_str(keys[i][1]);
        pairs[n++] = value_str(name);
    }
    return value_map(pairs, n / 2);
}

struct value pci_list(struct arena *a, const char *root)
{
    struct device *devices = arena_new_array(a, PCI_MAX, struct device);
    size_t n = read_devices(a, root, devices);
    struct value *items = arena_new_array(a, n + 1, struct value);

    read_names(a, root, devices, n);
    for (size_t i = 0; i < n; i++)
        items[i] = describe(a, &devices[i]);
    return value_set(items, n);
}
