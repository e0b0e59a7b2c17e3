"""The project's own files: metadata, lock files, documents."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scheduler.runner.engine.library import BINDING_VERSION
from server import remedy
from server.version import PROGRAM_VERSION
from tools.install import lock
from tools.install.slim import closure, normal

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
UV_LOCK = tomllib.loads((ROOT / "uv.lock").read_text())
REQUIREMENTS = (ROOT / "requirements.lock").read_text()
DOCUMENTS = [path for folder in (ROOT, ROOT / "docs", ROOT / "docs/adr") for path in folder.glob("*.md")]


def named(requirement: str) -> str:
    return re.split(r"[\[<>=~! ]", requirement, maxsplit=1)[0]


def test_the_program_has_one_version() -> None:
    assert PROJECT["project"]["version"] == PROGRAM_VERSION


def test_the_binding_has_one_version() -> None:
    assert f"llama-cpp-python=={BINDING_VERSION}" in PROJECT["project"]["dependencies"]
    assert lock.read(ROOT / "requirements.lock").version == BINDING_VERSION
    assert f"llama-cpp-python=={BINDING_VERSION}" in remedy.find(4, None, remedy.Processor("", frozenset())).command


def test_distribution_script_and_packages() -> None:
    assert PROJECT["project"]["name"] == "llamad"
    assert PROJECT["project"]["scripts"] == {"llamad": "server.__main__:main"}
    assert PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["server", "scheduler", "modelstore"]


def test_every_dependency_is_argued() -> None:
    argued = (ROOT / "docs/adr/0001-dependencies.md").read_text()
    groups = PROJECT["dependency-groups"]
    for requirement in PROJECT["project"]["dependencies"] + groups["build"] + groups["dev"]:
        assert re.search(rf"^\|[^|]*\b{re.escape(named(requirement))}\b", argued, re.MULTILINE), requirement


def test_the_locks_name_no_index_but_the_public_one() -> None:
    hosts = set(re.findall(r"https?://[^/\"\s]+", (ROOT / "uv.lock").read_text()))
    assert hosts == {"https://pypi.org", "https://files.pythonhosted.org"}
    assert "://" not in REQUIREMENTS
    assert not re.search(r"^-", REQUIREMENTS, re.MULTILINE)


def test_the_locks_pin_the_same_packages_with_hashes() -> None:
    pinned = set(re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", REQUIREMENTS, re.MULTILINE))
    locked = {(package["name"], package["version"]) for package in UV_LOCK["package"] if package["name"] != "llamad"}
    assert pinned <= locked
    entries = re.split(r"\n(?=[A-Za-z0-9])", REQUIREMENTS)
    assert len(entries) == len(pinned)
    assert all("--hash=sha256:" in entry for entry in entries)


def test_an_image_keeps_what_the_program_needs_and_nothing_else() -> None:
    kept = closure(UV_LOCK["package"], "llamad")
    assert {normal(named(text)) for text in PROJECT["project"]["dependencies"]} <= kept
    # An extra's own dependencies belong to it.
    assert {"uvloop", "httptools"} <= kept
    assert not kept & {"pytest", "pyright", "ruff", "uv", "cmake", "scikit-build-core", "hypothesis"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), target


def test_the_picture_of_the_layout_is_true() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    block = text.split("## Layout", 1)[1].split("```")[1]
    folders: list[str] = []
    for line in block.strip().splitlines():
        indent = (len(line) - len(line.lstrip())) // 2
        words = re.split(r"\s{2,}", line.strip())[0].split()
        for word in words:
            assert (ROOT / "".join(folders[:indent]) / word).exists(), line
        folders[indent:] = [words[0]] if words[0].endswith("/") else []


def test_the_help_of_make_names_its_targets() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("install", "serve", "test", "long", "lint", "format", "lock"):
        assert f"make {target}" in done.stdout


def test_the_scripts_of_make_and_ci_are_well_formed() -> None:
    subprocess.run(["bash", "-n", str(ROOT / ".ci/run")], check=True)
    subprocess.run(
        ["make", "--dry-run", "serve", "test", "long", "lint", "lock"], cwd=ROOT, check=True, capture_output=True
    )


def test_the_daemon_starts_without_what_only_some_requests_need() -> None:
    heavy = {"numpy", "huggingface_hub", "gguf", "PIL", "llama_cpp", "prompt_toolkit", "httpx2", "pynvml"}
    source = "import sys, server.__main__, server.lifecycle, server.firststart, server.selftest; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())
