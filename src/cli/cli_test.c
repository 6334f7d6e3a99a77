#include <string.h>
#include "base/map.h"
#include "cli/convert.h"
#include "cli/print.h"
#include "cli/verb.h"
#include "test.h"

/* Arguments */

static struct arena *arena;

static struct err *parse(struct args *ret, const char *rc, const char *extra, char **argv)
{
    int argc = 0;

    if (!arena)
        arena = arena_new();
    while (argv[argc])
        argc++;
    return args_parse(arena, argc, argv, rc, extra, ret);
}

#define ARGV(...) ((char *[]){ (char[]){ "xe" }, __VA_ARGS__, NULL })
#define WORD(text) ((char[]){ text })

TEST(words_become_a_verb_and_its_arguments)
{
    struct args a;

    CHECK_OK(parse(&a, "", NULL,
        ARGV(WORD("vm-list"), WORD("power-state=running"), WORD("other-config:a=b=c"), WORD("--multiple"))));
    CHECK_STR(a.verb, "vm-list");
    CHECK_STR(arg_get(&a, "power-state"), "running");
    CHECK_STR(arg_get(&a, "other-config:a"), "b=c");
    CHECK_STR(arg_get(&a, "multiple"), "true");
    CHECK(!arg_get(&a, "uuid"));
    CHECK(a.list[0].used && a.list[1].used && a.list[2].used);
}

TEST(options_say_where_the_server_is)
{
    struct args a;

    CHECK_OK(parse(&a, "", NULL,
        ARGV(WORD("-s"), WORD("box"), WORD("-u"), WORD("root"), WORD("-p"), WORD("8443"), WORD("--nossl"),
            WORD("vm-list"), WORD("--minimal"))));
    CHECK_STR(a.server, "box");
    CHECK_STR(a.port, "8443");
    CHECK_STR(a.user, "root");
    CHECK(a.plain && a.minimal);
}

TEST(a_password_is_starred_out_in_argv)
{
    char password[] = "geheim", value[] = "value=geheim";
    struct args a;

    CHECK_OK(parse(&a, "", NULL, ARGV(WORD("-pw"), password, WORD("secret-create"), value)));
    CHECK_STR(a.password, "geheim");
    CHECK_STR(arg_get(&a, "value"), "geheim");
    CHECK_STR(password, "******");
    CHECK_STR(value, "value=******");
}

TEST(the_command_line_wins_over_the_variable_and_that_over_the_file)
{
    struct args a;

    CHECK_OK(parse(&a, "# mine\nserver=one\nusername=u1\nport=1\n", "server=two,username=u2,password=a\\,b",
        ARGV(WORD("-s"), WORD("three"), WORD("vm-list"))));
    CHECK_STR(a.server, "three");
    CHECK_STR(a.user, "u2");
    CHECK_STR(a.port, "1");
    CHECK_STR(a.password, "a,b");
}

TEST(what_makes_no_sense_is_refused)
{
    struct args a;

    CHECK_ERR(parse(&a, "", NULL, ARGV(WORD("vm-list"), WORD("stray"))), XE_USAGE);
    CHECK_ERR(parse(&a, "", NULL, ARGV(WORD("-z"))), XE_USAGE);
    CHECK_ERR(parse(&a, "", NULL, ARGV(WORD("-s"))), XE_USAGE);
    CHECK_ERR(parse(&a, "nonsense\n", NULL, ARGV(WORD("vm-list"))), XE_USAGE);
    CHECK_ERR(parse(&a, "", "colour=blue", ARGV(WORD("vm-list"))), XE_USAGE);
}

TEST(lists_are_split_at_commas_but_not_at_escaped_ones)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    const char **p;

    CHECK_INT(comma_split(a, "", &p), 0);
    CHECK_INT(comma_split(a, "a,b\\,c,\\\\", &p), 3);
    CHECK_STR(p[0], "a");
    CHECK_STR(p[1], "b,c");
    CHECK_STR(p[2], "\\");
}

/* Layout */

TEST(records_look_as_they_do_in_xenserver)
{
    const struct cell cells[] = { { "uuid ( RO)", "4f7e" }, { "name-label ( RW)", "web" },
        { "power-state ( RO)", "running" } };
    AUTO(buf_done) struct buf b;

    buf_init(&b, 4096);
    print_cells(&b, cells, 3);
    CHECK_STR(b.p,
        "uuid ( RO)           : 4f7e\n"
        "     name-label ( RW): web\n"
        "    power-state ( RO): running\n"
        "\n\n");
}

TEST(minimal_output_is_one_line_with_escaped_commas)
{
    AUTO(buf_done) struct buf b;

    buf_init(&b, 4096);
    print_minimal(&b, "a,b", true);
    print_minimal(&b, "c\\d", false);
    CHECK_STR(b.p, "a\\,b,c\\\\d");
}

/* Names of fields */

static const struct xe_field *field(struct arena *a, const struct model_class *c, const char *name)
{
    struct xe_field *fields;
    size_t n = xe_fields(a, c, &fields);

    return xe_field_find(fields, n, name);
}

TEST(fields_have_the_names_that_people_know)
{
    AUTO(arena_drop) struct arena *a = arena_new();

    CHECK(field(a, C_VM, "name-label")->field == F_VM_name_label);
    CHECK(field(a, C_VM, "name_label")->field == F_VM_name_label);
    CHECK(field(a, C_VM, "dom-id")->field == F_VM_domid);
    CHECK(field(a, C_VM, "vcpus-max")->field == F_VM_VCPUs_max);
    CHECK(field(a, C_VM, "memory-actual")->hop == F_VM_metrics_memory_actual);
    CHECK(field(a, C_VBD, "vm-uuid")->field == F_VBD_VM);
    CHECK(field(a, C_VBD, "vm-name-label")->as_name);
    CHECK(field(a, C_VDI, "sr-uuid")->field == F_VDI_SR);
    CHECK(field(a, C_VM, "affinity-uuid")->field == F_VM_affinity);
    CHECK(field(a, C_network, "VIF-uuids")->field == F_network_VIFs);
    CHECK(!field(a, C_VM, "colour"));
}

TEST(modes_tell_what_can_be_changed)
{
    AUTO(arena_drop) struct arena *a = arena_new();

    CHECK_STR(xe_field_mode(a, field(a, C_VM, "uuid")), " RO");
    CHECK_STR(xe_field_mode(a, field(a, C_VM, "name-label")), " RW");
    CHECK_STR(xe_field_mode(a, field(a, C_VM, "memory-static-max")), " RW");
    CHECK_STR(xe_field_mode(a, field(a, C_VM, "other-config")), "MRW");
    CHECK_STR(xe_field_mode(a, field(a, C_VM, "tags")), "SRW");
    CHECK_STR(xe_field_mode(a, field(a, C_VM, "allowed-operations")), "SRO");
    CHECK_STR(xe_field_mode(a, field(a, C_VM, "networks")), "MRO");
}

TEST(values_are_shown_as_text)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct xe x = { .arena = a };
    struct value pairs[] = { value_str("a"), value_str("1"), value_str("b"), value_str("2") };
    struct value record[] = { value_str("other_config"), value_map(pairs, 2), value_str("power_state"),
        value_str("Running"), value_str("tags"), value_set(pairs, 3), value_str("is_a_template"), value_bool(false) };
    struct value r = value_map(record, 4);

    CHECK_STR(xe_field_text(&x, field(a, C_VM, "other-config"), "", &r, false), "a: 1; b: 2");
    CHECK_STR(xe_field_text(&x, field(a, C_VM, "power-state"), "", &r, false), "running");
    CHECK_STR(xe_field_text(&x, field(a, C_VM, "tags"), "", &r, false), "a, 1, b");
    CHECK_STR(xe_field_text(&x, field(a, C_VM, "is-a-template"), "", &r, false), "false");
    CHECK_STR(xe_field_text(&x, field(a, C_VM, "possible-hosts"), "", &r, false), "<expensive field>");
}

TEST(maps_and_sets_are_split_from_their_keys)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct xe_field *fields;
    size_t n = xe_fields(a, C_VM, &fields);
    const char *key;

    CHECK(xe_field_split(a, fields, n, "other-config:a:b", &key)->field == F_VM_other_config);
    CHECK_STR(key, "a:b");
    CHECK(xe_field_split(a, fields, n, "other-config-a", &key)->field == F_VM_other_config);
    CHECK_STR(key, "a");
    CHECK(xe_field_split(a, fields, n, "tags-contains", &key)->field == F_VM_tags);
    CHECK(xe_field_split(a, fields, n, "name-label", &key)->field == F_VM_name_label && !key);
    CHECK(!xe_field_split(a, fields, n, "name-label-x", &key));
    CHECK(!xe_field_split(a, fields, n, "colour:x", &key));
}

TEST(what_must_be_asked_is_told_like_a_field)
{
    AUTO(arena_drop) struct arena *a = arena_new();

    CHECK_STR(xe_field_mode(a, field(a, C_VM, "possible-hosts")), "SRO");
    CHECK_STR(xe_field_mode(a, field(a, C_VM, "VCPUs-utilisation")), "MRO");
    CHECK_STR(xe_field_mode(a, field(a, C_VM, "cooperative")), " RO");
    CHECK_STR(xe_field_mode(a, field(a, C_pool, "https-only")), " RW");
    CHECK(!field(a, C_host_cpu, "utilisation")->field);
    CHECK(field(a, C_PGPU, "gpu-group-uuid")->field == F_PGPU_GPU_group);
    CHECK(field(a, C_VTPM, "vm-uuid")->field == F_VTPM_VM);
}

/* Values */

TEST(numbers_take_units)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct xe x = { .arena = a };
    const struct type number = { .kind = TYPE_INT };
    struct value v;

    CHECK_OK(convert(&x, &number, "size", "8GiB", &v));
    CHECK_INT(v.i, 8LL << 30);
    CHECK_OK(convert(&x, &number, "size", "-1", &v));
    CHECK_INT(v.i, -1);
    CHECK_ERR(convert(&x, &number, "size", "8GB", &v), XE_USAGE);
    CHECK_ERR(convert(&x, &number, "size", "99999999TiB", &v), XE_USAGE);
    CHECK_ERR(convert(&x, &number, "size", "", &v), XE_USAGE);
}

TEST(sets_and_maps_come_from_text)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct xe x = { .arena = a };
    struct value v;

    CHECK_OK(convert(&x, F_VM_tags->type, "tags", "a,b", &v));
    CHECK_INT(v.n, 2);
    CHECK_OK(convert(&x, F_VM_other_config->type, "other-config", "k=v,l=w=x", &v));
    CHECK_STR(value_map_str(&v, "l"), "w=x");
    CHECK_ERR(convert(&x, F_VM_other_config->type, "other-config", "k", &v), XE_USAGE);
    CHECK_OK(convert(&x, F_VM_actions_after_crash->type, "actions-after-crash", "Restart", &v));
    CHECK_ERR(convert(&x, F_VM_actions_after_crash->type, "actions-after-crash", "explode", &v), XE_USAGE);
}

/* Verbs */

TEST(verbs_are_found_by_hand_by_model_and_by_noun)
{
    AUTO(arena_drop) struct arena *a = arena_new();
    struct verb_found v;

    CHECK(verb_find(a, "vm-start", &v) && v.hand);
    CHECK(verb_find(a, "vm-list", &v) && v.kind == XE_LIST && v.noun.class == C_VM);
    CHECK(verb_find(a, "template-param-get", &v) && v.kind == XE_PARAM_GET && v.noun.class == C_VM);
    CHECK(verb_find(a, "vdi-destroy", &v) && v.made && v.made->msg);
    CHECK(verb_find(a, "pool-ha-enable", &v) && v.made);
    CHECK(verb_find(a, "appliance-start", &v) && v.made);
    CHECK(verb_find(a, "drtask-list", &v) && v.noun.class == C_DR_task);
    CHECK(!verb_find(a, "vm-dance", &v));
    CHECK_STR(verb_near(a, "vm-strat"), "vm-start");
    CHECK(!verb_near(a, "completely-different"));
}

static void find_it(void *arg, const char *name)
{
    struct verb_found v;

    if (!verb_find(arg, name, &v))
        test_fail(__FILE__, __LINE__, "%s is listed but not found", name);
}

TEST(every_verb_that_is_listed_can_be_run)
{
    AUTO(arena_drop) struct arena *a = arena_new();

    verb_each(a, find_it, a);
}

TEST(errors_name_code_parameters_and_remedy)
{
    const char *params[] = { "OpaqueRef:1", "halted", "running" };
    AUTO(err_drop) struct err *e = err_new("VM_BAD_POWER_STATE", params, 3);
    char text[1024] = "";
    FILE *f = fmemopen(text, sizeof(text), "w");

    fail_print(f, e, NULL, NULL);
    fclose(f);
    CHECK(strstr(text, "Error code: VM_BAD_POWER_STATE\nvm: OpaqueRef:1\nexpected: halted\nactual: running\n"));
    CHECK(text[0] == 'T' && strstr(text, "allowed-operations"));
}
