#include "metric/rrd.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/mem.h"
#include "metric/export.h"
#include "test.h"

#define S 1000000ULL
#define T0 (1767225600ULL * S) /* midnight */

static const struct rrd_source gauge = { "level", RRD_GAUGE, -INFINITY, INFINITY };
static const struct rrd_source derive = { "counter", RRD_DERIVE, 0, INFINITY };

static bool same(double a, double b)
{
    return (isnan(a) && isnan(b)) || fabs(a - b) <= 1e-9 * fmax(1, fabs(a));
}

static void fill(struct rrd *r, uint64_t from, unsigned n, double v)
{
    for (unsigned i = 0; i <= n; i++) {
        double values[8] = { v + i, v + i * 10, v, v, v, v, v, v };
        rrd_update(r, from + i * 5 * S, values);
    }
}

TEST(a_gauge_is_seen_in_the_step_before_its_time)
{
    AUTO(rrd_drop) struct rrd *r = rrd_new(false);

    CHECK_INT(rrd_add(r, &gauge), 0);
    fill(r, T0, 12, 1);
    CHECK_INT(rrd_last_row(r, 0), T0 / S + 60);
    CHECK(same(rrd_at(r, 0, 0, T0 / S + 60), 13));
    CHECK(same(rrd_at(r, 0, 0, T0 / S + 5), 2));
    CHECK(isnan(rrd_at(r, 0, 0, T0 / S)));
    CHECK(same(rrd_at(r, 1, 0, T0 / S + 60), (2 + 13) / 2.0));
}

TEST(a_counter_gives_its_rate_and_one_that_falls_begins_anew)
{
    AUTO(rrd_drop) struct rrd *r = rrd_new(false);
    double v[][1] = { { 100 }, { 150 }, { 10 }, { 20 } };

    CHECK_INT(rrd_add(r, &derive), 0);
    for (unsigned i = 0; i < 4; i++)
        rrd_update(r, T0 + i * 5 * S, v[i]);
    CHECK(same(rrd_at(r, 0, 0, T0 / S + 5), 10));
    CHECK(isnan(rrd_at(r, 0, 0, T0 / S + 10)));
    CHECK(same(rrd_at(r, 0, 0, T0 / S + 15), 2));
}

TEST(a_gap_longer_than_the_heartbeat_is_unknown_and_a_shorter_one_is_bridged)
{
    AUTO(rrd_drop) struct rrd *r = rrd_new(false);

    CHECK_INT(rrd_add(r, &derive), 0);
    rrd_update(r, T0, (double[]){ 0 });
    rrd_update(r, T0 + 60 * S, (double[]){ 600 });
    CHECK(same(rrd_at(r, 0, 0, T0 / S + 5), 10));
    CHECK(same(rrd_at(r, 1, 0, T0 / S + 60), 10));
    rrd_update(r, T0 + 365 * S, (double[]){ 1200 });
    CHECK(isnan(rrd_at(r, 0, 0, T0 / S + 65)));
    CHECK(isnan(rrd_at(r, 0, 0, T0 / S + 365)));
    CHECK(same(rrd_at(r, 0, 0, T0 / S + 60), 10)); /* what was known stays */
    rrd_update(r, T0 + 400ULL * 86400 * S, (double[]){ 1200 });
    CHECK(isnan(rrd_at(r, 3, 0, T0 / S + 400ULL * 86400)));
}

TEST(half_a_row_known_is_enough)
{
    AUTO(rrd_drop) struct rrd *r = rrd_new(false);

    CHECK_INT(rrd_add(r, &gauge), 0);
    fill(r, T0 + 30 * S, 6, 3); /* six of twelve steps */
    CHECK(!isnan(rrd_at(r, 1, 0, T0 / S + 60)));
    fill(r, T0 + 3600 * S + 35 * S, 5, 3);
    CHECK(isnan(rrd_at(r, 1, 0, T0 / S + 3660)));
}

TEST(values_out_of_bounds_are_unknown)
{
    AUTO(rrd_drop) struct rrd *r = rrd_new(false);

    CHECK_INT(rrd_add(r, &(struct rrd_source){ "cpu0", RRD_DERIVE, 0, 1 }), 0);
    rrd_update(r, T0, (double[]){ 0 });
    rrd_update(r, T0 + 5 * S, (double[]){ 50 });
    rrd_update(r, T0 + 10 * S, (double[]){ 51 });
    CHECK(isnan(rrd_at(r, 0, 0, T0 / S + 5)));
    CHECK(same(rrd_at(r, 0, 0, T0 / S + 10), 0.2));
}

TEST(least_and_greatest_are_kept_beside_the_mean)
{
    AUTO(rrd_drop) struct rrd *r = rrd_new(true);

    CHECK_INT(rrd_add(r, &gauge), 0);
    fill(r, T0, 12, 1);
    CHECK_INT(rrd_n_archives(r), 10);
    CHECK(same(rrd_at(r, 2, 0, T0 / S + 60), 2));
    CHECK(same(rrd_at(r, 3, 0, T0 / S + 60), 13));
    rrd_update(r, T0 + 64 * S, (double[]){ 7 });
    rrd_update(r, T0 + 65 * S, (double[]){ 9 });
    for (unsigned i = 1; i <= 12; i++)
        rrd_update(r, T0 + 65 * S + i * 500 * S, (double[]){ 1 });
    CHECK(isnan(rrd_at(r, 1, 0, T0 / S + 65 * 60))); /* all of it unknown is unknown even with xff 1 */
}

TEST(a_clock_that_goes_back_takes_later_rows_away)
{
    AUTO(rrd_drop) struct rrd *r = rrd_new(false);

    CHECK_INT(rrd_add(r, &gauge), 0);
    fill(r, T0, 100, 0);
    rrd_update(r, T0 + 250 * S, (double[]){ 1000 });
    CHECK_INT(rrd_last_row(r, 0), T0 / S + 250);
    CHECK(same(rrd_at(r, 0, 0, T0 / S + 250), 50));
    CHECK(same(rrd_at(r, 0, 0, T0 / S + 5), 1));
    CHECK(isnan(rrd_at(r, 0, 0, T0 / S + 255)));
    fill(r, T0 + 255 * S, 10, 5);
    CHECK(same(rrd_at(r, 0, 0, T0 / S + 260), 6));
    CHECK(!isnan(rrd_at(r, 1, 0, T0 / S + 300)));
}

TEST(names_are_checked_and_sources_come_and_go)
{
    AUTO(rrd_drop) struct rrd *r = rrd_new(false);

    CHECK(rrd_add(r, &(struct rrd_source){ "a<b", RRD_GAUGE, 0, 1 }) == SIZE_MAX);
    CHECK(rrd_add(r, &(struct rrd_source){ "", RRD_GAUGE, 0, 1 }) == SIZE_MAX);
    CHECK_INT(rrd_add(r, &gauge), 0);
    CHECK_INT(rrd_add(r, &derive), 1);
    fill(r, T0, 5, 0);
    rrd_remove(r, 0);
    CHECK_INT(rrd_find(r, "counter", 7), 0);
    CHECK(rrd_find(r, "level", 0) == SIZE_MAX);
    CHECK(same(rrd_at(r, 0, 0, T0 / S + 25), 2));
    CHECK_INT(rrd_add(r, &gauge), 1);
    CHECK(isnan(rrd_at(r, 0, 1, T0 / S + 25)));
}

/* ---- against a model that keeps everything ---- */

#define MODEL_MAX 4000
struct model {
    struct {
        uint64_t from, to;
        double rate;
    } part[MODEL_MAX];
    size_t n;
};

static double model_step(const struct model *m, size_t *from, uint64_t step)
{
    uint64_t a = step * 5 * S, b = a + 5 * S, known = 0;
    double sum = 0;

    while (*from < m->n && m->part[*from].to <= a)
        ++*from;
    for (size_t i = *from; i < m->n && m->part[i].from < b; i++) {
        uint64_t x = m->part[i].from > a ? m->part[i].from : a, y = m->part[i].to < b ? m->part[i].to : b;
        if (isnan(m->part[i].rate) || y <= x)
            continue;
        known += y - x;
        sum += m->part[i].rate * (double)(y - x);
    }
    return known && known * 2 >= 5 * S ? sum / (double)known : NAN;
}

static double model_row(const struct model *m, const struct rrd_archive *a, uint64_t row_time)
{
    uint64_t last = row_time / 5;
    double acc = NAN;
    uint32_t unknown = 0;
    size_t from = 0;

    for (uint64_t step = last - a->steps; step < last; step++) {
        double v = model_step(m, &from, step);
        if (isnan(v))
            unknown++;
        else if (isnan(acc))
            acc = v;
        else
            acc = a->cf == RRD_AVERAGE ? acc + v : a->cf == RRD_MIN ? fmin(acc, v) : fmax(acc, v);
    }
    if (unknown > a->xff * a->steps)
        return NAN;
    return a->cf == RRD_AVERAGE ? acc / (a->steps - unknown) : acc;
}

static uint64_t seed;
static uint64_t dice(uint64_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % n;
}

static void check_all(const struct rrd *r, const struct model *m)
{
    for (size_t a = 0; a < rrd_n_archives(r); a++) {
        struct rrd_archive x = rrd_archive(r, a);
        for (uint64_t age = 0; age < x.rows; age++) {
            uint64_t t = rrd_last_row(r, a) - age * x.steps * 5;
            double want = model_row(m, &x, t), got = rrd_at(r, a, 0, t);
            if (!same(want, got))
                test_fail(__FILE__, __LINE__, "archive %zu age %d: %.12g instead of %.12g", a, (int)age, got, want);
        }
    }
}

TEST(every_row_is_what_a_model_that_keeps_everything_says)
{
    static struct model m;
    static const struct rrd_archive archives[] = { { RRD_AVERAGE, 20, 1, 0.5 }, { RRD_AVERAGE, 15, 3, 0.5 },
        { RRD_MIN, 15, 3, 1.0 }, { RRD_MAX, 9, 7, 0.2 }, { RRD_AVERAGE, 30, 24, 0.9 } };

    for (seed = 1; seed < 60; seed += 2) {
        AUTO(rrd_drop) struct rrd *r = rrd_new_with(archives, ARRAY_LEN(archives));
        enum rrd_type type = (enum rrd_type)dice(3);
        uint64_t t = T0 + dice(100 * S);
        double last = NAN;

        m.n = 0;
        CHECK_INT(rrd_add(r, &(struct rrd_source){ "x", type, -5, 1e6 }), 0);
        for (unsigned i = 0; i < 600; i++) {
            uint64_t gap = dice(40) ? dice(8) ? 4900000 + dice(200000) : dice(30 * S) + 1 : dice(900 * S) + 1;
            double v = dice(25) ? (double)dice(100000) / 7 + (type == RRD_DERIVE && !isnan(last) ? last : 0) : NAN;
            double rate = type == RRD_GAUGE ? v
                : type == RRD_ABSOLUTE      ? v * 1e6 / (double)gap
                                            : (v - last) * 1e6 / (double)gap;

            if (i == 0) {
                rrd_update(r, t, &v);
                last = v;
                continue;
            }
            m.part[m.n].from = t;
            m.part[m.n].to = t + gap;
            m.part[m.n++].rate =
                gap <= 300 * S && rate >= -5 && rate <= 1e6 && !(type == RRD_DERIVE && v < last) ? rate : NAN;
            t += gap;
            rrd_update(r, t, &v);
            last = v;
            if (dice(97) == 0) { /* a restart of the process between */
                AUTO(buf_done) struct buf b;
                struct rrd *again = NULL;
                buf_init(&b, RRD_ENCODED_MAX);
                rrd_encode(r, &b);
                CHECK_OK(rrd_decode(buf_str(&b), &again));
                rrd_free(r);
                r = again;
            }
        }
        check_all(r, &m);
    }
}

/* ---- files ---- */

TEST(a_torn_or_foreign_file_is_refused)
{
    AUTO(rrd_drop) struct rrd *r = rrd_new(false);
    AUTO(buf_done) struct buf b;
    struct rrd *again = NULL;

    CHECK_INT(rrd_add(r, &gauge), 0);
    fill(r, T0, 50, 1);
    buf_init(&b, RRD_ENCODED_MAX);
    rrd_encode(r, &b);
    for (size_t len = 0; len < b.len; len += 7)
        CHECK_ERR(rrd_decode((struct str){ b.p, len }, &again), "INTERNAL_ERROR");
    for (size_t i = 0; i < b.len; i += 5) {
        b.p[i] ^= 0x20;
        CHECK_ERR(rrd_decode(buf_str(&b), &again), "INTERNAL_ERROR");
        b.p[i] ^= 0x20;
    }
    CHECK(!again);
    CHECK_OK(rrd_decode(buf_str(&b), &again));
    CHECK(same(rrd_at(again, 1, 0, T0 / S + 240), rrd_at(r, 1, 0, T0 / S + 240)));
    rrd_free(again);
}

/* ---- texts ---- */

static void check_updates(const struct export_query *q, const struct export_object *o, size_t n, const char *expected)
{
    AUTO(sink_done) struct sink s;
    int fd = 7;

    sink_init(&s);
    export_updates(&s, q, o, n);
    CHECK_OK(sink_end(&s, &fd));
    CHECK_INT(fd, -1);
    CHECK_STR(s.b.p, expected);
}

TEST(updates_come_newest_first_with_legend_and_bounds)
{
    AUTO(rrd_drop) struct rrd *host = rrd_new(false), *vm = rrd_new(false);
    struct export_object o[] = { { "host", "aa", host }, { "vm", "bb", vm } };
    struct export_query q = { .start = (int64_t)(T0 / S) + 50, .cfs = 1U << RRD_AVERAGE };

    CHECK_INT(rrd_add(host, &(struct rrd_source){ "cpu_avg", RRD_GAUGE, 0, 1e9 }), 0);
    fill(host, T0, 12, 0.5);
    CHECK_INT(rrd_add(vm, &(struct rrd_source){ "cpu0", RRD_GAUGE, 0, 1e9 }), 0);
    rrd_update(vm, T0 + 55 * S, (double[]){ 1 });
    rrd_update(vm, T0 + 60 * S, (double[]){ 0 });
    check_updates(&q, o, 2,
        "<xport><meta><start>1767225655</start><step>5</step><end>1767225660</end><rows>2</rows><columns>2</columns>"
        "<legend><entry>AVERAGE:host:aa:cpu_avg</entry><entry>AVERAGE:vm:bb:cpu0</entry></legend></meta>"
        "<data><row><t>1767225660</t><v>12.5</v><v>0.0</v></row><row><t>1767225655</t><v>11.5</v><v>NaN</v></row>"
        "</data></xport>");
    q.json = true;
    q.start = -5;
    check_updates(&q, o, 1,
        "{\"meta\":{\"start\":\"1767225660\",\"step\":\"5\",\"end\":\"1767225660\",\"rows\":\"1\",\"columns\":\"1\","
        "\"legend\":[\"AVERAGE:host:aa:cpu_avg\"]},\"data\":[{\"t\":\"1767225660\",\"values\":[\"12.5\"]}]}");
    q.start = INT64_MAX;
    AUTO(sink_done) struct sink s;
    sink_init(&s);
    export_updates(&s, &q, o, 2);
    CHECK(strstr(s.b.p, "\"rows\":\"0\""));
    q.cfs = 1U << RRD_MIN;
    buf_clear(&s.b);
    export_updates(&s, &q, o, 2);
    CHECK(strstr(s.b.p, "\"columns\":\"0\""));
}

TEST(the_archive_is_the_finest_that_is_coarse_enough_and_reaches_back)
{
    static const struct {
        uint64_t interval, ago, step, rows;
    } cases[] = { { 5, 300, 5, 60 }, { 0, 600, 5, 120 }, { 5, 601, 60, 11 }, { 60, 7100, 60, 119 }, { 6, 100, 60, 2 },
        { 3600, 7200, 3600, 2 }, { 0, 167 * 3600, 3600, 167 }, { 86400, 86400 * 300, 86400, 300 },
        { 0, 86400 * 1000ULL, 86400, 366 }, { 90000, 86400, 86400, 1 }, { 5, 0, 5, 0 } };
    AUTO(rrd_drop) struct rrd *r = rrd_new(false);
    struct export_object o = { "host", "aa", r };

    CHECK_INT(rrd_add(r, &gauge), 0);
    fill(r, T0 - 50 * S, 10, 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct export_query q = {
            .start = (int64_t)(T0 / S - cases[i].ago), .interval = cases[i].interval, .cfs = 1, .json = true
        };
        AUTO(sink_done) struct sink s;
        char want[64], rows[32];
        sink_init(&s);
        export_updates(&s, &q, &o, 1);
        snprintf(want, sizeof(want), "\"step\":\"%d\"", (int)cases[i].step);
        snprintf(rows, sizeof(rows), "\"rows\":\"%d\"", (int)cases[i].rows);
        if (!strstr(s.b.p, want) || !strstr(s.b.p, rows))
            test_fail(__FILE__, __LINE__, "case %zu: %.200s", i, s.b.p);
    }
}

TEST(a_long_text_goes_to_a_file)
{
    AUTO(rrd_drop) struct rrd *r = rrd_new(false);
    AUTO(sink_done) struct sink s;
    AUTO(fd_drop) int fd = -1;
    AUTO(buf_done) struct buf b;
    char name[16];

    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "x%d", i);
        rrd_add(r, &(struct rrd_source){ name, RRD_GAUGE, 0, 1 });
    }
    rrd_update(r, T0, (double[100]){ 1 });
    sink_init(&s);
    export_dump(&s, r, false);
    CHECK_OK(sink_end(&s, &fd));
    CHECK(fd >= 0);
    buf_init(&b, 64 << 20);
    CHECK_OK(fd_read_all(fd, &b));
    CHECK(b.len > 774 * 100 * 10 && strncmp(b.p, "<?xml version=\"1.0\"?><rrd><version>0003</version>", 49) == 0);
    CHECK(str_ends(buf_str(&b), STR("</rra></rrd>")));
}

TEST(numbers_have_up_to_fifteen_digits)
{
    static const struct {
        double v;
        const char *text;
    } cases[] = { { 0, "0.0" }, { -0.0, "0.0" }, { 0.1, "0.1" }, { 1, "1" }, { 1e300, "1e+300" },
        { 1.0 / 3, "0.333333333333333" }, { INFINITY, "Infinity" }, { -INFINITY, "-Infinity" }, { NAN, "NaN" },
        { 8589934592.0, "8589934592" } };
    char text[32];

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        number_text(cases[i].v, text);
        CHECK_STR(text, cases[i].text);
    }
}

TEST(rrdtool_takes_the_dump)
{
    AUTO(rrd_drop) struct rrd *r = rrd_new(true);
    AUTO(fd_drop) int dir = test_tmpdir();
    AUTO(sink_done) struct sink s;
    AUTO(mem_drop) char *in = mem_printf("%s/x.xml", test_tmpdir_path());
    AUTO(mem_drop) char *out = mem_printf("%s/x.rrd", test_tmpdir_path());
    int fd = -1, status = -1;

    CHECK_INT(rrd_add(r, &gauge), 0);
    CHECK_INT(rrd_add(r, &derive), 1);
    fill(r, T0, 200, 1.5);
    sink_init(&s);
    export_dump(&s, r, false);
    CHECK_OK(sink_end(&s, &fd));
    CHECK_OK(file_write_atomic(dir, "x.xml", s.b.p, s.b.len, 0600));
    if (access("/usr/bin/rrdtool", X_OK) < 0) {
        printf("rrdtool is not installed: its judgement is skipped\n");
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        execl("/usr/bin/rrdtool", "rrdtool", "restore", in, out, (char *)NULL);
        _exit(127);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK_INT(status, 0);
}
