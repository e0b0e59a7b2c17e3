"""Commands that ask once and print: list, ps, show, cp, rm, stop, pull, version; help; and what all of them share."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import server.cli
from server.cli import main
from server.cli.commands.ps import processor
from tests.unit.server.cli.conftest import Cli
from tests.unit.server.cli.daemon import Answer, Daemon, Request

ROOT = Path(__file__).parents[4]
DIGEST = "0123456789abcdef" * 4
BARE: dict[str, Any] = {
    "details": {"parameter_size": "27K", "quantization_level": "F16", "family": "llama"},
    "model_info": {
        "general.architecture": "llama",
        "general.parameter_count": 26848,
        "llama.context_length": 1048576,
        "llama.embedding_length": 32,
    },
    "capabilities": ["completion", "tools"],
    "parameters": 'stop                           "<|im_end|>"\ntemperature                    0',
    "system": "Be brief.",
    "license": "First licence.\n\n  Second line.\nThird.\n",
    "template": "{{ .Prompt }}",
    "modelfile": "FROM x\n",
}


def ago(**past: float) -> str:
    return (datetime.now(UTC) - timedelta(**past)).isoformat()


def test_list_shows_a_row_a_model_in_the_daemons_order(cli: Cli, daemon: Daemon) -> None:
    models = [
        {"name": "b:latest", "digest": DIGEST, "size": 4_000_000, "modified_at": ago(minutes=3)},
        {"name": "Acme/a:v1", "digest": "abc", "size": 1, "remote_model": "a", "modified_at": "0001-01-01T00:00:00Z"},
    ]
    daemon.says("/api/tags", {"models": models}, method="GET")
    assert cli("list").out == (
        "NAME         ID              SIZE    MODIFIED      \n"
        "b:latest     0123456789ab    4 MB    3 minutes ago    \n"
        "Acme/a:v1    abc             -       Never            \n"
    )
    assert cli("ls", "ACME", "ignored").out.splitlines()[1:] == ["Acme/a:v1    abc    -       Never       "]


def test_no_models_leave_the_header(cli: Cli, daemon: Daemon) -> None:
    daemon.says("/api/tags", {"models": None}, method="GET")
    assert cli("list").out == "NAME    ID    SIZE    MODIFIED \n"


def test_ps_shows_what_is_loaded(cli: Cli, daemon: Daemon) -> None:
    shared = {"digest": DIGEST, "size": 5_000_000_000, "context_length": 4096}
    models = [
        {"name": "a", **shared, "size_vram": 5_000_000_000, "expires_at": ago(hours=-2)},
        {"name": "b", **shared, "size_vram": 1_000_000_000, "expires_at": ago(days=-99999)},
        {"name": "c", **shared, "expires_at": ago(seconds=5)},
    ]
    daemon.says("/api/ps", {"models": models}, method="GET")
    assert cli("ps").out == (
        "NAME    ID              SIZE    PROCESSOR          CONTEXT    UNTIL            \n"
        "a       0123456789ab    5 GB    100% GPU           4096       2 hours from now    \n"
        "b       0123456789ab    5 GB    80%/20% CPU/GPU    4096       Forever             \n"
        "c       0123456789ab    5 GB    100% CPU           4096       Stopping...         \n"
    )
    assert len(cli("ps", "A").out.splitlines()) == 1


@pytest.mark.parametrize(
    ("size", "vram", "text"),
    [
        (0, 0, "100% CPU"),
        (10, 0, "100% CPU"),
        (10, 10, "100% GPU"),
        (10, 11, "Unknown"),
        (0, 1, "Unknown"),
        (1000, 995, "1%/99% CPU/GPU"),
        (3, 2, "33%/67% CPU/GPU"),
    ],
)
def test_how_a_model_is_spread(size: int, vram: int, text: str) -> None:
    assert processor(size, vram) == text


def test_show_reports_in_sections(cli: Cli, daemon: Daemon) -> None:
    daemon.says("/api/show", BARE)
    assert cli("show", "bare").out == (
        "  Model\n"
        "    architecture        llama      \n"
        "    parameters          27K        \n"
        "    context length      1048576    \n"
        "    embedding length    32         \n"
        "    quantization        F16        \n"
        "\n"
        "  Capabilities\n"
        "    completion    \n"
        "    tools         \n"
        "\n"
        "  Parameters\n"
        '    stop           "<|im_end|>"    \n'
        "    temperature    0               \n"
        "\n"
        "  System\n"
        "    Be brief.    \n"
        "\n"
        "  License\n"
        "    First licence.    \n"
        "    Second line.      \n"
        "    ...               \n"
        "\n"
    )
    assert daemon.sent("/api/show") == [{"model": "bare"}]


def test_show_verbose_adds_metadata_and_tensors(cli: Cli, daemon: Daemon) -> None:
    info = {
        **BARE["model_info"],
        "general.file_type": 0,
        "b.epsilon": 1e-05,
        "b.flag": False,
        "b.nothing": None,
        "tokenizer.tokens": ["a", "b", "c", "d", "e"],
        "tokenizer.short": ["x"],
    }
    tensors = [{"name": "output.weight", "type": "F32", "shape": [32, 258]}]
    daemon.says("/api/show", {"details": {}, "model_info": info, "tensors": tensors})
    out = cli("show", "-v", "bare").out
    assert (
        "  Metadata\n"
        "    b.epsilon                  1e-05                 \n"
        "    b.flag                     false                 \n"
        "    b.nothing                                        \n"
        "    general.architecture       llama                 \n"
        "    general.file_type          0                     \n"
        "    general.parameter_count    26848                 \n"
        "    llama.context_length       1.048576e+06          \n"
        "    llama.embedding_length     32                    \n"
        "    tokenizer.short            [x]                   \n"
        "    tokenizer.tokens           [a b c ...+2 more]    \n"
        "\n"
    ) in out
    assert out.endswith("  Tensors\n    output.weight    F32    [32 258]    \n\n")
    assert daemon.sent("/api/show") == [{"model": "bare", "verbose": True}]


def test_show_a_remote_model_and_a_projector(cli: Cli, daemon: Daemon) -> None:
    projector = {
        "general.architecture": "clip",
        "general.parameter_count": 696000,
        "clip.vision.embedding_length": 128,
        "clip.vision.projection_dim": 256,
    }
    daemon.says(
        "/api/show",
        {
            "remote_model": "big",
            "remote_host": "https://ollama.com:443",
            "details": {"family": "f", "parameter_size": "9B", "quantization_level": "Q4_K_M"},
            "requires": "0.14.0",
            "projector_info": projector,
        },
    )
    assert cli("show", "m").out == (
        "  Model\n"
        "    Remote model    big                       \n"
        "    Remote URL      https://ollama.com:443    \n"
        "    architecture    f                         \n"
        "    parameters      9B                        \n"
        "    quantization    Q4_K_M                    \n"
        "    requires        0.14.0                    \n"
        "\n"
        "  Projector\n"
        "    architecture        clip    \n"
        "    parameters          696K    \n"
        "    embedding length    128     \n"
        "    dimensions          256     \n"
        "\n"
    )


@pytest.mark.parametrize(
    ("flag", "out"),
    [
        ("--license", "First licence.\n\n  Second line.\nThird.\n\n"),
        ("--modelfile", "FROM x\n\n"),
        ("--parameters", 'stop                           "<|im_end|>"\ntemperature                    0\n'),
        ("--system", "Be brief."),
        ("--template", "{{ .Prompt }}"),
    ],
)
def test_show_one_field(cli: Cli, daemon: Daemon, flag: str, out: str) -> None:
    daemon.says("/api/show", BARE)
    assert cli("show", flag, "bare").out == out


def test_show_refuses_two_fields_at_once(cli: Cli, daemon: Daemon) -> None:
    outcome = cli("show", "bare", "--system", "--template")
    assert (outcome.code, daemon.requests) == (1, [])
    assert outcome.err == (
        "Error: only one of '--license', '--modelfile', '--parameters', '--system', or '--template' can be specified\n"
    )


def test_cp_names_both_ends(cli: Cli, daemon: Daemon) -> None:
    daemon.says("/api/copy", b"")
    assert cli("cp", "a", "b").out == "copied 'a' to 'b'\n"
    assert daemon.sent("/api/copy") == [{"source": "a", "destination": "b"}]


def test_rm_unloads_then_deletes_up_to_the_first_failure(cli: Cli, daemon: Daemon) -> None:
    missing = Answer(404, b'{"error":"model \'nope\' not found"}')
    daemon.decides("/api/show", lambda request: missing if request.json["model"] == "nope" else Answer(200, b"{}"))
    daemon.decides(
        "/api/delete", lambda request: missing if request.json["model"] == "nope" else Answer(), method="DELETE"
    )
    daemon.streams("/api/generate", {"done": True})
    outcome = cli("rm", "a", "nope", "b")
    assert (outcome.code, outcome.out, outcome.err) == (1, "deleted 'a'\n", "Error: model 'nope' not found\n")
    assert [(r.method, r.path) for r in daemon.requests] == [
        ("POST", "/api/show"),
        ("POST", "/api/generate"),
        ("DELETE", "/api/delete"),
        ("POST", "/api/show"),
        ("DELETE", "/api/delete"),
    ]
    assert daemon.sent("/api/generate") == [{"model": "a", "prompt": "", "keep_alive": "0s"}]


def test_rm_goes_on_when_unloading_fails(cli: Cli, daemon: Daemon) -> None:
    daemon.says("/api/show", {})
    daemon.says("/api/generate", {"error": "busy"}, status=500)
    daemon.says("/api/delete", b"", method="DELETE")
    outcome = cli("rm", "a")
    assert (outcome.code, outcome.out, outcome.err) == (0, "deleted 'a'\n", "Warning: unable to stop model 'a'\n")


def test_stop_is_silent_and_names_what_is_not_there(cli: Cli, daemon: Daemon) -> None:
    daemon.says("/api/show", {})
    daemon.streams("/api/generate", {"done": True, "done_reason": "unload"})
    outcome = cli("stop", "m")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    daemon.says("/api/show", {"error": "model 'm' not found"}, status=404)
    assert cli("stop", "m").err == 'Error: couldn\'t find model "m" to stop\n'
    daemon.says("/api/show", {"error": "invalid model name"}, status=400)
    assert cli("stop", "m").err == "Error: invalid model name\n"


def test_pull_tells_each_step_once(cli: Cli, daemon: Daemon) -> None:
    layer = {"status": "pulling 0123456789ab", "digest": f"sha256:{DIGEST}", "total": 100}
    daemon.streams(
        "/api/pull",
        {"status": "pulling manifest"},
        layer,
        {**layer, "completed": 50},
        {**layer, "completed": 100},
        {"status": "success"},
    )
    outcome = cli("pull", "m", "--insecure")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == "pulling manifest\npulling 0123456789ab: 100%\nsuccess\n"
    assert daemon.sent("/api/pull") == [{"model": "m", "insecure": True}]


def test_pull_fails_with_the_daemons_words(cli: Cli, daemon: Daemon) -> None:
    daemon.streams("/api/pull", {"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"})
    outcome = cli("pull", "m")
    assert (outcome.code, daemon.sent("/api/pull")) == (1, [{"model": "m"}])
    assert outcome.err.splitlines()[-1] == "Error: pull model manifest: file does not exist"


def test_an_insecure_name_needs_the_flag(cli: Cli, daemon: Daemon) -> None:
    assert cli("pull", "http://h/n/m").err == "Error: insecure protocol http\n"
    assert daemon.requests == []


def test_version_of_daemon_and_client(cli: Cli, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.says("/api/version", {"version": "0.33.0"}, method="GET")
    assert cli("--version").out == "ollama version is 0.33.0\n"
    daemon.says("/api/version", {"version": "0.1"}, method="GET")
    assert cli("-v").out == "ollama version is 0.1\nWarning: client version is 0.33.0\n"
    assert "llamad version is" in cli("--version", "--verbose").out
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    monkeypatch.setattr(sys, "argv", ["ollama"])
    assert main(["--version"]) == 0


def test_version_without_a_daemon(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == (
        "Warning: could not connect to a running Ollama instance\nWarning: client version is 0.33.0\n"
    )


@pytest.mark.parametrize(
    "words",
    [["list"], ["ps"], ["show", "m"], ["run", "m", "x"], ["cp", "a", "b"], ["rm", "m"], ["stop", "m"], ["create", "m"]],
)
def test_every_client_command_says_that_nobody_is_there(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:1")
    monkeypatch.setattr(sys, "argv", ["ollama"])
    assert main(words) == 1
    assert capsys.readouterr().err == ("Error: could not connect to ollama server, run 'ollama serve' to start it\n")


@pytest.mark.parametrize(
    ("words", "err"),
    [
        (["nope"], 'Error: unknown command "nope" for "ollama"\n'),
        (["lst"], 'Error: unknown command "lst" for "ollama"\n\nDid you mean this?\n\tlist\n\tps\n\n'),
        (["--nope"], "Error: unknown flag: --nope\n"),
        (["show"], "Error: accepts 1 arg(s), received 0\n"),
        (["show", "a", "b"], "Error: accepts 1 arg(s), received 2\n"),
        (["serve", "x"], "Error: accepts 0 arg(s), received 1\n"),
        (["rm"], "Error: requires at least 1 arg(s), only received 0\n"),
        (["create", "m", "-q"], "Error: flag needs an argument: 'q' in -q\n"),
    ],
)
def test_mistakes_on_the_command_line(cli: Cli, daemon: Daemon, words: list[str], err: str) -> None:
    outcome = cli(*words)
    assert (outcome.code, outcome.out, outcome.err) == (1, "", err)
    assert daemon.requests == []


def test_what_is_not_there_says_so(cli: Cli) -> None:
    assert cli("push", "m").err == "Error: push is not available in ollama\n"
    assert "push" not in cli("help").out


def test_the_program_is_called_as_it_was_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/llamad", "nope"])
    assert main() == 1
    assert capsys.readouterr().err == 'Error: unknown command "nope" for "llamad"\n'


def test_a_bad_port_is_told(
    daemon: Daemon, cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:x")
    main(["list"])
    assert capsys.readouterr().err.startswith("warning: invalid port x, using 80\n")


def test_a_daemon_that_refuses_the_first_question(cli: Cli, daemon: Daemon) -> None:
    daemon.says("/", b"", method="HEAD", status=503)
    assert cli("list").err == "Error: something went wrong, please see the ollama server logs for details\n"


def test_an_interrupt_ends_with_130(cli: Cli, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(server.cli, "_dispatch", interrupted)
    assert cli("list").code == 130


def test_a_reader_that_went_away_is_no_traceback(daemon: Daemon) -> None:
    models = [{"name": f"m{at}", "digest": "", "size": 1, "modified_at": ""} for at in range(5000)]
    daemon.says("/api/tags", {"models": models}, method="GET")
    command = f"{sys.executable} -m server list | head -1"
    env = {**os.environ, "OLLAMA_HOST": daemon.address}
    done = subprocess.run(command, shell=True, capture_output=True, text=True, env=env, cwd=ROOT, check=True)
    assert done.stdout.startswith("NAME")
    assert done.stderr == ""


def test_listing_does_not_import_the_server(daemon: Daemon) -> None:
    """What a command does not need costs it nothing."""
    daemon.says("/api/tags", {"models": []}, method="GET")
    heavy = ("fastapi", "uvicorn", "prompt_toolkit", "pydantic", "numpy", "rich", "llama_cpp", "gguf")
    code = f"import sys; from server.cli import main; main(['list']); print([m for m in {heavy} if m in sys.modules])"
    env = {**os.environ, "OLLAMA_HOST": daemon.address}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_request_of_the_prompt_kind_is_not_decoded(daemon: Daemon, cli: Cli) -> None:
    """Names travel as they were typed."""
    daemon.decides("/api/show", lambda request: Answer(200, b"{}") if _named(request, "ZOË:v1") else Answer(500))
    assert cli("show", "ZOË:v1").code == 0


def _named(request: Request, name: str) -> bool:
    return request.json["model"] == name
