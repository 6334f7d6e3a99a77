#!/usr/bin/env python3
"""Tests of the XenAPI generator.

The golden files hold what a small IDL of our own turns into; to accept a change:
xenapi_gen_test.py --update. Where the facts about the reference are at hand
(RUNNYMEDE_SHARED, or ../shared beside the checkout), the derived messages of the
real IDL must be the reference's, one by one.
"""
import json
import os
import pathlib
import sys
import unittest

import xenapi_gen
from xenapi.model import IdlError, Model, parse_type

HERE = pathlib.Path(__file__).resolve().parent
IDL = HERE.parent / 'idl/xenapi'
SAMPLE = HERE / 'xenapi/testdata'
SHARED = pathlib.Path(os.environ.get('RUNNYMEDE_SHARED', HERE.parent.parent / 'shared'))
REFERENCE = SHARED / 'xenapi/datamodel.json'


def without_docs(o):
    return {k: v for k, v in o.items() if k != 'doc'}


class Golden(unittest.TestCase):
    maxDiff = None

    def test_output_for_the_sample_idl(self):
        model = Model(SAMPLE / 'idl')
        for name, emit in xenapi_gen.OUTPUTS.items():
            path = SAMPLE / 'golden' / name
            if '--update' in sys.argv:
                path.parent.mkdir(exist_ok=True)
                path.write_text(emit(model))
            with self.subTest(name):
                self.assertEqual(path.read_text(), emit(model))


class Types(unittest.TestCase):
    def test_nested(self):
        self.assertEqual(parse_type('map(int,set(ref VM))'), ('map', ('int',), ('set', ('ref', 'VM'))))

    def test_text_comes_back(self):
        for text in 'map(ref VM,record VM)', 'option(string)', 'event batch', 'set(enum cls)', 'map(string,map(int,float))':
            self.assertEqual(Model.type_text(parse_type(text)), text)

    def test_unknown(self):
        for text in 'strin', 'set(', 'map(string)', '':
            with self.assertRaises(IdlError):
                parse_type(text)


class OurIdl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = Model(IDL)

    def test_everything_is_described(self):
        missing = []
        for c in self.model.classes.values():
            missing += [c['name']] * (not c.get('doc'))
            for kind in 'fields', 'messages':
                missing += [f'{c["name"]}.{x["name"]}' for x in c[kind] if not x.get('doc') and 'implicit' not in x]
        for table in self.model.enums, self.model.errors:
            missing += [n for n, x in table.items() if not x.get('doc')]
        self.assertEqual(missing, [])

    def test_names_are_unique_in_both_spellings(self):
        names = [f'{c["name"]}_{m["name"]}' for c in self.model.classes.values() for m in c['messages']]
        self.assertEqual(len(names), len(set(names)))

    def test_declared_errors_of_messages_exist(self):
        known = set(self.model.errors) | set(self.model.undeclared_errors)
        for c in self.model.classes.values():
            for m in c['messages']:
                self.assertEqual([e for e in m.get('errors', []) if e not in known], [], f'{c["name"]}.{m["name"]}')


@unittest.skipUnless(REFERENCE.exists(), f'no {REFERENCE}')
class Reference(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ours, cls.theirs = Model(IDL), json.loads(REFERENCE.read_text())

    def test_messages_are_identical(self):
        n = 0
        for c in self.theirs['classes']:
            theirs = {m['name']: m for m in c['messages']}
            ours = {m['name']: without_docs(m) for m in self.ours.classes[c['name']]['messages']}
            self.assertEqual(set(theirs), set(ours), c['name'])
            for name, m in theirs.items():
                self.assertEqual(m, ours[name], f'{c["name"]}.{name}')
                n += 1
        self.assertEqual(n, sum(len(c['messages']) for c in self.ours.classes.values()))

    def test_fields_are_identical(self):
        derived = ('doc', 'db_name', 'relation', 'other')
        for c in self.theirs['classes']:
            ours = [{k: v for k, v in f.items() if k not in derived} for f in self.ours.classes[c['name']]['fields']]
            self.assertEqual(c['fields'], ours, c['name'])

    def test_tables_are_identical(self):
        self.assertEqual({e['name']: e['values'] for e in self.theirs['enums']},
                         {n: e['values'] for n, e in self.ours.enums.items()})
        self.assertEqual({e['code']: len(e['params']) for e in self.theirs['errors']},
                         {n: len(e['params']) for n, e in self.ours.errors.items()})
        self.assertEqual(self.theirs['error_codes_without_params'], list(self.ours.undeclared_errors))
        self.assertEqual(self.theirs['relations'], self.ours.relations)
        self.assertEqual(self.theirs['roles'], self.ours.roles)
        self.assertEqual(self.theirs['emergency_calls'], self.ours.meta['emergency_calls'])
        self.assertEqual(self.theirs['http_actions'], [{'name': n, **h} for n, h in self.ours.http.items()])
        self.assertEqual(self.theirs['alert_names'], [{'name': n, **a} for n, a in self.ours.alerts.items()])


if __name__ == '__main__':
    unittest.main(argv=[a for a in sys.argv if a != '--update'], verbosity=1)
