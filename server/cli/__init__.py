"""The command line: a thin client of the daemon, and the way to start it.

    grammar      words → command, arguments, flags       program      the table of commands, and help
    transport    HTTP                                    progress     what shows while one waits
    commands/    one file a command: `run(call)`         errors       what goes wrong, and its text

A command is imported when it is called for, so that `list` does not pay for the server.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import PurePath
from typing import Final

from server.cli import environment, program
from server.cli.call import Call
from server.cli.errors import CliError, UsageError
from server.cli.grammar import Command, Parsed, parse, split_command, suggestions
from server.host import parse_host

OWN_NAME: Final = "llamad"
KNOWN_NAME: Final = "ollama"
INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (without the program's name); its exit code."""
    name = OWN_NAME if PurePath(sys.argv[0]).stem == OWN_NAME else KNOWN_NAME
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    try:
        return _dispatch(name, sys.argv[1:] if argv is None else argv)
    except CliError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Who reads our output has gone (`list | head -1`); what is still buffered would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _dispatch(name: str, words: Sequence[str]) -> int:
    word, rest = split_command(program.ROOT, words)
    if word is None:
        return _root(name, parse(program.ROOT, words))
    command = program.find(word)
    if command is None:
        raise UsageError(_unknown(name, word))
    parsed = parse(command, rest)
    if parsed.wants_help:
        print(program.help_text(name, command), end="")
        return 0
    command.arity.check(len(parsed.args))
    if command.name == "help":
        return _help(name, parsed.args)
    return _run(name, command, parsed)


def _run(name: str, command: Command, parsed: Parsed) -> int:
    module = import_module(f"server.cli.commands.{command.module or command.name}")
    with Call(name, command.name, parsed, parse_host(os.environ.get(environment.HOST, ""))) as call:
        if command.preflight:
            if call.host.bad_port:
                print(f"warning: invalid port {call.host.bad_port}, using {call.host.port}", file=sys.stderr)
            call.client.preflight()
        result: int | None = module.run(call)
        return result or 0


def _root(name: str, parsed: Parsed) -> int:
    if parsed.args:
        raise UsageError(_unknown(name, parsed.args[0]))
    if parsed.flags.get("version") is True and not parsed.wants_help:
        return _run(name, Command("version", "", "", preflight=False), parsed)
    print(program.help_text(name, program.ROOT), end="")
    return 0


def _help(name: str, topic: Sequence[str]) -> int:
    command = program.find(topic[0]) if topic else program.ROOT
    if command is None:
        print(f"Unknown help topic [`{' '.join(topic)}`]", file=sys.stderr)
        print(program.usage_text(name, program.ROOT), end="", file=sys.stderr)
        return 0
    print(program.help_text(name, command), end="")
    return 0


def _unknown(name: str, word: str) -> str:
    text = f'unknown command "{word}" for "{name}"'
    close = suggestions(word, program.offered(name))
    return text + "".join(["\n\nDid you mean this?\n", *(f"\t{command}\n" for command in close)] if close else [])
