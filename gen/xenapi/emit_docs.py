"""xenapi.json (the whole model, implicit messages included) and api.html (reference for readers)."""
import html
import json

from .model import lifecycle


def as_data(model):
    classes = []
    for c in model.classes.values():
        classes.append({k: v for k, v in c.items() if k not in ('fields', 'messages')} |
                       {'fields': c['fields'], 'messages': c['messages']})
    return {
        'api_version': model.meta['api_version'],
        'schema_version': model.meta['schema_version'],
        'releases': model.releases,
        'roles': model.roles,
        'classes': classes,
        'enums': [{'name': n, **e} for n, e in model.enums.items()],
        'errors': [{'code': n, **e} for n, e in model.errors.items()],
        'error_codes_without_params': list(model.undeclared_errors),
        'relations': model.relations,
        'emergency_calls': model.meta['emergency_calls'],
        'not_forwarded_to_master': model.meta['not_forwarded_to_master'],
        'get_all_classes': [c['name'] for c in model.classes.values() if c['get_all']],
        'extra_permissions': model.meta['extra_permissions'],
        'http_actions': [{'name': n, **h} for n, h in model.http.items()],
        'alert_names': [{'name': n, **a} for n, a in model.alerts.items()],
    }


def emit_json(model):
    return json.dumps(as_data(model), indent=1, ensure_ascii=False) + '\n'


STYLE = '''body{font:15px/1.5 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em;color:#222}
h2{border-top:2px solid #446;padding-top:.6em;margin-top:2em}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.25em .6em;border-bottom:1px solid #ddd}code{color:#135}
nav{columns:5;font-size:90%}.old{color:#999}'''


def _life(o):
    text = ', '.join(f'{k} {v}' for k, v in lifecycle(o).items() if k != 'state')
    return f'<span class="old">{html.escape(text)}</span>'


def _table(head, rows):
    cells = ''.join(f'<th>{h}</th>' for h in head)
    body = ''.join('<tr>' + ''.join(f'<td>{c}</td>' for c in r) + '</tr>\n' for r in rows)
    return f'<table><tr>{cells}</tr>\n{body}</table>\n'


def _code(s):
    return f'<code>{html.escape(str(s))}</code>'


def _params(m):
    return ', '.join(f'{p[1]} {p[0]}' + (f' = {json.dumps(p[2])}' if len(p) > 2 else '') for p in m['params'])


def _class(c):
    out = f'<h2 id="{c["name"]}">{c["name"]}</h2>\n<p>{html.escape(c.get("doc", ""))} {_life(c)}</p>\n'
    if c['fields']:
        out += '<h3>Fields</h3>\n' + _table(('field', 'type', '', 'meaning', 'lifecycle'), [
            (_code(f['name']), _code(f['type']), f['q'], html.escape(f.get('doc', '')), _life(f)) for f in c['fields']])
    for title, msgs in (('Messages', [m for m in c['messages'] if 'implicit' not in m]),
                        ('Messages that follow from the fields', [m for m in c['messages'] if 'implicit' in m])):
        if msgs:
            out += f'<h3>{title}</h3>\n' + _table(('message', 'role', 'meaning', 'lifecycle'), [
                (_code(f'{m["result"]} {m["name"]}({_params(m)})') + (' async' if m.get('async') else ''), m['role'],
                 html.escape(m.get('doc', '')), _life(m)) for m in msgs])
    return out


def emit_html(model):
    out = (f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Runnymede API</title><style>{STYLE}</style>\n'
           '<h1>Runnymede API</h1>\n<p>Generated from <code>idl/xenapi/</code>.</p>\n<nav>')
    out += ''.join(f'<a href="#{c}">{c}</a><br>' for c in model.classes) + '</nav>\n'
    out += ''.join(_class(c) for c in model.classes.values())
    out += '<h2 id="enums">Enums</h2>\n' + _table(('enum', 'values', 'meaning'), [
        (_code(n), ', '.join(map(_code, e['values'])), html.escape(e.get('doc', ''))) for n, e in model.enums.items()])
    errors = {**model.errors, **model.undeclared_errors}
    out += '<h2 id="errors">Errors</h2>\n' + _table(('code', 'parameters', 'meaning'), [
        (_code(n), ', '.join(e['params']), html.escape(e.get('doc', ''))) for n, e in errors.items()])
    return out + '</html>\n'
