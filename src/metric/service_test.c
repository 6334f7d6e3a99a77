#include "metric/service.h"
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "gen/ipc_metric.h"
#include "gen/ipc_sample.h"
#include "ipc/ipc.h"
#include "test.h"

#define HOST "11111111-1111-4111-8111-111111111111"
#define VM1 "22222222-2222-4222-8222-222222222221"
#define VM2 "22222222-2222-4222-8222-222222222222"
#define SR "33333333-3333-4333-8333-333333333333"
#define STEP 5000000

/* A core that says what the test wants; and the metric service beside it. */
struct world {
    struct loop *loop;
    struct metric *metric;
    struct ipc_peer *core, *far; /* the core's side, the metric's side */
    struct arena *arena;
    unsigned n_vms;
    uint64_t busy_us, takes;
    const char *gone;
    bool silent, unknown;
};

static struct err *on_take(struct ipc_call *c, struct sample_take_req *req UNUSED, struct sample_take_rep *rep)
{
    struct world *w = c->ctx;
    static const char *const pifs[] = { "eth0" };

    w->takes++;
    if (w->silent)
        fiber_sleep(60 * 1000000);
    w->busy_us += STEP / 2;
    *rep = (struct sample_take_rep){ .host = HOST,
        .host_name = "h\"1",
        .pifs = (const char **)(uintptr_t)pifs,
        .n_pifs = 1,
        .sessions = 3,
        .tasks = 1,
        .vms_known = !w->unknown };
    rep->vms = arena_new_array(c->arena, 2, struct sample_vm);
    for (rep->n_vms = 0; !w->unknown && rep->n_vms < w->n_vms; rep->n_vms++) {
        struct sample_vm *vm = &rep->vms[rep->n_vms];
        *vm = (struct sample_vm){
            .name = "a vm", .running = true, .vcpus = 1, .memory = 64 << 20, .memory_target = 64 << 20
        };
        vm->guest.vm = rep->n_vms ? VM2 : VM1;
        vm->guest.cpu_us = arena_dup(c->arena, &w->busy_us, sizeof(w->busy_us));
        vm->guest.n_cpu_us = 1;
        vm->guest.disks = arena_new_array(c->arena, 1, struct stats_disk);
        vm->guest.n_disks = 1;
        vm->guest.disks[0] = (struct stats_disk){ .device = "xvda",
            .sr = SR,
            .read_bytes = w->takes * 5 << 20,
            .read_ops = w->takes * 50,
            .read_ns = w->takes * 50 * 7000 };
    }
    rep->srs = arena_new_array(c->arena, 1, struct sample_sr);
    rep->n_srs = 1;
    rep->srs[0] = (struct sample_sr){ .uuid = SR, .name = "sr", .size = 100, .used = 50, .allocated = 70 };
    return NULL;
}

static struct err *on_gone(struct ipc_call *c, struct sample_gone_req *req, struct sample_gone_rep *rep)
{
    struct world *w = c->ctx;

    rep->gone = arena_new_array(c->arena, req->n_objects + 1, const char *);
    for (size_t i = 0; w->gone && i < req->n_objects; i++)
        if (strstr(req->objects[i], w->gone))
            rep->gone[rep->n_gone++] = req->objects[i];
    return NULL;
}

static void world_open(struct world *w, struct loop *l)
{
    static const struct sample_ops ops = { .take = on_take, .gone = on_gone };
    struct metric_config config = { .dir = test_tmpdir_path(), .proc_root = "" };

    w->loop = l;
    w->arena = arena_new();
    CHECK_OK(metric_new(l, &config, &w->metric));
    ipc_pair(l, &w->core, &w->far);
    ipc_serve(w->core, &sample_service, &ops, w);
    metric_mount(w->metric, w->far);
    metric_start(w->metric);
}

static void world_close(struct world *w)
{
    metric_save(w->metric);
    ipc_close(w->core);
    ipc_close(w->far);
    fiber_sleep(1000);
    metric_free(w->metric);
    arena_free(w->arena);
}

static const char *text_of(struct world *w, struct str body, int file)
{
    struct buf b;

    if (file <= 0)
        return arena_strndup(w->arena, body.p ? body.p : "", body.len);
    buf_init(&b, 64 << 20);
    CHECK_OK(fd_read_all(file, &b));
    fd_drop(&file);
    const char *text = arena_strndup(w->arena, b.p, b.len);
    buf_done(&b);
    return text;
}

static const char *updates(struct world *w, int64_t start, const char *sr)
{
    struct metric_updates_req req = {
        .start = start, .cfs = 1, .host = true, .all_vms = true, .json = true, .srs = &sr, .n_srs = sr != NULL
    };
    struct metric_updates_rep rep = { .file = -1 };

    CHECK_OK(metric_updates(w->core, w->arena, &req, &rep));
    return text_of(w, rep.body, rep.file);
}

static double query(struct world *w, const char *kind, const char *uuid, const char *name)
{
    struct metric_query_rep rep;

    CHECK_OK(metric_query(w->core, w->arena, &(struct metric_query_req){ kind, uuid, name }, &rep));
    return rep.found ? rep.value : -1;
}

static bool has(const char *text, const char *what)
{
    return strstr(text, what) != NULL;
}

TEST_FIBER(what_the_core_and_the_kernel_tell_becomes_rows)
{
    AUTO(fd_drop) int dir UNUSED = test_tmpdir();
    struct world w = { .n_vms = 1 };

    world_open(&w, loop);
    fiber_sleep(10 * STEP + 1000);
    CHECK_INT(w.takes, 10);
    const char *t = updates(&w, -20, SR);
    CHECK(has(t, "\"rows\":\"4\""));
    CHECK(has(t, "AVERAGE:host:" HOST ":cpu_avg") && has(t, "AVERAGE:host:" HOST ":memory_total_kib"));
    CHECK(has(t, "AVERAGE:vm:" VM1 ":cpu0") && has(t, "AVERAGE:vm:" VM1 ":vbd_xvda_read"));
    CHECK(has(t, "AVERAGE:sr:" SR ":physical_utilisation"));
    CHECK(query(&w, "vm", VM1, "cpu0") == 0.5);
    CHECK(query(&w, "vm", VM1, "vbd_xvda_read") == 1 << 20);
    CHECK(query(&w, "vm", VM1, "vbd_xvda_iops_read") == 10);
    CHECK(query(&w, "vm", VM1, "vbd_xvda_read_latency") == 7);
    CHECK(query(&w, "vm", VM1, "vbd_xvda_write_latency") == 0);
    CHECK(query(&w, "host", HOST, "io_throughput_read_33333333") == 1);
    CHECK(query(&w, "host", HOST, "running_vcpus") == 1);
    CHECK(query(&w, "host", HOST, "pool_session_count") == 3);
    CHECK(query(&w, "host", HOST, "nonsense") == -1);
    world_close(&w);
}

TEST_FIBER(history_outlives_the_process_and_the_vms_absence)
{
    AUTO(fd_drop) int dir UNUSED = test_tmpdir();
    struct world w = { .n_vms = 2 };
    struct metric_dump_rep rep;

    world_open(&w, loop);
    fiber_sleep(20 * STEP + 1000);
    w.n_vms = 1; /* the second has ended */
    fiber_sleep(STEP);
    CHECK(!has(updates(&w, -20, NULL), VM2));
    CHECK_OK(metric_dump(w.core, w.arena, &(struct metric_dump_req){ "vm", VM2, true }, &rep));
    CHECK(rep.found && has(text_of(&w, rep.body, rep.file), "\"name\":\"vbd_xvda_read\""));
    CHECK_OK(metric_dump(w.core, w.arena, &(struct metric_dump_req){ "vm", "../../etc/passwd", true }, &rep));
    CHECK(!rep.found);
    world_close(&w);

    struct world again = { .n_vms = 1, .busy_us = w.busy_us, .takes = w.takes };
    world_open(&again, loop);
    fiber_sleep(2 * STEP);
    const char *t = updates(&again, -60, NULL);
    CHECK(has(t, "AVERAGE:vm:" VM1 ":cpu0") && has(t, "\"rows\":\"12\""));
    CHECK(query(&again, "vm", VM1, "cpu0") == 0.5);
    again.gone = VM2; /* destroyed: its file goes within the hour */
    CHECK_INT(faccessat(dir, "vm-" VM2, F_OK, 0), 0);
    fiber_sleep(721ULL * STEP);
    CHECK(faccessat(dir, "vm-" VM2, F_OK, 0) < 0);
    CHECK_INT(faccessat(dir, "vm-" VM1, F_OK, 0), 0);
    world_close(&again);
}

TEST_FIBER(a_torn_file_is_begun_anew)
{
    AUTO(fd_drop) int dir UNUSED = test_tmpdir();
    struct world w = { .n_vms = 1 };

    CHECK_OK(file_write_atomic(dir, "vm-" VM1, "RNYOFF1\nRNYRRD1\nrubbish", 23, 0600));
    world_open(&w, loop);
    fiber_sleep(3 * STEP);
    CHECK(query(&w, "vm", VM1, "cpu0") == 0.5);
    world_close(&w);
}

TEST_FIBER(without_answers_there_is_a_gap_and_nothing_is_forgotten)
{
    AUTO(fd_drop) int dir UNUSED = test_tmpdir();
    struct world w = { .n_vms = 1 };

    world_open(&w, loop);
    fiber_sleep(3 * STEP);
    w.unknown = true; /* the host service is being restarted */
    fiber_sleep(2 * STEP);
    CHECK(has(updates(&w, -20, NULL), VM1));
    w.unknown = false;
    fiber_sleep(2 * STEP);
    CHECK(!isnan(query(&w, "vm", VM1, "cpu0")));
    w.silent = true;
    uint64_t takes = w.takes;
    fiber_sleep(6 * STEP);
    CHECK_INT(w.takes, takes + 1); /* one question at a time */
    w.silent = false;
    fiber_sleep(20 * STEP);
    CHECK(query(&w, "vm", VM1, "cpu0") > 0);
    world_close(&w);
}

TEST_FIBER(sources_are_recorded_and_forgotten_on_demand)
{
    AUTO(fd_drop) int dir UNUSED = test_tmpdir();
    struct world w = { .n_vms = 1 };
    struct metric_sources_rep sources;
    struct metric_forget_rep forgotten;
    struct metric_record_rep recorded;
    bool seen = false;

    world_open(&w, loop);
    fiber_sleep(5 * STEP);
    CHECK_OK(metric_sources(w.core, w.arena, &(struct metric_sources_req){ "vm", VM1 }, &sources));
    for (size_t i = 0; i < sources.n_sources; i++)
        seen = seen || (strcmp(sources.sources[i].name, "memory") == 0 && sources.sources[i].enabled);
    CHECK(seen);
    CHECK_OK(metric_forget(w.core, w.arena, &(struct metric_forget_req){ "vm", VM1, "memory" }, &forgotten));
    CHECK(forgotten.found);
    fiber_sleep(2 * STEP);
    CHECK(!has(updates(&w, -20, NULL), ":memory\""));
    world_close(&w);

    world_open(&w, loop); /* and stays so */
    fiber_sleep(2 * STEP);
    CHECK(!has(updates(&w, -20, NULL), ":memory\""));
    CHECK(query(&w, "vm", VM1, "memory") == 64 << 20);
    CHECK_OK(metric_record(w.core, w.arena, &(struct metric_record_req){ "vm", VM1, "memory" }, &recorded));
    CHECK(recorded.found);
    fiber_sleep(2 * STEP);
    CHECK(has(updates(&w, -20, NULL), ":memory\""));
    CHECK_OK(metric_record(w.core, w.arena, &(struct metric_record_req){ "vm", VM1, "no/such" }, &recorded));
    CHECK(!recorded.found);
    world_close(&w);
}

TEST_FIBER(prometheus_reads_the_latest_values)
{
    AUTO(fd_drop) int dir UNUSED = test_tmpdir();
    struct world w = { .n_vms = 2 };
    struct metric_exposition_rep rep;

    world_open(&w, loop);
    fiber_sleep(5 * STEP);
    CHECK_OK(metric_exposition(w.core, w.arena, &(struct metric_exposition_req){ true }, &rep));
    const char *t = text_of(&w, rep.body, rep.file);
    CHECK(has(t, "# TYPE runnymede_vm_cpu_usage_ratio gauge\n"));
    CHECK(has(t, "runnymede_vm_cpu_usage_ratio{vm=\"" VM1 "\",cpu=\"0\"} 0.5\n"));
    CHECK(has(t, "runnymede_host_name{host=\"" HOST "\",name=\"h\\\"1\"} 1\n"));
    CHECK(strcmp(t + strlen(t) - 6, "# EOF\n") == 0);
    const char *first = strstr(t, "# TYPE runnymede_vm_cpu_usage_ratio");
    CHECK(!strstr(first + 1, "# TYPE runnymede_vm_cpu_usage_ratio"));
    world_close(&w);
}
