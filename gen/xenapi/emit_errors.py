"""gen/errors.h and gen/errors.c: one constructor per error code."""
from .cgen import header, ident, string

# Functions of base/err.h that a code could be mistaken for.
TAKEN = {'err_' + n for n in '''new internal errno code n_params param errno_get is text note trace free drop ignore
first'''.split()}


def constructors(model):
    """(function, code, parameter names)"""
    seen = {}
    for code, e in {**model.errors, **model.undeclared_errors}.items():
        fn = 'err_' + ident(code.lower())
        while fn in TAKEN or fn in seen:
            fn += '_code'
        seen[fn] = code
        params = [ident(p) for p in e['params']]
        yield fn, code, params, e.get('doc', '')


def _signature(fn, params):
    return f'struct err *{fn}({", ".join(f"const char *{p}" for p in params) or "void"})'


def emit_h(model):
    out = header('idl/xenapi/errors.toml') + '#pragma once\n#include "base/err.h"\n\n'
    for fn, code, params, doc in constructors(model):
        out += f'/* {code}: {doc.replace("*/", "* /")} */\n' if doc else f'/* {code} */\n'
        out += f'{_signature(fn, params)} MUST_CHECK;\n'
    return out


def emit_c(model):
    out = header('idl/xenapi/errors.toml') + '#include "gen/errors.h"\n'
    for fn, code, params, _ in constructors(model):
        out += f'\n{_signature(fn, params)}\n{{\n'
        if params:
            out += f'    const char *const params[] = {{ {", ".join(params)} }};\n\n'
            out += f'    return err_new({string(code)}, params, {len(params)});\n}}\n'
        else:
            out += f'    return err_new({string(code)}, NULL, 0);\n}}\n'
    return out
