"""gen/api.h and gen/api.c: typed arguments and dispatch of explicit messages."""
from .cgen import header, ident, string
from .model import parse_type

CTYPE = {'string': 'const char *', 'secret': 'const char *', 'enum': 'const char *', 'ref': 'const char *',
         'datetime': 'const char *', 'int': 'int64_t ', 'float': 'double ', 'bool': 'bool '}
MEMBER = {'int': 'i', 'float': 'f', 'bool': 'b'}


def handled(model):
    """Messages somebody writes code for; removed ones are answered without."""
    for c in model.classes.values():
        for m in c['messages']:
            if 'implicit' not in m and m.get('state') != 'removed':
                yield c, m


def emit_h(model):
    out = header('idl/xenapi/class/') + '#pragma once\n#include "gen/model.h"\n\n'
    out += '''/*
 * Explicit messages as functions: fill a struct api_handlers, hand calls to
 * api_dispatch(). Texts in the arguments live as long as the values do. Removed
 * messages have no handler.
 */
struct call; /* the caller's: session, task, arena */

'''
    for c, m in handled(model):
        name = f'{c["name"]}_{m["name"]}'
        out += f'/* {m["doc"].replace("*/", "* /")} */\n' if m.get('doc') else ''
        out += f'struct {name}_args {{\n'
        for p in m['params']:
            out += f'    {CTYPE.get(parse_type(p[1])[0], "const struct value *")}{ident(p[0])}; /* {p[1]} */\n'
        out += '};\n\n'
    out += 'struct api_handlers {\n'
    for c, m in handled(model):
        name = f'{c["name"]}_{m["name"]}'
        out += f'    struct err *(*{name})(struct call *c, const struct {name}_args *a, struct value *ret);\n'
    out += '''};

/* `args`: n_params values checked against the message's types (msg_check_args). *ret_built is false, and nothing
 * happened, when there is no handler. */
struct err *api_dispatch(const struct api_handlers *h, const struct msg *m, struct call *c, const struct value *args,
    struct value *ret, bool *ret_built) MUST_CHECK;
bool api_is_built(const struct api_handlers *h, const struct msg *m);
'''
    return out


def emit_c(model):
    out = header('idl/xenapi/class/') + '#include "gen/api.h"\n#include <stddef.h>\n\n'
    out += '''typedef struct err *run_fn(const struct api_handlers *h, struct call *c, const struct value *v, struct value *ret);

'''
    for c, m in handled(model):
        name = f'{c["name"]}_{m["name"]}'
        unused = '' if m['params'] else ' UNUSED'
        out += (f'static struct err *run_{name}(const struct api_handlers *h, struct call *c, '
                f'const struct value *v{unused}, struct value *ret)\n{{\n')
        if m['params']:
            out += f'    const struct {name}_args a = {{\n'
            for i, p in enumerate(m['params']):
                kind = parse_type(p[1])[0]
                get = f'v[{i}].{MEMBER.get(kind, "s")}' if kind in CTYPE else f'&v[{i}]'
                out += f'        .{ident(p[0])} = {get},\n'
            out += '    };\n\n'
        else:
            out += f'    const struct {name}_args a = {{}};\n\n'
        out += f'    return h->{name}(c, &a, ret);\n}}\n\n'
    out += '''/* Where a message's handler is, and who unpacks its arguments. */
static const struct {
    run_fn *run;
    size_t offset;
} handlers[MSG_COUNT] = {
'''
    for c, m in handled(model):
        name = f'{c["name"]}_{m["name"]}'
        out += f'    [MSG_{name}] = {{ run_{name}, offsetof(struct api_handlers, {name}) }},\n'
    out += '''};

bool api_is_built(const struct api_handlers *h, const struct msg *m)
{
    return handlers[m->id].run && *(void (*const *)(void))((const char *)h + handlers[m->id].offset);
}

struct err *api_dispatch(const struct api_handlers *h, const struct msg *m, struct call *c, const struct value *args,
    struct value *ret, bool *ret_built)
{
    *ret_built = api_is_built(h, m);
    return *ret_built ? handlers[m->id].run(h, c, args, ret) : NULL;
}
'''
    return out
