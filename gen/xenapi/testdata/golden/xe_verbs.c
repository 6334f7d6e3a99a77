/* Generated from idl/xenapi/class/ by gen/xenapi_gen.py. Do not edit. */
#include "gen/xe_verbs.h"

const struct xe_verb xe_verbs[XE_VERB_COUNT] = {
    { "box-count", XE_CALL, C_Box, M_Box_count },
    { "box-create", XE_CREATE, C_Box, M_Box_create },
    { "box-destroy", XE_DESTROY, C_Box, M_Box_destroy },
    { "box-list", XE_LIST, C_Box, NULL },
    { "box-open", XE_CALL, C_Box, M_Box_open },
    { "box-param-add", XE_PARAM_ADD, C_Box, NULL },
    { "box-param-clear", XE_PARAM_CLEAR, C_Box, NULL },
    { "box-param-get", XE_PARAM_GET, C_Box, NULL },
    { "box-param-list", XE_PARAM_LIST, C_Box, NULL },
    { "box-param-remove", XE_PARAM_REMOVE, C_Box, NULL },
    { "box-param-set", XE_PARAM_SET, C_Box, NULL },
};
