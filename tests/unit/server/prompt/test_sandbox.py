"""What a chat template may not do: compute for ever, make what fills the memory, reach or change what is Python's.

The budget is a fiftieth of the real one here, so that running into it takes no time.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.prompt import BrokenTemplate, PromptError, TemplateRefusal, budget
from server.prompt.sandbox import MAX_SOURCE, Program

STEPS = "takes more than 20000 steps"
ITEMS = "more than 32768 items"
LARGE = "makes a"
UNSAFE = "is unsafe"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_STEPS", 20_000)
    monkeypatch.setattr(budget, "MAX_ITEMS", 1 << 15)


def run(text: str, **values: Any) -> str:
    return Program(text).run({"messages": [{"role": "user", "content": "Q"}], **values})


def refused(text: str, **values: Any) -> str:
    with pytest.raises(BrokenTemplate) as caught:
        run(text, **values)
    assert caught.value.status == 500
    return caught.value.detail


LIST = "{% set l = range(9999) | list %}{% set m = range(9999) | list %}{% for i in range(9999) %}"
TEXT = "{% set s = 'x' * 999999 %}{% for i in range(9999) %}"
NESTED = "{% set n = namespace(x=[1]) %}{% for i in range(99) %}{% set n.x = [n.x, n.x] %}{% endfor %}"
PAIRS = "{% set n = namespace(x=(1,)) %}{% for i in range(99) %}{% set n.x = (n.x, n.x) %}{% endfor %}"


@pytest.mark.parametrize(
    "text",
    [
        "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
        *(f"{LIST}{{% set x = {one} %}}{{% endfor %}}" for one in (
            "l | sum", "l | sort", "l | max", "l | unique | first", "l | reject | list", "l | rejectattr('x') | list",
            "l | map('string') | list", "l | select('in', l) | list", "l[::-1]", "-1 in l", "-1 is in l", "l == m",
            "l is eq m", "[l, m] | sort", "l.count(-1)", "l.index(9998)", "l | tojson", "l | join", "l ~ ''",
            "l | string", "'%s' % l[:9]", "', '.join(l | map('string'))", "l + m", "[l] | sum(start=[])",
        )),
        LIST + "{% for j in l if false %}{% endfor %}{% endfor %}",
        LIST + "{{ l }}{% endfor %}",
        *(f"{TEXT}{{% set x = {one} %}}{{% endfor %}}" for one in (
            "'y' in s", "s.find('y')", "s.upper()", "s | upper", "s[1:]", "s ~ 'y'", "s + 'y'", "s.split('y')",
            "s | replace('y', 'z')", "s.replace('y', 'z')", "s | tojson", "s | e", "s.split()", "s == s ~ ''",
        )),
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% macro f() %}{{ caller() }}{{ caller() }}{% endmacro %}" + "{% call f() %}" * 30 + "{% endcall %}" * 30,
        "{% for x in [1, 1] recursive %}{{ loop([1, 1]) if loop.depth < 40 }}{% endfor %}",
    ],
)  # fmt: skip
def test_a_template_that_computes_for_ever_is_stopped_after_so_many_steps(text: str) -> None:
    assert STEPS in refused(text)


def test_no_template_earns_steps() -> None:
    """The filter that takes them off looks at no value."""
    spend = "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}"
    assert STEPS in refused("{{ [-999999999] | map('one step') | list }}" + spend)


@pytest.mark.parametrize(
    "use",
    [
        "{{ n.x }}", "{{ n.x | tojson }}", "{{ n.x | tojson(indent=1) }}", "{{ n.x | string }}", "{{ n.x | upper }}",
        "{{ n.x ~ '' }}", "{{ [n.x] | join }}", "{{ '{}'.format(n.x) }}", "{{ '%s' % n.x }}",
        "{{ '%s' | format(n.x) }}",
        "{{ n.x | replace('a', 'b') }}", "{{ 'a' | replace(n.x, 'b') }}", "{{ ','.join(n.x | map('string')) }}",
        "{{ [n.x, n.x] | sort }}", "{{ [n.x, n.x] | unique | list }}", "{{ n.x == [n.x] }}", "{{ [1] in [n.x] }}",
        "{{ n.x is eq [n.x] }}", "{{ n.x | int }}", "{{ n.x | truncate }}", "{{ raise_exception(n.x) }}",
        "{{ [{'k': n.x}] | groupby('k') }}", "{{ [[n.x]].index([[1]]) }}",
        "{% for i in [1, 2] %}{{ loop.changed([n.x]) }}{% endfor %}",
    ],
)  # fmt: skip
def test_lists_that_share_their_parts_are_as_large_as_they_look(use: str) -> None:
    """99 lists of two, and 2 ** 99 numbers to print."""
    assert ITEMS in refused(NESTED + use)


@pytest.mark.parametrize(
    "use",
    [
        "{{ {n.x: 1} }}", "{{ {}[n.x] }}", "{{ {}.get(n.x) }}", "{{ namespace([(n.x, 1)]) }}", "{{ dict([(n.x, 1)]) }}",
        "{{ n.x in {} }}",
    ],
)  # fmt: skip
def test_keys_that_share_their_parts_too(use: str) -> None:
    assert ITEMS in refused(PAIRS + use)


def test_a_namespace_that_holds_itself_prints() -> None:
    assert run("{% set n = namespace() %}{% set n.n = n %}{{ n }}{{ [n] }}") == "<Namespace>[<Namespace>]"


@pytest.mark.parametrize(
    "text",
    [
        "{{ 'x' * 999999999 }}", "{{ 999999999 * 'x' }}", "{{ [0] * 999999999 }}", "{{ (0,) * 999999999 }}",
        "{{ range(999999999) | list }}", "{{ 'x'.ljust(999999999) }}", "{{ 'x'.center(999999999) }}",
        "{{ 'x'.zfill(999999999) }}", "{{ '\t'.expandtabs(999999999) }}", "{{ '\t'.expandtabs(tabsize=999999999) }}",
        "{{ 'x' | indent('y' * 9999999 ~ '\n', true) | indent('y' * 9999999, true) }}",
        "{{ ('x' * 99999) | list }}", "{{ ('x ' * 99999).split() }}", "{{ ('x ' * 99999).split(' ') }}",
        "{{ ('x ' * 99999).rsplit(sep=' ') }}", "{{ ('\n' * 99999).splitlines() }}",
        "{{ ('x' * 9999).replace('x', 'y' * 9999) }}", "{{ ('x' * 9999) | replace('x', 'y' * 9999) }}",
        "{{ ('y' * 99999).join(([1] * 9999) | map('string')) }}", "{{ ([1] * 9999) | join('y' * 9999) }}",
        "{{ ('{0}' * 9999).format('x' * 9999) }}", "{{ ('%s' * 9999) % (['x' * 9999] * 9999) }}",
        "{% set s = 'x' * 999999 %}{% set x %}{% for i in range(999) %}{{ s }}{% endfor %}{% endset %}",
        "{% set s = 'x' * 999999 %}{% macro f() %}{% for i in range(999) %}{{ s }}{% endfor %}{% endmacro %}{{ f() }}",
        "{% set n = namespace(x=9) %}{% for i in range(99) %}{% set n.x = n.x * n.x %}{% endfor %}",
        *(
            f"{{% set n = namespace(x={start}) %}}{{% for i in range(99) %}}{{% set n.x = {grown} %}}{{% endfor %}}"
            for start, grown in (
                ("'x' * 999999", "n.x ~ n.x"), ("'x' * 999999", "n.x + n.x"), ("'x' * 999999", "[n.x, n.x] | join"),
                ("[0] * 9999", "n.x + n.x"), ("[0] * 9999", "[n.x, n.x] | sum(start=[])"),
            )
        ),
    ],
)  # fmt: skip
def test_what_would_be_too_large_is_not_made(text: str) -> None:
    detail = refused(text)
    assert LARGE in detail or STEPS in detail or ITEMS in detail


@pytest.mark.parametrize(
    "text",
    [
        "{{ 9 ** 99999999 }}", "{{ '%999999999d' % 1 }}", "{{ '%*d' % (999999999, 1) }}",
        "{{ '%.99999f' | format(1) }}",
        "{{ '{:999999999}'.format(1) }}", "{{ '{:{}}'.format(1, 999999999) }}", "{{ '{a:9999}'.format_map({'a': 1}) }}",
        "{{ 1.5 | round(999999999, 'ceil') }}", "{{ 5 | round(-999999999) }}", "{{ {} | tojson(indent=999999999) }}",
        "{{ [1] | tojson(indent='x' * 99999) }}", "{{ [1] | tojson(separators=('x' * 99999, ':')) }}",
    ],
)  # fmt: skip
def test_widths_and_powers_are_bounded(text: str) -> None:
    assert any(word in refused(text) for word in ("wide", "power", "places", "plain"))


def test_indented_json_is_bounded_while_it_is_made() -> None:
    """Each line of a deep value is as long as the value is deep."""
    deep = "{% set n = namespace(x=[1]) %}{% for i in range(300) %}{% set n.x = [n.x] %}{% endfor %}"
    detail = refused(deep + "{{ ([n.x] * 90) | tojson(indent=64) }}")
    assert STEPS in detail or "too long" in detail


def test_the_prompt_is_bounded() -> None:
    text = "{% for i in range(999) %}{{ messages[0].content }}{% endfor %}"
    assert "the prompt exceeds" in refused(text, messages=[{"content": "x" * 99999}])


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}", "{{ ''['__class__'] }}", "{{ '' | attr('__class__') }}",
        "{{ [''] | map(attribute='__class__') | list }}",
        "{{ [''] | selectattr('__class__') | list }}", "{{ [''] | sort(attribute='__class__') }}",
        "{{ [''] | groupby('__class__') }}", "{{ [''] | sum(attribute='__class__') }}",
        "{{ [''] | join(attribute='__class__') }}",
        "{{ '{0.__class__}'.format(1) }}", "{{ '{a.__class__}'.format_map({'a': 1}) }}",
        "{{ ('{0.__cl' ~ 'ass__}').format(1) }}",
        "{{ raise_exception.__globals__ }}", "{{ namespace.__init__ }}", "{{ cycler.__init__.__globals__ }}",
        "{{ joiner().__class__ }}", "{{ self.__init__ }}", "{{ self._TemplateReference__context }}",
        "{% for i in [1] %}{{ loop._iterable }}{% endfor %}", "{% macro f() %}{% endmacro %}{{ f._environment }}",
        "{% macro f() %}{{ caller.__call__ }}{% endmacro %}{% call f() %}{% endcall %}",
        "{{ ([''] | map('upper')).gi_frame }}", "{{ messages.append(1) }}", "{{ messages[0].update({}) }}",
        "{{ messages[0].pop('role') }}",
        "{{ messages[0].setdefault('x', 1) }}", "{{ messages.clear() }}", "{{ messages.sort() }}",
        "{{ 'x'.encode() }}", "{{ 'x'.translate({120: 'y'}) }}", "{{ (5).to_bytes(999999999, 'big') }}",
        "{{ (1.5).hex() }}",
    ],
)  # fmt: skip
def test_what_belongs_to_python_is_out_of_reach(text: str) -> None:
    assert UNSAFE in refused(text) or "no attribute" in refused(text)


def test_types_do_not_lend_their_methods() -> None:
    """A type's own `update` would change any dictionary."""
    messages = [{"role": "user", "content": "Q"}]
    refused("{{ dict.update(messages[0], {'role': 'x'}) }}", messages=messages)
    refused("{{ dict.fromkeys(range(9)) }}")
    assert messages == [{"role": "user", "content": "Q"}]


@pytest.mark.parametrize(
    "text",
    [
        "{% if %}", "{{ 1 / 0 }}", "{{ nothing() }}", "{{ 'x' | nofilter }}", "{{ 'x' | center(9) }}",
        "{{ 'x' is notest }}",
        "{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as y %}", "{{ lipsum() }}",
        "{{ 'x' * 300 | truncate(1) }}",
        "{{ namespace | tojson }}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% block a %}{{ self.a() }}{% endblock %}",
        "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}", "{{ {}[[1]]() }}", "{{ strftime_now(1) }}",
        "{{ range('a') }}",
        "{{ " + "(" * 9999 + "1" + ")" * 9999 + " }}", "{{ " + "[" * 9999 + "]" * 9999 + " }}",
        "{{ 1" + " | string" * 999 + " }}",
        "{% if 1 %}" * 999 + "{% endif %}" * 999, "{{ a" + ".a" * 9999 + " }}", "{{ " + "not " * 9999 + "1 }}",
        "x" * (MAX_SOURCE + 1),
    ],
)  # fmt: skip
def test_whatever_is_wrong_is_an_error_of_the_template(text: str) -> None:
    assert refused(text).startswith("the chat template ")


def test_errors_are_short() -> None:
    assert len(refused("{{ ('9' * 99999) | int / 0 }}{{ nothing() }}{{ ('x' * 99999)() }}")) < 5000
    with pytest.raises(TemplateRefusal) as caught:
        run("{{ raise_exception('x' * 99999) }}")
    assert len(caught.value.detail) < 5000
    assert caught.value.status == 400


def test_a_budget_is_for_one_rendering() -> None:
    """Twice what is left of it is no problem."""
    program = Program("{% for i in range(9999) %}{% endfor %}x")
    assert [program.run({}) for _ in range(3)] == ["x"] * 3


def test_long_conversations_are_affordable(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real budget, and the things that templates do with each message."""
    monkeypatch.undo()
    text = (
        "{% set n = namespace(x=[]) %}{% for m in messages %}{% set n.x = n.x + [m] %}"
        "{% if '</think>' in m.content %}t{% endif %}"
        "{{- '<' ~ m.role ~ '>' + m.content | trim + m.content.split('</x>')[-1][:1] }}"
        "{%- if loop.last or messages[loop.index0 + 1].role == 'user' or m == messages[-1] %}.{% endif %}{% endfor %}"
    )
    messages = [{"role": "user", "content": "word " * 100} for _ in range(700)]
    assert run(text, messages=messages).count("<user>") == 700


_WORDS = (
    "{{,}},{%,%},for ,m ,in ,messages,if ,endif,endfor,set ,x, = ,~,+,*,| tojson,| join,.role,['a'],(,),1,'s',range"
    ",%,[1:],.format(,| map('upper'),| sort,.__class__,macro f(),endmacro,f(),==,| list,| sum,namespace(,call ,endcall"
)
_PIECES = st.sampled_from([*_WORDS.split(","), "raise_exception", "\n", "-", "{#", ","])


@given(st.lists(_PIECES, max_size=20).map("".join))
def test_any_text_renders_or_is_a_prompt_error(text: str) -> None:
    try:
        assert isinstance(Program(text).run({"messages": [{"role": "user", "content": "x"}]}), str)
    except PromptError:
        pass
