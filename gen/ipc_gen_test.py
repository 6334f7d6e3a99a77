#!/usr/bin/python3
"""The generator's output against gen/golden/, and what it must refuse. --update writes the golden files anew."""
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import ipc_gen  # noqa: E402

HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "golden"
IDL = HERE.parent / "idl" / "ipc"

HEAD = '[service]\nname = "x"\nid = 9\n'
REFUSED = {
    "unknown type": '[op.a]\nrequest = { b = "int" }\n',
    "keyword as a name": '[op.a]\nrequest = { register = "u8" }\n',
    "unknown key": '[op.a]\nrequests = { b = "u8" }\n',
    "one-way with a reply": '[op.a]\noneway = true\nreply = { b = "u8" }\n',
    "struct in itself": '[struct.a]\nb = "list(a)"\n',
    "structs in a circle": '[struct.a]\nb = "b"\n[struct.b]\na = "list(a)"\n',
    "empty struct": "[struct.a]\n",
    "list of lists": '[op.a]\nrequest = { b = "list(list(u8))" }\n',
    "count that collides": '[op.a]\nrequest = { b = "list(u8)", n_b = "u8" }\n',
    "field of no form": '[struct.a]\nb = "u8, since 0"\n',
    "too large": "[op.a]\nmax = 16777216\n",
    "service that is missing": '[op.a]\nrequest = { b = "y.z" }\n',
    "doc that ends its comment": '[op.a]\ndoc = "*/"\n',
}


def outputs(path, folder):
    service = ipc_gen.Service(path)
    return {f"ipc_{service.name}.h": ipc_gen.header(service), f"ipc_{service.name}.c": ipc_gen.source(service, folder)}


class Generator(unittest.TestCase):
    maxDiff = None

    def test_output_is_as_agreed(self):
        for name, text in outputs(GOLDEN / "echo.toml", "ipc").items():
            self.assertEqual(text, (GOLDEN / name).read_text(), f"{name}: see --update")

    def test_mistakes_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.toml"
            for what, text in REFUSED.items():
                path.write_text(HEAD + text)
                with self.subTest(what), self.assertRaises(ipc_gen.IdlError):
                    outputs(path, "gen")

    def test_services_have_numbers_of_their_own(self):
        services = [ipc_gen.Service(path) for path in sorted(IDL.glob("*.toml"))]
        ids = [s.id for s in services]
        self.assertEqual(len(ids), len(set(ids)), [(s.name, s.id) for s in services])
        self.assertNotIn(250, ids, "that is the tests'")

    def test_lines_are_not_too_long(self):
        for path in sorted(IDL.glob("*.toml")):
            for name, text in outputs(path, "gen").items():
                for line in text.splitlines():
                    self.assertLessEqual(len(line), ipc_gen.WIDTH, f"{name}: {line}")


if __name__ == "__main__":
    if "--update" in sys.argv:
        for file, content in outputs(GOLDEN / "echo.toml", "ipc").items():
            (GOLDEN / file).write_text(content)
    else:
        unittest.main()
