#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/value.h"

/*
 * The XenAPI as data: classes, fields, messages, enums, roles. The tables are
 * generated from idl/xenapi/ ("gen/model.h" has the numbers of everything:
 * CLASS_VM, FIELD_VM_power_state, MSG_VM_start, ROLE_POOL_ADMIN); this header
 * says what an entry looks like and how to find one. Everything is static and
 * constant.
 */

#define REF_NULL "OpaqueRef:NULL" /* the reference to nothing */

enum type_kind {
    TYPE_VOID,
    TYPE_STRING,
    TYPE_SECRET,
    TYPE_INT,
    TYPE_FLOAT,
    TYPE_BOOL,
    TYPE_DATETIME,
    TYPE_ENUM,
    TYPE_REF,
    TYPE_RECORD,
    TYPE_SET,
    TYPE_MAP,
    TYPE_OPTION,
    TYPE_EVENT_BATCH,
};

struct type {
    enum type_kind kind;
    const char *text;             /* as in the IDL: "set(ref VM)" */
    const struct model_class *of; /* REF, RECORD */
    const struct model_enum *en;  /* ENUM */
    const struct type *key;       /* MAP */
    const struct type *elem;      /* SET, MAP (value), OPTION */
};

struct model_enum {
    const char *name;
    const char *const *values;
    size_t n_values;
};

/* From most to least powerful; ROLE_LOCAL_ROOT is above all of them. */
enum role {
    ROLE_LOCAL_ROOT,
    ROLE_POOL_ADMIN,
    ROLE_POOL_OPERATOR,
    ROLE_VM_POWER_ADMIN,
    ROLE_VM_ADMIN,
    ROLE_VM_OPERATOR,
    ROLE_CLIENT_CERT,
    ROLE_READ_ONLY,
    ROLE_COUNT
};

/* A map key with a role of its own; `key` may end in '*'. */
struct key_role {
    const char *key;
    enum role role;
};

enum qualifier { Q_RW, Q_STATIC, Q_RO };

enum relation_side {
    REL_NONE,
    REL_ONE,     /* a single ref stored here; the other side is derived */
    REL_DERIVED, /* set of refs derived from the other class's REL_ONE or REL_MANY field */
    REL_MANY,    /* set of refs stored here; the other side is derived (many-to-many) */
};

struct field {
    const char *name;    /* as on the wire: name_label */
    const char *db_name; /* as in queries: name__label */
    const struct type *type;
    const struct value *dflt; /* NULL: none */
    const struct key_role *key_roles;
    const struct field *other; /* relation's other side */
    const struct model_class *class;
    uint16_t index; /* within its class */
    uint8_t n_key_roles;
    uint8_t q;         /* enum qualifier */
    uint8_t relation;  /* enum relation_side */
    uint8_t read_role; /* enum role */
    uint8_t write_role;
    bool persist; /* survives a restart of the host */
    bool effect;  /* the setter does more than store */
};

enum implicit_kind {
    IMPLICIT_NONE, /* explicit message */
    IMPLICIT_GET,
    IMPLICIT_SET,
    IMPLICIT_ADD,         /* to a set */
    IMPLICIT_REMOVE,      /* from a set */
    IMPLICIT_ADD_TO,      /* key and value to a map */
    IMPLICIT_REMOVE_FROM, /* key from a map */
    IMPLICIT_CREATE,
    IMPLICIT_DESTROY,
    IMPLICIT_GET_BY_UUID,
    IMPLICIT_GET_BY_NAME_LABEL,
    IMPLICIT_GET_RECORD,
    IMPLICIT_GET_ALL,
    IMPLICIT_GET_ALL_WHERE,
    IMPLICIT_GET_ALL_RECORDS,
    IMPLICIT_GET_ALL_RECORDS_WHERE,
};

struct param {
    const char *name;
    const struct type *type;
    const struct value *dflt; /* NULL: mandatory */
};

struct msg {
    const char *name;       /* "VM.start" */
    const char *permission; /* "vm.start" */
    const struct model_class *class;
    const struct field *field;  /* of implicit getters and setters */
    const struct param *params; /* without the session */
    const struct type *result;
    const struct key_role *key_roles;
    const char *const *errors;  /* declared codes */
    const char *host_extension; /* plug-in that answers it, or NULL */
    uint16_t id;                /* MSG_... */
    uint8_t n_params, n_required, n_key_roles, n_errors;
    uint8_t implicit; /* enum implicit_kind */
    uint8_t role;     /* enum role: least powerful one allowed */
    bool session, async, removed, pool_internal, secret, hidden, client_cert, no_current_operations;
    bool emergency;     /* answered in emergency mode too */
    bool not_forwarded; /* a pool member answers it itself on its local socket */
};

struct model_class {
    const char *name;  /* "VM" */
    const char *lower; /* "vm": in events */
    const struct field *const *fields;
    const struct msg *const *msgs;
    const struct field *uuid, *name_label; /* NULL if it has none */
    uint16_t n_fields, n_msgs;
    uint8_t id; /* CLASS_... */
    bool persist, gen_events, in_database, generic_create_destroy, get_all;
    bool kept; /* rows survive a restart of the host: persistent classes, and alerts, which are no rows in the contract
                */
};

/* HTTP handlers: method, path, who may. */
struct http_action {
    const char *name; /* permission "http/<name>" */
    const char *method, *path;
    enum role role;
    bool public;                /* part of the SDK */
    bool auth_inside;           /* the handler itself checks credentials */
    struct key_role sub_action; /* stricter role of a special case; key NULL: none */
};

struct alert_name {
    const char *name;
    int priority; /* 1 critical ... 5 informational */
};

/* A permission that is no message's name. */
struct permission {
    const char *name;
    enum role role;
};

size_t model_n_classes(void);
const struct model_class *model_class(size_t id);
const struct model_class *model_class_find(const char *name);                        /* exact spelling; NULL */
const struct model_class *model_class_find_nocase(const char *name);                 /* "vm", "VM" */
const struct field *model_field_find(const struct model_class *c, const char *name); /* wire or database spelling */
size_t model_n_msgs(void);
const struct msg *model_msg(size_t id);
const struct msg *model_msg_find(const char *name); /* "VM.start" or "VM_start", without Async. */
const char *role_name(enum role r);
bool role_find(const char *name, enum role *ret_role);
bool enum_has(const struct model_enum *e, const char *value, const char **ret_canonical); /* ignores case */

/*
 * Checks and converts a value that came from outside to its type, as
 * protocol.md sections 2 and 3 allow it: ints from text, enums in any case,
 * records completed with defaults (a V_MAP in, a V_MAP with every field of
 * create() out). Fails with FIELD_TYPE_ERROR [what], or INVALID_VALUE for bad UTF-8 and unknown enum values.
 */
struct err *type_check(
    struct arena *a, const struct type *t, const char *what, const struct value *in, struct value *ret_out) MUST_CHECK;

/*
 * Checks the arguments of a call, without the session: counts them, checks each,
 * fills in defaults. ret_args has room for m->n_params. Fails with
 * MESSAGE_PARAMETER_COUNT_MISMATCH or as type_check does.
 */
struct err *msg_check_args(
    struct arena *a, const struct msg *m, const struct value *args, size_t n_args, struct value *ret_args) MUST_CHECK;

/* The empty value of a type, for a field that has no default: "", 0, OpaqueRef:NULL, an enum's first value. */
struct value type_empty(const struct type *t);
