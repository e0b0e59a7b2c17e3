"""Words → command, arguments, flags; and every text about what is wrong with them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.cli.errors import UsageError
from server.cli.grammar import Arity, Command, Flag, Kind, distance, parse, split_command, suggestions
from server.cli.program import COMMANDS, ROOT, find

HUGE = str(2**63)
PLAIN = Command(
    "do",
    "do",
    "",
    flags=(
        Flag("verbose", "", short="v"),
        Flag("file", "", Kind.STRING, "f"),
        Flag("count", "", Kind.INT),
        Flag("think", "", Kind.STRING, bare="true"),
    ),
)


@pytest.mark.parametrize(
    ("words", "args", "flags"),
    [
        (["a", "b"], ["a", "b"], {}),
        (["--file", "x", "a"], ["a"], {"file": "x"}),
        (["--file=x"], [], {"file": "x"}),
        (["--file="], [], {"file": ""}),
        (["-f", "x"], [], {"file": "x"}),
        (["-fx"], [], {"file": "x"}),
        (["-f=x"], [], {"file": "x"}),
        (["-vfx"], [], {"verbose": True, "file": "x"}),
        (["-vf", "x"], [], {"verbose": True, "file": "x"}),
        (["-v=false"], [], {"verbose": False}),
        (["a", "--verbose", "b"], ["a", "b"], {"verbose": True}),
        (["--verbose=0"], [], {"verbose": False}),
        (["--verbose=T"], [], {"verbose": True}),
        (["--count", "-3"], [], {"count": -3}),
        (["--count=0x10"], [], {"count": 16}),
        (["--think", "low"], ["low"], {"think": "true"}),
        (["--think=low"], [], {"think": "low"}),
        (["a", "--", "--verbose", "-x"], ["a", "--verbose", "-x"], {}),
        (["-"], ["-"], {}),
        (["", "b"], ["", "b"], {}),
        (["--file", "--"], [], {"file": "--"}),
        (["-h"], [], {"help": True}),
    ],
)
def test_flags_may_stand_anywhere(words: list[str], args: list[str], flags: dict[str, object]) -> None:
    parsed = parse(PLAIN, words)
    assert (parsed.args, parsed.flags) == (args, flags)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--nope"], "unknown flag: --nope"),
        (["--verb"], "unknown flag: --verb"),
        (["--nope=1"], "unknown flag: --nope"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-vx"], "unknown shorthand flag: 'x' in -x"),
        (["--file"], "flag needs an argument: --file"),
        (["-f"], "flag needs an argument: 'f' in -f"),
        (["-vf"], "flag needs an argument: 'f' in -f"),
        (["--=x"], "bad flag syntax: --=x"),
        (["---x"], "bad flag syntax: ---x"),
        (
            ["--count", "x"],
            'invalid argument "x" for "--count" flag: strconv.ParseInt: parsing "x": invalid syntax',
        ),
        (
            ["--count", HUGE],
            f'invalid argument "{HUGE}" for "--count" flag: strconv.ParseInt: parsing "{HUGE}": value out of range',
        ),
        (
            ["--verbose=maybe"],
            'invalid argument "maybe" for "-v, --verbose" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
        ),
    ],
)
def test_each_mistake_has_its_text(words: list[str], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(PLAIN, words)
    assert str(caught.value) == text


def test_counts_of_arguments() -> None:
    Arity(1, 1).check(1)
    Arity(1).check(7)
    Arity().check(0)
    with pytest.raises(UsageError, match=r"^accepts 1 arg\(s\), received 0$"):
        Arity(1, 1).check(0)
    with pytest.raises(UsageError, match=r"^requires at least 1 arg\(s\), only received 0$"):
        Arity(1).check(0)


@pytest.mark.parametrize(
    ("words", "command", "rest"),
    [
        (["list"], "list", []),
        (["-v", "show", "m"], "show", ["-v", "m"]),
        (["--verbose", "run", "m"], "run", ["--verbose", "m"]),
        (["--format", "json", "run", "m"], "run", ["--format", "json", "m"]),
        (["--format=json", "run", "m"], "run", ["--format=json", "m"]),
        (["-x", "list"], None, ["-x", "list"]),
        (["--", "list"], None, ["--", "list"]),
        ([], None, []),
    ],
)
def test_the_command_is_the_first_word_that_no_flag_takes(
    words: list[str], command: str | None, rest: list[str]
) -> None:
    assert split_command(ROOT, words) == (command, rest)


def test_close_names_are_suggested_in_the_order_of_help() -> None:
    assert suggestions("lst", COMMANDS) == ["list", "ps"]
    assert suggestions("sho", COMMANDS) == ["show", "stop"]
    assert suggestions("nope", COMMANDS) == []
    assert suggestions("CR", COMMANDS)[0] == "create"


def test_names_and_aliases_are_unique() -> None:
    words = [word for command in COMMANDS for word in (command.name, *command.aliases)]
    assert len(words) == len(set(words))
    assert find("ls") is find("list")
    assert find("start") is find("serve")


@given(st.text(max_size=8), st.text(max_size=8))
def test_edit_distance_is_a_metric(a: str, b: str) -> None:
    assert distance(a, b) == distance(b, a)
    assert (distance(a, b) == 0) == (a == b)
    assert abs(len(a) - len(b)) <= distance(a, b) <= max(len(a), len(b))


@given(
    st.lists(st.sampled_from(["a", "-", "--", "-v", "-f", "-fx", "--file", "--think", "--think=x", "-vv", "-q", ""]))
)
def test_any_words_are_sorted_or_refused(words: list[str]) -> None:
    """Arguments keep their order, and none is made up."""
    try:
        parsed = parse(PLAIN, words)
    except UsageError:
        return
    rest = iter(words)
    assert all(arg in rest for arg in parsed.args)


@given(st.lists(st.text(max_size=6), max_size=6))
def test_everything_behind_two_dashes_is_an_argument(words: list[str]) -> None:
    assert parse(PLAIN, ["--", *words]).args == words
