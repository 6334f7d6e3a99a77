#include "model/model.h"
#include "base/arena.h"
#include "base/value.h"
#include "gen/api.h"
#include "gen/errors.h"
#include "gen/model.h"
#include "gen/xe_verbs.h"
#include "test.h"
#include <string.h>

TEST(every_class_is_found_in_any_case)
{
    for (size_t i = 0; i < model_n_classes(); i++) {
        const struct model_class *c = model_class(i);

        CHECK_INT(c->id, i);
        CHECK(model_class_find(c->name) == c);
        CHECK(model_class_find_nocase(c->lower) == c);
    }
    CHECK(!model_class_find("vm"));
    CHECK(!model_class_find_nocase(""));
    CHECK(!model_class_find_nocase("zzz"));
}

TEST(every_message_is_found_in_both_spellings)
{
    for (size_t i = 0; i < model_n_msgs(); i++) {
        const struct msg *m = model_msg(i);
        char name[200];

        CHECK_INT(m->id, i);
        CHECK(model_msg_find(m->name) == m);
        snprintf(name, sizeof(name), "%s", m->name);
        *strchr(name, '.') = '_';
        CHECK(model_msg_find(name) == m);
    }
    CHECK(!model_msg_find("VM.clean.shutdown"));
    CHECK(!model_msg_find("vm.start"));
    CHECK(!model_msg_find("VM.star"));
    CHECK(!model_msg_find("Async.VM.start"));
}

TEST(a_field_knows_its_class_and_its_place)
{
    for (size_t i = 0; i < model_n_classes(); i++) {
        const struct model_class *c = model_class(i);

        for (size_t j = 0; j < c->n_fields; j++) {
            CHECK(c->fields[j]->class == c);
            CHECK_INT(c->fields[j]->index, j);
            CHECK(model_field_find(c, c->fields[j]->name) == c->fields[j]);
            CHECK(model_field_find(c, c->fields[j]->db_name) == c->fields[j]);
        }
    }
    CHECK(model_field_find(C_VM, "name__label") == F_VM_name_label);
    CHECK(C_VM->name_label == F_VM_name_label);
    CHECK(!model_field_find(C_VM, "label"));
}

TEST(relations_know_their_other_side)
{
    CHECK_INT(F_VBD_VM->relation, REL_ONE);
    CHECK_INT(F_VM_VBDs->relation, REL_DERIVED);
    CHECK(F_VBD_VM->other == F_VM_VBDs);
    CHECK(F_VM_VBDs->other == F_VBD_VM);
    CHECK_INT(F_VM_groups->relation, REL_MANY);
    CHECK_INT(F_subject_roles->relation, REL_NONE);
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const struct field *f = &model_fields[i];

        if (f->relation != REL_NONE)
            CHECK(f->other->other == f && (f->relation == REL_DERIVED) != (f->other->relation == REL_DERIVED));
        if (f->relation == REL_ONE)
            CHECK_INT(f->type->kind, TYPE_REF);
        if (f->relation == REL_MANY || f->relation == REL_DERIVED)
            CHECK(f->type->kind == TYPE_SET && f->type->elem->kind == TYPE_REF);
    }
}

/* Defaults are stored as they are, so they must already be of the field's type. */
TEST(defaults_have_the_type_of_their_field)
{
    AUTO(arena_drop) struct arena *a = arena_new();

    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const struct field *f = &model_fields[i];
        struct value v;

        if (!f->dflt)
            continue;
        CHECK_OK(type_check(a, f->type, f->name, f->dflt, &v));
        CHECK(value_eq(&v, f->dflt));
    }
    CHECK_STR(F_VM_power_state->dflt->s, "Halted");
    CHECK(F_host_license_server->dflt->kind == V_MAP);
    CHECK_STR(value_map_str(F_host_license_server->dflt, "port"), "27000");
}

TEST(messages_carry_what_dispatch_needs)
{
    const struct msg *m = M_VM_start;

    CHECK_STR(m->permission, "vm.start");
    CHECK_INT(m->n_params, 3);
    CHECK_INT(m->role, ROLE_VM_OPERATOR);
    CHECK(m->async && m->session && !m->removed);
    CHECK(!M_session_login_with_password->session);
    CHECK_INT(M_session_login_with_password->n_required, 2);
    CHECK_INT(M_VM_get_name_label->implicit, IMPLICIT_GET);
    CHECK(M_VM_get_name_label->field == F_VM_name_label);
    CHECK_INT(M_host_add_to_other_config->implicit, IMPLICIT_ADD_TO);
    CHECK(M_host_remove_from_other_config->field == F_host_other_config);
    CHECK_INT(M_VM_add_to_other_config->n_key_roles, 4);
    CHECK_INT(M_VM_add_tags->implicit, IMPLICIT_ADD);
    CHECK(M_VM_remove_tags->field == F_VM_tags);
    CHECK(M_host_is_in_emergency_mode->emergency);
    CHECK(M_VM_snapshot_with_quiesce->removed);
    CHECK(M_host_call_plugin->result->kind == TYPE_STRING);
}

TEST(roles_have_names)
{
    enum role r = ROLE_READ_ONLY;

    CHECK(role_find("pool-admin", &r));
    CHECK_INT(r, ROLE_POOL_ADMIN);
    CHECK(!role_find("root", &r));
    CHECK_STR(role_name(ROLE_VM_OPERATOR), "vm-operator");
}

TEST(enum_values_are_matched_without_case)
{
    const char *text = NULL;

    CHECK(enum_has(F_VM_power_state->type->en, "running", &text));
    CHECK_STR(text, "Running");
    CHECK(!enum_has(F_VM_power_state->type->en, "Sleeping", &text));
}

TEST(error_constructors_put_parameters_in_order)
{
    AUTO(err_drop) struct err *e = err_vdi_in_use("vdi-1", "attach");

    CHECK_STR(err_code(e), "VDI_IN_USE");
    CHECK_STR(err_param(e, 0), "vdi-1");
    CHECK_STR(err_param(e, 1), "attach");
}

static struct err *start(struct call *c UNUSED, const struct VM_start_args *a, struct value *ret)
{
    CHECK_STR(a->vm, "OpaqueRef:1");
    CHECK(a->start_paused && !a->force);
    *ret = value_str("");
    return NULL;
}

TEST(dispatch_unpacks_arguments_and_knows_what_is_missing)
{
    static const struct api_handlers h = { .VM_start = start };
    struct value args[] = { value_str("OpaqueRef:1"), value_bool(true), value_bool(false) };
    struct value ret = VALUE_NIL;
    bool built = false;

    CHECK_OK(api_dispatch(&h, M_VM_start, NULL, args, &ret, &built));
    CHECK(built && ret.kind == V_STRING);
    CHECK_OK(api_dispatch(&h, M_VM_pause, NULL, args, &ret, &built));
    CHECK(!built);
    CHECK(!api_is_built(&h, M_VM_get_uuid));
}

TEST(verbs_of_the_command_line_are_sorted)
{
    for (size_t i = 1; i < XE_VERB_COUNT; i++)
        CHECK(strcmp(xe_verbs[i - 1].name, xe_verbs[i].name) < 0);
}
