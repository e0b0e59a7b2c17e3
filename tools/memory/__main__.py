"""How far estimates are off: `python -m tools.memory [FILE …]`.

Without files, the shapes of well-known models are written without weights, and the engine is asked what it would take
for them. Files are loaded for real. All figures are of a machine without GPU, in MiB, with the difference in per cent.

    python -m tools.memory --record FILE     write the engine's figures for all shapes, for the tests
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tools.memory import hollow
from tools.memory.comparison import Comparison, Setting, compare, facts_in, options
from tools.memory.engine import ask
from tools.memory.shapes import SHAPES

SETTINGS: Final = (
    Setting(),
    Setting(parallel=4),
    Setting(num_ctx=32768),
    Setting(flash_attention=False),
    Setting(num_ctx=32768, parallel=2, flash_attention=False),
    Setting(flash_attention=True, kv_type="q8_0"),
    Setting(num_ctx=16384, flash_attention=True, kv_type="q4_0"),
    Setting(host=False),
    Setting(num_ctx=32768, num_batch=1024, host=False),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.memory")
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--record", type=Path)
    arguments = parser.parse_args()
    if arguments.record is not None:
        arguments.record.write_text(json.dumps(list(_recorded()), separators=(",", ":")).replace("},{", "},\n{") + "\n")
        return 0
    off = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.files or _shapes(Path(folder)):
            for setting in SETTINGS:
                try:
                    rows = compare(path, setting, allocate=bool(arguments.files))
                except RuntimeError as error:
                    print(f"{path.stem:18}{setting}  refused: {str(error).splitlines()[-1]}", flush=True)
                    continue
                off += not all(row.holds for row in rows if row.kind != "graph")
                print(f"{path.stem:18}{setting}  {'  '.join(map(_cell, rows))}", flush=True)
    print(f"{off} of them are more than 5 % off in weights, KV or total")
    return 1 if off else 0


def _shapes(folder: Path) -> Iterator[Path]:
    for name, shape in SHAPES.items():
        path = folder / f"{name}.gguf"
        hollow.write(shape(), path)
        yield path


def _cell(row: Comparison) -> str:
    return f"{row.kind} {row.foretold / 2**20:9.1f} {row.taken / 2**20:9.1f} {100 * row.off:+6.2f} %"


def _recorded() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        for path in _shapes(Path(folder)):
            facts = facts_in(path)
            for setting in SETTINGS:
                sizes = ask(path, options(facts, setting, allocate=False))
                yield {"shape": path.stem, "setting": asdict(setting), "sizes": asdict(sizes)}


if __name__ == "__main__":
    sys.exit(main())
