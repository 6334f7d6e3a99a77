/* Generated from idl/xenapi/class/ by gen/xenapi_gen.py. Do not edit. */
#include "gen/xe_verbs.h"

const struct xe_verb xe_verbs[XE_VERB_COUNT] = {
    { "box-count", XE_CALL, C_Box, M_Box_count, "How many" },
    { "box-create", XE_CREATE, C_Box, M_Box_create, NULL },
    { "box-destroy", XE_DESTROY, C_Box, M_Box_destroy, NULL },
    { "box-list", XE_LIST, C_Box, NULL, NULL },
    { "box-open", XE_CALL, C_Box, M_Box_open, "Open it" },
    { "box-param-add", XE_PARAM_ADD, C_Box, NULL, NULL },
    { "box-param-clear", XE_PARAM_CLEAR, C_Box, NULL, NULL },
    { "box-param-get", XE_PARAM_GET, C_Box, NULL, NULL },
    { "box-param-list", XE_PARAM_LIST, C_Box, NULL, NULL },
    { "box-param-remove", XE_PARAM_REMOVE, C_Box, NULL, NULL },
    { "box-param-set", XE_PARAM_SET, C_Box, NULL, NULL },
};

const struct xe_error xe_errors[XE_ERROR_COUNT] = {
    { "BOX_LOCKED", "The box is locked", "box,default" },
    { "LID_LOST", "", "" },
    { "NEW", "A name that is taken", "" },
};
