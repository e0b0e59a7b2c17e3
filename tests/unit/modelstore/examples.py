"""The Modelfiles that come as examples, and the files that they name."""

import shutil
from pathlib import Path

from tests.integration.gguffile import File

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "Modelfile.examples"
MODELS = ROOT / "tests" / "models"
NAMES = sorted(path.stem for path in FOLDER.iterdir() if path.is_file())


def lay_out(root: Path) -> Path:
    """A copy of the folder in which every path leads to a file, also the shards that a user would have to cut."""
    folder = root / FOLDER.name
    shutil.copytree(FOLDER, folder)
    (root / "tests").mkdir()
    (root / "tests" / "models").symlink_to(MODELS)
    shards = folder / "shards"
    shards.mkdir()
    cut = File.read(MODELS / "tinychat-f16.gguf").shards(3)
    for number, data in enumerate(cut, 1):
        (shards / f"tinychat-{number:05}-of-{len(cut):05}.gguf").write_bytes(data)
    return folder
