#include <string.h>
#include "base/fd.h"
#include "base/map.h"
#include "core/call.h"
#include "core/fixture_test.h"
#include "gen/ipc_core.h"

/* Rules of the API, one by one. */

#define OK "\"result\":\"\""

static const char *template_of(struct fixture *f, const char *name)
{
    struct value label = value_str(name);
    const char *found = fixture_call_values(f, f->session, "VM.get_by_name_label", &label, 1, false);
    const char *p = strstr(found, "OpaqueRef:");

    return p ? arena_strndup(f->arena, p, strcspn(p, "\"")) : "";
}

static const char *new_vm(struct fixture *f, const char *name)
{
    const char *vm =
        fixture_result(f, fixture_call(f, f->session, "VM.clone", template_of(f, "Other install media"), name, NULL));

    CHECK(strstr(fixture_call(f, f->session, "VM.provision", vm, NULL), OK));
    return vm;
}

static struct value record_of(struct fixture *f, size_t n, const char *const *pairs)
{
    struct value *v = arena_new_array(f->arena, 2 * n + 1, struct value);

    for (size_t i = 0; i < 2 * n; i++)
        v[i] = value_str(pairs[i]);
    return value_map(v, n);
}

/* Logs in as a user with that role. */
static const char *user(struct fixture *f, const char *name, const char *role)
{
    const char *pairs[] = { "subject_identifier", arena_printf(f->arena, "u:%s", name) };
    struct value record = record_of(f, 1, pairs);
    const char *subject = fixture_result(f, fixture_call_values(f, f->session, "subject.create", &record, 1, false));
    struct value none = value_set(NULL, 0);

    CHECK_OK(core_set(f->core, subject, F_subject_roles, none));
    for (const struct row *r = store_first(f->store, C_role); r; r = store_next(r))
        if (strcmp(row_str(r, F_role_name_label), role) == 0)
            CHECK(strstr(fixture_call(f, f->session, "subject.add_to_roles", subject, row_ref(r), NULL), OK));
    return fixture_result(f, fixture_call(f, "", "session.login_with_password", name, "right", NULL));
}

static const char *set_map(
    struct fixture *f, const char *session, const char *method, const char *ref, struct value map)
{
    struct value args[2] = { value_str(ref), map };

    return fixture_call_values(f, session, method, args, 2, false);
}

TEST_FIBER(a_guarded_key_needs_the_role_of_that_key)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1"), *admin = user(&f, "adam", "vm-admin"),
               *operator= user(&f, "olga", "vm-operator"), *reader = user(&f, "rita", "read-only");
    CHECK(strstr(fixture_call(&f, admin, "VM.add_to_other_config", vm, "pci", "0/0000:00:01.0", NULL),
        "\"RBAC_PERMISSION_DENIED\",\"data\":[\"vm.add_to_other_config/key:pci\""));
    CHECK(strstr(fixture_call(&f, admin, "VM.add_to_platform", vm, "hvm_serial", "pty", NULL), "/key:hvm_serial"));
    CHECK(strstr(fixture_call(&f, admin, "VM.add_to_other_config", vm, "k", "v", NULL), OK));
    CHECK(strstr(fixture_call(&f, operator, "VM.add_to_other_config", vm, "folder", "/a", NULL), OK));
    CHECK(strstr(fixture_call(&f, operator, "VM.add_to_other_config", vm, "XenCenter.CustomFields.x", "1", NULL), OK));
    CHECK(strstr(fixture_call(&f, operator, "VM.add_to_other_config", vm, "other", "/a", NULL),
        "\"data\":[\"vm.add_to_other_config\","));
    CHECK(strstr(fixture_call(&f, reader, "VM.add_to_other_config", vm, "folder", "/a", NULL), "/key:folder"));
    fixture_done(&f);
}

TEST_FIBER(a_weaker_role_sets_a_map_if_only_its_own_keys_change)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1"), *pool = row_ref(store_first(f.store, C_pool)),
               *admin = user(&f, "adam", "vm-admin"), *operator= user(&f, "olga", "vm-operator"),
               *reader = user(&f, "rita", "read-only");
    struct value old = value_copy(f.arena, row_get(store_find(f.store, vm), F_VM_other_config));
    struct value folder = value_map_with(f.arena, &old, value_str("folder"), value_str("/b"));
    struct value other = value_map_with(f.arena, &folder, value_str("k"), value_str("v"));
    struct value pci = value_map_with(f.arena, &old, value_str("pci"), value_str("0/0000:00:01.0"));
    CHECK(strstr(set_map(&f, operator, "VM.set_other_config", vm, folder), OK));
    CHECK(strstr(set_map(&f, operator, "VM.set_other_config", vm, other), "\"data\":[\"vm.set_other_config\","));
    CHECK(strstr(set_map(&f, reader, "VM.set_other_config", vm, folder), "RBAC_PERMISSION_DENIED"));
    CHECK(strstr(set_map(&f, admin, "VM.set_other_config", vm, pci), "vm.set_other_config/key:pci"));
    CHECK(strstr(set_map(&f, admin, "VM.set_other_config", vm, other), OK));
    const char *pairs[] = { "EMPTY_FOLDERS", "x" };
    struct value empty = record_of(&f, 1, pairs);
    CHECK(strstr(set_map(&f, operator, "pool.set_other_config", pool, empty), OK));
    CHECK(strstr(set_map(&f, operator, "pool.set_other_config", pool, old), "RBAC_PERMISSION_DENIED"));
    fixture_done(&f);
}

TEST_FIBER(permissions_list_keys_and_http_actions)
{
    struct fixture f;

    fixture_init(&f, loop);
    for (const struct row *r = store_first(f.store, C_role); r; r = store_next(r)) {
        if (strcmp(row_str(r, F_role_name_label), "vm-operator") != 0)
            continue;
        const char *all = fixture_call(&f, f.session, "role.get_permissions_name_label", row_ref(r), NULL);
        CHECK(strstr(all, "\"vm.add_to_other_config/key:folder\""));
        CHECK(!strstr(all, "\"vm.add_to_other_config/key:pci\""));
        CHECK(strstr(all, "\"http/connect_console\"") && !strstr(all, "\"task.destroy/any\""));
    }
    fixture_done(&f);
}

TEST_FIBER(a_session_ends_when_its_user_has_no_role_any_more)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *session = user(&f, "olga", "vm-operator");
    CHECK(strstr(fixture_call(&f, session, "VM.get_all", NULL), "\"result\":["));
    const struct row *subject = store_first(f.store, C_subject);
    CHECK(strstr(fixture_call(&f, f.session, "subject.destroy", row_ref(subject), NULL), OK));
    fiber_sleep(31 * 1000 * 1000);
    CHECK(strstr(fixture_call(&f, session, "VM.get_all", NULL), "SESSION_INVALID"));
    fixture_done(&f);
}

TEST_FIBER(a_pending_task_that_is_destroyed_goes_when_it_ends)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *task = fixture_result(&f, fixture_call(&f, f.session, "task.create", "mine", "", NULL));
    CHECK(strstr(fixture_call(&f, f.session, "task.destroy", task, NULL), OK));
    CHECK(strstr(fixture_call(&f, f.session, "task.get_current_operations", task, NULL), "\"destroy\""));
    CHECK(strstr(fixture_call(&f, f.session, "task.set_status", task, "success", NULL), OK));
    CHECK(strstr(fixture_call(&f, f.session, "task.get_status", task, NULL), "HANDLE_INVALID"));
    fixture_done(&f);
}

TEST_FIBER(messages_come_first_in_a_batch)
{
    struct fixture f;
    struct value all[1] = { value_str("*") };

    fixture_init(&f, loop);
    const char *uuid = row_str(core_host_row(f.core), F_host_uuid);
    CHECK(
        strstr(fixture_call(&f, f.session, "message.create", "HELLO", "#5", "Host", uuid, "body", NULL), "OpaqueRef"));
    struct value args[3] = { value_set(all, 1), value_str(""), value_float(0) };
    const char *body = fixture_call_values(&f, f.session, "event.from", args, 3, false);
    CHECK(strstr(body, "\"events\":[{\"id\":\"0\",\"timestamp\":\"0.0\",\"class\":\"message\""));
    fixture_done(&f);
}

TEST_FIBER(an_event_call_for_one_object_wants_its_class_too)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1");
    struct value wrong[1] = { value_str(arena_printf(f.arena, "host/%s", vm)) };
    struct value right[1] = { value_str(arena_printf(f.arena, "VM/%s", vm)) };
    struct value args[3] = { value_set(wrong, 1), value_str(""), value_float(0) };
    CHECK(strstr(fixture_call_values(&f, f.session, "event.from", args, 3, false), "\"events\":[]"));
    args[0] = value_set(right, 1);
    CHECK(strstr(fixture_call_values(&f, f.session, "event.from", args, 3, false), vm));
    fixture_done(&f);
}

static const char *call1(struct fixture *f, const char *method, const char *ref)
{
    return fixture_call(f, f->session, method, ref, NULL);
}

/* A disk of a gigabyte on the local SR. */
static const char *new_vdi(struct fixture *f)
{
    const char *sr = arena_strdup(f->arena, row_str(core_pool_row(f->core), F_pool_default_SR));
    struct value v[] = { value_str("SR"), value_str(sr), value_str("virtual_size"), value_int(1 << 30),
        value_str("type"), value_str("user"), value_str("sharable"), value_bool(false), value_str("read_only"),
        value_bool(false), value_str("other_config"), value_map(NULL, 0) };
    struct value record = value_map(v, ARRAY_LEN(v) / 2);

    return fixture_result(f, fixture_call_values(f, f->session, "VDI.create", &record, 1, false));
}

static const char *vbd_body(
    struct fixture *f, const char *vm, const char *vdi, const char *device, const char *mode, const char *type)
{
    struct value v[] = { value_str("VM"), value_str(vm), value_str("VDI"), value_str(vdi), value_str("userdevice"),
        value_str(device), value_str("mode"), value_str(mode), value_str("type"), value_str(type), value_str("empty"),
        value_bool(!*vdi), value_str("bootable"), value_bool(false), value_str("other_config"), value_map(NULL, 0),
        value_str("qos_algorithm_type"), value_str(""), value_str("qos_algorithm_params"), value_map(NULL, 0) };
    struct value record = value_map(v, ARRAY_LEN(v) / 2);

    return fixture_call_values(f, f->session, "VBD.create", &record, 1, false);
}

TEST_FIBER(the_power_state_is_looked_at_before_the_value)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1");
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_VCPUs_max", vm, "#0", NULL), "INVALID_VALUE"));
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), OK));
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_VCPUs_max", vm, "#0", NULL), "VM_BAD_POWER_STATE"));
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_VCPUs_at_startup", vm, "#99", NULL), "VM_BAD_POWER_STATE"));
    fixture_done(&f);
}

TEST_FIBER(a_running_vm_lists_only_what_can_be_done)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1");
    CHECK(strstr(call1(&f, "VM.get_allowed_operations", vm), "\"changing_dynamic_range\""));
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), OK));
    CHECK(strstr(call1(&f, "VM.get_allowed_operations", vm), "\"changing_dynamic_range\""));
    CHECK(!strstr(call1(&f, "VM.get_allowed_operations", vm), "\"changing_static_range\""));
    const char *dom0 = arena_strdup(f.arena, row_str(core_host_row(f.core), F_host_control_domain));
    CHECK(strstr(call1(&f, "VM.get_allowed_operations", dom0), "\"result\":[]"));
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_memory", dom0, "#67108864", NULL), "NOT_IMPLEMENTED"));
    const char *here = fixture_call(&f, f.session, "VM.get_possible_hosts", vm, NULL);
    CHECK(strstr(here, f.core->host_ref));
    fixture_done(&f);
}

TEST_FIBER(a_copy_gets_a_generation_of_its_own_and_keeps_the_name_of_its_first_template)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *windows = template_of(&f, "Windows 11");
    const char *vm = fixture_result(&f, fixture_call(&f, f.session, "VM.clone", windows, "w1", NULL));
    CHECK(strcmp(row_str(store_find(f.store, vm), F_VM_generation_id), "0:0") != 0);
    const char *second = fixture_result(&f, fixture_call(&f, f.session, "VM.clone", vm, "w2", NULL));
    const struct row *a = store_find(f.store, vm), *b = store_find(f.store, second);
    CHECK(strcmp(row_str(a, F_VM_generation_id), row_str(b, F_VM_generation_id)) != 0);
    CHECK_STR(row_map_str(b, F_VM_other_config, "base_template_name"), "Windows 11");
    CHECK_STR(row_str(store_find(f.store, new_vm(&f, "none")), F_VM_generation_id), "");
    fixture_done(&f);
}

TEST_FIBER(memory_of_a_nested_host_is_pinned)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1");
    CHECK(strstr(fixture_call(&f, f.session, "VM.add_to_platform", vm, "nested-virt", "true", NULL), OK));
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_memory_limits", vm, "#16777216", "#67108864", "#33554432",
                     "#67108864", NULL),
        "MEMORY_CONSTRAINT_VIOLATION_MAXPIN"));
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_memory_limits", vm, "#16777216", "#67108864", "#67108864",
                     "#67108864", NULL),
        OK));
    fixture_done(&f);
}

TEST_FIBER(an_action_after_a_crash_must_be_possible)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1");
    CHECK(strstr(
        fixture_call(&f, f.session, "VM.set_actions_after_crash", vm, "rename_restart", NULL), "VALUE_NOT_SUPPORTED"));
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_actions_after_crash", vm, "coredump_and_restart", NULL),
        "VALUE_NOT_SUPPORTED"));
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_actions_after_crash", vm, "preserve", NULL), OK));
    fixture_done(&f);
}

TEST_FIBER(a_running_vm_that_becomes_protected_is_to_run_always)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1");
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), OK));
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_ha_restart_priority", vm, "restart", NULL), OK));
    CHECK(row_bool(store_find(f.store, vm), F_VM_ha_always_run));
    CHECK(strstr(fixture_call(&f, f.session, "VM.hard_shutdown", vm, NULL), OK));
    CHECK(!row_bool(store_find(f.store, vm), F_VM_ha_always_run));
    fixture_done(&f);
}

TEST_FIBER(a_disk_in_use_is_told_before_a_read_only_one)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *one = new_vm(&f, "web1"), *two = new_vm(&f, "web2"), *vdi = new_vdi(&f);
    CHECK(strstr(vbd_body(&f, one, vdi, "0", "RW", "Disk"), "OpaqueRef:"));
    const char *vbd = fixture_result(&f, vbd_body(&f, two, vdi, "0", "RW", "Disk"));
    CHECK(strstr(call1(&f, "VBD.assert_attachable", vbd), OK));
    CHECK(strstr(fixture_call(&f, f.session, "VDI.set_read_only", vdi, "?t", NULL), OK));
    CHECK(strstr(call1(&f, "VBD.assert_attachable", vbd), "VDI_READONLY"));
    CHECK(!strstr(call1(&f, "VBD.get_allowed_operations", vbd), "\"attach\"")); /* told as soon as it is so */
    CHECK(strstr(fixture_call(&f, f.session, "VDI.set_read_only", vdi, "?f", NULL), OK));
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", one, "?f", "?f", NULL), OK));
    CHECK(strstr(fixture_call(&f, f.session, "VDI.set_read_only", vdi, "?t", NULL), OK));
    CHECK(strstr(call1(&f, "VBD.assert_attachable", vbd), "VDI_IN_USE"));
    CHECK(strstr(fixture_call(&f, f.session, "VM.hard_shutdown", one, NULL), OK));
    CHECK(strstr(fixture_call(&f, f.session, "VDI.set_managed", vdi, "?f", NULL), OK));
    CHECK(strstr(call1(&f, "VBD.assert_attachable", vbd), "VDI_NOT_MANAGED"));
    CHECK(strstr(call1(&f, "VBD.pause", vbd), "SR_OPERATION_NOT_SUPPORTED"));
    CHECK(strstr(vbd_body(&f, two, vdi, "255", "RO", "Disk"), "INVALID_DEVICE"));
    fixture_done(&f);
}

TEST_FIBER(a_disk_that_somebody_writes_is_not_inserted)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *one = new_vm(&f, "web1"), *two = new_vm(&f, "web2"), *vdi = new_vdi(&f);
    CHECK(strstr(vbd_body(&f, one, vdi, "0", "RW", "Disk"), "OpaqueRef:"));
    const char *drive = fixture_result(&f, vbd_body(&f, two, "", "3", "RO", "CD"));
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", one, "?f", "?f", NULL), OK));
    CHECK(strstr(fixture_call(&f, f.session, "VBD.insert", drive, vdi, NULL), "VDI_IN_USE"));
    CHECK(strstr(fixture_call(&f, f.session, "VM.hard_shutdown", one, NULL), OK));
    CHECK(strstr(fixture_call(&f, f.session, "VBD.insert", drive, vdi, NULL), OK));
    fixture_done(&f);
}

TEST_FIBER(a_start_without_a_host_says_so_and_start_on_says_why)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1");
    CHECK(strstr(call1(&f, "host.disable", f.core->host_ref), OK));
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), "\"NO_HOSTS_AVAILABLE\",\"data\":[]"));
    CHECK(strstr(
        fixture_call(&f, f.session, "VM.start_on", vm, f.core->host_ref, "?f", "?f", NULL), "\"HOST_DISABLED\""));
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_VCPUs_max", vm, "#5", NULL), OK));
    CHECK(strstr(call1(&f, "host.enable", f.core->host_ref), OK));
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), "NO_HOSTS_AVAILABLE")); /* 4 CPUs */
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_memory_limits", vm, "#1", "#99000000000", "#99000000000",
                     "#99000000000", NULL),
        OK));
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), "HOST_NOT_ENOUGH_FREE_MEMORY"));
    fixture_done(&f);
}

struct starter {
    struct fixture *f;
    const char *vm, *body;
};

static void start_in_fiber(void *arg)
{
    struct starter *s = arg;

    s->body = fixture_call(s->f, s->f->session, "VM.start", s->vm, "?f", "?f", NULL);
}

TEST_FIBER(two_starts_are_not_promised_the_same_memory)
{
    struct fixture f;
    struct starter s[2];

    fixture_init(&f, loop);
    for (size_t i = 0; i < ARRAY_LEN(s); i++) {
        s[i] = (struct starter){ &f, new_vm(&f, "big"), NULL };
        CHECK(strstr(fixture_call(&f, f.session, "VM.set_memory", s[i].vm, "#42949672960", NULL), OK));
    }
    for (size_t i = 0; i < ARRAY_LEN(s); i++)
        fiber_start(loop, "start", start_in_fiber, &s[i]);
    while (!s[0].body || !s[1].body)
        fiber_sleep(1000);
    CHECK(!!strstr(s[0].body, OK) + !!strstr(s[1].body, "HOST_NOT_ENOUGH_FREE_MEMORY") == 2);
    CHECK_INT(f.core->memory_promised, 0);
    fixture_done(&f);
}

TEST_FIBER(what_a_balloon_did_during_a_start_is_not_forgotten)
{
    struct fixture f;

    fixture_init(&f, loop);
    f.balloon = 48 << 20;
    const char *vm = new_vm(&f, "ranged");
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), OK));
    fiber_sleep(50000);
    const char *metrics = arena_strdup(f.arena, row_str(store_find_of(f.store, C_VM, vm), F_VM_metrics));
    CHECK_INT(row_int(store_find_of(f.store, C_VM_metrics, metrics), F_VM_metrics_memory_actual), 48 << 20);
    fixture_done(&f);
}

TEST_FIBER(an_image_that_could_not_go_goes_a_moment_later)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "sleeper"), *vdi = new_vdi(&f);
    struct tx *t = tx_begin(f.store);
    tx_set(t, vm, F_VM_power_state, value_str("Suspended"));
    tx_set(t, vdi, F_VDI_type, value_str("suspend"));
    tx_set(t, vm, F_VM_suspend_VDI, value_str(vdi));
    CHECK_OK(tx_commit(t));
    f.n_destroy_failures = 1;
    CHECK(strstr(call1(&f, "VM.hard_shutdown", vm), OK));
    CHECK(store_find_of(f.store, C_VDI, vdi));
    fiber_sleep(1500000);
    CHECK(!store_find_of(f.store, C_VDI, vdi));
    CHECK_STR(row_str(store_find_of(f.store, C_VM, vm), F_VM_suspend_VDI), REF_NULL);
    fixture_done(&f);
}

TEST_FIBER(a_blocked_shutdown_is_refused)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1");
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), OK));
    CHECK(strstr(fixture_call(&f, f.session, "VM.add_to_blocked_operations", vm, "shutdown", "no", NULL), OK));
    CHECK(strstr(call1(&f, "VM.shutdown", vm), "OPERATION_BLOCKED"));
    CHECK(strstr(call1(&f, "VM.hard_shutdown", vm), OK));
    fixture_done(&f);
}

TEST_FIBER(a_host_lists_its_end_only_when_nothing_runs_on_it)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1"), *host = f.core->host_ref;
    CHECK(!strstr(call1(&f, "host.get_allowed_operations", host), "\"reboot\""));
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), OK));
    CHECK(strstr(call1(&f, "host.reboot", host), "HOST_NOT_DISABLED"));
    CHECK(strstr(call1(&f, "host.disable", host), OK));
    CHECK(strstr(call1(&f, "host.reboot", host), "HOST_IN_USE"));
    CHECK(!strstr(call1(&f, "host.get_allowed_operations", host), "\"reboot\""));
    CHECK(strstr(call1(&f, "VM.hard_shutdown", vm), OK));
    CHECK(strstr(call1(&f, "host.get_allowed_operations", host), "\"shutdown\",\"reboot\""));
    fixture_done(&f);
}

static unsigned console_status(struct fixture *f, const char *vm, bool websocket, uint64_t *ret_id)
{
    struct value query[2] = { value_str("ref"), value_str(vm) };
    struct core_http_req req = { .action = "connect_console",
        .method = "CONNECT",
        .path = "/console",
        .query = value_map(query, 1),
        .session = f->session,
        .task_id = "",
        .user = "",
        .password = "",
        .client = "192.0.2.9",
        .accept = "",
        .websocket = websocket };
    struct core_http_rep rep = { .stream = -1 };

    CHECK_OK(core_http(f->gate, f->arena, &req, &rep));
    *ret_id = rep.stream_id;
    if (rep.stream > 0)
        fd_drop(&rep.stream);
    return rep.status;
}

TEST_FIBER(consoles_can_be_limited_to_one_for_each_vm)
{
    struct fixture f;
    uint64_t first, other;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1"), *pool = f.core->pool_ref;
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), OK));
    CHECK_INT(console_status(&f, vm, false, &first), 200);
    CHECK_INT(console_status(&f, vm, true, &other), 200);
    CHECK_OK(core_stream_done(f.gate, &(struct core_stream_done_req){ .stream_id = other }));
    CHECK(strstr(fixture_call(&f, f.session, "pool.set_limit_console_sessions", pool, "?t", NULL), OK));
    CHECK_INT(console_status(&f, vm, false, &other), 503);
    CHECK_OK(core_stream_done(f.gate, &(struct core_stream_done_req){ .stream_id = first }));
    CHECK_INT(console_status(&f, vm, true, &other), 503);
    CHECK_INT(console_status(&f, vm, false, &other), 200);
    fixture_done(&f);
}
