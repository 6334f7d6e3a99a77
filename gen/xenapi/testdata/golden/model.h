/* Generated from idl/xenapi/ by gen/xenapi_gen.py. Do not edit. */
#pragma once
#include "model/model.h"

#define MODEL_API_MAJOR 1
#define MODEL_API_MINOR 0
#define MODEL_SCHEMA "1.2"

enum {
    CLASS_Box,
    CLASS_Lid,
    CLASS_COUNT,
};

enum {
    FIELD_Box_uuid,
    FIELD_Box_name_label,
    FIELD_Box_default,
    FIELD_Box_config,
    FIELD_Box_lids,
    FIELD_Box_sizes,
    FIELD_Box_weight,
    FIELD_Lid_uuid,
    FIELD_Lid_box,
    FIELD_COUNT,
};

enum {
    MSG_Box_open,
    MSG_Box_burn,
    MSG_Box_count,
    MSG_Box_create,
    MSG_Box_destroy,
    MSG_Box_get_all,
    MSG_Box_get_all_where,
    MSG_Box_get_all_records_where,
    MSG_Box_get_all_records,
    MSG_Box_get_uuid,
    MSG_Box_get_name_label,
    MSG_Box_set_name_label,
    MSG_Box_get_default,
    MSG_Box_get_config,
    MSG_Box_set_config,
    MSG_Box_add_to_config,
    MSG_Box_remove_from_config,
    MSG_Box_get_lids,
    MSG_Box_get_sizes,
    MSG_Box_set_sizes,
    MSG_Box_add_sizes,
    MSG_Box_remove_sizes,
    MSG_Box_get_weight,
    MSG_Box_get_by_uuid,
    MSG_Box_get_by_name_label,
    MSG_Box_get_record,
    MSG_Lid_get_uuid,
    MSG_Lid_get_box,
    MSG_Lid_get_by_uuid,
    MSG_Lid_get_record,
    MSG_COUNT,
};

enum {
    ENUM_colour,
    ENUM_COUNT,
};

#define HTTP_ACTION_COUNT 1
#define ALERT_COUNT 1
#define EXTRA_PERMISSION_COUNT 1

extern const struct model_class model_classes[CLASS_COUNT];
extern const struct field model_fields[FIELD_COUNT];
extern const struct msg model_msgs[MSG_COUNT];
extern const struct model_enum model_enums[ENUM_COUNT];
extern const struct http_action model_http_actions[HTTP_ACTION_COUNT];
extern const struct alert_name model_alerts[ALERT_COUNT];
extern const struct permission model_extra_permissions[EXTRA_PERMISSION_COUNT];
extern const char *const model_role_names[ROLE_COUNT];
/* Message numbers in the order of their names, spelt Class_msg. */
extern const uint16_t model_msgs_by_name[MSG_COUNT];

#define C_Box (&model_classes[CLASS_Box])
#define C_Lid (&model_classes[CLASS_Lid])

#define F_Box_uuid (&model_fields[FIELD_Box_uuid])
#define F_Box_name_label (&model_fields[FIELD_Box_name_label])
#define F_Box_default (&model_fields[FIELD_Box_default])
#define F_Box_config (&model_fields[FIELD_Box_config])
#define F_Box_lids (&model_fields[FIELD_Box_lids])
#define F_Box_sizes (&model_fields[FIELD_Box_sizes])
#define F_Box_weight (&model_fields[FIELD_Box_weight])
#define F_Lid_uuid (&model_fields[FIELD_Lid_uuid])
#define F_Lid_box (&model_fields[FIELD_Lid_box])

#define M_Box_open (&model_msgs[MSG_Box_open])
#define M_Box_burn (&model_msgs[MSG_Box_burn])
#define M_Box_count (&model_msgs[MSG_Box_count])
#define M_Box_create (&model_msgs[MSG_Box_create])
#define M_Box_destroy (&model_msgs[MSG_Box_destroy])
#define M_Box_get_all (&model_msgs[MSG_Box_get_all])
#define M_Box_get_all_where (&model_msgs[MSG_Box_get_all_where])
#define M_Box_get_all_records_where (&model_msgs[MSG_Box_get_all_records_where])
#define M_Box_get_all_records (&model_msgs[MSG_Box_get_all_records])
#define M_Box_get_uuid (&model_msgs[MSG_Box_get_uuid])
#define M_Box_get_name_label (&model_msgs[MSG_Box_get_name_label])
#define M_Box_set_name_label (&model_msgs[MSG_Box_set_name_label])
#define M_Box_get_default (&model_msgs[MSG_Box_get_default])
#define M_Box_get_config (&model_msgs[MSG_Box_get_config])
#define M_Box_set_config (&model_msgs[MSG_Box_set_config])
#define M_Box_add_to_config (&model_msgs[MSG_Box_add_to_config])
#define M_Box_remove_from_config (&model_msgs[MSG_Box_remove_from_config])
#define M_Box_get_lids (&model_msgs[MSG_Box_get_lids])
#define M_Box_get_sizes (&model_msgs[MSG_Box_get_sizes])
#define M_Box_set_sizes (&model_msgs[MSG_Box_set_sizes])
#define M_Box_add_sizes (&model_msgs[MSG_Box_add_sizes])
#define M_Box_remove_sizes (&model_msgs[MSG_Box_remove_sizes])
#define M_Box_get_weight (&model_msgs[MSG_Box_get_weight])
#define M_Box_get_by_uuid (&model_msgs[MSG_Box_get_by_uuid])
#define M_Box_get_by_name_label (&model_msgs[MSG_Box_get_by_name_label])
#define M_Box_get_record (&model_msgs[MSG_Box_get_record])
#define M_Lid_get_uuid (&model_msgs[MSG_Lid_get_uuid])
#define M_Lid_get_box (&model_msgs[MSG_Lid_get_box])
#define M_Lid_get_by_uuid (&model_msgs[MSG_Lid_get_by_uuid])
#define M_Lid_get_record (&model_msgs[MSG_Lid_get_record])
