/* The storage room as its clients see it, with real images and real qemu-img, in folders of the test. */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/uuid.h"
#include "storage/dir/dir.h"
#include "storage/iso/iso.h"
#include "storage/service.h"
#include "test.h"

#define SR "11111111-1111-4111-8111-111111111111"
#define SR2 "22222222-2222-4222-8222-222222222222"
#define VDI "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
#define VDI2 "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
#define MIB (1024UL * 1024)

static const struct sr_driver *const drivers[] = { &dir_driver, &iso_driver, NULL };

struct world {
    struct loop *loop;
    struct arena *a;
    struct storage_service *service;
    struct ipc_peer *server, *p;
    int state_fd;
    const char *location;
};

static void up(struct world *w)
{
    w->service = storage_service_new(w->loop, drivers, w->state_fd);
    storage_service_restore(w->service);
    ipc_pair(w->loop, &w->server, &w->p);
    storage_mount(w->server, w->service);
}

static void down(struct world *w)
{
    ipc_close(w->p);
    ipc_close(w->server);
    fiber_sleep(1000); /* handlers end */
    storage_service_free(w->service);
}

static void world_init(struct world *w, struct loop *loop)
{
    *w = (struct world){ .loop = loop, .a = arena_new() };
    const char *state = arena_printf(w->a, "%s/state", test_tmpdir_path());
    w->location = arena_printf(w->a, "%s/sr", test_tmpdir_path());
    CHECK_OK(dir_make(state, 0700));
    w->state_fd = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    up(w);
}

static void world_done(struct world *w)
{
    down(w);
    fd_drop(&w->state_fd);
    arena_free(w->a);
}

static struct value config_of(struct arena *a, const char *location)
{
    struct value *pair = arena_new_array(a, 2, struct value);

    pair[0] = value_str("location");
    pair[1] = value_str(location);
    return value_map(pair, 1);
}

static struct err *attach(struct world *w, const char *sr, const char *type)
{
    return storage_sr_attach(
        w->p, w->a, &(struct storage_sr_attach_req){ .sr = sr, .type = type, .config = config_of(w->a, w->location) });
}

static void attach_new(struct world *w)
{
    CHECK_OK(storage_sr_create(w->p, w->a,
        &(struct storage_sr_create_req){ .sr = SR, .type = "dir", .config = config_of(w->a, w->location) }));
    CHECK_OK(attach(w, SR, "dir"));
}

static struct err *create(struct world *w, const char *uuid, uint64_t size, const char *format, struct storage_vdi *ret)
{
    struct value pair[2] = { value_str("image-format"), value_str(format) };
    struct storage_vdi_create_req req = { .sr = SR,
        .uuid = uuid,
        .name = "A disk, 100% \n new",
        .size = size,
        .type = "system",
        .sm_config = value_map(pair, 1) };
    struct storage_vdi_create_rep rep = { 0 };

    TRY(storage_vdi_create(w->p, w->a, &req, &rep));
    if (ret)
        *ret = rep.vdi;
    return NULL;
}

static struct err *open_vdi(struct world *w, const char *uuid, bool read_only, struct storage_vdi_open_rep *ret)
{
    return storage_vdi_open(
        w->p, w->a, &(struct storage_vdi_open_req){ .sr = SR, .uuid = uuid, .read_only = read_only }, ret);
}

static void close_vdi(struct storage_vdi_open_rep *r)
{
    fd_drop(&r->image);
    fd_drop(&r->lease);
}

static struct storage_sr_scan_rep scan(struct world *w)
{
    struct storage_sr_scan_rep rep = { 0 };

    CHECK_OK(storage_sr_scan(w->p, w->a, &(struct storage_sr_scan_req){ .sr = SR }, &rep));
    return rep;
}

static bool in_folder(struct world *w, const char *name)
{
    return access(arena_printf(w->a, "%s/%s", w->location, name), F_OK) == 0;
}

static void put_file(struct world *w, const char *name, const void *p, size_t len)
{
    CHECK_OK(file_write_atomic(AT_FDCWD, arena_printf(w->a, "%s/%s", w->location, name), p, len, 0600));
}

/* Bytes that do not repeat, from a number. */
static char *pattern(struct arena *a, size_t len, uint64_t seed)
{
    char *p = arena_alloc(a, len);

    for (size_t i = 0; i < len; i++) {
        seed = seed * 6364136223846793005UL + 1442695040888963407UL;
        p[i] = (char)(seed >> 56);
    }
    return p;
}

/* Streams. */

static void send_all(int fd, const char *p, size_t len)
{
    CHECK_OK(fd_set_nonblock(fd, true));
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EAGAIN) {
            fiber_wait_fd(fd, EPOLLOUT, FOREVER);
            continue;
        }
        if (n < 0)
            return; /* the other side has heard enough */
        p += n;
        len -= (size_t)n;
    }
}

static void receive_all(int fd, struct buf *b)
{
    CHECK_OK(fd_set_nonblock(fd, true));
    for (;;) {
        char *to = buf_reserve(b, 65536);
        CHECK(to);
        ssize_t n = read(fd, to, 65536);
        if (n == 0)
            return;
        if (n > 0)
            buf_commit(b, (size_t)n);
        else if (errno == EAGAIN)
            fiber_wait_fd(fd, EPOLLIN, FOREVER);
        else
            return;
    }
}

static struct err *wait_job(struct world *w, const char *job, uint64_t *ret_bytes)
{
    struct storage_job_wait_rep rep = { 0 };

    TRY(storage_job_wait(w->p, w->a, &(struct storage_job_wait_req){ .job = job }, &rep));
    *ret_bytes = rep.bytes;
    return NULL;
}

static struct err *import(struct world *w, const char *uuid, const char *p, size_t len, uint64_t *ret_bytes)
{
    struct storage_vdi_import_rep rep = { .stream = -1 };

    TRY(storage_vdi_import(w->p, w->a, &(struct storage_vdi_import_req){ .sr = SR, .uuid = uuid, .job = "in" }, &rep));
    send_all(rep.stream, p, len);
    fd_drop(&rep.stream);
    return wait_job(w, "in", ret_bytes);
}

static struct err *export(struct world *w, const char *sr, const char *uuid, struct buf *b, uint64_t *ret_bytes)
{
    struct storage_vdi_export_rep rep = { .stream = -1 };

    TRY(storage_vdi_export(w->p, w->a, &(struct storage_vdi_export_req){ .sr = sr, .uuid = uuid, .job = "out" }, &rep));
    receive_all(rep.stream, b);
    fd_drop(&rep.stream);
    return wait_job(w, "out", ret_bytes);
}

/* Repositories */

TEST_FIBER(drivers_say_what_they_can)
{
    struct world w;
    struct storage_drivers_rep rep;

    world_init(&w, loop);
    CHECK_OK(storage_drivers(w.p, w.a, &(struct storage_drivers_req){ 0 }, &rep));
    CHECK_INT(rep.n_drivers, 2);
    CHECK_STR(rep.drivers[0].type, "dir");
    CHECK_STR(rep.drivers[1].content_type, "iso");
    for (size_t i = 0; i < rep.drivers[0].n_features; i++)
        CHECK(
            !cstr_eq(rep.drivers[0].features[i], "VDI_SNAPSHOT") && !cstr_eq(rep.drivers[0].features[i], "VDI_CLONE"));
    CHECK_ERR(attach(&w, SR, "lvm"), "SR_UNKNOWN_DRIVER");
    CHECK_OK(storage_sr_detach(w.p, w.a, &(struct storage_sr_detach_req){ .sr = SR }));
    struct storage_sr_stat_rep stat;
    CHECK_ERR(storage_sr_stat(w.p, w.a, &(struct storage_sr_stat_req){ .sr = SR }, &stat), "SR_NOT_ATTACHED");
    world_done(&w);
}

TEST_FIBER(a_folder_belongs_to_one_sr)
{
    struct world w;

    world_init(&w, loop);
    attach_new(&w);
    CHECK_OK(attach(&w, SR, "dir")); /* told again */
    CHECK_OK(create(&w, VDI, MIB, "raw", NULL));
    CHECK_ERR(attach(&w, SR2, "dir"), "SR_DEVICE_IN_USE");
    CHECK_ERR(storage_sr_create(w.p, w.a,
                  &(struct storage_sr_create_req){ .sr = SR2, .type = "dir", .config = config_of(w.a, w.location) }),
        "SR_DEVICE_IN_USE");
    struct storage_sr_probe_rep rep;
    CHECK_OK(storage_sr_probe(
        w.p, w.a, &(struct storage_sr_probe_req){ .type = "dir", .config = config_of(w.a, w.location) }, &rep));
    CHECK_INT(rep.found.n, 1);
    CHECK_STR(value_map_str(&rep.found.items[0], "uuid"), SR);
    CHECK_ERR(storage_sr_create(
                  w.p, w.a, &(struct storage_sr_create_req){ .sr = SR2, .type = "dir", .config = value_map(NULL, 0) }),
        "SR_BACKEND_FAILURE_107");
    world_done(&w);
}

TEST_FIBER(a_folder_that_was_not_mounted_is_not_taken_for_an_empty_one)
{
    struct world w;

    world_init(&w, loop);
    attach_new(&w);
    CHECK_OK(storage_sr_detach(w.p, w.a, &(struct storage_sr_detach_req){ .sr = SR }));
    CHECK_INT(unlink(arena_printf(w.a, "%s/.runnymede-sr", w.location)), 0);
    CHECK_ERR(attach(&w, SR, "dir"), "SR_BACKEND_FAILURE_47");
    world_done(&w);
}

TEST_FIBER(a_new_process_knows_which_repositories_are_attached)
{
    struct world w;
    struct storage_vdi_open_rep rep = { .image = -1, .lease = -1 };

    world_init(&w, loop);
    attach_new(&w);
    CHECK_OK(create(&w, VDI, MIB, "raw", NULL));
    down(&w);
    up(&w);
    CHECK_OK(open_vdi(&w, VDI, false, &rep)); /* as the host would, before the core comes by */
    fd_drop(&rep.image);
    fd_drop(&rep.lease);
    CHECK_OK(storage_sr_detach(w.p, w.a, &(struct storage_sr_detach_req){ .sr = SR }));
    down(&w);
    up(&w);
    CHECK_ERR(open_vdi(&w, VDI, false, &rep), "SR_NOT_ATTACHED");
    down(&w);
    CHECK_OK(file_write_atomic(w.state_fd, "attached", "\x07nonsense", 9, 0600));
    up(&w);
    CHECK_OK(attach(&w, SR, "dir"));
    world_done(&w);
}

TEST_FIBER(destroying_an_sr_leaves_what_is_not_ours)
{
    struct world w;

    world_init(&w, loop);
    attach_new(&w);
    CHECK_OK(create(&w, VDI, MIB, "qcow2", NULL));
    put_file(&w, "notes.txt", "x", 1);
    CHECK_OK(storage_sr_destroy(w.p, w.a, &(struct storage_sr_destroy_req){ .sr = SR }));
    CHECK(in_folder(&w, "notes.txt"));
    CHECK(!in_folder(&w, VDI ".qcow2") && !in_folder(&w, VDI ".meta") && !in_folder(&w, ".runnymede-sr"));
    struct storage_sr_stat_rep stat;
    CHECK_ERR(storage_sr_stat(w.p, w.a, &(struct storage_sr_stat_req){ .sr = SR }, &stat), "SR_NOT_ATTACHED");
    world_done(&w);
}

/* Disks */

TEST_FIBER(disks_are_found_again_as_they_were_made)
{
    struct world w;
    struct storage_vdi v = { 0 };

    world_init(&w, loop);
    attach_new(&w);
    CHECK_OK(create(&w, VDI, 10 * MIB + 1, "", &v));
    CHECK_STR(v.format, "qcow2");
    CHECK_INT(v.size, 10 * MIB + 512);
    CHECK(v.used < MIB);
    CHECK_OK(create(&w, VDI2, 3 * MIB, "raw", &v));
    CHECK_STR(v.format, "raw");
    CHECK_ERR(create(&w, VDI, MIB, "", NULL), "SR_BACKEND_FAILURE_78");
    CHECK_ERR(create(&w, "cccccccc-cccc-4ccc-8ccc-cccccccccccc", 0, "", NULL), "SR_BACKEND_FAILURE_65");
    down(&w);
    up(&w); /* a new process that knows nothing */
    CHECK_OK(attach(&w, SR, "dir"));
    struct storage_sr_scan_rep rep = scan(&w);
    CHECK_INT(rep.n_vdis, 2);
    CHECK_INT(rep.stat.virtual, 13 * MIB + 512);
    CHECK(rep.stat.size > 0 && rep.stat.used <= rep.stat.size);
    for (size_t i = 0; i < 2; i++) {
        CHECK_STR(rep.vdis[i].name, "A disk, 100% \n new");
        CHECK_STR(rep.vdis[i].type, "system");
    }
    CHECK_OK(storage_vdi_rename(w.p, w.a, &(struct storage_vdi_rename_req){ .sr = SR, .uuid = VDI, .name = "other" }));
    struct storage_vdi_stat_rep stat;
    CHECK_OK(storage_vdi_stat(w.p, w.a, &(struct storage_vdi_stat_req){ .sr = SR, .uuid = VDI }, &stat));
    CHECK_STR(stat.vdi.name, "other");
    CHECK_STR(stat.vdi.type, "system");
    CHECK_OK(storage_vdi_destroy(w.p, w.a, &(struct storage_vdi_destroy_req){ .sr = SR, .uuid = VDI }));
    CHECK_ERR(storage_vdi_destroy(w.p, w.a, &(struct storage_vdi_destroy_req){ .sr = SR, .uuid = VDI }),
        "SR_BACKEND_FAILURE_46");
    CHECK_INT(scan(&w).n_vdis, 1);
    CHECK_INT(scan(&w).stat.virtual, 3 * MIB);
    world_done(&w);
}

TEST_FIBER(disks_grow_and_never_shrink)
{
    static const char *const formats[] = { "qcow2", "raw" };
    struct world w;

    world_init(&w, loop);
    attach_new(&w);
    for (size_t i = 0; i < 2; i++) {
        const char *uuid = i ? VDI2 : VDI;
        struct storage_vdi_resize_rep rep;
        CHECK_OK(create(&w, uuid, MIB, formats[i], NULL));
        CHECK_OK(storage_vdi_resize(
            w.p, w.a, &(struct storage_vdi_resize_req){ .sr = SR, .uuid = uuid, .size = 5 * MIB }, &rep));
        CHECK_INT(rep.vdi.size, 5 * MIB);
        CHECK_ERR(
            storage_vdi_resize(w.p, w.a, &(struct storage_vdi_resize_req){ .sr = SR, .uuid = uuid, .size = MIB }, &rep),
            "SR_BACKEND_FAILURE_65");
    }
    CHECK_INT(scan(&w).stat.virtual, 10 * MIB);
    world_done(&w);
}

TEST_FIBER(half_made_and_half_removed_disks_are_swept_away)
{
    struct world w;

    world_init(&w, loop);
    attach_new(&w);
    CHECK_OK(create(&w, VDI, MIB, "raw", NULL));
    put_file(&w, ".new-" VDI2 ".qcow2", "x", 1);
    put_file(&w, ".trash-" VDI2 ".raw", "x", 1);
    put_file(&w, VDI2 ".meta", "name=x\n", 7);
    put_file(&w, VDI2 ".lease", "", 0);
    put_file(&w, "mine.meta", "x", 1);
    down(&w);
    up(&w);
    CHECK_OK(attach(&w, SR, "dir"));
    CHECK(!in_folder(&w, ".new-" VDI2 ".qcow2") && !in_folder(&w, ".trash-" VDI2 ".raw"));
    CHECK(!in_folder(&w, VDI2 ".meta") && !in_folder(&w, VDI2 ".lease"));
    CHECK(in_folder(&w, VDI ".raw") && in_folder(&w, VDI ".meta") && in_folder(&w, "mine.meta"));
    world_done(&w);
}

TEST_FIBER(images_that_name_other_files_are_not_opened)
{
    struct world w;
    unsigned char h[104] = "QFI\xfb\0\0\0\3";
    struct storage_vdi_open_rep rep;

    world_init(&w, loop);
    attach_new(&w);
    h[14] = 1; /* backing file at 256 */
    h[28] = 1;
    put_file(&w, VDI ".qcow2", h, sizeof(h));
    CHECK_ERR(open_vdi(&w, VDI, true, &rep), "SR_BACKEND_FAILURE_46");
    h[14] = 0;
    h[79] = 4; /* external data file */
    put_file(&w, VDI ".qcow2", h, sizeof(h));
    CHECK_ERR(open_vdi(&w, VDI, true, &rep), "SR_BACKEND_FAILURE_46");
    CHECK_INT(symlink("/etc/passwd", arena_printf(w.a, "%s/" VDI2 ".raw", w.location)), 0);
    CHECK_ERR(open_vdi(&w, VDI2, true, &rep), "SR_BACKEND_FAILURE_46");
    CHECK_ERR(open_vdi(&w, "../../etc/passwd", true, &rep), "SR_BACKEND_FAILURE_46");
    CHECK_INT(scan(&w).n_vdis, 0);
    world_done(&w);
}

/* Leases */

TEST_FIBER(one_writer_or_many_readers)
{
    struct world w;
    struct storage_vdi_open_rep a, b, c;

    world_init(&w, loop);
    attach_new(&w);
    CHECK_OK(create(&w, VDI, MIB, "qcow2", NULL));
    CHECK_OK(open_vdi(&w, VDI, false, &a));
    CHECK_STR(a.format, "qcow2");
    CHECK_INT(a.size, MIB);
    CHECK_INT(fcntl(a.image, F_GETFL) & O_ACCMODE, O_RDWR);
    CHECK_ERR(open_vdi(&w, VDI, false, &b), "VDI_IN_USE");
    CHECK_ERR(open_vdi(&w, VDI, true, &b), "VDI_IN_USE");
    CHECK_ERR(storage_vdi_destroy(w.p, w.a, &(struct storage_vdi_destroy_req){ .sr = SR, .uuid = VDI }), "VDI_IN_USE");
    close_vdi(&a);
    CHECK_OK(open_vdi(&w, VDI, true, &a));
    CHECK_OK(open_vdi(&w, VDI, true, &b));
    CHECK_INT(fcntl(a.image, F_GETFL) & O_ACCMODE, O_RDONLY);
    CHECK_ERR(open_vdi(&w, VDI, false, &c), "VDI_IN_USE");
    close_vdi(&a);
    close_vdi(&b);
    CHECK_OK(storage_vdi_destroy(w.p, w.a, &(struct storage_vdi_destroy_req){ .sr = SR, .uuid = VDI }));
    world_done(&w);
}

TEST_FIBER(a_lease_outlives_the_service_and_ends_with_its_last_holder)
{
    struct world w;
    struct storage_vdi_open_rep a, b;

    world_init(&w, loop);
    attach_new(&w);
    CHECK_OK(create(&w, VDI, MIB, "qcow2", NULL));
    CHECK_OK(open_vdi(&w, VDI, false, &a));
    int copy = dup(a.lease);
    fd_drop(&a.lease);
    down(&w);
    up(&w);
    CHECK_OK(attach(&w, SR, "dir"));
    CHECK_ERR(open_vdi(&w, VDI, false, &b), "VDI_IN_USE");
    fd_drop(&copy);
    CHECK_OK(open_vdi(&w, VDI, false, &b));
    close_vdi(&a);
    close_vdi(&b);
    world_done(&w);
}

/* Whole disks */

TEST_FIBER(what_goes_in_comes_out)
{
    static const char *const formats[] = { "qcow2", "raw" };
    struct world w;

    world_init(&w, loop);
    attach_new(&w);
    char *bytes = pattern(w.a, 9 * MIB, 7);
    memset(bytes + 3 * MIB, 0, 4 * MIB);
    for (size_t i = 0; i < 2; i++) {
        const char *uuid = i ? VDI2 : VDI;
        AUTO(buf_done) struct buf out;
        uint64_t n = 0;
        struct storage_vdi_stat_rep stat;

        buf_init(&out, 16 * MIB);
        CHECK_OK(create(&w, uuid, 9 * MIB, formats[i], NULL));
        CHECK_OK(import(&w, uuid, bytes, 9 * MIB, &n));
        CHECK_INT(n, 9 * MIB);
        CHECK_OK(export(&w, SR, uuid, &out, &n));
        CHECK_INT(n, 9 * MIB);
        CHECK_INT(out.len, 9 * MIB);
        CHECK(memcmp(out.p, bytes, out.len) == 0);
        CHECK_OK(storage_vdi_stat(w.p, w.a, &(struct storage_vdi_stat_req){ .sr = SR, .uuid = uuid }, &stat));
        CHECK(stat.vdi.used < 6 * MIB); /* zeroes are holes */
    }
    world_done(&w);
}

TEST_FIBER(a_short_import_leaves_the_rest_and_a_long_one_fails)
{
    struct world w;
    AUTO(buf_done) struct buf out;
    struct storage_vdi_open_rep rep;
    uint64_t n = 0;

    buf_init(&out, 16 * MIB);
    world_init(&w, loop);
    attach_new(&w);
    char *bytes = pattern(w.a, 3 * MIB, 1);
    CHECK_OK(create(&w, VDI, 2 * MIB, "qcow2", NULL));
    CHECK_OK(import(&w, VDI, bytes, 2 * MIB, &n));
    CHECK_OK(import(&w, VDI, bytes + MIB, 100001, &n));
    CHECK_INT(n, 100001);
    CHECK_OK(export(&w, SR, VDI, &out, &n));
    CHECK(memcmp(out.p, bytes + MIB, 100001) == 0 && memcmp(out.p + 100001, bytes + 100001, 2 * MIB - 100001) == 0);
    CHECK_ERR(import(&w, VDI, bytes, 3 * MIB, &n), "VDI_TOO_SMALL");
    CHECK(in_folder(&w, VDI ".meta"));
    AUTO(buf_done) struct buf meta;
    buf_init(&meta, 4096);
    CHECK_OK(file_read(AT_FDCWD, arena_printf(w.a, "%s/" VDI ".meta", w.location), &meta));
    CHECK(strstr(meta.p, "partial=true"));
    CHECK_OK(open_vdi(&w, VDI, false, &rep)); /* nobody holds it any more */
    close_vdi(&rep);
    world_done(&w);
}

TEST_FIBER(copies_are_whole_and_may_change_format)
{
    struct world w;
    AUTO(buf_done) struct buf out;
    struct storage_vdi_copy_rep rep;
    struct storage_vdi_open_rep open;
    struct storage_vdi_copy_req req = { .sr = SR, .uuid = VDI, .to_sr = SR, .to_uuid = VDI2, .job = "copy" };
    uint64_t n = 0;

    buf_init(&out, 16 * MIB);
    world_init(&w, loop);
    attach_new(&w);
    char *bytes = pattern(w.a, 5 * MIB, 3);
    CHECK_OK(create(&w, VDI, 5 * MIB, "qcow2", NULL));
    CHECK_OK(import(&w, VDI, bytes, 5 * MIB, &n));
    CHECK_OK(create(&w, VDI2, 4 * MIB, "raw", NULL));
    CHECK_ERR(storage_vdi_copy(w.p, w.a, &req, &rep), "VDI_TOO_SMALL");
    CHECK_OK(storage_vdi_destroy(w.p, w.a, &(struct storage_vdi_destroy_req){ .sr = SR, .uuid = VDI2 }));
    CHECK_OK(create(&w, VDI2, 6 * MIB, "raw", NULL));
    CHECK_OK(open_vdi(&w, VDI, false, &open));
    CHECK_ERR(storage_vdi_copy(w.p, w.a, &req, &rep), "VDI_IN_USE");
    close_vdi(&open);
    CHECK_OK(open_vdi(&w, VDI, true, &open)); /* readers do no harm */
    CHECK_OK(storage_vdi_copy(w.p, w.a, &req, &rep));
    close_vdi(&open);
    CHECK_INT(rep.bytes, 5 * MIB);
    CHECK_OK(export(&w, SR, VDI2, &out, &n));
    CHECK_INT(out.len, 6 * MIB);
    CHECK(memcmp(out.p, bytes, 5 * MIB) == 0 && out.p[5 * MIB] == 0 && out.p[6 * MIB - 1] == 0);
    world_done(&w);
}

struct copier {
    struct world *w;
    struct err *error;
    bool done;
};

static void copy_fiber(void *arg)
{
    struct copier *c = arg;
    struct storage_vdi_copy_rep rep;
    struct storage_vdi_copy_req req = { .sr = SR, .uuid = VDI, .to_sr = SR, .to_uuid = VDI2, .job = "copy" };

    c->error = storage_vdi_copy(c->w->p, c->w->a, &req, &rep);
    fiber_interrupt_clear();
    c->done = true;
}

TEST_FIBER(an_interrupted_copy_ends_and_lets_go)
{
    struct world w;
    struct copier c = { .w = &w };
    struct storage_vdi_open_rep open;

    world_init(&w, loop);
    attach_new(&w);
    CHECK_OK(create(&w, VDI, 200 * MIB, "raw", NULL));
    CHECK_OK(create(&w, VDI2, 200 * MIB, "qcow2", NULL));
    struct fiber *f = fiber_start(loop, "copy", copy_fiber, &c);
    fiber_yield();
    fiber_yield();
    fiber_interrupt(f);
    while (!c.done)
        fiber_sleep(1000);
    CHECK_ERR(c.error, "TASK_CANCELLED");
    struct err *e;
    while ((e = open_vdi(&w, VDI2, false, &open))) { /* the handler ends a moment later */
        CHECK_ERR(e, "VDI_IN_USE");
        fiber_yield();
    }
    close_vdi(&open);
    world_done(&w);
}

TEST_FIBER(a_cancelled_import_ends_and_lets_go)
{
    struct world w;
    struct storage_vdi_import_rep rep;
    struct storage_job_progress_rep progress;
    struct storage_vdi_open_rep open;
    uint64_t n = 0;

    world_init(&w, loop);
    attach_new(&w);
    CHECK_OK(create(&w, VDI, 4 * MIB, "qcow2", NULL));
    CHECK_OK(
        storage_vdi_import(w.p, w.a, &(struct storage_vdi_import_req){ .sr = SR, .uuid = VDI, .job = "in" }, &rep));
    CHECK_ERR(
        storage_vdi_import(w.p, w.a, &(struct storage_vdi_import_req){ .sr = SR, .uuid = VDI, .job = "in" }, &rep),
        "INTERNAL_ERROR");
    CHECK_ERR(
        storage_vdi_import(w.p, w.a, &(struct storage_vdi_import_req){ .sr = SR, .uuid = VDI, .job = "in2" }, &rep),
        "VDI_IN_USE");
    send_all(rep.stream, pattern(w.a, MIB, 5), MIB);
    do { /* it takes what it was given */
        fiber_sleep(1000);
        CHECK_OK(storage_job_progress(w.p, w.a, &(struct storage_job_progress_req){ .job = "in" }, &progress));
    } while (progress.done < MIB);
    CHECK_INT(progress.total, 4 * MIB);
    CHECK_OK(storage_job_cancel(w.p, w.a, &(struct storage_job_cancel_req){ .job = "in" }));
    CHECK_ERR(wait_job(&w, "in", &n), "TASK_CANCELLED");
    fd_drop(&rep.stream);
    CHECK_OK(open_vdi(&w, VDI, false, &open));
    close_vdi(&open);
    world_done(&w);
}

TEST_FIBER(an_export_that_nobody_reads_to_the_end_fails)
{
    struct world w;
    struct storage_vdi_export_rep rep;
    uint64_t n = 0;

    world_init(&w, loop);
    attach_new(&w);
    CHECK_OK(create(&w, VDI, 50 * MIB, "raw", NULL));
    CHECK_OK(
        storage_vdi_export(w.p, w.a, &(struct storage_vdi_export_req){ .sr = SR, .uuid = VDI, .job = "out" }, &rep));
    CHECK_INT(rep.size, 50 * MIB);
    fd_drop(&rep.stream);
    CHECK_ERR(wait_job(&w, "out", &n), "INTERNAL_ERROR");
    CHECK_ERR(wait_job(&w, "out", &n), "INTERNAL_ERROR"); /* told once, then forgotten */
    world_done(&w);
}

/* ISO libraries */

TEST_FIBER(images_of_a_library_are_disks_with_lasting_names)
{
    struct world w;
    AUTO(buf_done) struct buf out;
    struct storage_vdi_open_rep open;
    uint64_t n = 0;

    buf_init(&out, 16 * MIB);
    world_init(&w, loop);
    CHECK_OK(dir_make(w.location, 0700));
    char *bytes = pattern(w.a, 1000001, 11);
    put_file(&w, "Debian 12.ISO", bytes, 1000001);
    put_file(&w, "notes.txt", "x", 1);
    CHECK_OK(attach(&w, SR, "iso"));
    struct storage_sr_scan_rep one = scan(&w);
    CHECK_INT(one.n_vdis, 1);
    CHECK_STR(one.vdis[0].name, "Debian 12.ISO");
    CHECK_STR(one.vdis[0].location, "Debian 12.ISO");
    CHECK(one.vdis[0].read_only && uuid_valid(one.vdis[0].uuid));
    CHECK_INT(one.vdis[0].size, 1000001);
    put_file(&w, "tools.img", bytes, 512);
    struct storage_sr_scan_rep two = scan(&w);
    CHECK_INT(two.n_vdis, 2);
    CHECK(cstr_eq(two.vdis[0].uuid, one.vdis[0].uuid) || cstr_eq(two.vdis[1].uuid, one.vdis[0].uuid));
    CHECK_ERR(open_vdi(&w, one.vdis[0].uuid, false, &open), "SR_BACKEND_FAILURE_46");
    CHECK_OK(open_vdi(&w, one.vdis[0].uuid, true, &open));
    CHECK_STR(open.format, "raw");
    close_vdi(&open);
    CHECK_OK(export(&w, SR, one.vdis[0].uuid, &out, &n));
    CHECK(n == 1000001 && memcmp(out.p, bytes, n) == 0);
    CHECK_ERR(create(&w, VDI, MIB, "raw", NULL), "SR_OPERATION_NOT_SUPPORTED");
    CHECK_ERR(import(&w, one.vdis[0].uuid, bytes, 512, &n), "SR_OPERATION_NOT_SUPPORTED");
    world_done(&w);
}

/* No room */

/* What the failed import gave back, or could not use. */
static void fill(const char *folder)
{
    AUTO(mem_drop) char *path = mem_printf("%s/filler", folder);
    AUTO(fd_drop) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    char zeros[4096] = { 0 };

    CHECK(fd >= 0);
    while (write(fd, zeros, sizeof(zeros)) > 0)
        ;
    CHECK_INT(errno, ENOSPC);
}

TEST_FIBER(a_full_medium_says_so)
{
    struct world w;
    uint64_t n = 0;

    world_init(&w, loop);
    CHECK_OK(dir_make(w.location, 0700));
    if (mount("runnymede-test", w.location, "tmpfs", 0, "size=2m") < 0) {
        fprintf(stderr, "not root: no small file system to fill\n");
        world_done(&w);
        return;
    }
    attach_new(&w);
    CHECK_OK(create(&w, VDI, 8 * MIB, "qcow2", NULL));
    struct err *e = import(&w, VDI, pattern(w.a, 8 * MIB, 13), 8 * MIB, &n);
    fill(w.location);
    struct err *e2 = create(&w, VDI2, 8 * MIB, "qcow2", NULL);
    bool left = in_folder(&w, ".new-" VDI2 ".qcow2");
    int unmounted = umount2(w.location, MNT_DETACH);
    world_done(&w);
    CHECK_INT(unmounted, 0);
    CHECK_ERR(e, "SR_BACKEND_FAILURE_44");
    CHECK_ERR(e2, "SR_BACKEND_FAILURE_44");
    CHECK(!left);
}
