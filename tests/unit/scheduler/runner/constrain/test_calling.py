"""Calls of tools in free text."""

from functools import partial

import pytest

from scheduler.frames import Calls, Constraint
from scheduler.runner.constrain.calling import Calling
from scheduler.runner.constrain.constraints import ConstraintError, Constraints, Matcher
from scheduler.runner.constrain.guided import Guided
from scheduler.runner.constrain.late import Late
from tests.unit.scheduler.runner.constrain import saying
from tests.unit.scheduler.runner.letters import EOS, letters

said = partial(saying.said, ends="|")
CONSTRAINTS = Constraints(letters())
SCHEMA = '{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}'
RULES = 'calls: call+\ncall: "<f>" rest\nrest: json_0 mark_0'
OBJECT = '{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"]}'


def compiled(
    kind: str = "any",
    source: str = "",
    after: tuple[str, ...] = (),
    opening: str = "",
    *,
    rules: str = RULES,
    schema: str = SCHEMA,
    required: bool = False,
    many: bool = True,
    at_start: bool = False,
) -> Matcher:
    calls = Calls(rules, ["<f>"], ["</f>"], [schema], required, many, at_start)
    constraint = Constraint("any" if kind == "any" else "json_schema", source, list(after), opening, calls)
    return CONSTRAINTS.compile(constraint)


@pytest.mark.parametrize(
    "text",
    [
        "no call at all",
        'so <f>{"a": 1}</f> and on',
        '<f>{"a": 1}</f><f>{"a": 2}</f>\n<f>{"a":3}</f>, done',
        '<<f>{"a": 1}</f></f>{',
    ],
)
def test_text_is_free_around_calls(text: str) -> None:
    assert said(compiled(), text) == text


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("so <f>no", "so <f>"),
        ('<f>{"a": "x"', '<f>{"a": '),
        ('<f>{"a": 1}<', '<f>{"a": 1}<'),
        ('<f>{"a": 1}</f><f>{}', '<f>{"a": 1}</f><f>{'),
    ],
)
def test_from_an_opening_on_the_text_is_a_call(text: str, taken: str) -> None:
    assert said(compiled(), text) == taken


def test_the_answer_ends_with_the_only_call() -> None:
    assert said(compiled(many=False), 'so <f>{"a": 1}</f> more') == 'so <f>{"a": 1}</f>|'


def test_a_call_that_may_only_begin_an_answer_is_not_looked_for_later() -> None:
    assert said(compiled(at_start=True), "\n <f>x") == "\n <f>"
    assert said(compiled(at_start=True), "a <f>x") == "a <f>x"
    assert said(compiled(at_start=True), '<f>{"a": 1}</f> <f>x') == '<f>{"a": 1}</f> <f>'


def test_nothing_but_calls_where_they_are_required() -> None:
    assert said(compiled(required=True), "no") == ""
    assert said(compiled(required=True), ' <f>{"a": 1}</f>no') == ' <f>{"a": 1}</f>'
    whole = compiled(required=True)
    assert said(whole, '<f>{"a": 1}</f><f>{"a": 2}</f>').endswith("</f>")
    assert whole.admits(EOS)


def test_calls_or_what_the_format_demands() -> None:
    for text in ('{"ok": true', '<f>{"a": 1}</f>'):
        assert said(compiled("json_schema", OBJECT), text) == text
    assert said(compiled("json_schema", OBJECT), "no") == ""
    assert said(compiled("json_schema", OBJECT), '{"a"') == '{"'
    assert said(compiled("json_schema", OBJECT, required=True), "{") == ""


def test_reasoning_is_no_place_for_calls() -> None:
    matcher = compiled(after=("</t>",), opening="<t>")
    assert isinstance(matcher, Late)
    assert said(matcher, "<t>is <f> a call?</t>no <f>x") == "<t>is <f> a call?</t>no <f>"
    assert said(compiled(after=("</t>",), opening="<t>"), "plain <f>x") == "plain <f>"
    assert said(compiled(after=("</t>",), opening="<t>"), '<f>{"a":1}</f> and <f>x') == '<f>{"a":1}</f> and <f>'
    assert said(compiled(after=("</t>",)), "hm</t><f>x") == "hm</t><f>"
    assert said(compiled(after=("</t>",), required=True), "hm</t>x") == "hm</t>"


def test_a_schema_that_cannot_be_enforced_admits_anything_of_its_kind(caplog: pytest.LogCaptureFixture) -> None:
    assert said(compiled(schema='{"type": "object", "properties": 5}'), '<f>{"x": [1]}</f>.').endswith(".")
    assert "not enforced" in caplog.text


def test_a_grammar_that_cannot_be_used_binds_nothing_unless_calls_are_required(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = Calls("calls: nowhere\nrest: nowhere", ["<f>"])
    assert CONSTRAINTS.bind(Constraint("any", calls=calls)) is None
    assert "not held to their schemas" in caplog.text
    with pytest.raises(ConstraintError):
        CONSTRAINTS.bind(Constraint("any", calls=Calls("calls: nowhere\nrest: nowhere", ["<f>"], required=True)))


def test_gbnf_and_tools_cannot_be_combined() -> None:
    with pytest.raises(ConstraintError, match="GBNF"):
        CONSTRAINTS.compile(Constraint("gbnf", 'root ::= "a"', calls=Calls(RULES, ["<f>"], ["</f>"], [SCHEMA])))


def test_other_grammars_can() -> None:
    for kind, source in (("regex", "[0-9]+"), ("lark", "start: /[0-9]+/")):
        calls = Calls(RULES, ["<f>"], ["</f>"], [SCHEMA])
        for text in ("12", '<f>{"a": 1}</f>'):
            matcher = CONSTRAINTS.compile(Constraint("regex" if kind == "regex" else "lark", source, calls=calls))
            assert said(matcher, text) == text


def words(**written: bytes) -> tuple[Calling, dict[str, int]]:
    """Calls that are a number in an object, over tokens of several letters, and their ids."""
    only = Constraint("lark", "", calls=Calls("calls: rest\nrest: json_0", [], schemas=[SCHEMA], required=True))
    grammar = CONSTRAINTS.compile(only)
    assert isinstance(grammar, Guided)
    ids = {name: number for number, name in enumerate(written, start=1000)}
    texts = dict(zip(ids.values(), written.values(), strict=True))
    return Calling(grammar, ["<f>"], texts.__getitem__), ids


def test_a_mark_inside_a_token_begins_the_call_in_its_middle() -> None:
    calling, ids = words(opening=b'so <f>{"a":')
    calling.consume(ids["opening"])
    assert calling.active
    assert calling.admits(ord("1"))
    assert not calling.admits(ord('"'))


def test_what_no_call_begins_with_leaves_the_text_free() -> None:
    calling, ids = words(other=b"<f>no", opening=b' <f>{"a":')
    calling.consume(ids["other"])
    assert not calling.active
    calling.consume(ids["opening"])
    assert calling.active


def test_an_opening_ends_reasoning_where_it_counts_there() -> None:
    calls = Calls(RULES, ["<f>"], ["</f>"], [SCHEMA], anywhere=True)
    for text in ('hm <f>{"a": 1}</f>', 'hm</t>{"ok": true}', 'hm</t><f>{"a": 1}</f>'):
        matcher = CONSTRAINTS.compile(Constraint("json_schema", OBJECT, ["</t>"], calls=calls))
        assert said(matcher, text).rstrip("|") == text
    matcher = CONSTRAINTS.compile(Constraint("json_schema", OBJECT, ["</t>"], calls=calls))
    assert said(matcher, "hm <f>x") == "hm <f>"
