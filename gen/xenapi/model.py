"""The XenAPI model: reads idl/xenapi/ and derives what is not written there.

The IDL lists classes, fields and explicit messages. Getters, setters and the
other messages that follow from a class and its fields are derived here.
"""
import pathlib
import re
import tomllib

LIFECYCLE = ('state', 'since', 'prototyped', 'deprecated', 'removed')


class IdlError(Exception):
    pass


def parse_type(text):
    """'map(string,ref VM)' -> ('map', ('string',), ('ref', 'VM'))"""
    text = text.strip()
    m = re.fullmatch(r'(set|option)\((.*)\)', text)
    if m:
        return (m[1], parse_type(m[2]))
    m = re.fullmatch(r'map\((.*)\)', text)
    if m:
        depth = 0
        for i, ch in enumerate(m[1]):
            depth += (ch == '(') - (ch == ')')
            if ch == ',' and not depth:
                return ('map', parse_type(m[1][:i]), parse_type(m[1][i + 1:]))
    m = re.fullmatch(r'(enum|ref|record) (\w+)', text)
    if m:
        return (m[1], m[2])
    if text in ('string', 'secret', 'int', 'float', 'bool', 'datetime', 'void', 'event batch'):
        return (text,)
    raise IdlError(f'unknown type "{text}"')


def lifecycle(o):
    return {k: o[k] for k in LIFECYCLE if k in o}


def _read(path):
    with open(path, 'rb') as f:
        try:
            return tomllib.load(f)
        except tomllib.TOMLDecodeError as e:
            raise IdlError(f'{path}: {e}') from e


def _implicit(name, kind, params, result, role, life, **more):
    m = {'name': name, 'implicit': kind, 'params': params, 'result': result, 'role': role}
    m.update({k: v for k, v in more.items() if v})
    m.update(life)
    return m


class Model:
    def __init__(self, idl):
        self.dir = pathlib.Path(idl)
        self.classes = {}
        self._load_tables()
        for path in sorted((self.dir / 'class').glob('*.toml'), key=lambda p: p.name.lower()):
            self._load_class(_read(path), path)
        self._load_relations()
        for c in self.classes.values():
            c['messages'] += self._class_messages(c)
        self._check_types()

    def _load_tables(self):
        self.enums = _read(self.dir / 'enums.toml')['enum']
        errors = _read(self.dir / 'errors.toml')
        self.errors = errors['error']
        self.undeclared_errors = errors['undeclared']
        self.relations = _read(self.dir / 'relations.toml')['relation']
        self.roles = _read(self.dir / 'roles.toml')['role']
        self.releases = _read(self.dir / 'releases.toml')['release']
        self.http = _read(self.dir / 'http.toml')['action']
        self.alerts = _read(self.dir / 'alerts.toml')['alert']
        self.meta = _read(self.dir / 'meta.toml')

    def _load_class(self, toml, path):
        c = dict(toml['class'])
        if path.stem != c['name']:
            raise IdlError(f'{path}: holds class {c["name"]}')
        c['fields'] = [{'name': n, **f} for n, f in toml.get('field', {}).items()]
        c['messages'] = [{'name': n, **m} for n, m in toml.get('message', {}).items()]
        prefixes = self.meta['namespaces'].get(c['name'], [])
        for f in c['fields']:
            f['db_name'] = f['name']
            for p in prefixes:
                if f['name'].startswith(p + '_'):
                    f['db_name'] = p + '__' + f['name'][len(p) + 1:]
        self.classes[c['name']] = c

    def field(self, path):
        cls, name = path.split('.')
        for f in self.classes[cls]['fields']:
            if f['name'] == name:
                return f
        raise IdlError(f'no field {path}')

    def has_field(self, path):
        cls, name = path.split('.')
        return any(f['name'] == name for f in self.classes[cls]['fields'])

    def _load_relations(self):
        for r in self.relations:
            # Plain sets of refs to their own kind, and fields that are not shown to clients.
            if r['from'] == r['to'] or not (self.has_field(r['from']) and self.has_field(r['to'])):
                continue
            a, b = self.field(r['from']), self.field(r['to'])
            a['relation'] = 'one' if r['kind'] == 'many-to-one' else 'many'
            b['relation'] = 'derived'
            a['other'], b['other'] = r['to'], r['from']

    # What a class answers without anybody writing it down.
    def _class_messages(self, c):
        if not c['in_database']:
            return []
        n, role, life = c['name'], c['implicit_role'], lifecycle(c)
        me = [['self', f'ref {n}']]
        fields = {f['name']: f for f in c['fields']}
        out = []
        if c['generic_create_destroy']:
            cert = {'async': True, 'client_cert': c.get('client_cert')}
            out.append(_implicit('create', 'create', [['args', f'record {n}']], f'ref {n}', c['default_role'], life, **cert))
            out.append(_implicit('destroy', 'destroy', me, 'void', c['default_role'], life, **cert))
        if c['get_all']:
            refs, records = f'set(ref {n})', f'map(ref {n},record {n})'
            expr = [['expr', 'string']]
            out.append(_implicit('get_all', 'get_all', [], refs, role, life))
            out.append(_implicit('get_all_where', 'get_all_where', expr, refs, role, life, hidden=True))
            out.append(_implicit('get_all_records_where', 'get_all_records_where', expr, records, role, life, hidden=True))
            out.append(_implicit('get_all_records', 'get_all_records', [], records, role, life))
        for f in c['fields']:
            out += self._field_messages(c, f, me)
        if 'uuid' in fields:
            out.append(_implicit('get_by_uuid', 'get_by_uuid', [['uuid', 'string']], f'ref {n}', role, life))
        if 'name_label' in fields and fields['name_label']['db_name'] == 'name__label':
            out.append(_implicit('get_by_name_label', 'get_by_name_label', [['label', 'string']], f'set(ref {n})', role, life))
        out.append(_implicit('get_record', 'get_record', me, f'record {n}', role, life))
        taken = {m['name'] for m in c['messages']}
        return [m for m in out if m['name'] not in taken]

    def _field_messages(self, c, f, me):
        name, life = f['name'], lifecycle(f)
        role = f.get('write_role', c['default_role'])
        more = {'client_cert': f.get('client_cert')}
        out = [_implicit(f'get_{name}', 'getter', me, f['type'], f.get('read_role', 'read-only'), life)]
        t = parse_type(f['type'])
        derived = t[0] == 'set' and t[1][0] == 'ref' and not f.get('ignore_fk')
        if f['q'] != 'RW' or derived:
            return out
        value = me + [['value', f['type']]]
        out.append(_implicit(f'set_{name}', 'setter', value, 'void', role, life, **more))
        if t[0] == 'set':
            elem = f['type'][4:-1]
            for verb in 'add', 'remove':
                out.append(_implicit(f'{verb}_{name}', verb, me + [['value', elem]], 'void', role, life, **more))
        if t[0] == 'map':
            more['key_roles'] = f.get('key_roles')
            key, val = (self.type_text(x) for x in t[1:])
            out.append(_implicit(f'add_to_{name}', 'add', me + [['key', key], ['value', val]], 'void', role, life, **more))
            out.append(_implicit(f'remove_from_{name}', 'remove', me + [['key', key]], 'void', role, life, **more))
        return out

    @staticmethod
    def type_text(t):
        if t[0] in ('set', 'option'):
            return f'{t[0]}({Model.type_text(t[1])})'
        if t[0] == 'map':
            return f'map({Model.type_text(t[1])},{Model.type_text(t[2])})'
        return ' '.join(t)

    def _check_types(self):
        for c in self.classes.values():
            for f in c['fields']:
                self._check_type(parse_type(f['type']), f'{c["name"]}.{f["name"]}')
            for m in c['messages']:
                for t in [m['result']] + [p[1] for p in m['params']]:
                    self._check_type(parse_type(t), f'{c["name"]}.{m["name"]}')

    def _check_type(self, t, where):
        if t[0] == 'enum' and t[1] not in self.enums or t[0] in ('ref', 'record') and t[1] not in self.classes:
            raise IdlError(f'{where}: no {t[0]} {t[1]}')
        for sub in t[1:]:
            if isinstance(sub, tuple):
                self._check_type(sub, where)
