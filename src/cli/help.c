#include <string.h>
#include "cli/verb.h"

static const char overview[] =
    "Usage: xe VERB [NAME=VALUE ...] [-s SERVER -u USER (-pw PASSWORD | -pwf FILE) [-p PORT] [--nossl]] [--minimal]\n"
    "\n"
    "Without -s xe talks to the server on this machine by its local socket (--socket PATH).\n"
    "--debug tells each call, --debug-on-fail only if one fails.\n"
    "The same can stand in XE_EXTRA_ARGS=\"server=...,username=...,passwordfile=...\" and, line by line, in ~/.xe.\n"
    "\n"
    "  xe vm-list [params=all|name,name] [power-state=running ...]   lists objects, here VMs, perhaps filtered\n"
    "  xe vm-param-list uuid=UUID                                    all fields of one; RW can be set, M are maps, S "
    "sets\n"
    "  xe vm-param-set uuid=UUID name-label=NAME other-config:KEY=VALUE\n"
    "  xe vm-param-get|add|remove|clear uuid=UUID param-name=NAME [param-key=KEY]\n"
    "  xe help VERB       explains one command\n"
    "  xe help --all      names all\n"
    "\n"
    "The most used:\n";

static const char *const most_used[] = { "vm-list", "vm-install", "vm-start", "vm-shutdown", "vm-reboot", "vm-suspend",
    "vm-resume", "vm-clone", "vm-uninstall", "vm-disk-list", "vm-disk-add", "vm-cd-insert", "vm-cd-eject",
    "template-list", "vdi-create", "vdi-import", "vdi-export", "vif-create", "sr-list", "sr-create", "network-list",
    "host-list", "task-list", "message-list", "subject-add", "subject-role-add", "event-wait", "console" };

struct names {
    const char **p;
    size_t n, max;
};

static void collect(void *arg, const char *name)
{
    struct names *list = arg;

    if (list->n < list->max)
        list->p[list->n++] = name;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_all(struct xe *x)
{
    struct names list = { .max = XE_VERB_COUNT + 512 };
    const char *before = "";

    list.p = arena_new_array(x->arena, list.max, const char *);
    verb_each(x->arena, collect, &list);
    qsort(list.p, list.n, sizeof(*list.p), by_text);
    for (size_t i = 0; i < list.n; i++) {
        if (strcmp(list.p[i], before) == 0)
            continue;
        printf(x->args.minimal ? "%s%s" : "%s%s\n", x->args.minimal && *before ? "," : "", list.p[i]);
        before = list.p[i];
    }
    if (x->args.minimal)
        putchar('\n');
}

/* What a verb takes, for people and for completion. */
struct shape {
    const char *needs, *takes, *help;
    const struct noun *fields; /* whose filters or fields it takes too; NULL */
};

static const char *const kind_help[] = {
    [XE_LIST] = "Lists objects, all or those that match the filters NAME=VALUE, MAP:KEY=VALUE, SET:contains=VALUE.",
    [XE_PARAM_LIST] = "Shows all fields of an object.",
    [XE_PARAM_GET] = "Shows one field, or one key of a map.",
    [XE_PARAM_SET] = "Sets fields: NAME=VALUE, and keys of maps: MAP:KEY=VALUE.",
    [XE_PARAM_ADD] = "Adds param-key= to a set, or KEY=VALUE to a map.",
    [XE_PARAM_REMOVE] = "Removes a member of a set or a key of a map.",
    [XE_PARAM_CLEAR] = "Empties a field.",
};

static struct shape shape_of(struct xe *x, const struct verb_found *v, struct noun *noun)
{
    struct shape s = { .needs = "", .takes = "" };
    static const char *const needs[] = {
        [XE_LIST] = "",
        [XE_PARAM_LIST] = "uuid",
        [XE_PARAM_GET] = "uuid,param-name",
        [XE_PARAM_SET] = "uuid",
        [XE_PARAM_ADD] = "uuid,param-name",
        [XE_PARAM_REMOVE] = "uuid,param-name,param-key",
        [XE_PARAM_CLEAR] = "uuid,param-name",
    };

    if (v->hand) {
        s = (struct shape){ .needs = v->hand->needs, .takes = v->hand->takes, .help = v->hand->help };
        if (v->hand->select && noun_find(x->arena, v->hand->select, noun))
            s.fields = noun;
        return s;
    }
    if (v->made && v->made->msg) {
        s.needs = message_params(x->arena, v->made, true);
        s.takes = message_params(x->arena, v->made, false);
        s.help = v->made->doc      ? arena_printf(x->arena, "%s.", v->made->doc)
            : v->kind == XE_CREATE ? "Makes an object. Prints its uuid."
                                   : "Removes an object.";
        return s;
    }
    *noun = v->noun;
    s.needs = needs[v->kind];
    s.takes = v->kind == XE_LIST ? "params" : v->kind == XE_PARAM_GET || v->kind == XE_PARAM_ADD ? "param-key" : "";
    s.help = kind_help[v->kind];
    s.fields = v->kind == XE_LIST || v->kind == XE_PARAM_SET ? noun : NULL;
    return s;
}

/* One word per parameter: "uuid=", "other-config:". */
static void print_minimal_shape(struct xe *x, const struct shape *s, bool writable)
{
    const char **names;
    size_t n = comma_split(
        x->arena, arena_printf(x->arena, "%s%s%s", s->needs, *s->needs && *s->takes ? "," : "", s->takes), &names);
    struct xe_field *fields;

    for (size_t i = 0; i < n; i++)
        printf("%s%s%s", i ? "," : "", names[i], str_ends(str_of(names[i]), STR(":")) ? "" : "=");
    size_t n_fields = s->fields ? xe_fields(x->arena, s->fields->class, &fields) : 0;
    for (size_t i = 0; i < n_fields; i++)
        if (!writable || xe_writable(&fields[i]))
            printf("%s%s%s", n++ ? "," : "", fields[i].name,
                writable && fields[i].field->type->kind == TYPE_MAP ? ":" : "=");
    putchar('\n');
}

static struct err *explain(struct xe *x, const char *name)
{
    struct verb_found v;
    struct noun noun;
    struct shape s;

    if (!verb_find(x->arena, name, &v))
        return usage("Unknown command: %s. 'xe help --all' names all.", name);
    s = shape_of(x, &v, &noun);
    if (x->args.minimal) {
        print_minimal_shape(x, &s, v.kind == XE_PARAM_SET && !v.hand);
        return NULL;
    }
    say("command name     : %s", name);
    say("        reqd params: %s", s.needs);
    say("        optional params: %s%s%s", s.takes, s.fields && *s.takes ? "," : "",
        s.fields ? arena_printf(x->arena, "<%s fields>", s.fields->name) : "");
    say("        description: %s\n", s.help ? s.help : "");
    return NULL;
}

struct err *help_run(struct xe *x)
{
    bool all = false;

    TRY(arg_bool(&x->args, "all", false, &all));
    if (all) {
        print_all(x);
        return NULL;
    }
    for (size_t i = 0; i < x->args.n_words; i++)
        TRY(explain(x, x->args.words[i]));
    if (x->args.n_words)
        return NULL;
    fputs(overview, stdout);
    for (size_t i = 0; i < ARRAY_LEN(most_used); i++)
        printf("  %s%s", most_used[i], (i + 1) % 7 && i + 1 < ARRAY_LEN(most_used) ? "" : "\n");
    return NULL;
}
