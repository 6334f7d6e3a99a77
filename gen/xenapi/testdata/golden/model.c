/* Generated from idl/xenapi/ by gen/xenapi_gen.py. Do not edit. */
#include "gen/model.h"

static const struct type types[16];

static const char *const enum_colour[] = { "red", "blue" };
const struct model_enum model_enums[ENUM_COUNT] = {
    { "colour", enum_colour, 2 },
};

static const struct value items_0[] = { { .kind = V_STRING, .n = 1, .s = "a" }, { .kind = V_STRING, .n = 1, .s = "b" } };
static const struct value items_1[] = { { .kind = V_INT, .i = 1 }, { .kind = V_INT, .i = 2 } };
static const struct value values[] = {
    { .kind = V_STRING, .n = 0, .s = "" },
    { .kind = V_STRING, .n = 3, .s = "red" },
    { .kind = V_MAP, .n = 1, .items = items_0 },
    { .kind = V_SET, .n = 2, .items = items_1 },
    { .kind = V_STRING, .n = 14, .s = "OpaqueRef:NULL" },
    { .kind = V_BOOL, .b = false },
};

static const struct key_role key_roles_0[] = { { "x.*", ROLE_VM_OPERATOR } };
static const char *const errors_0[] = { "BOX_LOCKED" };
static const struct param params_0[] = { { "self", &types[9], NULL }, { "force", &types[10], &values[5] } };
static const struct param params_1[] = { { "self", &types[9], NULL } };
static const struct param params_2[] = { { "args", &types[12], NULL } };
static const struct param params_3[] = { { "expr", &types[0], NULL } };
static const struct param params_4[] = { { "self", &types[9], NULL }, { "value", &types[0], NULL } };
static const struct param params_5[] = { { "self", &types[9], NULL }, { "value", &types[2], NULL } };
static const struct param params_6[] = { { "self", &types[9], NULL }, { "key", &types[0], NULL }, { "value", &types[0], NULL } };
static const struct param params_7[] = { { "self", &types[9], NULL }, { "key", &types[0], NULL } };
static const struct param params_8[] = { { "self", &types[9], NULL }, { "value", &types[6], NULL } };
static const struct param params_9[] = { { "self", &types[9], NULL }, { "value", &types[5], NULL } };
static const struct param params_10[] = { { "uuid", &types[0], NULL } };
static const struct param params_11[] = { { "label", &types[0], NULL } };
static const struct param params_12[] = { { "self", &types[3], NULL } };
static const struct field *const fields_0[] = { &model_fields[0], &model_fields[1], &model_fields[2], &model_fields[3], &model_fields[4], &model_fields[5], &model_fields[6] };
static const struct msg *const msgs_0[] = { &model_msgs[0], &model_msgs[1], &model_msgs[2], &model_msgs[3], &model_msgs[4], &model_msgs[5], &model_msgs[6], &model_msgs[7], &model_msgs[8], &model_msgs[9], &model_msgs[10], &model_msgs[11], &model_msgs[12], &model_msgs[13], &model_msgs[14], &model_msgs[15], &model_msgs[16], &model_msgs[17], &model_msgs[18], &model_msgs[19], &model_msgs[20], &model_msgs[21], &model_msgs[22], &model_msgs[23], &model_msgs[24], &model_msgs[25] };
static const struct field *const fields_1[] = { &model_fields[7], &model_fields[8] };
static const struct msg *const msgs_1[] = { &model_msgs[26], &model_msgs[27], &model_msgs[28], &model_msgs[29] };

static const struct type types[16] = {
    { .kind = TYPE_STRING, .text = "string" },
    { .kind = TYPE_ENUM, .text = "enum colour", .en = &model_enums[0] },
    { .kind = TYPE_MAP, .text = "map(string,string)", .key = &types[0], .elem = &types[0] },
    { .kind = TYPE_REF, .text = "ref Lid", .of = &model_classes[1] },
    { .kind = TYPE_SET, .text = "set(ref Lid)", .elem = &types[3] },
    { .kind = TYPE_INT, .text = "int" },
    { .kind = TYPE_SET, .text = "set(int)", .elem = &types[5] },
    { .kind = TYPE_FLOAT, .text = "float" },
    { .kind = TYPE_OPTION, .text = "option(float)", .elem = &types[7] },
    { .kind = TYPE_REF, .text = "ref Box", .of = &model_classes[0] },
    { .kind = TYPE_BOOL, .text = "bool" },
    { .kind = TYPE_VOID, .text = "void" },
    { .kind = TYPE_RECORD, .text = "record Box", .of = &model_classes[0] },
    { .kind = TYPE_SET, .text = "set(ref Box)", .elem = &types[9] },
    { .kind = TYPE_MAP, .text = "map(ref Box,record Box)", .key = &types[9], .elem = &types[12] },
    { .kind = TYPE_RECORD, .text = "record Lid", .of = &model_classes[1] },
};

const struct field model_fields[FIELD_COUNT] = {
    { .name = "uuid", .db_name = "uuid", .type = &types[0], .dflt = NULL, .key_roles = NULL, .other = NULL, .class = &model_classes[0], .index = 0, .n_key_roles = 0, .q = Q_RO, .relation = REL_NONE, .read_role = ROLE_READ_ONLY, .write_role = ROLE_VM_ADMIN, .persist = true, .effect = false },
    { .name = "name_label", .db_name = "name__label", .type = &types[0], .dflt = &values[0], .key_roles = NULL, .other = NULL, .class = &model_classes[0], .index = 1, .n_key_roles = 0, .q = Q_RW, .relation = REL_NONE, .read_role = ROLE_READ_ONLY, .write_role = ROLE_VM_ADMIN, .persist = true, .effect = false },
    { .name = "default", .db_name = "default", .type = &types[1], .dflt = &values[1], .key_roles = NULL, .other = NULL, .class = &model_classes[0], .index = 2, .n_key_roles = 0, .q = Q_STATIC, .relation = REL_NONE, .read_role = ROLE_READ_ONLY, .write_role = ROLE_VM_ADMIN, .persist = true, .effect = false },
    { .name = "config", .db_name = "config", .type = &types[2], .dflt = &values[2], .key_roles = key_roles_0, .other = NULL, .class = &model_classes[0], .index = 3, .n_key_roles = 1, .q = Q_RW, .relation = REL_NONE, .read_role = ROLE_READ_ONLY, .write_role = ROLE_VM_ADMIN, .persist = true, .effect = false },
    { .name = "lids", .db_name = "lids", .type = &types[4], .dflt = NULL, .key_roles = NULL, .other = &model_fields[8], .class = &model_classes[0], .index = 4, .n_key_roles = 0, .q = Q_RO, .relation = REL_DERIVED, .read_role = ROLE_READ_ONLY, .write_role = ROLE_VM_ADMIN, .persist = true, .effect = false },
    { .name = "sizes", .db_name = "sizes", .type = &types[6], .dflt = &values[3], .key_roles = NULL, .other = NULL, .class = &model_classes[0], .index = 5, .n_key_roles = 0, .q = Q_RW, .relation = REL_NONE, .read_role = ROLE_READ_ONLY, .write_role = ROLE_POOL_ADMIN, .persist = true, .effect = true },
    { .name = "weight", .db_name = "weight", .type = &types[8], .dflt = NULL, .key_roles = NULL, .other = NULL, .class = &model_classes[0], .index = 6, .n_key_roles = 0, .q = Q_RO, .relation = REL_NONE, .read_role = ROLE_READ_ONLY, .write_role = ROLE_VM_ADMIN, .persist = false, .effect = false },
    { .name = "uuid", .db_name = "uuid", .type = &types[0], .dflt = NULL, .key_roles = NULL, .other = NULL, .class = &model_classes[1], .index = 0, .n_key_roles = 0, .q = Q_RO, .relation = REL_NONE, .read_role = ROLE_READ_ONLY, .write_role = ROLE_POOL_ADMIN, .persist = true, .effect = false },
    { .name = "box", .db_name = "box", .type = &types[9], .dflt = &values[4], .key_roles = NULL, .other = &model_fields[4], .class = &model_classes[1], .index = 1, .n_key_roles = 0, .q = Q_STATIC, .relation = REL_ONE, .read_role = ROLE_READ_ONLY, .write_role = ROLE_POOL_ADMIN, .persist = true, .effect = false },
};

const struct msg model_msgs[MSG_COUNT] = {
    { .name = "Box.open", .permission = "box.open", .class = &model_classes[0], .field = NULL, .params = params_0, .result = &types[11], .key_roles = NULL, .errors = errors_0, .host_extension = NULL, .id = 0, .n_params = 2, .n_required = 1, .n_key_roles = 0, .n_errors = 1, .implicit = IMPLICIT_NONE, .role = ROLE_VM_OPERATOR, .session = true, .async = true },
    { .name = "Box.burn", .permission = "box.burn", .class = &model_classes[0], .field = NULL, .params = params_1, .result = &types[11], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 1, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_NONE, .role = ROLE_VM_ADMIN, .session = true, .removed = true },
    { .name = "Box.count", .permission = "box.count", .class = &model_classes[0], .field = NULL, .params = NULL, .result = &types[5], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 2, .n_params = 0, .n_required = 0, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_NONE, .role = ROLE_READ_ONLY, .emergency = true },
    { .name = "Box.create", .permission = "box.create", .class = &model_classes[0], .field = NULL, .params = params_2, .result = &types[9], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 3, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_CREATE, .role = ROLE_VM_ADMIN, .session = true, .async = true },
    { .name = "Box.destroy", .permission = "box.destroy", .class = &model_classes[0], .field = NULL, .params = params_1, .result = &types[11], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 4, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_DESTROY, .role = ROLE_VM_ADMIN, .session = true, .async = true },
    { .name = "Box.get_all", .permission = "box.get_all", .class = &model_classes[0], .field = NULL, .params = NULL, .result = &types[13], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 5, .n_params = 0, .n_required = 0, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET_ALL, .role = ROLE_READ_ONLY, .session = true },
    { .name = "Box.get_all_where", .permission = "box.get_all_where", .class = &model_classes[0], .field = NULL, .params = params_3, .result = &types[13], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 6, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET_ALL_WHERE, .role = ROLE_READ_ONLY, .session = true, .hidden = true },
    { .name = "Box.get_all_records_where", .permission = "box.get_all_records_where", .class = &model_classes[0], .field = NULL, .params = params_3, .result = &types[14], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 7, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET_ALL_RECORDS_WHERE, .role = ROLE_READ_ONLY, .session = true, .hidden = true },
    { .name = "Box.get_all_records", .permission = "box.get_all_records", .class = &model_classes[0], .field = NULL, .params = NULL, .result = &types[14], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 8, .n_params = 0, .n_required = 0, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET_ALL_RECORDS, .role = ROLE_READ_ONLY, .session = true },
    { .name = "Box.get_uuid", .permission = "box.get_uuid", .class = &model_classes[0], .field = &model_fields[0], .params = params_1, .result = &types[0], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 9, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET, .role = ROLE_READ_ONLY, .session = true },
    { .name = "Box.get_name_label", .permission = "box.get_name_label", .class = &model_classes[0], .field = &model_fields[1], .params = params_1, .result = &types[0], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 10, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET, .role = ROLE_READ_ONLY, .session = true },
    { .name = "Box.set_name_label", .permission = "box.set_name_label", .class = &model_classes[0], .field = &model_fields[1], .params = params_4, .result = &types[11], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 11, .n_params = 2, .n_required = 2, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_SET, .role = ROLE_VM_ADMIN, .session = true },
    { .name = "Box.get_default", .permission = "box.get_default", .class = &model_classes[0], .field = &model_fields[2], .params = params_1, .result = &types[1], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 12, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET, .role = ROLE_READ_ONLY, .session = true },
    { .name = "Box.get_config", .permission = "box.get_config", .class = &model_classes[0], .field = &model_fields[3], .params = params_1, .result = &types[2], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 13, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET, .role = ROLE_READ_ONLY, .session = true },
    { .name = "Box.set_config", .permission = "box.set_config", .class = &model_classes[0], .field = &model_fields[3], .params = params_5, .result = &types[11], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 14, .n_params = 2, .n_required = 2, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_SET, .role = ROLE_VM_ADMIN, .session = true },
    { .name = "Box.add_to_config", .permission = "box.add_to_config", .class = &model_classes[0], .field = &model_fields[3], .params = params_6, .result = &types[11], .key_roles = key_roles_0, .errors = NULL, .host_extension = NULL, .id = 15, .n_params = 3, .n_required = 3, .n_key_roles = 1, .n_errors = 0, .implicit = IMPLICIT_ADD_TO, .role = ROLE_VM_ADMIN, .session = true },
    { .name = "Box.remove_from_config", .permission = "box.remove_from_config", .class = &model_classes[0], .field = &model_fields[3], .params = params_7, .result = &types[11], .key_roles = key_roles_0, .errors = NULL, .host_extension = NULL, .id = 16, .n_params = 2, .n_required = 2, .n_key_roles = 1, .n_errors = 0, .implicit = IMPLICIT_REMOVE_FROM, .role = ROLE_VM_ADMIN, .session = true },
    { .name = "Box.get_lids", .permission = "box.get_lids", .class = &model_classes[0], .field = &model_fields[4], .params = params_1, .result = &types[4], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 17, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET, .role = ROLE_READ_ONLY, .session = true },
    { .name = "Box.get_sizes", .permission = "box.get_sizes", .class = &model_classes[0], .field = &model_fields[5], .params = params_1, .result = &types[6], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 18, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET, .role = ROLE_READ_ONLY, .session = true },
    { .name = "Box.set_sizes", .permission = "box.set_sizes", .class = &model_classes[0], .field = &model_fields[5], .params = params_8, .result = &types[11], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 19, .n_params = 2, .n_required = 2, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_SET, .role = ROLE_POOL_ADMIN, .session = true },
    { .name = "Box.add_sizes", .permission = "box.add_sizes", .class = &model_classes[0], .field = &model_fields[5], .params = params_9, .result = &types[11], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 20, .n_params = 2, .n_required = 2, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_ADD, .role = ROLE_POOL_ADMIN, .session = true },
    { .name = "Box.remove_sizes", .permission = "box.remove_sizes", .class = &model_classes[0], .field = &model_fields[5], .params = params_9, .result = &types[11], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 21, .n_params = 2, .n_required = 2, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_REMOVE, .role = ROLE_POOL_ADMIN, .session = true },
    { .name = "Box.get_weight", .permission = "box.get_weight", .class = &model_classes[0], .field = &model_fields[6], .params = params_1, .result = &types[8], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 22, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET, .role = ROLE_READ_ONLY, .session = true },
    { .name = "Box.get_by_uuid", .permission = "box.get_by_uuid", .class = &model_classes[0], .field = NULL, .params = params_10, .result = &types[9], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 23, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET_BY_UUID, .role = ROLE_READ_ONLY, .session = true },
    { .name = "Box.get_by_name_label", .permission = "box.get_by_name_label", .class = &model_classes[0], .field = NULL, .params = params_11, .result = &types[13], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 24, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET_BY_NAME_LABEL, .role = ROLE_READ_ONLY, .session = true },
    { .name = "Box.get_record", .permission = "box.get_record", .class = &model_classes[0], .field = NULL, .params = params_1, .result = &types[12], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 25, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET_RECORD, .role = ROLE_READ_ONLY, .session = true },
    { .name = "Lid.get_uuid", .permission = "lid.get_uuid", .class = &model_classes[1], .field = &model_fields[7], .params = params_12, .result = &types[0], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 26, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET, .role = ROLE_READ_ONLY, .session = true },
    { .name = "Lid.get_box", .permission = "lid.get_box", .class = &model_classes[1], .field = &model_fields[8], .params = params_12, .result = &types[9], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 27, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET, .role = ROLE_READ_ONLY, .session = true },
    { .name = "Lid.get_by_uuid", .permission = "lid.get_by_uuid", .class = &model_classes[1], .field = NULL, .params = params_10, .result = &types[3], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 28, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET_BY_UUID, .role = ROLE_READ_ONLY, .session = true },
    { .name = "Lid.get_record", .permission = "lid.get_record", .class = &model_classes[1], .field = NULL, .params = params_12, .result = &types[15], .key_roles = NULL, .errors = NULL, .host_extension = NULL, .id = 29, .n_params = 1, .n_required = 1, .n_key_roles = 0, .n_errors = 0, .implicit = IMPLICIT_GET_RECORD, .role = ROLE_READ_ONLY, .session = true },
};

const struct model_class model_classes[CLASS_COUNT] = {
    { .name = "Box", .lower = "box", .fields = fields_0, .msgs = msgs_0, .uuid = &model_fields[0], .name_label = &model_fields[1], .n_fields = 7, .n_msgs = 26, .id = 0, .persist = true, .gen_events = true, .in_database = true, .generic_create_destroy = true, .get_all = true, .kept = true },
    { .name = "Lid", .lower = "lid", .fields = fields_1, .msgs = msgs_1, .uuid = &model_fields[7], .name_label = NULL, .n_fields = 2, .n_msgs = 4, .id = 1, .persist = true, .gen_events = false, .in_database = true, .generic_create_destroy = false, .get_all = false, .kept = true },
};

const uint16_t model_msgs_by_name[MSG_COUNT] = {
    20,
    15,
    1,
    2,
    3,
    4,
    5,
    8,
    7,
    6,
    24,
    23,
    13,
    12,
    17,
    10,
    25,
    18,
    9,
    22,
    0,
    16,
    21,
    14,
    11,
    19,
    27,
    28,
    29,
    26,
};

const char *const model_role_names[ROLE_COUNT] = {
    [ROLE_LOCAL_ROOT] = "local-root",
    [ROLE_POOL_ADMIN] = "pool-admin",
    [ROLE_VM_ADMIN] = "vm-admin",
    [ROLE_VM_OPERATOR] = "vm-operator",
    [ROLE_READ_ONLY] = "read-only",
};

const struct http_action model_http_actions[HTTP_ACTION_COUNT] = {
    { "get_box", "GET", "/box", ROLE_VM_OPERATOR, true, false, { "big_box", ROLE_POOL_ADMIN } },
};

const struct alert_name model_alerts[ALERT_COUNT] = {
    { "BOX_FULL", 3 },
};

const struct permission model_extra_permissions[EXTRA_PERMISSION_COUNT] = {
    { "box.open/any", ROLE_VM_OPERATOR },
};

