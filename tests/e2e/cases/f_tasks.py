"""Tasks and asynchronous calls."""
import threading
import time

from bench import MIB, NULL, Client, case
from xapi import value_of_result


@case
def an_async_call_gives_a_task_with_result_as_xml(t):
    x = t.x
    task = x.Async.VM.clone(t.template(), "by task")
    vm = None
    r = t.eventually(lambda: (lambda r: r if r["status"] != "pending" else None)(x.task.get_record(task)), "the task ends")
    vm = value_of_result(r["result"])
    t.adopt(vm)
    t.equal((r["status"], r["name_label"], r["progress"], r["type"]), ("success", "Async.VM.clone", 1.0, "<none/>"))
    t.equal(r["result"], f"<value>{vm}</value>")
    t.equal(x.VM.get_name_label(vm), "by task")
    t.check(r["finished"] >= r["created"] and r["error_info"] == [], r)
    x.task.destroy(task)
    t.effect("task.destroy", task not in x.task.get_all())
    t.fails("HANDLE_INVALID", x.task.destroy, task)


@case
def a_void_result_is_an_empty_value(t):
    x, vm = t.x, t.vm()
    task = x.Async.VM.start(vm, False, False)
    x.wait(task, destroy=False)
    t.equal(x.task.get_result(task), "<value></value>")
    t.equal(t.power(vm), "Running")


@case
def a_failure_is_in_the_task(t):
    x, vm = t.x, t.vm()
    task = x.Async.VM.pause(vm)
    t.fails("VM_BAD_POWER_STATE", x.wait, task)
    t.fails("MESSAGE_PARAMETER_COUNT_MISMATCH", x.Async.VM.pause)


@case
def running_operations_show_and_can_be_cancelled(t):
    """A clean shutdown of a guest that ignores its power button lasts: the tiny guest obeys only once it is up."""
    x, vm = t.x, t.vm()
    x.VM.start(vm, True, False)
    x.VM.unpause(vm)
    if t.qemu:
        x.VM.pause(vm)  # a paused guest answers no button
        x.VM.hard_shutdown(vm)
    done = x.task.create("mine", "of the test")
    t.effect("task.create", x.task.get_record(done)["status"] == "pending")
    t.fails("SESSION_INVALID", Client(t.host.url, observer=t.record.note).task.create, "a", "b")
    x.task.cancel(done)
    r = x.task.get_record(done)
    t.effect("task.cancel", r["status"] == "cancelled" or "cancel" in r["current_operations"].values(), r)
    x.task.destroy(done)
    over = x.Async.VM.clone(t.template(), "cancelled too late")
    t.adopt(x.wait(over, destroy=False))
    t.fails("OPERATION_NOT_ALLOWED", x.task.cancel, over)


@case
def a_client_drives_its_own_task(t):
    x = t.x
    task = x.task.create("import", "a file")
    x.task.set_progress(task, 0.5)
    t.effect("task.set_progress", x.task.get_progress(task) == 0.5)
    x.task.add_to_other_config(task, "applies_to", "x")
    t.effect("task.add_to_other_config", x.task.get_other_config(task)["applies_to"] == "x")
    t.fails("MAP_DUPLICATE_KEY", x.task.add_to_other_config, task, "applies_to", "y")
    x.task.remove_from_other_config(task, "applies_to")
    t.effect("task.remove_from_other_config", "applies_to" not in x.task.get_other_config(task))
    x.task.set_other_config(task, {"k": "v"})
    t.effect("task.set_other_config", x.task.get_other_config(task) == {"k": "v"})
    x.task.set_error_info(task, ["SOME_ERROR", "1"])
    t.effect("task.set_error_info", x.task.get_error_info(task) == ["SOME_ERROR", "1"])
    x.task.set_result(task, "the result")
    t.effect("task.set_result", x.task.get_result(task) == "the result")
    x.task.set_status(task, "failure")
    t.effect("task.set_status", x.task.get_status(task) == "failure")
    for m, *args in (("set_progress", 0.1), ("set_status", "success"), ("set_result", ""), ("set_error_info", []),
                     ("set_other_config", {}), ("remove_from_other_config", "k")):
        t.fails("HANDLE_INVALID", x.call, f"task.{m}", NULL, *args)
    x.task.destroy(task)


@case
def conflicting_operations_queue_instead_of_failing(t):
    x, vm = t.x, t.vm()
    a = x.Async.VM.start(vm, False, False)
    b = x.Async.VM.hard_shutdown(vm)
    x.wait(a)
    try:
        x.wait(b)
        t.eventually(lambda: t.power(vm) == "Halted", "halted after both")
    except Exception as e:  # noqa: BLE001 - the second may have come first
        t.equal(getattr(e, "code", ""), "VM_BAD_POWER_STATE")


@case
def many_operations_at_once_all_end(t):
    x = t.x
    vms = [t.vm(f"many {i}") for i in range(8)]
    tasks = [x.Async.VM.start(v, False, False) for v in vms]
    for task in tasks:
        x.wait(task)
    t.check(all(t.power(v) == "Running" for v in vms), "all run")
    for task in [x.Async.VM.hard_shutdown(v) for v in vms]:
        x.wait(task)
    t.check(all(t.power(v) == "Halted" for v in vms), "all halted")


@case
def tasks_of_others_are_theirs(t):
    from accounts import PASSWORD
    from cases_shared import make_subjects
    make_subjects(t)
    x = t.x
    task = x.task.create("root's", "")
    y = t.client("t-vm-admin", PASSWORD["t-vm-admin"])
    t.fails("RBAC_PERMISSION_DENIED", y.task.cancel, task)
    own = y.task.create("mine", "")
    y.task.set_progress(own, 0.3)
    y.task.destroy(own)
    x.task.destroy(task)
