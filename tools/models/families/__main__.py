"""Make all models and what they are to answer."""

import argparse
import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tools.models.families import checkpoints, legacy
from tools.models.families.answers import Author, reference_agreement
from tools.models.families.draft import Draft
from tools.models.families.mamba import mamba


class Family(NamedTuple):
    """One model: what it is made from, and what its memory is like."""

    build: Callable[[], Draft]
    reference: dict[str, Any] | None
    memory: str
    window: int | None
    margin: float
    """What makes an answer clear: several times the noise of the model's logits."""


def families(hf: Path, old: Path, tinychat: Path) -> dict[str, Family]:
    """All of them, by name."""
    said = json.loads((old / "expected.json").read_text())

    def checkpoint(name: str) -> dict[str, Any]:
        return json.loads((hf / name / "expected.json").read_text())

    window, deepseek = "sliding window", hf / "deepseek3"
    return {
        "gemma2": Family(lambda: checkpoints.gemma2(hf / "gemma2"), checkpoint("gemma2"), window, 16, 0.08),
        "gemma3": Family(lambda: legacy.gemma3(old / "gemma3-vision.gguf"), said["gemma3-vision"], window, 16, 0.15),
        "gpt-oss": Family(lambda: legacy.gpt_oss(old / "gpt-oss.gguf"), said["gpt-oss"], window, 16, 0.2),
        "olmo3": Family(lambda: legacy.olmo3(old / "olmo3.gguf"), said["olmo3"], window, 16, 0.12),
        "deepseek3": Family(lambda: checkpoints.deepseek3(deepseek), checkpoint("deepseek3"), "mla", None, 0.12),
        "qwen35": Family(lambda: legacy.qwen35(old / "qwen35.gguf"), said["qwen35"], "hybrid", None, 0.08),
        "qwen3next": Family(lambda: legacy.qwen3next(old / "qwen3next.gguf"), said["qwen3next"], "hybrid", None, 0.1),
        "mamba": Family(lambda: mamba(Draft.read(tinychat)), None, "recurrent", None, 0.06),
    }


def make(name: str, family: Family, out: Path) -> dict[str, Any]:
    """Write one model; what there is to know about it."""
    draft = family.build()
    path = out / f"{name}.gguf"
    draft.write(path)
    with tempfile.TemporaryDirectory() as scratch:
        wide = Path(scratch) / f"{name}.gguf"
        draft.promoted().write(wide)
        agreement = reference_agreement(path, wide, family.reference) if family.reference else None
        author = Author(path, wide, family.margin)
        entry = {
            "architecture": draft.architecture,
            "memory": family.memory,
            "window": family.window,
            "quantized_memory": author.quantized_memory,
            "end_ids": author.first.end_tokens,
            "reference": agreement,
            **author.all(),
        }
        author.close()
    return entry


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.models.families", description=__doc__)
    for name in ("checkpoints", "legacy", "tinychat", "out"):
        parser.add_argument(name, type=Path)
    paths = parser.parse_args()
    paths.out.mkdir(parents=True, exist_ok=True)
    expected: dict[str, Any] = {}
    for name, family in families(paths.checkpoints, paths.legacy, paths.tinychat).items():
        expected[name] = make(name, family, paths.out)
        size = (paths.out / f"{name}.gguf").stat().st_size
        print(f"{name}: {size} bytes, {json.dumps(expected[name]['reference'], ensure_ascii=False)}", flush=True)
    text = json.dumps(expected, ensure_ascii=False, sort_keys=True)
    (paths.out / "expected.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
