/*
 * What is kept of a guest (its plan in its folder, in the image of a suspended
 * one) is read by later builds. golden/ has a plan of every form there was; the
 * newest is what is written today. A field more in idl/ipc/ takes "since N" with
 * a form of its own: run with RUNNYMEDE_GOLDEN_WRITE=1 once, and commit the file.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "base/bytes.h"
#include "base/fd.h"
#include "base/value.h"
#include "gen/ipc_vm.h"
#include "ipc/type.h"
#include "test.h"

static struct vm_plan sample(struct arena *a)
{
    static struct value platform[] = { VALUE_NIL, VALUE_NIL };
    static struct vm_disk disks[] = {
        { .vbd = "OpaqueRef:disk",
            .device = "xvda",
            .bootable = true,
            .sr = "sr",
            .vdi = "vdi",
            .format = "raw",
            .size = 4096,
            .port = 3,
            .bus = "ide" },
        { .vbd = "OpaqueRef:cd",
            .position = 3,
            .device = "xvdd",
            .cd = true,
            .read_only = true,
            .sr = "",
            .vdi = "",
            .format = "",
            .bus = "virtio" },
    };
    static const char *addresses[] = { "192.0.2.1" };
    static const char *members[] = { "eth0", "eth1" };
    static struct vm_nic nics[] = { { .vif = "OpaqueRef:vif",
        .position = 1,
        .mac = "02:00:00:00:00:01",
        .network = { .bridge = "xenbr0",
            .mtu = 1500,
            .uplink = "eth0",
            .tagged = true,
            .tag = 5,
            .bond = { .members = members, .n_members = 2, .mode = "lacp", .mac = "" },
            .nat = "" },
        .lock = { .mode = "locked", .ipv4 = addresses, .n_ipv4 = 1, .kbps = 9 },
        .mtu = 1500,
        .model = "virtio",
        .port = 4,
        .hot = true } };
    static uint32_t mask[] = { 1, 3 }, nodes[] = { 1 };

    platform[0] = value_str("nx");
    platform[1] = value_str("true");
    return (struct vm_plan){ .vm = "11111111-2222-4333-8444-555555555555",
        .ref = "OpaqueRef:vm",
        .name = "grün",
        .domid = 7,
        .memory = 64 << 20,
        .memory_target = 32 << 20,
        .vcpus = 1,
        .vcpus_max = 4,
        .cores_per_socket = 2,
        .cpu = { .weight = 512, .cap = 50, .mask = mask, .n_mask = 2 },
        .firmware = "uefi",
        .secure_boot = true,
        .boot_order = "cd",
        .kernel_path = "",
        .initrd_path = "",
        .cmdline = "",
        .vtpm = true,
        .platform = value_copy(a, &(struct value){ .kind = V_MAP, .n = 1, .items = platform }),
        .bios_strings = value_map(NULL, 0),
        .guest_data = value_map(NULL, 0),
        .disks = disks,
        .n_disks = 2,
        .nics = nics,
        .n_nics = 1,
        .on_shutdown = "destroy",
        .on_reboot = "restart",
        .on_crash = "preserve",
        .ports = 9,
        .generation_id = "04030201-0605-0807-1112-131415161718",
        .nodes = 2,
        .numa = true,
        .host_nodes = nodes,
        .n_host_nodes = 1,
        .node_cpus = mask,
        .n_node_cpus = 2 };
}

static const char *path_of(char *path, size_t size, const char *form)
{
    const char *dir = getenv("RUNNYMEDE_GOLDEN");

    snprintf(path, size, "%s/plan.%s", dir ? dir : "src/vm/golden", form);
    return path;
}

static const char *number(char text[12], uint32_t form)
{
    snprintf(text, 12, "%u", form);
    return text;
}

/* What every form has. */
static void check_plan(const struct vm_plan *p)
{
    CHECK_STR(p->vm, "11111111-2222-4333-8444-555555555555");
    CHECK_STR(p->name, "grün");
    CHECK_INT(p->memory_target, 32 << 20);
    CHECK_INT(p->cpu.n_mask, 2);
    CHECK_INT(p->cpu.mask[1], 3);
    CHECK(p->secure_boot && p->vtpm && !p->paused);
    CHECK_STR(value_map_str(&p->platform, "nx"), "true");
    CHECK_INT(p->n_disks, 2);
    CHECK_STR(p->disks[0].vdi, "vdi");
    CHECK_INT(p->disks[0].port, 3);
    CHECK_INT(p->disks[0].image, -1);
    CHECK(p->disks[1].cd);
    CHECK_INT(p->n_nics, 1);
    CHECK_STR(p->nics[0].network.uplink, "eth0");
    CHECK_STR(p->nics[0].lock.ipv4[0], "192.0.2.1");
    CHECK(p->nics[0].hot);
    CHECK_STR(p->on_crash, "preserve");
    CHECK_STR(p->generation_id, "04030201-0605-0807-1112-131415161718");
}

static void load(struct buf *b, struct arena *a, const char *form, struct vm_plan *ret)
{
    char path[512];

    buf_init(b, 65536);
    CHECK_OK(file_read(AT_FDCWD, path_of(path, sizeof(path), form), b));
    CHECK_OK(vm_plan_decode(a, buf_str(b), ret));
}

TEST(a_plan_of_every_form_there_was_is_read)
{
    char text[12];

    for (uint32_t form = 1; form <= ipc_form(&vm_plan_type); form++) {
        AUTO(arena_drop) struct arena *a = arena_new();
        AUTO(buf_done) struct buf b;
        struct vm_plan p;

        load(&b, a, number(text, form), &p);
        check_plan(&p);
    }
}

/* As it was before plans told their form. */
TEST(a_plan_without_a_mark_is_of_the_first_form)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf b;
    struct vm_plan p;

    load(&b, a, "unmarked", &p);
    check_plan(&p);
}

TEST(the_form_changes_when_what_is_kept_changes)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf b, want;
    struct vm_plan p = sample(a);
    char path[512], text[12];

    buf_init(&b, 65536);
    buf_init(&want, 65536);
    CHECK_OK(vm_plan_encode(&b, &p));
    path_of(path, sizeof(path), number(text, ipc_form(&vm_plan_type)));
    if (getenv("RUNNYMEDE_GOLDEN_WRITE"))
        CHECK_OK(file_write_atomic(AT_FDCWD, path, b.p, b.len, 0644));
    CHECK_OK(file_read(AT_FDCWD, path, &want));
    CHECK(str_eq(buf_str(&b), buf_str(&want)));
}

TEST(a_plan_of_a_form_to_come_is_refused)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    AUTO(buf_done) struct buf b;
    struct vm_plan p = sample(a), got = { .domid = 5 };

    buf_init(&b, 65536);
    CHECK_OK(vm_plan_encode(&b, &p));
    le32_put(b.p + 4, ipc_form(&vm_plan_type) + 1);
    AUTO(err_drop) struct err *e = vm_plan_decode(a, buf_str(&b), &got);
    CHECK(e && strstr(err_param(e, 0), "newer Runnymede"));
    CHECK_INT(got.domid, 5);
}
