/* Users, alerts, events, consoles. */
#include <string.h>
#include "cli/console.h"
#include "cli/convert.h"
#include "cli/verb.h"

/* Subjects */

/* What the directory calls the user; without one, local users are u:NAME and groups g:NAME. */
static struct err *identify(struct xe *x, const char *name, struct value *ret_id, struct value *ret_info)
{
    struct err *e;

    *ret_info = value_map(NULL, 0);
    if (cstr_starts(name, "u:") || cstr_starts(name, "g:")) {
        *ret_id = S(name);
        return NULL;
    }
    e = CALL(x, ret_id, "auth.get_subject_identifier", S(name));
    if (!e)
        return CALL(x, ret_info, "auth.get_subject_information_from_identifier", *ret_id);
    if (!err_is(e, "NOT_IMPLEMENTED") && !err_is(e, "AUTH_IS_DISABLED"))
        return e;
    err_ignore(e, "no directory: a local user");
    *ret_id = S(arena_printf(x->arena, "u:%s", name));
    return NULL;
}

static struct err *subject_add(struct xe *x)
{
    const char *name = NULL;
    struct value id, info, subject;

    TRY(arg_need(&x->args, "subject-name", &name));
    TRY(identify(x, name, &id, &info));
    struct value pairs[] = { S("subject_identifier"), id, S("other_config"), info };
    TRY(CALL(x, &subject, "subject.create", value_map(pairs, 2)));
    return say_uuid(x, C_subject, subject.s);
}

static struct err *the_subject(struct xe *x, const char **ret)
{
    const char *text = arg_any(&x->args, "subject-uuid,uuid");
    struct value all;

    if (!text)
        return usage("Required parameter not found: uuid");
    if (strchr(text, ':')) { /* u:NAME */
        TRY(CALL0(x, &all, "subject.get_all_records"));
        for (size_t i = 0; i < all.n; i++)
            if (strcmp(value_map_str(&all.items[2 * i + 1], "subject_identifier"), text) == 0) {
                *ret = all.items[2 * i].s;
                return NULL;
            }
        return usage("there is no subject %s: see 'xe subject-list'", text);
    }
    return xe_find(x, C_subject, text, ret);
}

static struct err *subject_remove(struct xe *x)
{
    const char *subject = NULL;

    TRY(the_subject(x, &subject));
    return CALL(x, NULL, "subject.destroy", S(subject));
}

static struct err *change_role(struct xe *x, const char *method)
{
    const char *subject = NULL, *role = arg_any(&x->args, "role-name,role-uuid"), *ref = NULL;

    TRY(the_subject(x, &subject));
    if (!role)
        return usage("Required parameter not found: role-name");
    TRY(xe_find(x, C_role, role, &ref));
    return CALL(x, NULL, method, S(subject), S(ref));
}

static struct err *role_add(struct xe *x)
{
    return change_role(x, "subject.add_to_roles");
}

static struct err *role_remove(struct xe *x)
{
    return change_role(x, "subject.remove_from_roles");
}

/* Sessions of subjects */

static struct err *subjects_here(struct xe *x)
{
    struct value all;
    AUTO(buf_done) struct buf b;

    buf_init(&b, 1 << 24);
    TRY(CALL0(x, &all, "session.get_all_subject_identifiers"));
    for (size_t i = 0; all.kind == V_SET && i < all.n; i++) {
        if (x->args.minimal)
            print_minimal(&b, all.items[i].s, i == 0);
        else
            print_cells(&b, &(struct cell){ "subject-identifier ( RO)", all.items[i].s }, 1);
    }
    if (x->args.minimal)
        buf_add_char(&b, '\n');
    print_out(&b);
    return NULL;
}

static struct err *log_all_out(struct xe *x)
{
    struct value all;

    TRY(CALL0(x, &all, "session.get_all_subject_identifiers"));
    for (size_t i = 0; all.kind == V_SET && i < all.n; i++)
        TRY(CALL(x, NULL, "session.logout_subject_identifier", all.items[i]));
    return NULL;
}

/* Alerts */

static struct err *message_create(struct xe *x)
{
    static const struct {
        const char *arg, *class;
    } about[] = { { "vm-uuid", "VM" }, { "host-uuid", "Host" }, { "sr-uuid", "SR" }, { "pool-uuid", "Pool" } };
    const char *name = NULL, *body = NULL, *uuid = NULL, *class = NULL;
    struct value message;
    int64_t priority;

    TRY(arg_need(&x->args, "name", &name));
    TRY(arg_need(&x->args, "body", &body));
    TRY(need_int(x, "priority", &priority));
    for (size_t i = 0; i < ARRAY_LEN(about); i++) {
        const char *text = arg_get(&x->args, about[i].arg);

        if (text && uuid)
            return usage("name only one of vm-uuid, host-uuid, sr-uuid, pool-uuid");
        if (text)
            uuid = text, class = about[i].class;
    }
    if (!uuid)
        return usage("name one of vm-uuid, host-uuid, sr-uuid, pool-uuid");
    TRY(CALL(x, &message, "message.create", S(name), N(priority), S(class), S(uuid), S(body)));
    if (!message.n || strcmp(message.s, REF_NULL) == 0)
        return NULL;
    struct value found;
    struct err *e = xe_record(x, C_message, message.s, &found);
    if (!e)
        say("%s", value_map_str(&found, "uuid"));
    return e;
}

static struct err *message_destroy(struct xe *x)
{
    const char *text = arg_any(&x->args, "uuids,uuid"), **uuids;
    size_t n = comma_split(x->arena, text ? text : "", &uuids);

    if (!n)
        return usage("Required parameter not found: uuid");
    for (size_t i = 0; i < n; i++) {
        const char *ref = NULL;

        TRY(xe_find(x, C_message, uuids[i], &ref));
        TRY(CALL(x, NULL, "message.destroy", S(ref)));
    }
    return NULL;
}

/* Events */

static struct err *look(struct xe *x, const struct noun *noun, const struct value *batch, bool *ret_found)
{
    const struct value *events = value_map_get(batch, "events");

    *ret_found = false;
    for (size_t i = 0; events && events->kind == V_SET && i < events->n; i++) {
        const struct value *snapshot = value_map_get(&events->items[i], "snapshot");
        struct rec r = { value_map_str(&events->items[i], "ref"), snapshot };

        if (snapshot && snapshot->kind == V_MAP)
            map_put(x->records, r.ref, (void *)(uintptr_t)snapshot);
        if (snapshot && snapshot->kind == V_MAP && !*ret_found)
            TRY(records_match(x, noun, &r, ret_found));
    }
    return NULL;
}

/* Until an object of the class matches all filters; those that are there already count. */
static struct err *event_wait(struct xe *x)
{
    const char *class = NULL;
    struct value list, batch, token = S("");
    struct noun noun;
    bool found = false;

    TRY(arg_need(&x->args, "class", &class));
    if (!noun_find(x->arena, class, &noun))
        return usage("there is no class %s", class);
    noun.where = "";
    list = S(noun.class->lower);
    while (!found) {
        TRY(CALL(x, &batch, "event.from", value_set(&list, 1), token, value_float(30)));
        TRY(look(x, &noun, &batch, &found));
        token = S(value_map_str(&batch, "token"));
    }
    return NULL;
}

/* Appliances */

static struct err *appliance_shutdown(struct xe *x)
{
    const char *ref = NULL;
    bool force;

    TRY(need_ref(x, "uuid", C_VM_appliance, &ref));
    TRY(arg_bool(&x->args, "force", false, &force));
    return RUN(x, NULL, force ? "VM_appliance.hard_shutdown" : "VM_appliance.clean_shutdown", S(ref));
}

/* Consoles */

static struct err *console_of(struct xe *x, const struct rec *vm, const char **ret_uuid)
{
    const struct value *consoles = value_map_get(vm->record, "consoles");
    const char *location = "";

    for (size_t i = 0; consoles && i < consoles->n; i++) {
        const struct value *c = xe_known(x, C_console, consoles->items[i].s);

        if (c && strcmp(value_map_str(c, "protocol"), "vt100") == 0) {
            *ret_uuid = value_map_str(c, "uuid");
            return NULL;
        }
        if (c)
            location = value_map_str(c, "location");
    }
    if (*location)
        return usage("the VM has no text console; its screen is at %s", location);
    return usage("the VM has no console: is it running?");
}

static struct err *console(struct xe *x)
{
    const char *uuid = NULL;
    struct noun vm;
    struct rec r;

    noun_find(x->arena, "vm", &vm);
    TRY(records_pick_one(x, &vm, &r));
    TRY(console_of(x, &r, &uuid));
    return console_attach(x, uuid);
}

static struct err *help(struct xe *x)
{
    return help_run(x);
}

const struct verb other_verbs[] = {
    { "appliance-shutdown", appliance_shutdown, "uuid", "force", NULL,
        "Shuts the VMs of an appliance down: asks the guests, or with --force pulls the plug." },
    { "console", console, "", "", "vm", "Shows the text console of vm=UUID|NAME in this terminal; Ctrl-] ends." },
    { "event-wait", event_wait, "class", "", "vm",
        "Waits until an object of the class matches the filters, such as power-state=running; name/=value must "
        "differ." },
    { "help", help, "", "all", NULL, "Explains commands: help VERB, help --all." },
    { "message-create", message_create, "name,priority,body", "vm-uuid,host-uuid,sr-uuid,pool-uuid", NULL,
        "Makes an alert about one object. Prints its uuid." },
    { "message-destroy", message_destroy, "", "uuid,uuids", NULL, "Removes alerts." },
    { "subject-add", subject_add, "subject-name", "", NULL,
        "Lets a user (u:NAME) or group (g:NAME) log in, as pool-admin until its roles are changed. Prints the "
        "subject's uuid." },
    { "subject-remove", subject_remove, "", "subject-uuid,uuid", NULL, "Takes a user's access away." },
    { "subject-role-add", role_add, "", "uuid,role-name,role-uuid", NULL,
        "Gives a subject a role, such as role-name=vm-admin." },
    { "subject-role-remove", role_remove, "", "uuid,role-name,role-uuid", NULL, "Takes a role from a subject." },
    { "session-subject-identifier-list", subjects_here, "", "", NULL, "Shows which subjects have sessions." },
    { "session-subject-identifier-logout-all", log_all_out, "", "", NULL, "Ends all sessions of subjects." },
    { 0 },
};
