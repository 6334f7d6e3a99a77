#!/usr/bin/python3
"""Files as C arrays: embed.py OUT.h FILE... writes page_<name without suffix>[] for each."""
import sys
from pathlib import Path

out = ["/* generated from src/gate/pages/ */", "#pragma once"]
for name in sys.argv[2:]:
    path = Path(name)
    data = path.read_bytes()
    out.append(f"static const unsigned char page_{path.stem}[] __attribute__((unused)) = {{")
    for i in range(0, len(data), 20):
        out.append("    " + ", ".join(map(str, data[i:i + 20])) + ",")
    out.append("};")
Path(sys.argv[1]).write_text("\n".join(out) + "\n")
