#include "metric/proc.h"
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/str.h"

#define TEXT_MAX (1U << 20)
#define CPUS_MAX 4096

void reading_add(struct readings *to, enum kind_id kind, const char *instance, double raw)
{
    struct reading r = { .kind = kind, .raw = raw, .value = NAN };

    snprintf(r.instance, sizeof(r.instance), "%s", instance ? instance : "");
    vec_push(to, r);
}

/* False if it cannot be read; the text is in b, NUL-terminated. */
static bool slurp(struct buf *b, const char *root, const char *fmt, ...) PRINTF(3, 4);
static bool slurp(struct buf *b, const char *root, const char *fmt, ...)
{
    char path[512];
    va_list ap;
    int n = snprintf(path, sizeof(path), "%s", root);

    va_start(ap, fmt);
    vsnprintf(path + n, sizeof(path) - (size_t)n, fmt, ap);
    va_end(ap);
    buf_init(b, TEXT_MAX);
    struct err *e = file_read(AT_FDCWD, path, b);
    if (e)
        err_ignore(e, "what the kernel does not tell is not known");
    return !e && b->len;
}

static bool word(struct str *line, struct str *ret)
{
    do {
        if (!line->len)
            return false;
        str_cut(*line, ' ', ret, line);
    } while (!ret->len);
    return true;
}

/* Ticks of "cpuN user nice system idle iowait irq softirq steal guest guest_nice"; guests' are in user's already. */
static bool cpu_busy(struct str line, double *ret_s)
{
    struct str w;
    uint64_t busy = 0, ticks;

    for (int i = 0; i < 8 && word(&line, &w); i++) {
        if (!str_to_u64(w, &ticks))
            return false;
        if (i != 3 && i != 4)
            busy += ticks;
    }
    *ret_s = (double)busy / (double)sysconf(_SC_CLK_TCK);
    return true;
}

void proc_read_cpus(const char *root, struct readings *to)
{
    AUTO(buf_done) struct buf b;
    struct str line, rest, name;
    double s, sum = 0;
    unsigned n = 0;

    if (!slurp(&b, root, "/proc/stat"))
        return;
    rest = buf_str(&b);
    while (str_cut(rest, '\n', &line, &rest)) {
        if (!word(&line, &name) || !str_starts(name, STR("cpu")) || name.len == 3 || name.len > 10)
            continue;
        if (n >= CPUS_MAX || !cpu_busy(line, &s))
            continue;
        char number[16];
        snprintf(number, sizeof(number), "%.*s", (int)name.len - 3, name.p + 3);
        reading_add(to, K_CPU, number, s);
        sum += s;
        n++;
    }
    if (n)
        reading_add(to, K_CPU_AVG, "", sum / n);
}

/* "0.20 0.18 0.12 1/80 11206": the fourth is running threads of all threads; we are one of them. */
void proc_read_load(const char *root, struct readings *to)
{
    AUTO(buf_done) struct buf b;
    struct str rest, w[4], running, all;
    double load;
    uint64_t n;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    if (!slurp(&b, root, "/proc/loadavg"))
        return;
    rest = buf_str(&b);
    for (int i = 0; i < 4; i++)
        if (!word(&rest, &w[i]))
            return;
    if (str_to_double(w[0], &load))
        reading_add(to, K_LOADAVG, "", load);
    str_cut(w[3], '/', &running, &all);
    if (str_to_u64(running, &n) && cpus > 0)
        reading_add(to, K_HOSTLOAD, "", (double)(n ? n - 1 : 0) / (double)cpus);
}

static uint64_t kib_of(struct str text, const char *key)
{
    struct str line, head, value, w;
    uint64_t n = 0;

    while (text.len) {
        str_cut(text, '\n', &line, &text);
        if (str_cut(line, ':', &head, &value) && str_eq_c(head, key) && word(&value, &w) && str_to_u64(w, &n))
            return n;
    }
    return 0;
}

void proc_read_memory(uint64_t ret_kib[2], const char *root)
{
    AUTO(buf_done) struct buf b;

    ret_kib[0] = ret_kib[1] = 0;
    if (!slurp(&b, root, "/proc/meminfo"))
        return;
    ret_kib[0] = kib_of(buf_str(&b), "MemTotal");
    ret_kib[1] = kib_of(buf_str(&b), "MemAvailable");
}

/* ---- interfaces ---- */

static bool is_device(const char *name)
{
    return *name && *name != '.' && strlen(name) < 16 && !strchr(name, '/');
}

double proc_net_counter(const char *root, const char *device, const char *counter)
{
    AUTO(buf_done) struct buf b;
    struct str line, rest;
    uint64_t n;

    if (!is_device(device) || !slurp(&b, root, "/sys/class/net/%s/statistics/%s", device, counter))
        return NAN;
    str_cut(buf_str(&b), '\n', &line, &rest);
    return str_to_u64(line, &n) ? (double)n : NAN;
}

void proc_read_pif(const char *root, const char *device, struct readings *to, double sums[2])
{
    static const struct {
        enum kind_id kind;
        const char *counter;
    } counters[] = { { K_PIF_RX, "rx_bytes" }, { K_PIF_TX, "tx_bytes" }, { K_PIF_RX_ERRORS, "rx_errors" },
        { K_PIF_TX_ERRORS, "tx_errors" } };

    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        double v = proc_net_counter(root, device, counters[i].counter);
        if (isnan(v))
            continue;
        reading_add(to, counters[i].kind, device, v);
        if (i < 2)
            sums[i] += v;
    }
}

/* net writes "UUID/POSITION" into a tap's alias. */
static void look_at_tap(const char *root, const char *device, tap_fn *fn, void *ctx)
{
    AUTO(buf_done) struct buf b;
    struct str line, rest, uuid, number;
    char vm[40];
    uint64_t position;

    if (!slurp(&b, root, "/sys/class/net/%s/ifalias", device))
        return;
    str_cut(buf_str(&b), '\n', &line, &rest);
    if (!str_cut(line, '/', &uuid, &number) || uuid.len >= sizeof(vm) || !str_to_u64(number, &position))
        return;
    snprintf(vm, sizeof(vm), "%.*s", (int)uuid.len, uuid.p);
    fn(ctx, vm, (int64_t)position, device);
}

void proc_each_tap(const char *root, tap_fn *fn, void *ctx)
{
    char path[512];
    DIR *d;

    snprintf(path, sizeof(path), "%s/sys/class/net", root);
    d = opendir(path);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        if (cstr_starts(e->d_name, "rnytap"))
            look_at_tap(root, e->d_name, fn, ctx);
    closedir(d);
}

/* ---- processes ---- */

/* "nanoseconds-run nanoseconds-waited slices" */
double proc_thread_s(const char *root, int64_t pid, int64_t thread)
{
    AUTO(buf_done) struct buf b;
    struct str head, rest;
    uint64_t ns;

    if (!slurp(&b, root, "/proc/%" PRId64 "/task/%" PRId64 "/schedstat", pid, thread))
        return NAN;
    str_cut(buf_str(&b), ' ', &head, &rest);
    return str_to_u64(head, &ns) ? (double)ns / 1e9 : NAN;
}

/* utime and stime are the 14th and 15th field; the second one, the name, may hold anything but ends with the last ')'.
 */
double proc_process_s(const char *root, int64_t pid)
{
    AUTO(buf_done) struct buf b;
    uint64_t ticks[2] = { 0 };
    struct str rest, w;

    if (!slurp(&b, root, "/proc/%" PRId64 "/stat", pid))
        return NAN;
    const char *end = strrchr(b.p, ')');
    if (!end)
        return NAN;
    rest = str_of(end + 1);
    for (int i = 3; i <= 15; i++)
        if (!word(&rest, &w) || (i >= 14 && !str_to_u64(w, &ticks[i - 14])))
            return NAN;
    return (double)(ticks[0] + ticks[1]) / (double)sysconf(_SC_CLK_TCK);
}
