"""Small helpers for writing C."""
import re

KEYWORDS = set('''auto break case char const continue default do double else enum extern float for goto if inline int
long register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while asm
typeof bool true false linux unix i386 errno stdin stdout stderr'''.split())


def header(source):
    return f'/* Generated from {source} by gen/xenapi_gen.py. Do not edit. */\n'


def ident(name):
    """A C identifier for a name of the IDL."""
    name = re.sub(r'\W', '_', name.strip())
    return name + '_' if name in KEYWORDS else name


def string(s):
    if s is None:
        return 'NULL'
    out = ''
    for byte in s.encode():
        ch = chr(byte)
        out += {'"': '\\"', '\\': '\\\\'}.get(ch) or (ch if 32 <= byte < 127 else f'\\{byte:03o}')
    return f'"{out}"'


def boolean(b):
    return 'true' if b else 'false'


class Pool:
    """Arrays that are written once however often they are used."""

    def __init__(self, ctype, prefix):
        self.ctype, self.prefix = ctype, prefix
        self.rows = {}

    def name(self, items):
        """The array holding these initializers; NULL when there are none."""
        if not items:
            return 'NULL'
        return self.rows.setdefault(tuple(items), f'{self.prefix}{len(self.rows)}')

    def text(self):
        return ''.join(f'static const {self.ctype} {name}[] = {{ {", ".join(items)} }};\n' for items, name in self.rows.items())
