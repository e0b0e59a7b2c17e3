"""The record of how llama.cpp was built, as the daemon reads it."""

from pathlib import Path

import pytest

from server import build
from tools.install import record
from tools.install.choices import Wishes, plan
from tools.install.machine import Cpu, Machine


def test_what_the_installation_writes_can_be_read(tmp_path: Path) -> None:
    wishes = Wishes()
    here = Machine("Linux", "x86_64", Cpu("Xeon", frozenset()), ("nvidia",), {}, "apt-get")
    record.write(tmp_path, mark="m", key="k", version="0.3.36", plan=plan(wishes, here), wishes=wishes)
    found = build.read(tmp_path)
    assert found is not None
    assert (found.accel, found.isa, found.amx, found.key) == ("cpu", "native", False, "k")
    assert (found.gpu_found, found.llama_cpp_version) == ("an NVIDIA GPU", "0.3.36")
    assert found.hint.endswith("make install")


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '{"accel": 3}'])
def test_a_record_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / build.NAME).write_text(text)
    assert build.read(tmp_path) is None


def test_an_environment_without_record(tmp_path: Path) -> None:
    assert build.read(tmp_path) is None
