/* Generated from idl/xenapi/class/ by gen/xenapi_gen.py. Do not edit. */
#pragma once
#include "gen/model.h"

/* Verbs of xe that follow from the model: "vm-list", "vm-param-set", "sr-create". Sorted by name. */
enum xe_kind {
    XE_LIST,
    XE_PARAM_LIST,
    XE_PARAM_GET,
    XE_PARAM_SET,
    XE_PARAM_ADD,
    XE_PARAM_REMOVE,
    XE_PARAM_CLEAR,
    XE_CREATE,  /* with a record */
    XE_DESTROY,
    XE_CALL,    /* explicit message: name=value per parameter */
};

struct xe_verb {
    const char *name;
    enum xe_kind kind;
    const struct model_class *class;
    const struct msg *msg; /* XE_CREATE, XE_DESTROY, XE_CALL */
    const char *doc;       /* of the message, or NULL */
};

#define XE_VERB_COUNT 11
extern const struct xe_verb xe_verbs[XE_VERB_COUNT];

/* Error codes for people. Sorted by code. */
struct xe_error {
    const char *code;
    const char *doc;    /* a sentence without its full stop, or "" */
    const char *params; /* names of the parameters, comma-separated */
};

#define XE_ERROR_COUNT 3
extern const struct xe_error xe_errors[XE_ERROR_COUNT];
