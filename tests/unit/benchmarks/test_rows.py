"""What the rows ask for."""

import itertools

import pytest

from benchmarks import arguments
from benchmarks.errors import ProgramMissing
from benchmarks.native import text_of
from benchmarks.rows import GROUPS, copies, prefixes
from benchmarks.rows.stand import SUBJECTS
from benchmarks.sides import Setting


def test_groups_have_names_of_their_own() -> None:
    """They are chosen by them."""
    names = [group.name for group in GROUPS]
    assert len(set(names)) == len(names)


def test_the_daemon_at_rest_comes_first() -> None:
    """Afterwards it has served somebody."""
    assert GROUPS[0].name == "rest"


@pytest.mark.parametrize("seed", range(3))
def test_the_puzzle_has_every_passage_but_none_before_its_successor(seed: int) -> None:
    """The answer goes on where the prompt ends; its passages stand in the prompt, mostly in other company."""
    prompt, answer = copies.puzzle(seed)
    words = prompt.split()
    text = [words[-1], *answer]
    assert sorted(text) == sorted(words[:-1])
    assert len(set(text)) == len(text)
    follows = dict(itertools.pairwise(words[:-1]))
    kept = sum(follows.get(a) == b for a, b in itertools.pairwise(text))
    assert 0.9 < kept / len(text) < 0.97


def test_puzzles_differ() -> None:
    """A prompt that comes again would be remembered."""
    assert not set(copies.puzzle(0)[1]) & set(copies.puzzle(1)[1])


def test_conversations_fit_into_a_slot() -> None:
    """At the last turn of the subject with the most of them, with what the tokenizer puts in front."""
    longest = prefixes.longest_prompt(max(subject.turns for subject in SUBJECTS))
    assert longest + 1 <= Setting().slot_tokens


def test_text_of_a_stream() -> None:
    """The pieces of all lines."""
    assert text_of(b'{"response":" a"}\n{"response":"b"}\n{"response":"","done":true}\n') == " ab"


def test_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups and models are chosen by name; without a choice all are run. Quick runs have one round."""
    monkeypatch.delenv("LLAMAD_BENCH_OLLAMA", raising=False)
    everything = arguments.wishes(arguments.parser().parse_args([]))
    assert tuple(everything.groups) == GROUPS
    assert tuple(everything.subjects) == SUBJECTS
    assert everything.ollama is None
    some = arguments.wishes(
        arguments.parser().parse_args(["run", "--rows", "loads", "--rows", "copies", "--only", "llama-15m", "--quick"])
    )
    assert [group.name for group in some.groups] == ["loads", "copies"]
    assert [subject.shape.name for subject in some.subjects] == ["llama-15m"]
    assert (some.rounds, some.quick) == (1, True)


def test_a_program_that_is_not_there_is_said_at_once() -> None:
    """Before minutes of measuring."""
    with pytest.raises(ProgramMissing, match="/nowhere/ollama"):
        arguments.wishes(arguments.parser().parse_args(["--ollama", "/nowhere/ollama"]))
