"""Estimates of the tiny models against the buffers that the engine reports when it loads them."""

from pathlib import Path

import pytest

from tests.integration.runner import MODELS
from tools.memory import hollow
from tools.memory.comparison import Setting, compare
from tools.memory.shapes import SHAPES

TINY = ("bare", "tinychat-f16", "tinychat-q8_0", "tinydraft-f16", "tinyembed-random-f16", "tinyrank-f16")
FAMILIES = ("deepseek3", "gemma2", "gemma3", "gpt-oss", "mamba", "olmo3", "qwen35", "qwen3next")
FILES = (*(f"{name}.gguf" for name in TINY), *(f"families/{name}.gguf" for name in FAMILIES))
QUICK = ("tinychat-q8_0.gguf", "tinyrank-f16.gguf", "families/gemma3.gguf", "families/qwen3next.gguf")
SETTINGS = (
    Setting(),
    Setting(num_ctx=2048, parallel=4, flash_attention=False),
    Setting(num_ctx=16384, flash_attention=True),
)


@pytest.mark.parametrize(
    "file", [file if file in QUICK else pytest.param(file, marks=pytest.mark.long) for file in FILES]
)
def test_a_tiny_model_takes_what_was_foretold(file: str) -> None:
    """Weights, cache and total within 5 %, and 32 KiB for the hundredths of a MiB that the engine rounds to."""
    for setting in SETTINGS:
        rows = compare(MODELS / file, setting, allocate=True)
        assert all(row.holds for row in rows if row.kind != "graph"), (str(setting), rows)


@pytest.mark.parametrize("name", ["llama-8b", "gemma3-4b", "deepseek2-lite", "qwen3next-8b"])
def test_a_large_model_would_take_what_is_foretold(name: str, tmp_path: Path) -> None:
    """The engine plans for a file without weights; within 5 %."""
    path = tmp_path / "hollow.gguf"
    hollow.write(SHAPES[name](), path)
    rows = compare(path, Setting(num_ctx=8192, parallel=2), allocate=False)
    assert all(row.holds for row in rows if row.kind != "graph"), rows
