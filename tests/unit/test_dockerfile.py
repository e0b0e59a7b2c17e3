"""What the Dockerfile promises, as far as it can be read. Its commands run in tests/integration/test_docker.py."""

import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.dockerfile import read

ROOT = Path(__file__).parents[2]
STAGES = read()
IMAGES = ["cpu", "cuda", "rocm"]


def test_the_targets_and_the_default() -> None:
    assert set(IMAGES) <= set(STAGES)
    assert list(STAGES)[-1] == "cpu"


@pytest.mark.parametrize("target", IMAGES)
def test_an_image_takes_the_place_of_the_public_one(target: str) -> None:
    stage = STAGES[target]
    assert stage.environment["OLLAMA_HOST"] == "0.0.0.0:11434"
    assert stage.all("EXPOSE") == ["11434"]
    # Without a shell in between, signals reach the daemon as process 1.
    assert stage.exec_form("ENTRYPOINT") == ["/usr/bin/ollama"]
    assert stage.exec_form("CMD") == ["serve"]
    assert any("ln -s /opt/llamad/bin/llamad /usr/bin/ollama" in line for line in stage.all("RUN"))
    assert "USER" not in {instruction.name for instruction in stage.instructions}
    assert "HOME" not in stage.environment


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_nvidia_devices_are_asked_for(target: str) -> None:
    assert STAGES[target].environment["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert STAGES[target].environment["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"


@pytest.mark.parametrize("target", IMAGES)
def test_an_image_is_built_for_every_processor_and_for_its_accelerator(target: str) -> None:
    environment = STAGES[f"build-{target}"].environment
    assert environment["LLAMAD_ISA"] == "portable"
    assert environment["ACCEL"] == target
    assert STAGES[target].all("COPY") == [f"--from=build-{target} /opt/llamad /opt/llamad"]


def test_the_builds_differ_in_nothing_but_their_base_and_variables() -> None:
    commands = [[i for i in STAGES[f"build-{target}"].instructions if i.name in {"RUN", "COPY"}] for target in IMAGES]
    assert commands[0] == commands[1] == commands[2]


@pytest.mark.parametrize("stage", list(STAGES))
def test_every_command_is_one_that_a_shell_can_read(stage: str) -> None:
    for line in STAGES[stage].all("RUN"):
        subprocess.run(["sh", "-n", "-c", line], check=True)


def test_everything_that_is_copied_exists_and_is_sent_to_the_builder() -> None:
    rules = (ROOT / ".dockerignore").read_text().split()
    sent = [rule[1:] for rule in rules if rule.startswith("!")]
    for stage in STAGES.values():
        for line in stage.all("COPY"):
            *sources, _ = line.split()
            for source in [] if sources[0].startswith("--from") else sources:
                assert (ROOT / source).exists(), source
                assert any(fnmatch(source, rule) for rule in sent), source


@pytest.mark.parametrize("target", IMAGES)
def test_compose_builds_each_image(target: str) -> None:
    assert f"target: {target} " in (ROOT / "compose.yaml").read_text()
