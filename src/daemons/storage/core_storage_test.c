/* SRs, disks and raw transfers through the API, with the real storage service behind the core. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "core/call.h"
#include "core/fixture_test.h"
#include "core/host.h"
#include "core/sm.h"
#include "core/vdi.h"
#include "gen/ipc_core.h"
#include "storage/dir/dir.h"
#include "storage/iso/iso.h"
#include "storage/service.h"

#define MIB (1024UL * 1024)

static const struct sr_driver *const drivers[] = { &dir_driver, &iso_driver, NULL };

struct world {
    struct fixture f;
    struct storage_service *service;
    int state_fd;
    const char *sr;
};

static void storage_up(struct world *w)
{
    struct fixture *f = &w->f;

    ipc_close(f->storage);
    ipc_close(f->storage_far);
    fiber_sleep(1000);
    storage_service_free(w->service);
    w->service = storage_service_new(f->loop, drivers, w->state_fd);
    ipc_pair(f->loop, &f->storage, &f->storage_far);
    storage_mount(f->storage_far, w->service);
    core_set_storage(f->core, f->storage);
}

static struct value pair_of(struct arena *a, const char *key, const char *v)
{
    struct value *pair = arena_new_array(a, 2, struct value);

    pair[0] = value_str(key);
    pair[1] = value_str(v);
    return value_map(pair, 1);
}

static const char *sr_create(struct world *w, const char *type, const char *location)
{
    struct fixture *f = &w->f;
    struct value args[9] = { value_str(f->core->host_ref), pair_of(f->arena, "location", location), value_int(0),
        value_str("My SR"), value_str(""), value_str(type), value_str(""), value_bool(false), value_map(NULL, 0) };

    return fixture_call_values(f, f->session, "SR.create", args, 9, false);
}

static void world_init(struct world *w, struct loop *loop)
{
    *w = (struct world){ .state_fd = test_tmpdir() };
    fixture_init(&w->f, loop);
    for (const struct row *sr; (sr = store_first(w->f.store, C_SR));)
        CHECK_OK(sr_drop_rows(w->f.core, arena_strdup(w->f.arena, row_ref(sr))));
    w->f.config.sr_dir = arena_printf(w->f.arena, "%s/default", test_tmpdir_path());
    w->f.config.iso_dir = arena_printf(w->f.arena, "%s/iso", test_tmpdir_path());
    storage_up(w);
    CHECK_OK(bootstrap_storage(w->f.core));
    CHECK(sr_is_plugged(w->f.core, store_first(w->f.store, C_SR)));
    w->sr = fixture_result(&w->f, sr_create(w, "dir", arena_printf(w->f.arena, "%s/sr", test_tmpdir_path())));
}

static void world_done(struct world *w)
{
    fixture_done(&w->f);
    storage_service_free(w->service);
    fd_drop(&w->state_fd);
}

static const char *call(struct world *w, const char *method, const char *a, const char *b)
{
    return fixture_call(&w->f, w->f.session, method, a, b, NULL);
}

static const char *vdi_create_on(struct world *w, const char *sr, int64_t size)
{
    struct value r[] = { value_str("name_label"), value_str("disk"), value_str("SR"), value_str(sr),
        value_str("virtual_size"), value_int(size), value_str("type"), value_str("user"), value_str("sharable"),
        value_bool(false), value_str("read_only"), value_bool(false), value_str("other_config"),
        pair_of(w->f.arena, "a", "b") };
    struct value record = value_map(r, ARRAY_LEN(r) / 2);

    return fixture_call_values(&w->f, w->f.session, "VDI.create", &record, 1, false);
}

static const char *vdi_create(struct world *w, int64_t size)
{
    return fixture_result(&w->f, vdi_create_on(w, w->sr, size));
}

static bool done(const char *body)
{
    return strstr(body, "\"result\":\"\"");
}

TEST_REAL(a_repository_lives_its_life)
{
    struct world w;

    world_init(&w, loop);
    struct fixture *f = &w.f;
    CHECK(strstr(sr_create(&w, "nfs", "/x"), "SR_UNKNOWN_DRIVER"));
    CHECK(strstr(sr_create(&w, "iso", "/no/such/folder"), "SR_BACKEND_FAILURE_140"));
    const char *record = call(&w, "SR.get_record", w.sr, NULL);
    CHECK(strstr(record, "vdi_create") && strstr(record, "\"unplug\"") && !strstr(record, "\"physical_size\":-1"));
    CHECK(strstr(call(&w, "SR.destroy", w.sr, NULL), "SR_HAS_PBD"));
    const char *vdi = vdi_create(&w, 5 * MIB);
    CHECK(strstr(call(&w, "SR.get_virtual_allocation", w.sr, NULL), "5242880"));
    const char *pbds = call(&w, "SR.get_PBDs", w.sr, NULL), *p = strstr(pbds, "OpaqueRef:");
    CHECK(p);
    const char *pbd = arena_strndup(f->arena, p, strcspn(p, "\""));
    CHECK(strstr(call(&w, "PBD.destroy", pbd, NULL), "OPERATION_NOT_ALLOWED"));
    CHECK(done(call(&w, "PBD.unplug", pbd, NULL)));
    CHECK(done(call(&w, "PBD.unplug", pbd, NULL)));
    CHECK(strstr(call(&w, "SR.scan", w.sr, NULL), "SR_HAS_NO_PBDS"));
    CHECK(strstr(vdi_create_on(&w, w.sr, MIB), "SR_HAS_NO_PBDS"));
    CHECK(strstr(call(&w, "SR.destroy", w.sr, NULL), "SR_NOT_EMPTY"));
    CHECK(done(call(&w, "PBD.plug", pbd, NULL)));
    CHECK(done(call(&w, "VDI.forget", vdi, NULL)));
    CHECK(done(call(&w, "SR.scan", w.sr, NULL))); /* found again, under a new ref */
    p = strstr(call(&w, "SR.get_VDIs", w.sr, NULL), "OpaqueRef:");
    CHECK(p);
    vdi = arena_strndup(f->arena, p, strcspn(p, "\""));
    CHECK(strstr(call(&w, "VDI.get_name_label", vdi, NULL), "\"disk\""));
    CHECK(done(call(&w, "VDI.destroy", vdi, NULL)));
    CHECK(done(call(&w, "PBD.unplug", pbd, NULL)));
    CHECK(done(call(&w, "SR.destroy", w.sr, NULL)));
    CHECK(strstr(call(&w, "SR.get_uuid", w.sr, NULL), "HANDLE_INVALID"));
    CHECK(access(arena_printf(f->arena, "%s/sr", test_tmpdir_path()), F_OK) < 0);
    world_done(&w);
}

TEST_REAL(disks_are_resized_copied_and_cloned)
{
    struct world w;

    world_init(&w, loop);
    struct fixture *f = &w.f;
    const char *vdi = vdi_create(&w, 3 * MIB);
    const char *record = call(&w, "VDI.get_record", vdi, NULL);
    CHECK(strstr(record, "\"clone\"") && strstr(record, "\"copy\"") && !strstr(record, "\"snapshot\""));
    CHECK(done(fixture_call(f, f->session, "VDI.resize", vdi, "#8388608", NULL)));
    CHECK(strstr(call(&w, "VDI.get_virtual_size", vdi, NULL), "8388608"));
    CHECK(strstr(fixture_call(f, f->session, "VDI.resize", vdi, "#4194304", NULL), "SR_BACKEND_FAILURE_65"));
    struct value clone[2] = { value_str(vdi), value_map(NULL, 0) };
    const char *copy = fixture_result(f, fixture_call_values(f, f->session, "VDI.clone", clone, 2, false));
    CHECK(strstr(call(&w, "VDI.get_virtual_size", copy, NULL), "8388608"));
    CHECK(!strstr(call(&w, "VDI.get_sm_config", copy, NULL), VDI_COPYING));
    CHECK(strstr(call(&w, "VDI.get_other_config", copy, NULL), "\"a\":\"b\""));
    const char *small = vdi_create(&w, MIB);
    CHECK(strstr(fixture_call(f, f->session, "VDI.copy", vdi, REF_NULL, REF_NULL, small, NULL), "VDI_TOO_SMALL"));
    CHECK(done(fixture_call(f, f->session, "VDI.set_read_only", copy, "?t", NULL)));
    CHECK(strstr(fixture_call(f, f->session, "VDI.copy", small, REF_NULL, REF_NULL, copy, NULL), "VDI_READONLY"));
    CHECK(strstr(fixture_call(f, f->session, "VDI.copy", small, REF_NULL, REF_NULL, vdi, NULL), vdi));
    CHECK(strstr(call(&w, "SR.get_current_operations", w.sr, NULL), "{}"));
    CHECK(strstr(call(&w, "VDI.get_current_operations", vdi, NULL), "{}"));
    world_done(&w);
}

TEST_REAL(a_restarted_storage_service_is_told_what_is_attached)
{
    struct world w;

    world_init(&w, loop);
    const char *vdi = vdi_create(&w, MIB);
    storage_up(&w); /* knows nothing */
    CHECK(done(call(&w, "VDI.destroy", vdi, NULL)));
    storage_up(&w);
    pbd_attach_again(w.f.core);
    struct storage_sr_stat_rep rep;
    const struct row *sr = core_row(w.f.core, w.sr);
    struct storage_sr_stat_req req = { .sr = arena_strdup(w.f.arena, row_str(sr, F_SR_uuid)) };
    CHECK_OK(storage_sr_stat(w.f.storage, w.f.arena, &req, &rep));
    world_done(&w);
}

/* Transfers */

static struct core_http_rep http(struct world *w, const char *action, const char *key, const char *v, const char *task,
    int64_t length, const char *format)
{
    struct value *q = arena_new_array(w->f.arena, 4, struct value);
    struct core_http_rep rep = { .stream = -1 };
    bool get = action[0] == 'g';

    q[0] = value_str("format");
    q[1] = value_str(format);
    q[2] = value_str(key);
    q[3] = value_str(v);
    struct core_http_req req = { .action = action,
        .method = get ? "GET" : "PUT",
        .path = "/",
        .query = value_map(q, 2),
        .session = w->f.session,
        .task_id = task,
        .user = "",
        .password = "",
        .client = "192.0.2.9",
        .accept = "",
        .content_length = length };
    CHECK_OK(core_http(w->f.gate, w->f.arena, &req, &rep));
    return rep;
}

/* What the gate does with a stream: both ends, then its word to the core. */
static void relay(struct world *w, struct core_http_rep *rep, char *p, size_t len, size_t *ret_got, bool complete)
{
    size_t at = 0;
    bool up = rep->direction == 2;

    CHECK(rep->stream > 0);
    CHECK_OK(fd_set_nonblock(rep->stream, true));
    while (at < len || !up) {
        ssize_t n = up ? write(rep->stream, p + at, len - at) : read(rep->stream, p + at, len - at);
        if (n < 0 && errno == EAGAIN) {
            fiber_wait_fd(rep->stream, up ? EPOLLOUT : EPOLLIN, FOREVER);
            continue;
        }
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    *ret_got = at;
    fd_drop(&rep->stream);
    CHECK_OK(core_stream_done(
        w->f.gate, &(struct core_stream_done_req){ .stream_id = rep->stream_id, .bytes = at, .complete = complete }));
}

static const char *new_task(struct world *w)
{
    return fixture_result(&w->f, call(w, "task.create", "transfer", ""));
}

static const char *status_of(struct world *w, const char *task)
{
    for (int i = 0; i < 100000 && strstr(call(w, "task.get_status", task, NULL), "pending"); i++)
        fiber_sleep(1000);
    return call(w, "task.get_record", task, NULL);
}

TEST_REAL(a_raw_disk_goes_in_and_comes_out)
{
    struct world w;
    size_t got = 0;

    world_init(&w, loop);
    const char *vdi = vdi_create(&w, 2 * MIB), *task = new_task(&w);
    char *bytes = arena_alloc(w.f.arena, 2 * MIB), *back = arena_alloc(w.f.arena, 3 * MIB);
    for (size_t i = 0; i < 2 * MIB; i++)
        bytes[i] = (char)(i * 7 + i / 4096);
    struct core_http_rep rep = http(&w, "put_import_raw_vdi", "vdi", vdi, "", 0, "raw"); /* the probe */
    CHECK_INT(rep.status, 200);
    CHECK(rep.stream <= 0);
    rep = http(&w, "put_import_raw_vdi", "vdi", vdi, task, 2 * MIB, "raw");
    CHECK_INT(rep.status, 200);
    CHECK_STR(rep.headers[0].value, task);
    relay(&w, &rep, bytes, 2 * MIB, &got, true);
    const char *record = status_of(&w, task);
    CHECK(strstr(record, "\"status\":\"success\"") && strstr(record, "\"result\":\"\""));
    task = new_task(&w);
    rep = http(&w, "get_export_raw_vdi", "vdi", vdi, task, -1, "raw");
    CHECK_INT(rep.status, 200);
    CHECK(strstr(rep.headers[2].value, ".raw\""));
    relay(&w, &rep, back, 3 * MIB, &got, true);
    CHECK_INT(got, 2 * MIB);
    CHECK(memcmp(bytes, back, got) == 0);
    CHECK(strstr(status_of(&w, task), "\"status\":\"success\""));
    CHECK(strstr(call(&w, "VDI.get_current_operations", vdi, NULL), "{}"));
    world_done(&w);
}

TEST_REAL(an_import_makes_a_disk_or_nothing)
{
    struct world w;
    size_t got = 0;

    world_init(&w, loop);
    char *bytes = arena_alloc(w.f.arena, MIB);
    const char *task = new_task(&w);
    struct core_http_rep rep = http(&w, "put_import_raw_vdi", "sr_id", w.sr, task, MIB, "raw");
    relay(&w, &rep, bytes, MIB, &got, true);
    const char *record = status_of(&w, task);
    CHECK(strstr(record, "\"status\":\"success\"") && strstr(record, "<value>OpaqueRef:"));
    const char *before = call(&w, "SR.get_VDIs", w.sr, NULL);
    task = new_task(&w);
    rep = http(&w, "put_import_raw_vdi", "sr_id", w.sr, task, MIB, "raw");
    relay(&w, &rep, bytes, MIB / 2, &got, false); /* the client goes away */
    record = status_of(&w, task);
    CHECK(strstr(record, "\"status\":\"failure\"") && strstr(record, "IMPORT_ERROR_PREMATURE_EOF"));
    CHECK_STR(call(&w, "SR.get_VDIs", w.sr, NULL), before);
    world_done(&w);
}

TEST_REAL(a_client_that_knew_no_length_may_end_early)
{
    struct world w;
    size_t got = 0;

    world_init(&w, loop);
    const char *vdi = vdi_create(&w, 2 * MIB), *task = new_task(&w);
    struct core_http_rep rep = http(&w, "put_import_raw_vdi", "vdi", vdi, task, 1L << 50, "raw");
    relay(&w, &rep, arena_alloc(w.f.arena, MIB), MIB, &got, false);
    CHECK(strstr(status_of(&w, task), "\"status\":\"success\""));
    world_done(&w);
}

TEST_REAL(what_cannot_be_transferred_is_refused_in_the_task_too)
{
    struct world w;

    world_init(&w, loop);
    const char *vdi = vdi_create(&w, MIB), *task = new_task(&w);
    CHECK_INT(http(&w, "get_export_raw_vdi", "vdi", vdi, task, -1, "floppy").status, 404);
    CHECK(strstr(status_of(&w, task), "failure"));
    task = new_task(&w);
    CHECK_INT(http(&w, "get_export_raw_vdi", "vdi", vdi, task, -1, "VHD").status, 501);
    CHECK(strstr(status_of(&w, task), "NOT_IMPLEMENTED"));
    task = new_task(&w);
    CHECK_INT(http(&w, "put_import_raw_vdi", "vdi", "OpaqueRef:gone", task, MIB, "raw").status, 400);
    CHECK(strstr(status_of(&w, task), "VDI_MISSING"));
    task = new_task(&w);
    struct core_http_rep rep = http(&w, "put_import_raw_vdi", "vdi", vdi, task, MIB, "raw");
    CHECK_INT(rep.status, 200);
    CHECK(done(call(&w, "task.cancel", task, NULL)));
    CHECK(strstr(status_of(&w, task), "\"status\":\"cancelled\""));
    fd_drop(&rep.stream);
    CHECK(done(call(&w, "VDI.destroy", vdi, NULL)));
    world_done(&w);
}
