"""The commands, in the order of help, and the layout of help itself."""

from typing import Final

from server.cli.environment import Audience, listed
from server.cli.grammar import HELP, Arity, Command, Flag, Kind

ANY: Final = Arity()
NONE: Final = Arity(0, 0)
ONE: Final = Arity(1, 1)
AT_MOST_ONE: Final = Arity(0, 1)
TWO: Final = Arity(2, 2)
SOME: Final = Arity(1)

REFERENCE: Final = "ollama"
"""The name under which help is the reference's, byte for byte."""

_INSECURE: Final = Flag("insecure", "Use an insecure registry")
_VERBOSE: Final = Flag("verbose", "Show timings for response")
_NOWORDWRAP: Final = Flag("nowordwrap", "Don't wrap words to the next line automatically")

ROOT: Final = Command(
    name="",
    usage="",
    short="Large language model runner",
    flags=(Flag("version", "Show version information", short="v"), _VERBOSE, _NOWORDWRAP),
)

COMMANDS: Final = (
    Command("serve", "serve", "Start Ollama", NONE, aliases=("start",), environment=Audience.DAEMON, preflight=False),
    Command(
        "create", "create MODEL", "Create a model", ONE,
        flags=(
            Flag("file", 'Name of the Modelfile (default "Modelfile")', Kind.STRING, "f"),
            Flag("quantize", "Quantize model to this level (e.g. q4_K_M)", Kind.STRING, "q"),
            Flag("draft-quantize", "Quantize draft model to this level (e.g. q4_K_M)", Kind.STRING),
        ),
        environment=Audience.CLIENT,
    ),
    Command(
        "show", "show MODEL", "Show information for a model", ONE,
        flags=(
            Flag("license", "Show license of a model"),
            Flag("modelfile", "Show Modelfile of a model"),
            Flag("parameters", "Show parameters of a model"),
            Flag("template", "Show template of a model"),
            Flag("system", "Show system message of a model"),
            Flag("verbose", "Show detailed model information", short="v"),
        ),
        environment=Audience.CLIENT,
    ),
    Command(
        "run", "run MODEL [PROMPT]", "Run a model", SOME,
        flags=(
            Flag("keepalive", "Duration to keep a model loaded (e.g. 5m)", Kind.STRING),
            _VERBOSE,
            _INSECURE,
            _NOWORDWRAP,
            Flag("format", "Response format (e.g. json)", Kind.STRING),
            Flag(
                "think", "Enable thinking mode: true/false or high/medium/low for supported models", Kind.STRING,
                bare="true",
            ),
            Flag("hidethinking", "Hide thinking output (if provided)"),
            Flag(
                "truncate",
                "For embedding models: truncate inputs exceeding context length (default: true). "
                "Set --truncate=false to error instead",
            ),
            Flag("dimensions", "Truncate output embeddings to specified dimension (embedding models only)", Kind.INT),
        ),
        environment=Audience.RUN,
    ),
    Command("stop", "stop MODEL", "Stop a running model", ONE, environment=Audience.CLIENT),
    Command("pull", "pull MODEL", "Pull a model from a registry", ONE, (_INSECURE,), environment=Audience.CLIENT),
    Command("push", "push MODEL", "Push a model to a registry", ONE, (_INSECURE,), module="missing", hidden=True),
    Command("signin", "signin", "Sign in to ollama.com", NONE, aliases=("login",), module="missing", hidden=True),
    Command("signout", "signout", "Sign out from ollama.com", NONE, aliases=("logout",), module="missing", hidden=True),
    Command("list", "list", "List models", ANY, aliases=("ls",), environment=Audience.CLIENT),
    Command("ps", "ps", "List running models", ANY, environment=Audience.CLIENT),
    Command("cp", "cp SOURCE DESTINATION", "Copy a model", TWO, environment=Audience.CLIENT),
    Command("rm", "rm MODEL [MODEL...]", "Remove a model", SOME, environment=Audience.CLIENT),
    Command(
        "verify", "verify [MODEL]", "Check stored models for damage", AT_MOST_ONE, environment=Audience.CLIENT,
        own=True,
    ),
    Command(
        "prune", "prune", "Remove stored files that no model needs", NONE,
        flags=(Flag("dry-run", "Only show what would be removed"),), environment=Audience.CLIENT, own=True,
    ),
    Command("help", "help [command]", "Help about any command", ANY, preflight=False),
)  # fmt: skip


def find(word: str) -> Command | None:
    """The command of that name or alias."""
    return next((command for command in COMMANDS if word == command.name or word in command.aliases), None)


def offered(program: str) -> list[Command]:
    """The commands that a program of this name speaks of."""
    return [command for command in COMMANDS if not (command.own and program == REFERENCE)]


def help_text(program: str, command: Command) -> str:
    """What `--help` prints: the short text, then usage."""
    return f"{command.short}\n\n{usage_text(program, command)}"


def usage_text(program: str, command: Command) -> str:
    if command is ROOT:
        sections = ["Usage:", f"  {program} [flags]", f"  {program} [command]", "", "Available Commands:"]
        sections += [f"  {c.name:<11} {c.short}" for c in offered(program) if not c.hidden]
    else:
        sections = ["Usage:", f"  {program} {command.usage} [flags]"]
    if command.aliases:
        sections += ["", "Aliases:", f"  {', '.join((command.name, *command.aliases))}"]
    sections += ["", "Flags:", *_flag_lines(command, program)]
    if command is ROOT:
        sections += ["", f'Use "{program} [command] --help" for more information about a command.']
    if command.environment is not Audience.NOBODY:
        sections += ["", "Environment Variables:"]
        sections += [f"      {name:<27}   {text}" for name, text in listed(command.environment)]
    return "\n".join(sections) + "\n"


def _flag_lines(command: Command, program: str) -> list[str]:
    """Sorted by name; descriptions start three columns behind the longest flag."""
    own_help = Flag(HELP.name, f"help for {command.name or program}", short=HELP.short)
    flags = sorted((*command.flags, own_help), key=lambda flag: flag.name)
    heads = [_flag_head(flag) for flag in flags]
    width = max(map(len, heads))
    return [f"{head:<{width}}   {flag.help}".rstrip() for head, flag in zip(heads, flags, strict=True)]


def _flag_head(flag: Flag) -> str:
    head = f"  -{flag.short}, --{flag.name}" if flag.short else f"      --{flag.name}"
    if flag.kind is not Kind.BOOL:
        head += f" {flag.kind.value}"
    return head if flag.kind is Kind.BOOL or flag.bare is None else f'{head}[="{flag.bare}"]'
