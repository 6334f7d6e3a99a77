#include "host/machine.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/fd.h"
#include "base/fiber.h"
#include "base/mem.h"
#include "gen/ipc_machine.h"
#include "test.h"

/* A pretended machine whose tools write down what they are told. */
struct fake {
    struct machine machine;
    struct ipc_peer *core, *host;
    struct arena *arena;
    char *dir;
};

static void put(const struct fake *f, const char *name, const char *text, mode_t mode)
{
    AUTO(mem_drop) char *path = mem_printf("%s/%s", f->dir, name);

    CHECK_OK(file_write_atomic(AT_FDCWD, path, text, strlen(text), mode));
    CHECK(chmod(path, mode) == 0);
}

static const char *get(const struct fake *f, const char *name)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 4096);
    err_ignore(
        file_read(AT_FDCWD, arena_printf(f->arena, "%s/%s", f->dir, name), &b), "a file that is not there is empty");
    return arena_strndup(f->arena, b.len ? b.p : "", b.len);
}

static void fake_init(struct fake *f, struct loop *l)
{
    int fd = test_tmpdir();

    close(fd);
    *f = (struct fake){ .arena = arena_new(), .dir = mem_strdup(test_tmpdir_path()) };
    CHECK_OK(dir_make(arena_printf(f->arena, "%s/etc/rsyslog.d", f->dir), 0755));
    CHECK_OK(dir_make(arena_printf(f->arena, "%s/etc/iscsi", f->dir), 0755));
    CHECK_OK(dir_make(arena_printf(f->arena, "%s/etc/runnymede/plugins", f->dir), 0755));
    put(f, "control", "#!/bin/sh\necho \"$*\" >> \"$(dirname \"$0\")/told\"\n", 0755);
    f->machine = (struct machine){ .root = f->dir, .state_dir = f->dir };
    ipc_pair(l, &f->core, &f->host);
    machine_mount(f->host, &f->machine);
}

static void fake_done(struct fake *f)
{
    ipc_close(f->core);
    ipc_close(f->host);
    arena_free(f->arena);
    free(f->dir);
}

TEST_REAL(a_setting_is_one_word_to_a_tool_or_one_file)
{
    struct fake f;

    fake_init(&f, loop);
    CHECK_OK(machine_timezone(f.core, f.arena, &(struct machine_timezone_req){ "Europe/London" }));
    CHECK_OK(machine_syslog(f.core, f.arena, &(struct machine_syslog_req){ "logs.example" }));
    CHECK_STR(get(&f, "told"), "timedatectl set-timezone Europe/London\nsystemctl restart rsyslog\n");
    CHECK(strstr(get(&f, "etc/rsyslog.d/runnymede.conf"), "\n*.* @logs.example\n"));
    CHECK_OK(machine_syslog(f.core, f.arena, &(struct machine_syslog_req){ "" }));
    CHECK_STR(get(&f, "etc/rsyslog.d/runnymede.conf"), "");
    fake_done(&f);
}

TEST_REAL(words_that_could_mean_more_are_refused)
{
    static const char *const bad[] = { "", "a b", "-x", "a\n*.* /x", "$(x)", "../../etc/shadow", "a;b" };
    struct fake f;

    fake_init(&f, loop);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CHECK_ERR(machine_hostname(f.core, f.arena, &(struct machine_hostname_req){ bad[i] }), "INVALID_VALUE");
        CHECK_ERR(machine_iscsi_name(f.core, f.arena, &(struct machine_iscsi_name_req){ bad[i] }), "INVALID_VALUE");
    }
    CHECK_STR(get(&f, "told"), "");
    CHECK_STR(get(&f, "etc/iscsi/initiatorname.iscsi"), "");
    fake_done(&f);
}

TEST_REAL(without_a_machine_nothing_is_changed_and_nothing_called)
{
    struct machine_program_rep rep = { 0 };
    struct fake f;

    fake_init(&f, loop);
    put(&f, "etc/runnymede/plugins/meadow", "#!/bin/sh\n", 0755);
    f.machine.root = NULL;
    CHECK_ERR(machine_hostname(f.core, f.arena, &(struct machine_hostname_req){ "meadow" }), "INTERNAL_ERROR");
    CHECK_ERR(machine_ssh(f.core, f.arena, &(struct machine_ssh_req){ true }), "INTERNAL_ERROR");
    CHECK_OK(machine_program(f.core, f.arena, &(struct machine_program_req){ "plugins", "meadow", STR("") }, &rep));
    CHECK(!rep.found);
    CHECK_STR(get(&f, "told"), "");
    fake_done(&f);
}

TEST_REAL(only_programs_that_nobody_else_could_write_are_there)
{
    static const struct {
        const char *name;
        mode_t mode;
        bool found;
    } programs[] = { { "mine", 0755, true }, { "plain", 0644, false }, { "group", 0775, false },
        { "all", 0757, false } };
    struct machine_has_program_rep rep;
    struct fake f;

    fake_init(&f, loop);
    for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
        put(&f, arena_printf(f.arena, "etc/runnymede/plugins/%s", programs[i].name), "#!/bin/sh\n", programs[i].mode);
        CHECK_OK(machine_has_program(
            f.core, f.arena, &(struct machine_has_program_req){ "plugins", programs[i].name }, &rep));
        CHECK_INT(rep.found, programs[i].found);
    }
    CHECK(chmod(arena_printf(f.arena, "%s/etc/runnymede/plugins", f.dir), 0777) == 0);
    CHECK_OK(machine_has_program(f.core, f.arena, &(struct machine_has_program_req){ "plugins", "mine" }, &rep));
    CHECK(!rep.found); /* anybody could put another one in its place */
    fake_done(&f);
}
