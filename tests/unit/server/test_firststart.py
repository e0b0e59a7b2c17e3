"""The first start: the bundled model, and one screen of what to try next."""

import sys
from pathlib import Path

import pytest

from modelstore.store import Store
from server.build import Build
from server.firststart import invocation, seed, welcome
from server.settings import Settings

SEED = {"LLAMAD_SEED": "1"}
BUILD = Build(accel="cpu", llama_cpp_version="0.3.36")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "models")


def names(store: Store) -> list[str]:
    return [model.name.short for model in store.catalog.list()]


def test_an_empty_store_gets_the_bundled_model(store: Store) -> None:
    assert str(seed(store, SEED)).endswith("tinychat:latest")
    assert names(store) == ["tinychat:latest"]


@pytest.mark.parametrize("environ", [{}, {"LLAMAD_SEED": ""}, {"LLAMAD_SEED": "0"}])
def test_no_model_comes_unasked(store: Store, environ: dict[str, str]) -> None:
    assert seed(store, environ) is None
    assert names(store) == []


def test_a_store_with_models_is_left_alone(store: Store) -> None:
    seed(store, SEED)
    assert seed(store, SEED) is None


def test_the_screen_says_where_what_and_how(store: Store) -> None:
    seed(store, SEED)
    text = welcome(Settings(), store, BUILD, "llamad")
    assert "http://127.0.0.1:11434" in text
    assert "tinychat:latest" in text
    assert "llama-cpp-python 0.3.36, built for cpu" in text
    assert '\n  llamad run tinychat "hello"\n' in text
    assert "curl http://127.0.0.1:11434/api/chat" in text
    assert "GPU" not in text


def test_the_screen_is_one_screen(store: Store) -> None:
    seed(store, SEED)
    gpu = Build(gpu_found="an NVIDIA GPU", hint="ACCEL=cuda make install")
    assert len(welcome(Settings(), store, gpu, "llamad").splitlines()) <= 20


def test_a_gpu_that_the_build_does_not_use_is_mentioned_with_the_command_that_changes_it(store: Store) -> None:
    gpu = Build(gpu_found="an NVIDIA GPU", hint="ACCEL=cuda make install")
    text = welcome(Settings(), store, gpu)
    assert "an NVIDIA GPU was found, and this is a CPU build" in text
    assert "ACCEL=cuda make install" in text


def test_an_empty_store_suggests_the_model_that_is_pulled_without_network(store: Store) -> None:
    text = welcome(Settings(), store, None, "llamad")
    assert "models   none yet" in text
    assert "run tinychat" in text


def test_another_address_stands_in_every_command(store: Store) -> None:
    settings = Settings.from_env({"OLLAMA_HOST": "0.0.0.0:8080", "HOME": "/nowhere"})
    text = welcome(settings, store, BUILD, "llamad")
    assert "OLLAMA_HOST=127.0.0.1:8080 llamad run" in text
    assert "curl http://127.0.0.1:8080/api/chat" in text


@pytest.mark.parametrize("name", ["llamad", "/usr/bin/ollama"])
def test_a_program_in_the_path_is_called_by_its_name(name: str) -> None:
    assert invocation((name,)) == Path(name).name


def test_a_module_is_called_through_the_interpreter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert invocation(("/x/server/__main__.py",)) == ".venv/bin/python -m server"
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert invocation(("/x/server/__main__.py",)) == "/usr/bin/python3 -m server"
