#include <string.h>
#include "base/map.h"
#include "core/call.h"
#include "core/fixture_test.h"

/* A VM of its own from the template that takes any installer. */
static const char *new_vm(struct fixture *f, const char *name)
{
    struct value label = value_str("Other install media");
    const char *found = fixture_call_values(f, f->session, "VM.get_by_name_label", &label, 1, false);
    const char *p = strstr(found, "OpaqueRef:");
    const char *template = p ? arena_strndup(f->arena, p, strcspn(p, "\"")) : "";
    const char *vm = fixture_result(f, fixture_call(f, f->session, "VM.clone", template, name, NULL));

    CHECK(strstr(fixture_call(f, f->session, "VM.provision", vm, NULL), "\"result\":\"\""));
    return vm;
}

static const char *power_of(struct fixture *f, const char *vm)
{
    return fixture_result(f, fixture_call(f, f->session, "VM.get_power_state", vm, NULL));
}

TEST_FIBER(a_wrong_password_is_refused_after_five_seconds)
{
    struct fixture f;

    fixture_init(&f, loop);
    uint64_t before = clock_now(loop);
    const char *body = fixture_call(&f, "", "session.login_with_password", "root", "wrong", NULL);
    CHECK(strstr(body, "SESSION_AUTHENTICATION_FAILED"));
    CHECK(clock_now(loop) - before >= 5000000);
    fixture_done(&f);
}

TEST_FIBER(a_call_without_a_session_is_refused)
{
    struct fixture f;

    fixture_init(&f, loop);
    CHECK(strstr(fixture_call(&f, "OpaqueRef:nobody", "VM.get_all", NULL), "SESSION_INVALID"));
    CHECK(strstr(fixture_call(&f, f.session, "session.logout", NULL), "\"result\":\"\""));
    CHECK(strstr(fixture_call(&f, f.session, "VM.get_all", NULL), "SESSION_INVALID"));
    fixture_done(&f);
}

TEST_FIBER(a_vm_lives_its_whole_life)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1");
    CHECK_STR(power_of(&f, vm), "Halted");
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), "\"result\":\"\""));
    CHECK_STR(power_of(&f, vm), "Running");
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), "\"VM_BAD_POWER_STATE\",\"data\":[\""));
    CHECK(strstr(fixture_call(&f, f.session, "VM.pause", vm, NULL), "\"result\":\"\""));
    CHECK_STR(power_of(&f, vm), "Paused");
    CHECK(strstr(fixture_call(&f, f.session, "VM.unpause", vm, NULL), "\"result\":\"\""));
    CHECK(strstr(fixture_call(&f, f.session, "VM.destroy", vm, NULL), "VM_BAD_POWER_STATE"));
    CHECK(strstr(fixture_call(&f, f.session, "VM.clean_shutdown", vm, NULL), "\"result\":\"\""));
    CHECK_STR(power_of(&f, vm), "Halted");
    CHECK(strstr(fixture_call(&f, f.session, "VM.destroy", vm, NULL), "\"result\":\"\""));
    CHECK(strstr(fixture_call(&f, f.session, "VM.get_power_state", vm, NULL), "HANDLE_INVALID"));
    fixture_done(&f);
}

TEST_FIBER(a_start_that_fails_leaves_the_vm_halted_and_free)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1");
    f.fail_start = "BOOTLOADER_FAILED";
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), "BOOTLOADER_FAILED"));
    CHECK_STR(power_of(&f, vm), "Halted");
    CHECK_INT(row_get(store_find(f.store, vm), F_VM_current_operations)->n, 0);
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), "\"result\":\"\""));
    fixture_done(&f);
}

struct starter {
    struct fixture *f;
    const char *vm, *body;
    bool done;
};

static void start_in_fiber(void *arg)
{
    struct starter *s = arg;

    s->body = fixture_call(s->f, s->f->session, "VM.start", s->vm, "?f", "?f", NULL);
    s->done = true;
}

TEST_FIBER(a_second_start_waits_for_the_first_and_is_then_told_the_state)
{
    struct fixture f;

    fixture_init(&f, loop);
    struct starter a = { .f = &f, .vm = new_vm(&f, "web1") }, b = a;
    fiber_start(loop, "a", start_in_fiber, &a);
    fiber_start(loop, "b", start_in_fiber, &b);
    while (!a.done || !b.done)
        fiber_sleep(1000);
    CHECK_INT(f.n_starts, 1);
    CHECK(!!strstr(a.body, "\"result\":\"\"") + !!strstr(b.body, "VM_BAD_POWER_STATE") == 2);
    fixture_done(&f);
}

TEST_FIBER(a_guest_that_stops_by_itself_is_found_halted)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1");
    CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), "\"result\":\"\""));
    fixture_guest_changed(&f, vm, "shutdown", "Halted");
    CHECK_STR(power_of(&f, vm), "Halted");
    CHECK_INT(row_n_related(store_find(f.store, vm), F_VM_consoles), 0);
    fixture_done(&f);
}

TEST_FIBER(an_event_call_hears_of_a_change_and_of_nothing_else)
{
    struct fixture f;
    struct value classes[1] = { value_str("vm") };

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1");
    struct value first[3] = { value_set(classes, 1), value_str(""), value_float(0) };
    const char *body = fixture_call_values(&f, f.session, "event.from", first, 3, false);
    const char *p = strstr(body, "\"token\":\"");
    CHECK(p && strstr(body, vm));
    const char *token = arena_strndup(f.arena, p + 9, strcspn(p + 9, "\""));
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_name_label", vm, "web2", NULL), "\"result\":\"\""));
    struct value next[3] = { value_set(classes, 1), value_str(token), value_float(30) };
    body = fixture_call_values(&f, f.session, "event.from", next, 3, false);
    CHECK(strstr(body, "\"operation\":\"mod\"") && strstr(body, "web2") && !strstr(body, "\"Windows 11\""));
    p = strstr(body, "\"token\":\"");
    token = arena_strndup(f.arena, p + 9, strcspn(p + 9, "\""));
    struct value idle[3] = { value_set(classes, 1), value_str(token), value_float(3) };
    uint64_t before = clock_now(loop);
    body = fixture_call_values(&f, f.session, "event.from", idle, 3, false);
    CHECK(strstr(body, "\"events\":[]") && clock_now(loop) - before >= 3000000);
    fixture_done(&f);
}

TEST_FIBER(an_asynchronous_call_ends_in_its_task)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1");
    struct value args[3] = { value_str(vm), value_bool(false), value_bool(false) };
    const char *task = fixture_result(&f, fixture_call_values(&f, f.session, "VM.start", args, 3, true));
    CHECK_STR(fixture_result(&f, fixture_call(&f, f.session, "task.get_status", task, NULL)), "pending");
    fiber_sleep(100000);
    CHECK_STR(fixture_result(&f, fixture_call(&f, f.session, "task.get_status", task, NULL)), "success");
    CHECK_STR(fixture_result(&f, fixture_call(&f, f.session, "task.get_result", task, NULL)), "<value></value>");
    CHECK(strstr(fixture_call(&f, f.session, "task.destroy", task, NULL), "\"result\":\"\""));
    fixture_done(&f);
}

TEST_FIBER(what_is_not_built_says_so)
{
    struct fixture f;

    fixture_init(&f, loop);
    CHECK(strstr(fixture_call(&f, f.session, "VM.s3_suspend", new_vm(&f, "web1"), NULL), "NOT_IMPLEMENTED"));
    fixture_done(&f);
}

TEST_FIBER(map_keys_are_added_once_and_removed_quietly)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *pool = row_ref(store_first(f.store, C_pool));
    CHECK(strstr(fixture_call(&f, f.session, "pool.add_to_other_config", pool, "k", "v", NULL), "\"result\":\"\""));
    CHECK(strstr(fixture_call(&f, f.session, "pool.add_to_other_config", pool, "k", "w", NULL), "MAP_DUPLICATE_KEY"));
    CHECK(strstr(fixture_call(&f, f.session, "pool.remove_from_other_config", pool, "k", NULL), "\"result\":\"\""));
    CHECK(strstr(fixture_call(&f, f.session, "pool.remove_from_other_config", pool, "k", NULL), "\"result\":\"\""));
    fixture_done(&f);
}

TEST_FIBER(every_class_answers_get_all_records)
{
    struct fixture f;

    fixture_init(&f, loop);
    for (size_t i = 0; i < model_n_msgs(); i++)
        if (model_msg(i)->implicit == IMPLICIT_GET_ALL_RECORDS && !model_msg(i)->removed)
            CHECK(strstr(fixture_call(&f, f.session, model_msg(i)->name, NULL), "\"result\":{"));
    fixture_done(&f);
}

TEST_FIBER(the_record_of_the_last_boot_does_not_grow_from_boot_to_boot)
{
    struct fixture f;
    size_t len[3];

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1");
    for (size_t i = 0; i < ARRAY_LEN(len); i++) {
        CHECK(strstr(fixture_call(&f, f.session, "VM.start", vm, "?f", "?f", NULL), "\"result\":\"\""));
        CHECK(strstr(fixture_call(&f, f.session, "VM.hard_shutdown", vm, NULL), "\"result\":\"\""));
        len[i] = strlen(row_str(store_find(f.store, vm), F_VM_last_booted_record));
    }
    CHECK(len[0] > 1000 && len[2] < len[1] + 200);
    fixture_done(&f);
}

TEST_FIBER(an_appliance_starts_and_stops_its_vms_in_order)
{
    struct fixture f;

    fixture_init(&f, loop);
    const char *db = new_vm(&f, "db"), *web = new_vm(&f, "web");
    struct value pairs[4] = { value_str("name_label"), value_str("shop"), value_str("name_description"),
        value_str("") };
    struct value record = value_map(pairs, 2);
    const char *shop = fixture_result(&f, fixture_call_values(&f, f.session, "VM_appliance.create", &record, 1, false));
    CHECK(strstr(fixture_call(&f, f.session, "VM_appliance.start", shop, "?f", NULL), "OPERATION_NOT_ALLOWED"));
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_appliance", web, shop, NULL), "\"result\":\"\""));
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_appliance", db, shop, NULL), "\"result\":\"\""));
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_order", web, "#2", NULL), "\"result\":\"\""));
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_order", db, "#1", NULL), "\"result\":\"\""));
    CHECK(strstr(fixture_call(&f, f.session, "VM.set_start_delay", db, "#30", NULL), "\"result\":\"\""));
    uint64_t before = clock_now(loop);
    CHECK(strstr(fixture_call(&f, f.session, "VM_appliance.start", shop, "?f", NULL), "\"result\":\"\""));
    CHECK(clock_now(loop) - before >= 30000000 && clock_now(loop) - before < 40000000);
    CHECK_STR(power_of(&f, db), "Running");
    CHECK_STR(power_of(&f, web), "Running");
    CHECK(strstr(fixture_call(&f, f.session, "VM_appliance.clean_shutdown", shop, NULL), "\"result\":\"\""));
    CHECK_STR(power_of(&f, db), "Halted");
    f.fail_start = "BOOTLOADER_FAILED";
    CHECK(strstr(fixture_call(&f, f.session, "VM_appliance.start", shop, "?f", NULL),
        "\"OPERATION_PARTIALLY_FAILED\",\"data\":[\"start\",\"OpaqueRef"));
    CHECK(strstr(fixture_call(&f, f.session, "VM_appliance.hard_shutdown", shop, NULL), "\"result\":\"\""));
    CHECK(strstr(fixture_call(&f, f.session, "VM_appliance.destroy", shop, NULL), "\"result\":\"\""));
    CHECK_STR(power_of(&f, web), "Halted");
    fixture_done(&f);
}

TEST_FIBER(a_vm_is_in_one_group_at_most_and_both_sides_show_it)
{
    struct fixture f;
    struct value pairs[6] = { value_str("name_label"), value_str("apart"), value_str("name_description"), value_str(""),
        value_str("placement"), value_str("anti_affinity") };
    struct value record = value_map(pairs, 3);

    fixture_init(&f, loop);
    const char *vm = new_vm(&f, "web1");
    struct value groups[2];
    for (size_t i = 0; i < ARRAY_LEN(groups); i++)
        groups[i] =
            value_str(fixture_result(&f, fixture_call_values(&f, f.session, "VM_group.create", &record, 1, false)));
    struct value two[2] = { value_str(vm), value_set(groups, 2) }, one[2] = { value_str(vm), value_set(groups, 1) };
    CHECK(strstr(fixture_call_values(&f, f.session, "VM.set_groups", two, 2, false), "TOO_MANY_GROUPS"));
    CHECK(strstr(fixture_call_values(&f, f.session, "VM.set_groups", one, 2, false), "\"result\":\"\""));
    CHECK(strstr(fixture_call(&f, f.session, "VM_group.get_VMs", groups[0].s, NULL), vm));
    CHECK(!strstr(fixture_call(&f, f.session, "VM_group.get_VMs", groups[1].s, NULL), vm));
    CHECK(strstr(fixture_call(&f, f.session, "VM_group.destroy", groups[0].s, NULL), "\"result\":\"\""));
    CHECK(!strstr(fixture_call(&f, f.session, "VM.get_groups", vm, NULL), "OpaqueRef"));
    fixture_done(&f);
}
