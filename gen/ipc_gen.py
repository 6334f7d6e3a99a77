#!/usr/bin/python3
"""Turns one service of idl/ipc/ into C: structs, their tables for the codec, client calls, server dispatch.

Usage: ipc_gen.py IDL.toml OUT_FOLDER [INCLUDE_FOLDER]
Writes ipc_<name>.h and ipc_<name>.c; another service that a field names is read from the same folder.

A field of a struct that is kept in files says with which form of it it came: name = "string, since 2". Between
processes, which are all of one build, that makes no difference.
"""
import re
import sys
import tomllib
from pathlib import Path

WIDTH = 120
FRAME_MAX = 16 << 20  # as IPC_FRAME_MAX in src/ipc/frame.h
MAX_DEFAULT = 65536
NAME = re.compile(r"[a-z][a-z0-9_]*")
KEYWORDS = set("""auto break case char const continue default do double else enum extern float for goto if inline int
    long register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
    asm typeof bool true false""".split())

# type: (C declaration without the name, kind in ipc/type.h, least bytes on the wire)
SCALARS = {
    "bool": ("bool ", "IPC_BOOL", 1),
    "u8": ("uint8_t ", "IPC_U8", 1),
    "u32": ("uint32_t ", "IPC_U32", 4),
    "u64": ("uint64_t ", "IPC_U64", 8),
    "i64": ("int64_t ", "IPC_I64", 8),
    "f64": ("double ", "IPC_F64", 8),
    "string": ("const char *", "IPC_STRING", 5),
    "bytes": ("struct str ", "IPC_BYTES", 4),
    "value": ("struct value ", "IPC_VALUE", 1),
    "fd": ("int ", "IPC_FD", 1),
}


class IdlError(Exception):
    pass


def check(ok, text):
    if not ok:
        raise IdlError(text)


def check_keys(table, allowed, where):
    unknown = set(table) - set(allowed)
    check(not unknown, f"{where}: unknown key {', '.join(sorted(unknown))}")


def check_name(name, where):
    check(NAME.fullmatch(name) and name not in KEYWORDS, f"{where}: '{name}' cannot be a name in C")


class Field:
    """One field of a record; `struct` is the Record it is made of, if it is."""

    def __init__(self, name, text, service, where):
        check_name(name, where)
        text, since = re.fullmatch(r"(.*?)(?:, since (\d+))?", text).groups()
        self.since = int(since or 1)
        check(1 <= self.since <= 255, f"{where}.{name}: since {since} is out of range")
        match = re.fullmatch(r"list\((.*)\)", text)
        self.name = name
        self.is_list = bool(match)
        item = match[1].strip() if match else text
        self.struct = None if item in SCALARS else service.record(item, f"{where}.{name}")
        if self.struct:
            self.c, self.kind = f"struct {self.struct.c} ", "IPC_STRUCT"
        else:
            self.c, self.kind, self.min_wire = SCALARS[item]

    def wire(self):
        if self.since > 1:
            return 0
        if self.is_list:
            return 4
        return self.struct.min_wire() if self.struct else self.min_wire

    def declaration(self):
        note = " /* borrowed or owned as ipc.h says; -1 or 0: none */" if self.kind == "IPC_FD" else ""
        if not self.is_list:
            return [f"    {self.c}{self.name};{note}"]
        return [f"    {self.c}*{self.name};{note}", f"    size_t n_{self.name};"]

    def table(self, record):
        parts = [f'"{self.name}"', self.kind, "true" if self.is_list else "false", str(self.since),
                 f"offsetof(struct {record}, {self.name})",
                 f"offsetof(struct {record}, n_{self.name})" if self.is_list else "0",
                 f"&{self.struct.c}_type" if self.struct else "NULL"]
        return wrap("    { ", parts, " },", "        ")


class Record:
    """A C struct and its table: a struct of the IDL, a request or a reply."""

    def __init__(self, c, fields, doc="", has_struct=True):
        self.c, self.fields, self.doc = c, fields, doc
        self.has_struct = has_struct or bool(fields)  # a reply without fields has none

    def min_wire(self):
        return sum(f.wire() for f in self.fields)

    def struct_lines(self):
        lines = comment(self.doc) + [f"struct {self.c} {{"]
        for field in self.fields:
            lines += field.declaration()
        if not self.fields:
            lines.append("    char nothing; /* C has no empty struct; not on the wire */")
        return lines + ["};"]

    def table_lines(self, scope=""):
        size = f"sizeof(struct {self.c})" if self.has_struct else "0"
        head = f"{scope}const struct ipc_type {self.c}_type = {{ "
        if not self.fields:
            return wrap(head, [f'"{self.c}"', size, "0", "0", "NULL"], " };", "    ") + [""]
        lines = [f"static const struct ipc_field {self.c}_fields[] = {{"]
        for field in self.fields:
            lines += field.table(self.c)
        parts = [f'"{self.c}"', size, str(self.min_wire()), str(len(self.fields)), f"{self.c}_fields"]
        return lines + ["};"] + wrap(head, parts, " };", "    ") + [""]


class Op:
    def __init__(self, name, table, service, position):
        where = f"{service.name}.{name}"
        check_name(name, service.name)
        check_keys(table, ("doc", "request", "reply", "max", "oneway"), where)
        self.name, self.position = name, position
        self.doc = table.get("doc", "")
        self.max = table.get("max", MAX_DEFAULT)
        self.oneway = table.get("oneway", False)
        self.c = f"{service.name}_{name}"
        self.constant = f"{service.name}_op_{name}".upper()
        check(0 < self.max <= FRAME_MAX - 64, f"{where}: max {self.max} is out of range")
        check(not (self.oneway and table.get("reply")), f"{where}: a one-way op has no reply")
        self.req = Record(f"{self.c}_req", service.fields(table.get("request", {}), f"{where} request"))
        self.rep = Record(f"{self.c}_rep", service.fields(table.get("reply", {}), f"{where} reply"), has_struct=False)

    def prototype(self):
        parts = ["struct ipc_peer *p"]
        if not self.oneway:
            parts.append("struct arena *a")
        parts.append(f"const struct {self.req.c} *req")
        if self.rep.fields:
            parts.append(f"struct {self.rep.c} *ret_rep")
        return f"struct err *{self.c}(", parts

    def slot(self):
        parts = ["struct ipc_call *c", f"struct {self.req.c} *req"]
        if self.rep.fields:
            parts.append(f"struct {self.rep.c} *rep")
        return wrap(f"    struct err *(*{self.name})(", parts, ");", "        ")

    def row(self, service):
        parts = [f'"{service}.{self.name}"', f"&{self.req.c}_type", f"&{self.rep.c}_type", str(self.max),
                 "true" if self.oneway else "false", f"run_{self.name}"]
        return wrap(f"    [{self.constant}] = {{ ", parts, " },", "        ")

    def run_lines(self, service):
        args = "c, req, rep" if self.rep.fields else "c, req"
        lines = wrap(f"static struct err *run_{self.name}(",
                     ["const void *ops", "struct ipc_call *c", "void *req", "void *rep"], ")", "    ") + ["{"]
        lines += [f"    const struct {service}_ops *o = ops;", ""]
        if not self.rep.fields:
            lines.append("    (void)rep;")
        lines += wrap(f"    return o->{self.name} ? o->{self.name}({args}) : ", [f'ipc_refused("{service}.{self.name}");'],
                      "", "        ")
        return lines + ["}", ""]

    def client_lines(self, service):
        head, parts = self.prototype()
        lines = wrap(head, parts, ")", "    ") + ["{"]
        if self.oneway:
            lines.append(f"    return ipc_post(p, &{service}_service, {self.constant}, req);")
        else:
            rep = "ret_rep" if self.rep.fields else "NULL"
            lines.append(f"    return ipc_invoke(p, &{service}_service, {self.constant}, a, req, {rep});")
        return lines + ["}", ""]


class Service:
    def __init__(self, path, seen=()):
        self.path = Path(path)
        check(self.path not in seen, f"{path}: services include each other in a circle")
        with open(self.path, "rb") as file:
            self.idl = tomllib.load(file)
        check_keys(self.idl, ("service", "struct", "op"), str(path))
        head = self.idl.get("service", {})
        check_keys(head, ("name", "id", "doc"), f"{path} [service]")
        self.name, self.id, self.doc = head.get("name", ""), head.get("id", 0), head.get("doc", "")
        check_name(self.name, str(path))
        check(self.name == self.path.stem, f"{path}: the service is called '{self.name}'")
        check(isinstance(self.id, int) and 1 <= self.id <= 255, f"{path}: id must be 1..255")
        self.seen = (*seen, self.path)
        self.others = {}   # name -> Service whose structs are used here
        self.records = {}  # name -> Record, in an order in which C can read them
        self.open = []     # structs being resolved, to find circles
        for name in self.idl.get("struct", {}):
            self.record(name, self.name)
        self.ops = [Op(name, table, self, i) for i, (name, table) in enumerate(self.idl.get("op", {}).items())]
        check(len(self.ops) <= 256, f"{path}: too many ops")

    def fields(self, table, where):
        fields = [Field(name, text, self, where) for name, text in table.items()]
        names = [f.name for f in fields] + [f"n_{f.name}" for f in fields if f.is_list]
        check(len(names) == len(set(names)), f"{where}: a field's name collides with the count of a list")
        return fields

    def record(self, name, where):
        if "." in name:
            service, _, struct = name.partition(".")
            if service not in self.others:
                path = self.path.with_name(f"{service}.toml")
                check(path.exists(), f"{where}: no service '{service}'")
                self.others[service] = Service(path, self.seen)
            check(struct in self.others[service].records, f"{where}: no struct '{name}'")
            return self.others[service].records[struct]
        if name in self.records:
            return self.records[name]
        check(name in self.idl.get("struct", {}), f"{where}: no type '{name}'")
        check(name not in self.open, f"{where}: struct '{name}' contains itself")
        check_name(name, where)
        self.open.append(name)
        table = dict(self.idl["struct"][name])
        doc = table.pop("doc", "") if table.get("doc") not in SCALARS else ""
        fields = self.fields(table, f"{self.name}.{name}")
        check(fields, f"{where}: struct '{name}' is empty")
        self.open.pop()
        self.records[name] = Record(f"{self.name}_{name}", fields, doc)
        return self.records[name]


def wrap(head, parts, tail, indent):
    """head + parts joined by commas + tail, broken like clang-format does with our settings."""
    whole = ", ".join(parts) + tail
    if head.endswith("(") and len(head) + len(whole) > WIDTH >= len(indent) + len(whole):
        return [head, indent + whole]
    lines, line = [], head
    for i, part in enumerate(parts):
        piece = part + (tail if i == len(parts) - 1 else ",")
        glue = "" if i == 0 else " "
        if len(line) + len(glue) + len(piece) > WIDTH and line.strip():
            lines.append(line.rstrip())
            line, glue = indent, ""
        line += glue + piece
    return lines + [line]


def comment(text, indent=""):
    check("*/" not in text, "a doc may not end the comment it lands in")
    words = text.split()
    if not words:
        return []
    one = f"{indent}/* {' '.join(words)} */"
    if len(one) <= WIDTH:
        return [one]
    lines, line = [f"{indent}/*"], f"{indent} *"
    for word in words:
        if len(line) + 1 + len(word) > WIDTH - 4:
            lines.append(line)
            line = f"{indent} *"
        line += f" {word}"
    return lines + [line, f"{indent} */"]


def inline(head, parts, body):
    return wrap(f"static inline {head}(", parts, ")", "    ") + ["{", f"    {body}", "}"]


def record_api(record):
    """What others may do with a struct: keep it in a file, keep it past its call, close what it holds."""
    c = record.c
    return (
        [f"extern const struct ipc_type {c}_type;"]
        + inline(f"MUST_CHECK struct err *{c}_encode", ["struct buf *b", f"const struct {c} *x"],
                 f"return ipc_keep(b, &{c}_type, x);")
        + inline(f"MUST_CHECK struct err *{c}_decode", ["struct arena *a", "struct str in", f"struct {c} *ret"],
                 f"return ipc_recall(a, in, &{c}_type, ret);")
        + inline(f"void {c}_take", ["struct arena *a", f"struct {c} *from", f"struct {c} *ret"],
                 f"ipc_take(a, &{c}_type, from, ret);")
        + inline(f"void {c}_close", [f"struct {c} *x"], f"ipc_close_fds(&{c}_type, x);")
        + [""]
    )


def banner(service):
    return f"/* Generated from idl/ipc/{service.path.name} by gen/ipc_gen.py. Edit that, not this. */"


def header(service):
    name = service.name
    lines = ["#pragma once", banner(service), '#include "ipc/ipc.h"']
    lines += [f'#include "gen/ipc_{other}.h"' for other in sorted(service.others)] + [""]
    lines += comment(service.doc)
    lines += [f"extern const struct ipc_service {name}_service;", ""]
    if service.ops:
        lines += ["enum {"] + [f"    {op.constant} = {op.position}," for op in service.ops] + ["};", ""]
    for record in service.records.values():
        lines += record.struct_lines() + record_api(record)
    for op in service.ops:
        lines += op.req.struct_lines()
        if op.rep.fields:
            lines += op.rep.struct_lines()
        head, parts = op.prototype()
        waits = " /* one-way: does not wait */" if op.oneway else " /* [waits] */"
        proto = wrap(head, parts, ") MUST_CHECK;", "    ")
        if len(proto[-1]) + len(waits) <= WIDTH:
            proto[-1] += waits
            lines += comment(op.doc) + proto + [""]
        else:
            lines += comment(op.doc) + [waits.strip()] + proto + [""]
    if service.ops:
        lines += comment("What a server answers with; NULL: refused. The request's descriptors belong to the call: fd_take() "
                         "what is kept. Those of the reply are closed once sent.")
        lines += [f"struct {name}_ops {{"]
        for op in service.ops:
            lines += op.slot()
        lines += ["};"]
    return "\n".join(lines).rstrip() + "\n"


def source(service, folder):
    name = service.name
    lines = [banner(service), f'#include "{folder}/ipc_{name}.h"', "#include <stddef.h>", '#include "ipc/type.h"', ""]
    for record in service.records.values():
        lines += record.table_lines()
    for op in service.ops:
        lines += op.req.table_lines("static ")[:-1] + op.rep.table_lines("static ")
    for op in service.ops:
        lines += op.run_lines(name)
    if service.ops:
        lines += ["static const struct ipc_op ops[] = {"]
        for op in service.ops:
            lines += op.row(name)
        lines += ["};", ""]
    table = f"{len(service.ops)}, {'ops' if service.ops else 'NULL'}"
    lines += [f'const struct ipc_service {name}_service = {{ "{name}", {service.id}, {table} }};', ""]
    for op in service.ops:
        lines += op.client_lines(name)
    return "\n".join(lines).rstrip() + "\n"


def main(argv):
    try:
        service = Service(argv[1])
        out, folder = Path(argv[2]), argv[3] if len(argv) > 3 else "gen"
        (out / f"ipc_{service.name}.h").write_text(header(service))
        (out / f"ipc_{service.name}.c").write_text(source(service, folder))
    except (IdlError, tomllib.TOMLDecodeError) as error:
        sys.exit(f"ipc_gen: {argv[1]}: {error}")


if __name__ == "__main__":
    main(sys.argv)
