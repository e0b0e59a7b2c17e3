"""Clients of other languages and of the frameworks, unchanged.

They are installed by `make clients` into `.clients`, which wants the network; without, these tests are skipped.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemon import ROOT, Daemon

HERE = Path(__file__).parent / "clients"
INSTALLED = ROOT / ".clients"
PYTHON = INSTALLED / "bin" / "python"
MODULES = INSTALLED / "node_modules"
TEMPERATURE = {"name": "get_temperature", "args": {"city": "Paris"}}
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "LANGSMITH_TRACING": "false"}


def run(*command: str | Path, daemon: Daemon) -> dict[str, Any]:
    """What the client prints last."""
    environment = {**os.environ, **QUIET, "OLLAMA_HOST": daemon.base, "NO_PROXY": "*"}
    done = subprocess.run(
        [*map(str, command), daemon.base], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def javascript(daemon: Daemon) -> dict[str, Any]:
    node = shutil.which("node")
    if node is None or not MODULES.exists():
        pytest.skip("needs Node and `make clients`")
    # modules are looked for beside the script
    script = INSTALLED / "native.mjs"
    script.write_text((HERE / "native.mjs").read_text())
    return run(node, script, daemon=daemon)


def python(script: str, daemon: Daemon) -> dict[str, Any]:
    if not PYTHON.exists():
        pytest.skip("needs `make clients`")
    return run(PYTHON, HERE / script, daemon=daemon)


def test_javascript_chats_streams_and_thinks(javascript: dict[str, Any]) -> None:
    assert javascript["chat"]["done_reason"] == "stop"
    assert javascript["streamed"] == javascript["chat"]["message"]["content"]
    assert javascript["thought"]["thinking"]
    assert javascript["generated"]


def test_javascript_calls_tools_and_gets_json(javascript: dict[str, Any]) -> None:
    assert javascript["call"]["name"] == "get_temperature"
    assert javascript["call"]["arguments"] == {"city": "Paris"}
    assert "15 degrees" in javascript["answered"]
    assert javascript["json"] == {"name": "Zoe"}


def test_javascript_knows_what_there_is(javascript: dict[str, Any]) -> None:
    assert javascript["vectors"] == [256, 256]
    assert "tinychat:latest" in javascript["models"]
    assert "tinychat:latest" in javascript["running"]
    assert "tools" in javascript["shown"]
    assert javascript["version"]


def test_javascript_hangs_up_and_is_refused(javascript: dict[str, Any]) -> None:
    assert javascript["aborted"] == "AbortError"
    assert javascript["error"] == {"status": 404, "text": "model 'no-such-model' not found"}


@pytest.mark.long
@pytest.mark.timeout(240)
def test_langchain(daemon: Daemon) -> None:
    said = python("langchain_native.py", daemon)
    assert said["chat"]
    assert said["streamed"] == said["chat"]
    assert said["reasoning"]
    assert said["call"] == TEMPERATURE
    assert "15 degrees" in said["answered"]
    assert said["person"]["name"] == "Zoe"
    assert said["completed"]
    assert said["vectors"] == [256, 256]
    assert said["usage"]["output_tokens"] > 0


@pytest.mark.long
@pytest.mark.timeout(240)
def test_litellm(daemon: Daemon) -> None:
    said = python("litellm_native.py", daemon)
    assert said["chat"]
    assert said["streamed"] == said["chat"]
    assert said["call"] == TEMPERATURE
    assert said["completed"]
    assert said["vectors"] == [256, 256]
