"""gen/model.h and gen/model.c: the model as constant tables."""
from .cgen import Pool, boolean, header, string
from .model import parse_type

KINDS = {'void': 'VOID', 'string': 'STRING', 'secret': 'SECRET', 'int': 'INT', 'float': 'FLOAT', 'bool': 'BOOL',
         'datetime': 'DATETIME', 'enum': 'ENUM', 'ref': 'REF', 'record': 'RECORD', 'set': 'SET', 'map': 'MAP',
         'option': 'OPTION', 'event batch': 'EVENT_BATCH'}
TEXT = ('string', 'secret', 'enum', 'ref')
IMPLICIT = {None: 'NONE', 'getter': 'GET', 'setter': 'SET', 'create': 'CREATE', 'destroy': 'DESTROY',
            'get_by_uuid': 'GET_BY_UUID', 'get_by_name_label': 'GET_BY_NAME_LABEL', 'get_record': 'GET_RECORD',
            'get_all': 'GET_ALL', 'get_all_where': 'GET_ALL_WHERE', 'get_all_records': 'GET_ALL_RECORDS',
            'get_all_records_where': 'GET_ALL_RECORDS_WHERE'}


def role(name):
    return 'ROLE_' + name.upper().replace('-', '_')


class Tables:
    def __init__(self, model):
        self.model = model
        self.classes = list(model.classes.values())
        self.class_id = {c['name']: i for i, c in enumerate(self.classes)}
        self.enum_id = {n: i for i, n in enumerate(model.enums)}
        self.fields = [(c, f) for c in self.classes for f in c['fields']]
        self.field_id = {f'{c["name"]}.{f["name"]}': i for i, (c, f) in enumerate(self.fields)}
        self.msgs = [(c, m) for c in self.classes for m in c['messages']]
        self.types = {}
        self.items = Pool('struct value', 'items_')
        self.values = {}
        self.key_roles = Pool('struct key_role', 'key_roles_')
        self.errors = Pool('char *const', 'errors_')
        self.params = Pool('struct param', 'params_')

    def type(self, t):
        """Address of a type's row; inner types come first."""
        if t not in self.types:
            inner = [self.type(x) for x in t[1:] if isinstance(x, tuple)]
            row = f'.kind = TYPE_{KINDS[t[0]]}, .text = {string(self.model.type_text(t))}'
            if t[0] in ('ref', 'record'):
                row += f', .of = &model_classes[{self.class_id[t[1]]}]'
            elif t[0] == 'enum':
                row += f', .en = &model_enums[{self.enum_id[t[1]]}]'
            elif t[0] == 'map':
                row += f', .key = {inner[0]}, .elem = {inner[1]}'
            elif inner:
                row += f', .elem = {inner[0]}'
            self.types[t] = (len(self.types), row)
        return f'&types[{self.types[t][0]}]'

    def value(self, t, v):
        """An initializer of struct value."""
        if t[0] in ('set', 'map'):
            flat = [self.value(t[1], x) for x in v] if t[0] == 'set' else \
                [self.value(s, x) for k, y in v.items() for s, x in ((t[1], k), (t[2], y))]
            return f'{{ .kind = V_{t[0].upper()}, .n = {len(v)}, .items = {self.items.name(flat)} }}'
        if t[0] == 'option':
            return self.value(t[1], v) if v else '{ .kind = V_NIL }'
        if t[0] in ('int', 'float', 'bool'):
            member = {'int': f'.i = {v}', 'float': f'.f = {float(v)!r}', 'bool': f'.b = {boolean(v)}'}[t[0]]
            return f'{{ .kind = V_{t[0].upper()}, {member} }}'
        text = v if isinstance(v, str) else ''  # the reference defaults one enum to an empty set
        kind = 'DATETIME' if t[0] == 'datetime' else 'STRING'
        return f'{{ .kind = V_{kind}, .n = {len(text.encode())}, .s = {string(text)} }}'

    def default(self, t, o):
        if 'default' not in o:
            return 'NULL'
        v = self.value(t, o['default'])
        return f'&values[{self.values.setdefault(v, len(self.values))}]'

    def roles_of_keys(self, o):
        rows = [f'{{ {string(k)}, {role(r)} }}' for k, r in o.get('key_roles', {}).items()]
        return self.key_roles.name(rows), len(rows)

    def field_row(self, c, f):
        keys, n_keys = self.roles_of_keys(f)
        t = parse_type(f['type'])
        other = f'&model_fields[{self.field_id[f["other"]]}]' if 'other' in f else 'NULL'
        return (f'{{ .name = {string(f["name"])}, .db_name = {string(f["db_name"])}, .type = {self.type(t)}, '
                f'.dflt = {self.default(t, f)}, .key_roles = {keys}, .other = {other}, '
                f'.class = &model_classes[{self.class_id[c["name"]]}], .index = {c["fields"].index(f)}, '
                f'.n_key_roles = {n_keys}, .q = Q_{f["q"].upper()}, .relation = REL_{f.get("relation", "none").upper()}, '
                f'.read_role = {role(f.get("read_role", "read-only"))}, '
                f'.write_role = {role(f.get("write_role", c["default_role"]))}, '
                f'.persist = {boolean(f.get("persist", True))}, .effect = {boolean(f.get("effect"))} }}')

    def implicit(self, m):
        kind = m.get('implicit')
        if kind in ('add', 'remove'):
            to_map = m['name'].startswith(('add_to_', 'remove_from_')) and m['params'][1][0] == 'key'
            return {'add': 'ADD', 'remove': 'REMOVE'}[kind] + ({'add': '_TO', 'remove': '_FROM'}[kind] if to_map else '')
        return IMPLICIT[kind]

    def msg_field(self, c, m):
        for p in {'GET': ['get_'], 'SET': ['set_'], 'ADD': ['add_'], 'REMOVE': ['remove_'], 'ADD_TO': ['add_to_'],
                  'REMOVE_FROM': ['remove_from_']}.get(self.implicit(m), []):
            return f'&model_fields[{self.field_id[c["name"] + "." + m["name"][len(p):]]}]'
        return 'NULL'

    def msg_row(self, i, c, m):
        keys, n_keys = self.roles_of_keys(m)
        name = f'{c["name"]}.{m["name"]}'
        params = []
        for p in m['params']:
            t = parse_type(p[1])
            d = self.default(t, {'default': p[2]} if len(p) > 2 else {})
            params.append(f'{{ {string(p[0])}, {self.type(t)}, {d} }}')
        flags = {'session': m.get('session', True), 'removed': m.get('state') == 'removed',
                 'emergency': name in self.model.meta['emergency_calls'],
                 'not_forwarded': name in self.model.meta['not_forwarded_to_master']}
        for k in 'async', 'pool_internal', 'secret', 'hidden', 'client_cert', 'no_current_operations':
            flags[k] = m.get(k)
        set_flags = ''.join(f', .{k} = true' for k, v in flags.items() if v)
        errors = [string(e) for e in m.get('errors', [])]
        return (f'{{ .name = {string(name)}, .permission = {string(name.lower())}, '
                f'.class = &model_classes[{self.class_id[c["name"]]}], .field = {self.msg_field(c, m)}, '
                f'.params = {self.params.name(params)}, .result = {self.type(parse_type(m["result"]))}, '
                f'.key_roles = {keys}, .errors = {self.errors.name(errors)}, '
                f'.host_extension = {string(m.get("host_extension"))}, .id = {i}, .n_params = {len(params)}, '
                f'.n_required = {sum(len(p) < 3 for p in m["params"])}, .n_key_roles = {n_keys}, '
                f'.n_errors = {len(errors)}, .implicit = IMPLICIT_{self.implicit(m)}, .role = {role(m["role"])}{set_flags} }}')

    def class_row(self, i, c):
        def named(n):
            return f'&model_fields[{self.field_id[c["name"] + "." + n]}]' if any(f['name'] == n for f in c['fields']) else 'NULL'
        flags = {k: c[k] for k in ('persist', 'gen_events', 'in_database', 'generic_create_destroy', 'get_all')}
        flags['kept'] = c['persist'] or c.get('kept')
        flags = ', '.join(f'.{k} = {boolean(v)}' for k, v in flags.items())
        n_fields, n_msgs = len(c['fields']), len(c['messages'])
        return (f'{{ .name = {string(c["name"])}, .lower = {string(c["name"].lower())}, '
                f'.fields = {f"fields_{i}" if n_fields else "NULL"}, .msgs = {f"msgs_{i}" if n_msgs else "NULL"}, '
                f'.uuid = {named("uuid")}, .name_label = {named("name_label")}, '
                f'.n_fields = {n_fields}, .n_msgs = {n_msgs}, .id = {i}, {flags} }}')

    def pointers(self):
        """Per class: its fields and its messages."""
        out, field, msg = '', 0, 0
        for i, c in enumerate(self.classes):
            for kind, start, n in ('field', field, len(c['fields'])), ('msg', msg, len(c['messages'])):
                if n:
                    rows = ', '.join(f'&model_{kind}s[{j}]' for j in range(start, start + n))
                    out += f'static const struct {kind} *const {kind}s_{i}[] = {{ {rows} }};\n'
            field += len(c['fields'])
            msg += len(c['messages'])
        return out


def _array(decl, rows):
    return f'{decl} = {{\n' + ''.join(f'    {r},\n' for r in rows) + '};\n\n'


def _http_rows(model):
    for name, h in model.http.items():
        sub = [f'{{ {string(k)}, {role(r)} }}' for k, r in h.get('sub_actions', {}).items()] or ['{ NULL, 0 }']
        if len(sub) > 1:
            raise ValueError(f'{name}: more than one sub action')
        yield (f'{{ {string(name)}, {string(h["method"])}, {string(h["path"])}, {role(h.get("role", "local-root"))}, '
               f'{boolean(h.get("public"))}, {boolean(h.get("auth_inside"))}, {sub[0]} }}')


def emit_c(model):
    t = Tables(model)
    fields = [t.field_row(c, f) for c, f in t.fields]
    msgs = [t.msg_row(i, c, m) for i, (c, m) in enumerate(t.msgs)]
    classes = [t.class_row(i, c) for i, c in enumerate(t.classes)]
    by_name = sorted(range(len(t.msgs)), key=lambda i: f'{t.msgs[i][0]["name"]}_{t.msgs[i][1]["name"]}'.encode())
    out = header('idl/xenapi/') + '#include "gen/model.h"\n\n'
    out += f'static const struct type types[{len(t.types)}];\n\n'
    for n, e in model.enums.items():
        out += f'static const char *const enum_{n}[] = {{ {", ".join(map(string, e["values"]))} }};\n'
    out += _array('const struct model_enum model_enums[ENUM_COUNT]',
                  [f'{{ {string(n)}, enum_{n}, {len(e["values"])} }}' for n, e in model.enums.items()])
    out += t.items.text() + _array('static const struct value values[]', t.values)
    out += t.key_roles.text() + t.errors.text() + t.params.text() + t.pointers() + '\n'
    out += _array(f'static const struct type types[{len(t.types)}]', [f'{{ {row} }}' for _, row in t.types.values()])
    out += _array('const struct field model_fields[FIELD_COUNT]', fields)
    out += _array('const struct msg model_msgs[MSG_COUNT]', msgs)
    out += _array('const struct model_class model_classes[CLASS_COUNT]', classes)
    out += _array('const uint16_t model_msgs_by_name[MSG_COUNT]', by_name)
    roles = ['local-root'] + [r['name'] for r in model.roles]
    out += _array('const char *const model_role_names[ROLE_COUNT]', [f'[{role(r)}] = {string(r)}' for r in roles])
    out += _array('const struct http_action model_http_actions[HTTP_ACTION_COUNT]', _http_rows(model))
    out += _array('const struct alert_name model_alerts[ALERT_COUNT]',
                  [f'{{ {string(n)}, {a["priority"]} }}' for n, a in model.alerts.items()])
    out += _array('const struct permission model_extra_permissions[EXTRA_PERMISSION_COUNT]',
                  [f'{{ {string(p["name"])}, {role(p["role"])} }}' for p in model.meta['extra_permissions']])
    return out


def _numbers(names, count):
    return 'enum {\n' + ''.join(f'    {n},\n' for n in names) + f'    {count},\n}};\n\n'


def emit_h(model):
    t = Tables(model)
    fields = [f'{c["name"]}_{f["name"]}' for c, f in t.fields]
    msgs = [f'{c["name"]}_{m["name"]}' for c, m in t.msgs]
    api, schema = model.meta['api_version'], model.meta['schema_version']
    out = header('idl/xenapi/') + '#pragma once\n#include "model/model.h"\n\n'
    out += f'#define MODEL_API_MAJOR {api[0]}\n#define MODEL_API_MINOR {api[1]}\n#define MODEL_SCHEMA "{schema[0]}.{schema[1]}"\n\n'
    out += _numbers([f'CLASS_{c["name"]}' for c in t.classes], 'CLASS_COUNT')
    out += _numbers([f'FIELD_{n}' for n in fields], 'FIELD_COUNT')
    out += _numbers([f'MSG_{n}' for n in msgs], 'MSG_COUNT')
    out += _numbers([f'ENUM_{n}' for n in model.enums], 'ENUM_COUNT')
    out += f'#define HTTP_ACTION_COUNT {len(model.http)}\n#define ALERT_COUNT {len(model.alerts)}\n'
    out += f'#define EXTRA_PERMISSION_COUNT {len(model.meta["extra_permissions"])}\n\n'
    out += ('extern const struct model_class model_classes[CLASS_COUNT];\n'
            'extern const struct field model_fields[FIELD_COUNT];\n'
            'extern const struct msg model_msgs[MSG_COUNT];\n'
            'extern const struct model_enum model_enums[ENUM_COUNT];\n'
            'extern const struct http_action model_http_actions[HTTP_ACTION_COUNT];\n'
            'extern const struct alert_name model_alerts[ALERT_COUNT];\n'
            'extern const struct permission model_extra_permissions[EXTRA_PERMISSION_COUNT];\n'
            'extern const char *const model_role_names[ROLE_COUNT];\n'
            '/* Message numbers in the order of their names, spelt Class_msg. */\n'
            'extern const uint16_t model_msgs_by_name[MSG_COUNT];\n\n')
    out += ''.join(f'#define C_{c["name"]} (&model_classes[CLASS_{c["name"]}])\n' for c in t.classes) + '\n'
    out += ''.join(f'#define F_{n} (&model_fields[FIELD_{n}])\n' for n in fields) + '\n'
    out += ''.join(f'#define M_{n} (&model_msgs[MSG_{n}])\n' for n in msgs)
    return out
