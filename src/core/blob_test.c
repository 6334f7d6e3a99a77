#include "core/blob.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "core/fixture_test.h"
#include "gen/ipc_core.h"

#define OK "\"result\":\"\""
#define LOST "0d3f28b6-8a5c-4c1f-9f37-0a8f7a3cbe01"

static void keep_in(struct fixture *f, int dir)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", dir);
    blobs_free(f->core->blobs);
    f->core->blobs = blobs_new(path);
}

static const char *make(struct fixture *f, const char *mime_type)
{
    return fixture_result(f, fixture_call(f, f->session, "blob.create", mime_type, "?f", NULL));
}

static const char *uuid_of(struct fixture *f, const char *ref)
{
    return arena_strdup(f->arena, row_str(core_row(f->core, ref), F_blob_uuid));
}

static int64_t size_of(struct fixture *f, const char *ref)
{
    return row_int(core_row(f->core, ref), F_blob_size);
}

static const char *since(struct fixture *f, const char *ref)
{
    return row_str(core_row(f->core, ref), F_blob_last_updated);
}

static bool is_file(int dir, const char *name)
{
    return faccessat(dir, name, F_OK, 0) == 0;
}

TEST_FIBER(a_start_makes_rows_say_what_the_files_are)
{
    const struct timespec times[2] = { { .tv_sec = 1769850300 }, { .tv_sec = 1769850300 } };
    AUTO(fd_drop) int dir = test_tmpdir();
    struct fixture f;

    fixture_init(&f, loop);
    keep_in(&f, dir);
    const char *blob = make(&f, "text/plain"), *uuid = uuid_of(&f, blob);
    CHECK_STR(since(&f, blob), DATETIME_EPOCH);
    CHECK_OK(file_write_atomic(dir, uuid, "abc", 3, 0600));
    CHECK(utimensat(dir, uuid, times, 0) == 0);
    CHECK_OK(file_write_atomic(dir, LOST, "x", 1, 0600));     /* its blob is gone */
    CHECK_OK(file_write_atomic(dir, "." LOST, "x", 1, 0600)); /* an upload that was killed */
    CHECK_OK(blob_catch_up(f.core));
    CHECK(size_of(&f, blob) == 3);
    CHECK_STR(since(&f, blob), "20260131T09:05:00Z");
    CHECK(is_file(dir, uuid) && !is_file(dir, LOST) && !is_file(dir, "." LOST));
    CHECK(unlinkat(dir, uuid, 0) == 0);
    CHECK_OK(blob_catch_up(f.core));
    CHECK(size_of(&f, blob) == 0);
    CHECK_STR(since(&f, blob), DATETIME_EPOCH);
    fixture_done(&f);
}

/* Its rows come from outside: a restored database. */
TEST_FIBER(no_uuid_leads_out_of_the_folder)
{
    const struct tx_field fields[] = { { F_blob_uuid, value_str("../outside") } };
    AUTO(fd_drop) int dir = test_tmpdir();
    struct fixture f;

    fixture_init(&f, loop);
    CHECK(mkdirat(dir, "in", 0700) == 0);
    AUTO(fd_drop) int in = openat(dir, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    keep_in(&f, in);
    CHECK_OK(file_write_atomic(dir, "outside", "abc", 3, 0600));
    struct tx *t = tx_begin(f.store);
    const char *blob = arena_strdup(f.arena, tx_create(t, C_blob, NULL, fields, 1));
    CHECK_OK(tx_commit(t));
    CHECK_OK(blob_catch_up(f.core));
    CHECK(size_of(&f, blob) == 0);
    CHECK(strstr(fixture_call(&f, f.session, "blob.destroy", blob, NULL), OK));
    CHECK(is_file(dir, "outside"));
    fixture_done(&f);
}

TEST_FIBER(blobs_go_with_their_object_and_out_of_its_map)
{
    AUTO(fd_drop) int dir = test_tmpdir();
    struct fixture f;

    fixture_init(&f, loop);
    keep_in(&f, dir);
    struct value v[] = { value_str("name_label"), value_str("n"), value_str("bridge"), value_str("lab"),
        value_str("managed"), value_bool(true), value_str("MTU"), value_int(1500), value_str("other_config"),
        value_map(NULL, 0) };
    struct value record = value_map(v, ARRAY_LEN(v) / 2);
    const char *net = fixture_result(&f, fixture_call_values(&f, f.session, "network.create", &record, 1, false));
    const char *a =
        fixture_result(&f, fixture_call(&f, f.session, "network.create_new_blob", net, "a", "", "?f", NULL));
    const char *b =
        fixture_result(&f, fixture_call(&f, f.session, "network.create_new_blob", net, "b", "", "?f", NULL));
    const char *loose = make(&f, ""), *uuid = uuid_of(&f, b);
    CHECK(
        strstr(fixture_call(&f, f.session, "network.create_new_blob", net, "b", "", "?f", NULL), "MAP_DUPLICATE_KEY"));
    CHECK_STR(row_map_str(core_row(f.core, net), F_network_blobs, "b"), b);
    CHECK_OK(file_write_atomic(dir, uuid, "abc", 3, 0600));
    CHECK_OK(file_write_atomic(dir, uuid_of(&f, loose), "abc", 3, 0600));
    CHECK(strstr(fixture_call(&f, f.session, "blob.destroy", a, NULL), OK));
    CHECK(row_get(core_row(f.core, net), F_network_blobs)->n == 1);
    CHECK(strstr(fixture_call(&f, f.session, "network.destroy", net, NULL), OK));
    CHECK(!core_row(f.core, b) && !is_file(dir, uuid));
    CHECK(core_row(f.core, loose) && is_file(dir, uuid_of(&f, loose)));
    fixture_done(&f);
}

TEST_FIBER(a_media_type_is_one_line_of_a_header)
{
    struct fixture f;

    fixture_init(&f, loop);
    CHECK(strstr(
        fixture_call(&f, f.session, "blob.create", "text/plain\r\nSet-Cookie: a=b", "?f", NULL), "INVALID_VALUE"));
    CHECK(strstr(fixture_call(&f, f.session, "blob.create", "text/\xc3\xa9", "?f", NULL), "INVALID_VALUE"));
    CHECK_STR(row_str(core_row(f.core, make(&f, "")), F_blob_mime_type), "application/octet-stream");
    fixture_done(&f);
}

/* What the gate does with `bytes` of a client that announced `length` of them; the task. */
static const char *put(struct fixture *f, const char *blob, int64_t length, struct str bytes)
{
    const struct value query[] = { value_str("ref"), value_str(blob) };
    struct core_http_req req = { .action = "put_blob",
        .method = "PUT",
        .path = "/blob",
        .query = value_map(query, 1),
        .session = f->session,
        .task_id = "",
        .user = "",
        .password = "",
        .client = "192.0.2.9",
        .content_length = length,
        .accept = "" };
    struct core_http_rep rep = { .stream = -1 };

    CHECK_OK(core_http(f->gate, f->arena, &req, &rep));
    CHECK(rep.status == 200 && rep.stream > 0);
    CHECK_OK(fd_write_all(rep.stream, bytes.p, bytes.len));
    fd_drop(&rep.stream);
    return rep.headers[0].value;
}

static const char *end_of(struct fixture *f, const char *task)
{
    while (strcmp(row_str(core_row(f->core, task), F_task_status), "pending") == 0)
        fiber_sleep(1000);
    return row_str(core_row(f->core, task), F_task_status);
}

static void check_content(int dir, const char *name, const char *text)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 1000);
    CHECK_OK(file_read(dir, name, &b));
    CHECK_STR(b.p, text);
}

TEST_FIBER(an_upload_takes_the_place_of_what_was_there_only_when_it_is_whole)
{
    AUTO(fd_drop) int dir = test_tmpdir();
    struct fixture f;

    fixture_init(&f, loop);
    keep_in(&f, dir);
    const char *blob = make(&f, ""), *uuid = uuid_of(&f, blob);
    CHECK_STR(end_of(&f, put(&f, blob, 5, STR("first"))), "success");
    check_content(dir, uuid, "first");
    CHECK_STR(end_of(&f, put(&f, blob, 9, STR("sec"))), "failure");
    check_content(dir, uuid, "first");
    CHECK(size_of(&f, blob) == 5);
    const char *one = put(&f, blob, 3, STR("one")), *other = put(&f, blob, 5, STR("other"));
    CHECK_STR(end_of(&f, one), "success");
    CHECK_STR(end_of(&f, other), "success");
    struct stat st;
    CHECK(fstatat(dir, uuid, &st, 0) == 0 && size_of(&f, blob) == st.st_size);
    CHECK_STR(datetime_text(f.arena, (uint64_t)st.st_mtime * 1000000), since(&f, blob));
    const char *late = put(&f, blob, 4, STR("late"));
    CHECK(strstr(fixture_call(&f, f.session, "blob.destroy", blob, NULL), OK));
    CHECK_STR(end_of(&f, late), "failure");
    CHECK(!is_file(dir, uuid));
    CHECK_OK(blob_catch_up(f.core));
    fixture_done(&f);
}
