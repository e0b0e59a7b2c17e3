"""When the engine's library is loaded, and what stands in the way."""

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from scheduler.environment import NO_GPUS
from scheduler.runner.engine import IncompatibleBinding, library


@pytest.fixture
def readied(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    calls: list[bool] = []
    monkeypatch.setattr(library, "ready", lambda: calls.append(True))
    return calls


def test_a_runner_without_gpus_is_prepared(readied: list[bool]) -> None:
    library.prepare({"PATH": "/bin", **NO_GPUS})
    assert readied == [True]


@pytest.mark.parametrize("environ", [{}, {**NO_GPUS, "CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "-1"}])
def test_a_runner_that_may_see_a_gpu_waits_for_its_model(readied: list[bool], environ: dict[str, str]) -> None:
    library.prepare(environ)
    assert readied == []


def test_a_library_that_cannot_be_loaded_is_no_matter_until_there_is_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise IncompatibleBinding("broken")

    monkeypatch.setattr(library, "ready", fail)
    library.prepare(NO_GPUS)


def installed(folder: Path, text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if text is not None:
        (folder / "__init__.py").write_text(text)
    spec = ModuleSpec("llama_cpp", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('__version__ = "0.0.1"\n', "0.0.1 is installed"),
        ("x = 1\n", "one without a version is installed"),
        (None, "cannot be read"),
    ],
)
def test_another_version_of_the_binding_is_refused(
    tmp_path: Path, text: str | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, text, monkeypatch)
    with pytest.raises(IncompatibleBinding, match=message):
        library.native.__wrapped__()


def test_a_library_that_lacks_another_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise OSError("libgomp.so.1: cannot open shared object file")

    installed(tmp_path, f'__version__ = "{library.BINDING_VERSION}"\n', monkeypatch)
    monkeypatch.setitem(sys.modules, "llama_cpp", ModuleType("llama_cpp"))
    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(IncompatibleBinding, match="libllama cannot be loaded: libgomp"):
        library.native.__wrapped__()


def test_no_binding_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    with pytest.raises(IncompatibleBinding, match="not installed"):
        library.native.__wrapped__()
