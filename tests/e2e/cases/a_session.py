"""Logins, sessions, and who may do what."""
import re
import time

from accounts import PASSWORD, ROLES
from bench import NULL, Client, server_case
from cases_shared import make_subjects as subjects


@server_case
def two_and_four_login_parameters_both_do(t):
    for more in ([], ["1.1"], ["1.1", "e2e tests"]):
        x = t.bare().login("root", t.host.password, *more)
        t.check(re.fullmatch(r"OpaqueRef:[0-9a-f-]{36}", x.session_ref), f"a session is a reference: {x.session_ref}")
        r = x.call("session.get_record", x.session_ref)
        t.effect("session.login_with_password", r["this_host"] == t.the_host() and r["is_local_superuser"] is True)
        if len(more) == 2:
            t.equal(r["originator"], "e2e tests")
        x.logout()


@server_case
def a_wrong_password_is_refused_after_a_while(t):
    began = time.monotonic()
    params = t.fails("SESSION_AUTHENTICATION_FAILED", t.bare().session.login_with_password, "root", "wrong")
    t.equal(params[0], "root")
    t.check(time.monotonic() - began > 4.5, "the refusal comes after five seconds")
    t.fails("SESSION_AUTHENTICATION_FAILED", t.bare().session.login_with_password, "no such user", "x")


@server_case
def a_user_who_is_no_subject_is_not_let_in(t):
    t.fails("SESSION_AUTHORIZATION_FAILED", t.bare().session.login_with_password, "t-nobody", PASSWORD["t-nobody"])


@server_case
def a_session_ends_with_its_logout(t):
    x = t.client()
    old = x.session_ref
    x.pool.get_all()
    x.call("session.logout")
    t.equal(t.fails("SESSION_INVALID", x.call, "pool.get_all"), [old])
    t.effect("session.logout", True)
    t.fails("SESSION_INVALID", x.call, "session.logout")
    y = t.bare()
    y.session_ref = "OpaqueRef:no-such-session"
    t.equal(t.fails("SESSION_INVALID", y.call, "VM.get_all"), ["OpaqueRef:no-such-session"])


@server_case
def a_logout_wakes_the_event_calls_of_its_session(t):
    import threading
    x = t.client()
    seen = []
    token = x.call("event.from", ["pool"], "", 0.0)["token"]

    def wait():
        try:
            x.sibling().call("event.from", ["vm_group"], token, 30.0)
        except Exception as e:  # noqa: BLE001
            seen.append(e)
    w = threading.Thread(target=wait)
    w.start()
    time.sleep(0.3)
    x.call("session.logout")
    w.join(5)
    t.check(seen and getattr(seen[0], "code", "") == "SESSION_INVALID", f"the waiting call ended with SESSION_INVALID: {seen}")


@server_case
def a_session_of_one_protocol_works_on_the_others(t):
    for protocol in ("xml", "json1", "json2"):
        y = t.x.sibling(protocol=protocol)
        t.equal(y.pool.get_all(), t.x.pool.get_all(), protocol)


@server_case
def a_superuser_changes_its_password_who_knows_the_old_one(t):
    old, new = t.host.password, "a new pw \u00e4:"
    x = t.client()
    subjects(t)
    admin = t.client("t-pool-admin", PASSWORD["t-pool-admin"])
    t.fails("RBAC_PERMISSION_DENIED", admin.call, "session.change_password", PASSWORD["t-pool-admin"], new)
    t.equal(t.fails("SESSION_AUTHENTICATION_FAILED", x.call, "session.change_password", "wrong", new)[0], "root")
    t.fails("CHANGE_PASSWORD_REJECTED", x.call, "session.change_password", old, "")
    t.fails("CHANGE_PASSWORD_REJECTED", x.call, "session.change_password", old, "x" * 5000)
    t.bare().login("root", old).logout()
    x.call("session.change_password", old, new)
    try:
        t.bare().login("root", new).logout()
        t.fails("SESSION_AUTHENTICATION_FAILED", t.bare().session.login_with_password, "root", old)
        t.effect("session.change_password", x.session.get_is_local_superuser(x.session_ref) is True)
    finally:
        x.call("session.change_password", new, old)
    t.bare().login("root", old).logout()
    t.bare().login("t-pool-admin", PASSWORD["t-pool-admin"]).logout()


# What each role may just do, and its weaker neighbour may not: message, arguments, the error that says "allowed".
LADDER = [
    ("pool-admin", "VM.update_allowed_operations", [NULL]),
    ("pool-operator", "host.enable", [NULL]),
    ("vm-power-admin", "VM.set_memory", [NULL, 1 << 25]),
    ("vm-admin", "VM.set_name_label", [NULL, "x"]),
    ("vm-operator", "VM.start", [NULL, False, False]),
    ("read-only", "VM.get_name_label", [NULL]),
]


@server_case
def each_of_the_six_roles_may_do_what_it_may(t):
    subjects(t)
    for i, role in enumerate(ROLES):
        user = f"t-{role}"
        x = t.client(user, PASSWORD[user])
        r = x.call("session.get_record", x.session_ref)
        t.equal((r["auth_user_sid"], r["is_local_superuser"]), (f"u:{user}", False), role)
        for k, (least, message, args) in enumerate(LADDER):
            if i <= k:
                t.fails("HANDLE_INVALID", x.call, message, *args)
            else:
                t.equal(t.fails("RBAC_PERMISSION_DENIED", x.call, message, *args)[0], message.lower(), f"{role} on {message}")
        x.logout()


@server_case
def guarded_keys_of_a_map_are_open_to_weaker_roles(t):
    subjects(t)
    x = t.client("t-vm-operator", PASSWORD["t-vm-operator"])
    pool = t.pool()
    t.x.pool.remove_from_other_config(pool, "folder")
    params = t.fails("RBAC_PERMISSION_DENIED", x.pool.add_to_other_config, pool, "secret key", "1")
    t.check(params[0].startswith("pool.add_to_other_config"), params)
    vm = t.vm()
    x.VM.add_to_other_config(vm, "folder", "/a")
    t.equal(t.x.VM.get_other_config(vm)["folder"], "/a")
    t.fails("RBAC_PERMISSION_DENIED", x.VM.add_to_other_config, vm, "other", "1")


@server_case
def only_superusers_reach_local_root_messages_and_nobody_pool_internal_ones(t):
    subjects(t)
    x = t.client("t-pool-admin", PASSWORD["t-pool-admin"])
    t.fails("RBAC_PERMISSION_DENIED", x.VDI.set_managed, NULL, True)


@server_case
def a_group_lets_its_members_in(t):
    x = t.x
    reader = x.role.get_by_name_label("read-only")[0]
    s = x.subject.create({"subject_identifier": "g:t-group", "other_config": {}})
    t.on_end(t._quiet, "subject.destroy", s)
    for old in x.subject.get_roles(s):
        x.subject.remove_from_roles(s, old)
    x.subject.add_to_roles(s, reader)
    y = t.client("t-grouped", PASSWORD["t-grouped"])
    t.fails("RBAC_PERMISSION_DENIED", y.VM.start, NULL, False, False)
    t.fails("SUBJECT_ALREADY_EXISTS", x.subject.create, {"subject_identifier": "g:t-group", "other_config": {}})


@server_case
def roles_and_subjects_name_their_permissions(t):
    x = t.x
    known = subjects(t)
    op = x.role.get_by_name_label("vm-operator")[0]
    permissions = x.role.get_permissions_name_label(op)
    t.proven("role.get_permissions_name_label", "vm.start" in permissions and "vm.destroy" not in permissions and
             "vm.get_name_label" in permissions)
    t.fails("HANDLE_INVALID", x.role.get_permissions_name_label, "OpaqueRef:no")
    roles = x.role.get_by_permission_name_label("vm.start")
    names = {x.role.get_name_label(r) for r in roles}
    t.proven("role.get_by_permission_name_label", names == {"pool-admin", "pool-operator", "vm-power-admin", "vm-admin", "vm-operator"}, names)
    t.equal(x.role.get_by_permission_name_label("no.such"), [])
    t.fails("SESSION_INVALID", Client(t.host.url, observer=t.record.note).role.get_by_permission_name_label, "vm.start")
    # A permission is an object of its own, beside the six roles
    refs = x.role.get_permissions(op)
    t.proven("role.get_permissions", len(refs) == len(permissions) and len(set(refs)) == len(refs))
    (start,) = x.role.get_by_name_label("vm.start")
    record = x.role.get_record(start)
    t.check(start in refs and record["name_label"] == "vm.start" and record["is_internal"] and record["subroles"] == [], record)
    t.equal((x.role.get_uuid(start), x.role.get_by_uuid(record["uuid"]), x.role.get_is_internal(op)), (record["uuid"], start, False))
    t.equal(set(record), set(x.role.get_record(op)))
    t.proven("role.get_by_permission", sorted(x.role.get_by_permission(start)) == sorted(roles))
    t.equal((x.role.get_permissions(start), x.role.get_by_permission(op)), ([start], []))
    t.equal(x.role.get_by_permission_name_label("http/put_blob"), x.role.get_by_permission_name_label("vm.migrate_send"))
    t.equal(len(x.role.get_all()), 6)
    for m in (x.role.get_permissions, x.role.get_by_permission, x.role.get_record):
        t.fails("HANDLE_INVALID", m, "OpaqueRef:no")
    t.fails("ROLE_NOT_FOUND", x.subject.add_to_roles, known["u:t-vm-operator"], start)
    mine = x.subject.get_permissions_name_label(known["u:t-vm-operator"])
    t.proven("subject.get_permissions_name_label", sorted(mine) == sorted(permissions))
    t.fails("HANDLE_INVALID", x.subject.get_permissions_name_label, "OpaqueRef:no")
    t.equal(x.role.get_uuid(x.role.get_by_name_label("pool-admin")[0]), "0165f154-ba3e-034e-6b27-5d271af109ba")


@server_case
def sessions_of_a_subject_can_be_listed_and_ended(t):
    subjects(t)
    y = t.client("t-read-only", PASSWORD["t-read-only"])
    sids = t.x.session.get_all_subject_identifiers()
    t.proven("session.get_all_subject_identifiers", "u:t-read-only" in sids, sids)
    t.fails("SESSION_INVALID", Client(t.host.url, observer=t.record.note).call, "session.get_all_subject_identifiers")
    t.fails("RBAC_PERMISSION_DENIED", y.call, "session.logout_subject_identifier", "u:t-vm-admin")
    t.x.call("session.logout_subject_identifier", "u:t-read-only")
    t.fails("SESSION_INVALID", y.pool.get_all)
    t.effect("session.logout_subject_identifier", "u:t-read-only" not in t.x.session.get_all_subject_identifiers())
    t.x.pool.get_all()


@server_case
def local_sessions_are_none_here_and_their_logout_says_so(t):
    from bench import Failure
    x = t.client()
    try:
        x.call("session.local_logout")
        t.effect("session.local_logout", True)
    except Failure as e:
        t.check(e.code in ("NOT_IMPLEMENTED", "SESSION_INVALID"), e)
