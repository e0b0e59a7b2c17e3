"""Help, byte for byte."""

import pytest

from server.cli.grammar import Command
from server.cli.program import COMMANDS, ROOT, find, help_text
from tests.unit.server.cli.conftest import Cli


def command(name: str) -> Command:
    found = find(name)
    assert found is not None
    return found


def test_help_of_the_program(cli: Cli) -> None:
    text = (
        "Large language model runner\n"
        "\n"
        "Usage:\n"
        "  ollama [flags]\n"
        "  ollama [command]\n"
        "\n"
        "Available Commands:\n"
        "  serve       Start Ollama\n"
        "  create      Create a model\n"
        "  show        Show information for a model\n"
        "  run         Run a model\n"
        "  stop        Stop a running model\n"
        "  pull        Pull a model from a registry\n"
        "  list        List models\n"
        "  ps          List running models\n"
        "  cp          Copy a model\n"
        "  rm          Remove a model\n"
        "  help        Help about any command\n"
        "\n"
        "Flags:\n"
        "  -h, --help         help for ollama\n"
        "      --nowordwrap   Don't wrap words to the next line automatically\n"
        "      --verbose      Show timings for response\n"
        "  -v, --version      Show version information\n"
        "\n"
        'Use "ollama [command] --help" for more information about a command.\n'
    )
    for words in ([], ["help"], ["--help"], ["-h", "-v"]):
        outcome = cli(*words)
        assert (outcome.code, outcome.out, outcome.err) == (0, text, "")


def test_help_of_a_command_with_an_alias(cli: Cli) -> None:
    text = (
        "List models\n"
        "\n"
        "Usage:\n"
        "  ollama list [flags]\n"
        "\n"
        "Aliases:\n"
        "  list, ls\n"
        "\n"
        "Flags:\n"
        "  -h, --help   help for list\n"
        "\n"
        "Environment Variables:\n"
        "      OLLAMA_HOST                   IP Address for the ollama server (default 127.0.0.1:11434)\n"
    )
    for words in (["list", "--help"], ["ls", "-h"], ["help", "list"]):
        assert cli(*words).out == text


def test_flags_are_sorted_and_their_descriptions_aligned() -> None:
    text = help_text("ollama", command("create"))
    assert (
        "Flags:\n"
        "      --draft-quantize string   Quantize draft model to this level (e.g. q4_K_M)\n"
        '  -f, --file string             Name of the Modelfile (default "Modelfile")\n'
        "  -h, --help                    help for create\n"
        "  -q, --quantize string         Quantize model to this level (e.g. q4_K_M)\n"
        "\n"
    ) in text
    assert '      --think string[="true"]   Enable thinking mode' in help_text("ollama", command("run"))


def test_serve_lists_every_setting() -> None:
    text = help_text("ollama", command("serve"))
    assert "      OLLAMA_DEBUG                  Show additional debug information (e.g. OLLAMA_DEBUG=1)\n" in text
    assert "      OLLAMA_MAX_TRANSFER_STREAMS   Maximum parallel transfer streams" in text
    assert text.count("\n      ") == 21


def test_an_unknown_topic_shows_usage(cli: Cli) -> None:
    outcome = cli("help", "nope")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.startswith("Unknown help topic [`nope`]\nUsage:\n  ollama [flags]\n")


@pytest.mark.parametrize("name", [c.name for c in COMMANDS])
def test_every_command_has_help(name: str) -> None:
    text = help_text("ollama", command(name))
    assert "\n  -h, --help" in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_the_root_has_no_environment() -> None:
    assert "Environment" not in help_text("ollama", ROOT)
