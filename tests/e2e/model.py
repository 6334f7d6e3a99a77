"""The contract as the server itself tells it: build/src/gen/xenapi.json. For types of results and the like."""
import json
import os
import re
import sys
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools/lib"))


@lru_cache
def load():
    from throwaway import default_build
    build = Path(os.environ.get("RUNNYMEDE_BUILD", default_build()))
    return json.loads((build / "src/gen/xenapi.json").read_text())


@lru_cache
def messages():
    return {f"{c['name']}.{m['name']}": m for c in load()["classes"] for m in c["messages"]}


@lru_cache
def fields(cls):
    return {f["name"]: f["type"] for c in load()["classes"] if c["name"] == cls for f in c["fields"]}


def result_type(method):
    return messages()[method.removeprefix("Async.")]["result"]


def split_map(inner):
    """'ref VM,record VM' and 'string,set(string)' at the comma that is not inside parentheses."""
    depth = 0
    for i, ch in enumerate(inner):
        depth += (ch == "(") - (ch == ")")
        if ch == "," and depth == 0:
            return inner[:i].strip(), inner[i + 1:].strip()
    raise ValueError(inner)


def typed(kind, v):
    """An XML-RPC value with the types that JSON gives it."""
    if kind == "int":
        return int(v)
    if kind == "float":
        return float(v)
    if kind.startswith("set("):
        return [typed(kind[4:-1], i) for i in v]
    if kind.startswith("map("):
        k, inner = split_map(kind[4:-1])
        return {i: typed(inner, j) for i, j in v.items()}
    m = re.fullmatch(r"record (\w+)", kind)
    if m:
        f = fields(m.group(1))
        return {k: typed(f[k], i) if k in f else i for k, i in v.items()}
    return v
