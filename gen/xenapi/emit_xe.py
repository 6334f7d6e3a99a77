"""gen/xe_verbs.h and gen/xe_verbs.c: command names of the CLI, and what it says about errors."""
from .cgen import header, string


def verbs(model):
    """(verb, kind, class, message or None), sorted by verb"""
    out = {}
    for c in model.classes.values():
        noun = c['name'].lower().replace('_', '-')
        names = {m['name']: m for m in c['messages']}
        for m in c['messages']:
            if m.get('state') == 'removed' or m.get('pool_internal') or m['role'] == 'local-root':
                continue
            if 'implicit' not in m:
                out[f'{noun}-{m["name"].lower().replace("_", "-")}'] = ('CALL', c, m)
            elif m['implicit'] in ('create', 'destroy'):
                out[f'{noun}-{m["name"]}'] = (m['implicit'].upper(), c, m)
        if 'get_all_records' not in names or names['get_all_records'].get('state') == 'removed':
            continue
        for kind in 'list', 'param-list', 'param-get', 'param-set', 'param-add', 'param-remove', 'param-clear':
            out[f'{noun}-{kind}'] = (kind.upper().replace('-', '_'), c, None)
    return [(v, *out[v]) for v in sorted(out)]


def errors(model):
    """(code, description, parameter names), sorted by code"""
    every = {**model.errors, **model.undeclared_errors}
    return [(code, every[code].get('doc', ''), every[code]['params']) for code in sorted(every)]


def emit_h(model):
    return header('idl/xenapi/class/') + f'''#pragma once
#include "gen/model.h"

/* Verbs of xe that follow from the model: "vm-list", "vm-param-set", "sr-create". Sorted by name. */
enum xe_kind {{
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
}};

struct xe_verb {{
    const char *name;
    enum xe_kind kind;
    const struct model_class *class;
    const struct msg *msg; /* XE_CREATE, XE_DESTROY, XE_CALL */
    const char *doc;       /* of the message, or NULL */
}};

#define XE_VERB_COUNT {len(verbs(model))}
extern const struct xe_verb xe_verbs[XE_VERB_COUNT];

/* Error codes for people. Sorted by code. */
struct xe_error {{
    const char *code;
    const char *doc;    /* a sentence without its full stop, or "" */
    const char *params; /* names of the parameters, comma-separated */
}};

#define XE_ERROR_COUNT {len(errors(model))}
extern const struct xe_error xe_errors[XE_ERROR_COUNT];
'''


def emit_c(model):
    out = header('idl/xenapi/class/') + '#include "gen/xe_verbs.h"\n\nconst struct xe_verb xe_verbs[XE_VERB_COUNT] = {\n'
    for verb, kind, c, m in verbs(model):
        msg = f'M_{c["name"]}_{m["name"]}' if m else 'NULL'
        doc = string(m['doc']) if m and m.get('doc') else 'NULL'
        out += f'    {{ {string(verb)}, XE_{kind}, C_{c["name"]}, {msg}, {doc} }},\n'
    out += '};\n\nconst struct xe_error xe_errors[XE_ERROR_COUNT] = {\n'
    for code, doc, params in errors(model):
        out += f'    {{ {string(code)}, {string(doc)}, {string(",".join(params))} }},\n'
    return out + '};\n'
