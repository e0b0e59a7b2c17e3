"""Reading requirements.lock."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tools.install.errors import BadLock
from tools.install.lock import read

ROOT = Path(__file__).parents[3]

SAMPLE = """anyio==4.1 ; python_version < '4' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via fastapi
llama-cpp-python==0.3.36 \\
    --hash=sha256:cc
    # via llamad
zstandard==1.0 --hash=sha256:dd
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "requirements.lock"
    path.write_text(text)
    return path


def test_what_we_compile_is_set_apart(tmp_path: Path) -> None:
    found = read(write(tmp_path, SAMPLE))
    assert found.version == "0.3.36"
    assert found.compiled == "llama-cpp-python==0.3.36 \\\n    --hash=sha256:cc"
    assert "llama" not in found.rest
    assert found.rest.count("==") == 2
    assert found.rest.count("sha256:") == 3


def test_the_projects_own_lock_is_complete() -> None:
    found = read(ROOT / "requirements.lock")
    assert found.version == "0.3.36"
    assert "\nuvicorn" in found.rest
    assert "\nscikit-build-core" in found.rest


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not pinned"),
        ("llama-cpp-python==1\n", "not pinned with a hash"),
        ("fastapi>=1\n", "not a pinned requirement: fastapi>=1"),
        ("-e .\n", "not a pinned requirement"),
    ],
)
def test_a_lock_that_pins_too_little_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(BadLock, match=reason):
        read(write(tmp_path, text))


def test_a_missing_lock_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadLock, match="No such file"):
        read(tmp_path / "requirements.lock")


@given(st.text())
@example("\\")
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.lock"
    path.write_bytes(text.encode(errors="replace"))
    try:
        read(path)
    except BadLock:
        pass
