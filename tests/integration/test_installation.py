"""The two ways to install: `make install` in a fresh clone, and `pip install .`."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("server", "scheduler", "modelstore", "tools")
FILES = ("pyproject.toml", "uv.lock", "requirements.lock", "Makefile", "README.md", "LICENSE", "NOTICE", "CHANGELOG.md")

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]


def run(command: list[str], cwd: Path, **environ: str) -> str:
    # this may itself run under make, whose level the make below would announce
    variables = {
        name: value for name, value in os.environ.items() if not name.startswith(("OLLAMA_", "MAKE", "MFLAGS"))
    }
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**variables, **environ},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources in an empty directory, without anything that a previous installation left."""
    folder = tmp_path_factory.mktemp("fresh") / "clone"
    folder.mkdir()
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "models"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_a_fresh_clone_installs_itself_and_a_second_time_there_is_nothing_to_do(clone: Path) -> None:
    make = ["make", "install", f"PYTHON={sys._base_executable}"]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] # outside of our own environment
    assert run(make, clone).endswith("installed\n")
    assert (clone / ".venv/llamad-build.json").exists()
    assert run(make, clone) == ""
    python = str(clone / ".venv/bin/python")
    assert "import: fine" in run([python, "-c", "import llama_cpp, server.lifecycle; print('import: fine')"], clone)
    assert "Usage:" in run([python, "-m", "server", "--help"], clone)


def test_a_wheel_is_complete_and_the_packaged_model_works_from_it(clone: Path, tmp_path: Path) -> None:
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    run([sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(tmp_path), "."], clone)
    (wheel,) = tmp_path.glob("llamad-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points = next(name for name in names if name.endswith("entry_points.txt"))
        assert "llamad = server.__main__:main" in archive.read(entry_points).decode()
        archive.extractall(tmp_path / "site")
    assert "modelstore/bundled/tinychat.gguf" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "tools/", "benchmarks/")) for name in names)
    source = (
        "import pathlib, sys, modelstore; from modelstore import bundled; from modelstore.store import Store\n"
        "assert 'site' in modelstore.__file__, modelstore.__file__\n"
        "store = Store.open(pathlib.Path('models')); bundled.pull(store, bundled.names()[0], lambda event: None)\n"
        "print(store.catalog.list()[0].name.short)"
    )
    told = run([sys.executable, "-c", source], tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert told == "tinychat:latest\n"
