"""Constraints that begin in the middle of an answer."""

import numpy as np
import pytest

from scheduler.frames import Constraint
from scheduler.runner.constrain.constraints import Constraints
from scheduler.runner.constrain.late import Late, Opening
from tests.unit.scheduler.runner.constrain.saying import said
from tests.unit.scheduler.runner.letters import EOS, letters

CONSTRAINTS = Constraints(letters())
OBJECT = '{"type":"object"}'


def late(opening: str = "", *after: str, source: str = OBJECT) -> Late:
    matcher = CONSTRAINTS.compile(Constraint("json_schema", source, list(after or ["</t>"]), opening))
    assert isinstance(matcher, Late)
    return matcher


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("anything goes", "anything goes"),
        ('so</t>{"a": 1}', 'so</t>{"a": 1}'),
        ('so</t>\n\n{"a": 1}', 'so</t>\n\n{"a": 1}'),
        ("so</t>no", "so</t>"),
        ("so</t></t>", "so</t>"),
        ("</</t>[", "</</t>"),
    ],
)
def test_free_until_the_mark_and_bound_from_its_end(text: str, taken: str) -> None:
    assert said(late(), text) == taken


def test_free_text_may_be_anything_but_the_end_of_the_answer() -> None:
    matcher = late()
    for text in ("", "so</t"):
        said(matcher, text)
        assert matcher.active
        assert not matcher.admits(EOS)
        bits = np.unpackbits(matcher.mask().view(np.uint8), bitorder="little")
        assert not bits[EOS]
        assert bits[:EOS].all()
    said(matcher, ">")
    assert not matcher.admits(ord("x"))


def test_an_end_that_is_the_mark_may_come() -> None:
    matcher = Late(Words(), ["</t>"], {0: b"</t>", 1: b"</s>"}.__getitem__, ends=(0, 1))
    assert matcher.admits(0)
    assert not matcher.admits(1)


def test_the_first_of_several_marks_counts() -> None:
    assert said(late("", "<b>", "<a>"), "x<a>{no<b>") == "x<a>{"


def test_an_answer_that_does_not_open_its_thoughts_is_bound_at_once() -> None:
    assert said(late("<t>"), '{"a": 1}') == '{"a": 1}'
    assert said(late("<t>"), "no") == ""
    assert said(late("<t>"), "<t>so</t>{}") == "<t>so</t>{}"
    assert said(late("<t>"), "<t>so</t>no") == "<t>so</t>"
    assert said(late("<t>"), "<no") == "<", "a tag that is begun is ended"
    assert said(late("<t>"), " {}") == " {}"


def test_the_end_of_a_bound_text_is_told() -> None:
    matcher = late()
    said(matcher, "so</t>{")
    assert matcher.consume(ord("}"))


def test_an_opening_can_be_written_in_several_ways() -> None:
    written = [b"<", b"th", b"ink>", b"<think>", b"\n<think>\n", b"t", b"x", b"", b">", b"k>y", b"  "]
    opening = Opening(b"<think>", written)
    assert opening.tokens(b"") == [0, 3, 4]
    assert opening.tokens(b"<") == [1, 5]
    assert opening.tokens(b"<thin") == [9]
    assert opening.tokens(b"<think") == [8]


class Words:
    """A matcher that takes certain texts, in place of a grammar."""

    def __init__(self, *accepted: bytes) -> None:
        self.accepted = accepted
        self.fed: list[bytes] = []
        self.error = ""
        self.active = True
        self.ready = False

    def prepare(self) -> None: ...

    def admits(self, token: int) -> bool:
        return False

    def mask(self) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
        return np.zeros(1, np.int32)

    def consume(self, token: int) -> bool:
        return False

    def feed(self, text: bytes) -> bool:
        self.fed.append(text)
        return text in self.accepted


TOKENS = {1: b"so", 2: b"</t", 3: b">{", 4: b">no", 5: b"</t>", 6: b"x</t>\n"}


@pytest.mark.parametrize(
    ("tokens", "fed"), [([1, 2, 3], [b"{"]), ([2, 4], [b"no"]), ([1, 5], []), ([6], [b"\n"]), ([1, 2, 1, 5], [])]
)
def test_what_a_token_says_beyond_the_mark_belongs_to_the_bound_text(tokens: list[int], fed: list[bytes]) -> None:
    """Where the grammar cannot begin with it, it stands there all the same."""
    matcher = Words(b"{", b"\n")
    waiting = Late(matcher, ["</t>"], TOKENS.__getitem__)
    for token in tokens:
        assert not waiting.active
        waiting.consume(token)
    assert waiting.active
    assert matcher.fed == fed


def test_an_opening_that_cannot_be_finished_leaves_the_text_free() -> None:
    waiting = Late(Words(), ["</t>"], {0: b"<"}.__getitem__, Opening(b"<t>", [b"<"]))
    assert waiting.admits(0)
    waiting.consume(0)
    assert not waiting.active


def test_the_end_may_come_before_anything_else_where_the_grammar_lets_it() -> None:
    nothing = CONSTRAINTS.compile(Constraint("regex", "a?", ["</t>"], "<t>"))
    assert nothing.admits(EOS)
