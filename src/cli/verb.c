#include "cli/verb.h"
#include <stdarg.h>
#include <string.h>
#include "cli/convert.h"

static const struct verb *const tables[] = { vm_verbs, size_verbs, disk_verbs, storage_verbs, network_verbs, host_verbs,
    host_file_verbs, blob_verbs, source_verbs, diagnose_verbs, secret_verbs, other_verbs };

static const struct {
    const char *suffix;
    enum xe_kind kind;
} kinds[] = {
    { "-param-list", XE_PARAM_LIST },
    { "-param-get", XE_PARAM_GET },
    { "-param-set", XE_PARAM_SET },
    { "-param-add", XE_PARAM_ADD },
    { "-param-remove", XE_PARAM_REMOVE },
    { "-param-clear", XE_PARAM_CLEAR },
    { "-list", XE_LIST },
};

/* Traditional names of messages that the model calls otherwise. */
static const struct {
    const char *name, *made;
} also[] = {
    { "pool-ha-enable", "pool-enable-ha" },
    { "pool-ha-disable", "pool-disable-ha" },
    { "pool-secret-rotate", "pool-rotate-secret" },
    { "pool-certificate-uninstall", "pool-uninstall-ca-certificate" },
    { "diagnostic-compact", "diagnostics-gc-compact" },
    { "diagnostic-gc-stats", "diagnostics-gc-stats" },
    { "diagnostic-db-stats", "diagnostics-db-stats" },
    { "diagnostic-net-stats", "diagnostics-network-stats" },
    { "diagnostic-timing-stats", "host-get-diagnostic-timing-stats" },
    { "session-subject-identifier-logout", "session-logout-subject-identifier" },
    { "vdi-unlock", "vdi-force-unlock" },
    { "vm-data-source-query", "vm-query-data-source" },
    { "vm-data-source-record", "vm-record-data-source" },
    { "vm-data-source-forget", "vm-forget-data-source-archives" },
    { "host-data-source-query", "host-query-data-source" },
    { "host-data-source-record", "host-record-data-source" },
    { "host-data-source-forget", "host-forget-data-source-archives" },
    { "sr-data-source-query", "sr-query-data-source" },
    { "sr-data-source-record", "sr-record-data-source" },
    { "sr-data-source-forget", "sr-forget-data-source-archives" },
    { "vm-memory-target-wait", "vm-wait-memory-target-live" },
    { "vm-compute-maximum-memory", "vm-maximise-memory" },
    { "vm-memory-shadow-multiplier-set", "vm-set-shadow-multiplier-live" },
};

/* Nouns that the model calls otherwise: appliance-start is vm-appliance-start. */
static const struct {
    const char *noun, *made;
} aliases[] = {
    { "appliance-", "vm-appliance-" },
    { "drtask-", "dr-task-" },
    { "patch-", "pool-patch-" },
    { "update-", "pool-update-" },
};

static const struct xe_verb *made_find(const char *name)
{
    for (size_t low = 0, high = XE_VERB_COUNT; low < high;) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, xe_verbs[middle].name);

        if (!order)
            return &xe_verbs[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* Messages only: lists and fields are the noun's own. */
static const struct xe_verb *message_find(struct arena *a, const char *noun, const char *rest)
{
    const struct xe_verb *v = made_find(arena_printf(a, "%s%s", noun, rest));

    return v && v->msg ? v : NULL;
}

static bool find_extra(const char *name, struct verb_found *ret)
{
    const struct noun *nouns;
    size_t n = noun_extra(&nouns);

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
            size_t len = strlen(nouns[i].name);

            if (strncmp(name, nouns[i].name, len) != 0 || strcmp(name + len, kinds[k].suffix) != 0)
                continue;
            *ret = (struct verb_found){ .kind = kinds[k].kind, .noun = nouns[i] };
            return true;
        }
    return false;
}

/* "vm-list" to "vm" */
static const char *noun_of(struct arena *a, const char *verb)
{
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
        if (str_ends(str_of(verb), str_of(kinds[k].suffix)))
            return arena_strndup(a, verb, strlen(verb) - strlen(kinds[k].suffix));
    return verb;
}

bool verb_find(struct arena *a, const char *name, struct verb_found *ret)
{
    *ret = (struct verb_found){ 0 };
    for (size_t t = 0; t < ARRAY_LEN(tables); t++)
        for (const struct verb *v = tables[t]; v->name; v++)
            if (strcmp(v->name, name) == 0) {
                ret->hand = v;
                return true;
            }
    for (size_t i = 0; i < ARRAY_LEN(also); i++)
        if (strcmp(also[i].name, name) == 0)
            name = also[i].made;
    ret->made = made_find(name);
    for (size_t i = 0; !ret->made && i < ARRAY_LEN(aliases); i++)
        if (cstr_starts(name, aliases[i].noun))
            ret->made = message_find(a, aliases[i].made, name + strlen(aliases[i].noun));
    if (!ret->made)
        return find_extra(name, ret);
    ret->kind = ret->made->kind;
    return noun_find(a, noun_of(a, name), &ret->noun) || ret->made->msg;
}

void verb_each(struct arena *a, void (*fn)(void *arg, const char *name), void *arg)
{
    const struct noun *nouns;
    size_t n = noun_extra(&nouns);

    for (size_t t = 0; t < ARRAY_LEN(tables); t++)
        for (const struct verb *v = tables[t]; v->name; v++)
            fn(arg, v->name);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
            fn(arg, arena_printf(a, "%s%s", nouns[i].name, kinds[k].suffix));
    for (size_t i = 0; i < ARRAY_LEN(also); i++)
        fn(arg, also[i].name);
    for (size_t i = 0; i < XE_VERB_COUNT; i++) {
        fn(arg, xe_verbs[i].name);
        for (size_t k = 0; k < ARRAY_LEN(aliases); k++)
            if (xe_verbs[i].msg && cstr_starts(xe_verbs[i].name, aliases[k].made))
                fn(arg, arena_printf(a, "%s%s", aliases[k].noun, xe_verbs[i].name + strlen(aliases[k].made)));
    }
}

/* The smallest number of edits wins. */

struct near {
    const char *wanted, *best;
    size_t edits;
};

static size_t distance(const char *a, const char *b)
{
    size_t row[65], n = strlen(b);

    if (strlen(a) >= 64 || n >= 64)
        return 64;
    for (size_t k = 0; k <= n; k++)
        row[k] = k;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];

        row[0] = i + 1;
        for (size_t k = 0; k < n; k++) {
            size_t best = diagonal + (a[i] != b[k]);

            diagonal = row[k + 1];
            best = row[k] + 1 < best ? row[k] + 1 : best;
            row[k + 1] = diagonal + 1 < best ? diagonal + 1 : best;
        }
    }
    return row[n];
}

static void look_near(void *arg, const char *name)
{
    struct near *n = arg;
    size_t edits = distance(n->wanted, name);

    if (edits >= n->edits)
        return;
    n->best = name;
    n->edits = edits;
}

const char *verb_near(struct arena *a, const char *name)
{
    struct near n = { .wanted = name, .edits = 4 };

    verb_each(a, look_near, &n);
    return n.best;
}

static struct err *check_needs(struct xe *x, const struct verb *v)
{
    const char **names;
    size_t n = comma_split(x->arena, v->needs, &names);
    const char *unused;

    for (size_t i = 0; i < n; i++)
        if (!str_ends(str_of(names[i]), STR(":")))
            TRY(arg_need(&x->args, names[i], &unused));
    n = comma_split(x->arena, v->takes, &names);
    for (size_t i = 0; i < n; i++)
        arg_get(&x->args, names[i]); /* known, if given: no filter */
    for (size_t i = 0; i < n; i++)
        if (str_ends(str_of(names[i]), STR(":")))
            convert_map_args(x, arena_strndup(x->arena, names[i], strlen(names[i]) - 1));
    return v->select ? NULL : no_argument_left(x);
}

struct err *verb_run(struct xe *x, const struct verb_found *v)
{
    bool unused;

    TRY(arg_bool(&x->args, "progress", false, &unused));
    if (v->hand) {
        TRY(check_needs(x, v->hand));
        return v->hand->run(x);
    }
    switch (v->kind) {
    case XE_LIST:
        return list_run(x, &v->noun);
    case XE_CALL:
    case XE_CREATE:
    case XE_DESTROY:
        return message_run(x, v->made);
    default:
        return param_run(x, &v->noun, v->kind);
    }
}

/* Helpers */

void say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
}

void say_map(struct xe *x, const struct value *map)
{
    static const struct type string = { .kind = TYPE_STRING };
    struct cell *cells = arena_new_array(x->arena, map->n + 1UL, struct cell);
    AUTO(buf_done) struct buf b;

    buf_init(&b, 64UL << 20);
    for (size_t i = 0; map->kind == V_MAP && i < map->n; i++)
        cells[i] = (struct cell){ map->items[2 * i].s, xe_value_text(x, &string, &map->items[2 * i + 1], "; ") };
    if (x->args.minimal)
        buf_printf(&b, "%s\n", map->n ? cells[0].value : "");
    else
        print_cells(&b, cells, map->kind == V_MAP ? map->n : 0);
    print_out(&b);
}

struct err *say_uuid(struct xe *x, const struct model_class *c, const char *ref)
{
    struct value uuid;

    TRY(xe_field(x, c, ref, "uuid", &uuid));
    say("%s", uuid.s);
    return NULL;
}

struct err *need_ref(struct xe *x, const char *arg, const struct model_class *c, const char **ret_ref)
{
    const char *text = NULL, *ref = NULL;

    TRY(arg_need(&x->args, arg, &text));
    TRY(xe_find(x, c, text, &ref));
    if (strcmp(ref, REF_NULL) == 0)
        return usage("Failed to parse parameter '%s': it names nothing", arg);
    *ret_ref = ref;
    return NULL;
}

struct err *need_int(struct xe *x, const char *arg, int64_t *ret)
{
    static const struct type number = { .kind = TYPE_INT };
    const char *text = NULL;
    struct value v;

    TRY(arg_need(&x->args, arg, &text));
    TRY(convert(x, &number, arg, text, &v));
    *ret = v.i;
    return NULL;
}

struct err *confirm(struct xe *x)
{
    char text[16] = "";
    bool force = false;

    TRY(arg_bool(&x->args, "force", false, &force));
    if (force)
        return NULL;
    fputs("Type 'yes' to continue\n", stderr);
    if (fgets(text, sizeof(text), stdin))
        text[strcspn(text, "\r\n")] = 0;
    return strcmp(text, "yes") == 0 ? NULL : usage("Aborted: nothing was changed (force=true asks no question)");
}

struct err *each(struct xe *x, const char *name, each_fn *fn)
{
    struct noun noun;
    struct rec *list = NULL;
    size_t n = 0;
    struct err *first = NULL;

    if (!noun_find(x->arena, name, &noun))
        return usage("no noun %s", name);
    if (strcmp(name, "vm") == 0)
        noun.where = "is-a-template=false,is-control-domain=false";
    TRY(records_pick(x, &noun, &list, &n));
    for (size_t i = 0; i < n; i++) {
        struct err *e = fn(x, &list[i]);

        if (e && n > 1)
            fprintf(stderr, "%s: ", value_map_str(list[i].record, "uuid")), fail_print(stderr, e, NULL, NULL);
        first = err_first(first, e);
    }
    return first;
}
