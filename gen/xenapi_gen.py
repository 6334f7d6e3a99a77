#!/usr/bin/env python3
"""Generates C, JSON and documentation from idl/xenapi/.

usage: xenapi_gen.py IDL_DIR OUT_DIR [DEPFILE]
"""
import pathlib
import sys

from xenapi import emit_api, emit_docs, emit_errors, emit_model, emit_xe
from xenapi.model import IdlError, Model

OUTPUTS = {
    'model.h': emit_model.emit_h,
    'model.c': emit_model.emit_c,
    'errors.h': emit_errors.emit_h,
    'errors.c': emit_errors.emit_c,
    'api.h': emit_api.emit_h,
    'api.c': emit_api.emit_c,
    'xe_verbs.h': emit_xe.emit_h,
    'xe_verbs.c': emit_xe.emit_c,
    'xenapi.json': emit_docs.emit_json,
    'api.html': emit_docs.emit_html,
}


def main(argv):
    if len(argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        model = Model(argv[1])
    except IdlError as e:
        print(f'xenapi_gen: {e}', file=sys.stderr)
        return 1
    out = pathlib.Path(argv[2])
    out.mkdir(parents=True, exist_ok=True)
    for name, emit in OUTPUTS.items():
        (out / name).write_text(emit(model))
    if len(argv) == 4:
        inputs = sorted(pathlib.Path(argv[1]).rglob('*.toml')) + sorted(pathlib.Path(__file__).parent.glob('xenapi/*.py'))
        pathlib.Path(argv[3]).write_text(f'{out / "model.h"}: {" ".join(map(str, inputs))}\n')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
