"""Chat templates as they are published, in miniature: ours renders each as Hugging Face's renderer would.

The templates are written for these tests, each in the manner of a family. The oracle is the environment that the
documentation of `transformers` describes: sandboxed and immutable, blocks trimmed, loop controls, `tojson` without
escapes, `raise_exception`, `strftime_now`.
"""

import datetime
import json
import re
from typing import Any, NoReturn

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from server.messages import Message, Parameters, Property, Tool, ToolCall
from server.prompt import JinjaPrompt, TemplateRefusal
from server.prompt.sandbox import Program

BLOCKS = """\
{%- macro content_of(content, shout=false) %}
    {%- if content is string %}
        {{- content | upper if shout else content }}
    {%- elif content is iterable and content is not mapping %}
        {%- for part in content %}
            {%- if part is string %}
                {{- part }}
            {%- elif part.type == 'text' or 'text' in part %}
                {{- part['text'] }}
            {%- elif part.type in ('image', 'image_url') %}
                {{- '<image>' }}
            {%- else %}
                {{- raise_exception('Unexpected part: ' ~ part.type) }}
            {%- endif %}
        {%- endfor %}
    {%- elif content is none or content is undefined %}
        {{- '' }}
    {%- endif %}
{%- endmacro %}
"""

TEMPLATES = {
    "turns with tools in blocks": BLOCKS
    + """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- content_of(messages[0].content) + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + content_of(messages[0].content) + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step=true, last_query=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step and message.role == "user" and message.content is string
        and not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step = false %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = content_of(message.content) | trim %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' }}
        {%- if loop.index0 > ns.last_query and (loop.last or reasoning) %}
            {{- '<think>\\n' ~ reasoning.strip('\\n') ~ '\\n</think>\\n\\n' }}
        {%- endif %}
        {{- content }}
        {%- for tool_call in message.tool_calls or [] %}
            {%- if (loop.first and content) or not loop.first %}{{- '\\n' }}{%- endif %}
            {%- set call = tool_call.function if tool_call.function else tool_call %}
            {{- '<tool_call>\\n{"name": "' ~ call.name ~ '", "arguments": ' }}
            {{- call.arguments if call.arguments is string else call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or loop.previtem.role != "tool" %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' + content + '\\n</tool_response>' }}
        {%- if loop.last or loop.nextitem.role != "tool" %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
""",
    "headers, a date, tools in the question": """\
{{- bos_token }}
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if not tools_in_user_message is defined %}{%- set tools_in_user_message = true %}{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|header|>system\\n\\n" }}
{%- if builtin_tools is defined or tools is not none %}{{- "Environment: ipython\\n" }}{%- endif %}
{%- if builtin_tools is defined %}
    {{- "Tools: " + builtin_tools | reject('equalto', 'code_interpreter') | join(", ") + "\\n\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {%- for t in tools %}{{- t | tojson(indent=4) }}{{- "\\n\\n" }}{%- endfor %}
{%- endif %}
{{- system_message + "<|eot|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|header|>' + message['role'] + '\\n\\n'+ message['content'] | trim + '<|eot|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|header|>assistant\\n\\n{"name": "' + tool_call.name + '", "parameters": ' }}
        {{- tool_call.arguments | tojson }}{{- "}<|eot|>" }}
    {%- else %}
        {{- "<|header|>ipython\\n\\n" }}
        {%- if message.content is mapping or (message.content is iterable and message.content is not string) %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|header|>assistant\\n\\n' }}{%- endif %}
""",
    "alternating instructions": """\
{%- set system = messages | selectattr('role', 'equalto', 'system') | map(attribute='content') | list %}
{%- set turns = messages | rejectattr('role', 'equalto', 'system') | list %}
{%- set asked = turns | selectattr("role", "equalto", "user") | list %}
{{- bos_token }}
{%- for message in turns %}
    {%- if message.role == 'user' %}
        {%- if tools is not none and (message == asked[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}{{- ", " if not loop.last else "]" }}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system %}
            {{- "[INST] " + system | join('\\n\\n') + "\\n\\n" + message.content + "[/INST]" }}
        {%- else %}
            {{- "[INST] " ~ message.content ~ "[/INST]" }}
        {%- endif %}
    {%- elif message.role == 'assistant' and message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for call in message.tool_calls %}
            {%- set out = call.function|tojson %}
            {{- out[:-1] }}
            {{- ', "id": "' ~ (call.id | default('000000000'))[:9] ~ '"}' }}
            {%- if not loop.last %}, {% else %}]{{ eos_token }}{% endif %}
        {%- endfor %}
    {%- elif message.role == 'assistant' %}
        {{- " " + message.content|trim + eos_token }}
    {%- elif message.role == 'tool' %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content|string|tojson + ', "call_id": "' }}
        {{- (message.tool_call_id or 'none')|string + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception('Only user, assistant and tool roles are supported, not ' + message.role + '.') }}
    {%- endif %}
{%- endfor %}
""",
    "types as code": """\
{%- macro type_of(spec, required=false) -%}
    {%- if spec.anyOf -%}
        {%- for one in spec.anyOf -%}{{ type_of(one) }}{%- if not loop.last %} | {% endif -%}{%- endfor -%}
    {%- elif spec.type is string and spec.type in ['integer', 'number'] -%} number
    {%- elif spec.type == 'array' -%}
        {%- if spec['items'] and spec['items']['type'] -%}{{ type_of(spec['items']) ~ "[]" }}
        {%- else -%} any[]{%- endif -%}
    {%- elif spec['enum'] -%}
        {{ '"' ~ spec['enum']|join('" | "') ~ '"' }}
    {%- elif spec.type is defined and spec.type is sequence and spec.type is not string -%}
        {{ spec.type | join(" | ") }}
    {%- else -%}{{ spec.type | default('any', true) }}{%- endif -%}
    {%- if not required %}?{% endif -%}
{%- endmacro -%}
{%- macro wrap(name) -%}<{{ name }}>{{ caller() }}</{{ name | replace(' ', '_') | lower }}>{%- endmacro -%}
{%- if tools -%}
    {%- call wrap('The Tools') %}
        {%- for tool in tools | sort(attribute='function.name') %}
            {%- set f = tool['function'] %}
            {{- '// ' ~ (f.description or 'none') | capitalize ~ '\\ntype ' ~ f.name ~ ' = (_: {' }}
            {%- for name, spec in f.parameters.properties.items() %}
                {{- name ~ ': ' ~ type_of(spec, name in (f.parameters.required or [])) ~ ',' }}
            {%- endfor %}
            {{- '})\\n' }}
            {%- for name, spec in f.parameters.properties | dictsort %}
                {{- loop.cycle('a', 'b') ~ loop.index ~ loop.revindex0 ~ name ~ spec.keys() | list | length }}
            {%- endfor %}
        {%- endfor %}
    {%- endcall %}
{%- endif -%}
{%- for message in messages %}
    {%- if message.role not in ['user', 'assistant', 'system'] %}{% continue %}{% endif %}
    {%- if loop.index > 6 %}{% break %}{% endif %}
    {{- '\\n' ~ message.role | title ~ ': ' ~ (message.content or '') | trim | replace('\\n', ' ') }}
    {%- set calls = message.get('tool_calls') %}
    {%- if calls is defined and calls %}
        {{- calls | map(attribute='function') | map(attribute='name') | unique | list | join(',') | indent(2) }}
        {%- for key, value in calls[0].function.arguments | items %}
            {{- ' ' ~ key ~ '=' ~ (value | string if value is number else value | tojson) }}
        {%- endfor %}
    {%- endif %}
{%- endfor %}
{%- if documents %}{{ documents | length }}{% endif %}
{%- set depth = reasoning_effort | default('medium', true) %}
{%- filter upper %}{{ '\\nreasoning: ' ~ depth }}{% endfilter %}
{%- set tail %}{% if add_generation_prompt %}
Assistant:{% endif %}{% endset %}
{{- tail.rstrip() }}
""",
    "white space and comments": """\
{# the layout is part of the prompt, of a tool's answers too #}
{% for message in messages -%}
  {% if message.role == 'user' %}
  Q: {{ message.content }}
  {% else %}
    {#- nothing -#}
    A: {{ message.content|default('', true) }}{{ eos_token }}
  {% endif %}
{% endfor %}
{% if add_generation_prompt %}
  A:
{%- endif %}
""",
}

WEATHER = Tool(
    "function",
    name="get_weather",
    description="weather <now> & later – für 'alle'",
    parameters=Parameters(
        "object",
        required=["city"],
        properties={
            "city": Property(type=["string"], description="City name"),
            "days": Property(type=["integer", "null"]),
            "unit": Property(type=["string"], enum=["°C", "°F"]),
            "hours": Property(type=["array"], items={"type": "integer"}),
            "any": Property(any_of=[Property(type=["string"]), Property(type=["number"])]),
        },
    ),
)
CLOCK = Tool("function", name="clock", parameters=Parameters("object", properties={}))
CALL = ToolCall(
    "get_weather", {"city": "Zürich", "days": 2, "hours": [1, 2.5], "deep": {"b": None, "a": True}}, "call00001"
)

CONVERSATIONS = {
    "one question": [Message("user", "Hi <b> & 'c'")],
    "system and turns": [
        Message("system", " Be brief.\n"),
        Message("user", "A"),
        Message("assistant", "<think>\nT\n</think>\n\nB", thinking="why"),
        Message("user", "C\n"),
    ],
    "a call and its result": [
        Message("system", "S"),
        Message("user", "Weather?"),
        Message("assistant", "", thinking="Need tool.", tool_calls=[CALL]),
        Message("tool", "22 °C", tool_name="get_weather", tool_call_id="call00001"),
        Message("tool", "rain", tool_name="get_weather", tool_call_id="call00001"),
    ],
}


def refuse(message: str) -> NoReturn:
    raise TemplateRefusal(message)


def to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def hugging_face() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse  # pyright: ignore[reportArgumentType]  # functions are globals too
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)  # pyright: ignore[reportArgumentType]
    return environment


ORACLE = hugging_face()


def as_dicts(messages: list[Message]) -> list[dict[str, Any]]:
    """What the templates see, told once more."""
    shown: list[dict[str, Any]] = []
    for message in messages:
        one: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.thinking:
            one["reasoning_content"] = message.thinking
        if message.tool_name:
            one["name"] = message.tool_name
        if message.tool_call_id:
            one["tool_call_id"] = message.tool_call_id
        if message.tool_calls:
            one["tool_calls"] = [
                {"type": "function", "function": {"name": c.name, "arguments": SORTED_INSIDE}, "id": c.id}
                for c in message.tool_calls
            ]
        shown.append(one)
    return shown


SORTED_INSIDE = {"city": "Zürich", "days": 2, "hours": [1, 2.5], "deep": {"a": True, "b": None}}
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "weather <now> & later – für 'alle'",
            "parameters": {
                "type": "object",
                "required": ["city"],
                "properties": {
                    "city": {"type": "string", "description": "City name"},
                    "days": {"type": ["integer", "null"]},
                    "unit": {"type": "string", "enum": ["°C", "°F"]},
                    "hours": {"type": "array", "items": {"type": "integer"}},
                    "any": {"anyOf": [{"type": "string"}, {"type": "number"}]},
                },
            },
        },
    },
    {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}},
]


@pytest.mark.parametrize("think", [None, True, False, "low"])
@pytest.mark.parametrize("with_tools", [False, True])
@pytest.mark.parametrize("talk", CONVERSATIONS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_published_kinds_of_templates_render_as_in_transformers(
    name: str, talk: str, with_tools: bool, think: bool | str | None
) -> None:
    template, messages = TEMPLATES[name], CONVERSATIONS[talk]
    values: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True}
    values |= {"tools": TOOLS if with_tools else None, "documents": None, "messages": as_dicts(messages)}
    if think is not None:
        values |= {"enable_thinking": bool(think)} | ({"reasoning_effort": think} if isinstance(think, str) else {})
    if "date_string" in template:
        values |= {"date_string": f"{datetime.date.today():%d %b %Y}", "tools_in_user_message": False}
    expected = ORACLE.from_string(template).render(**values)
    assert expected, "the oracle has something to say"
    prompt = JinjaPrompt(template, "<s>", "</s>", add_bos=False)
    assert prompt.render(messages, [WEATHER, CLOCK] if with_tools else [], think) == expected


def test_the_types_of_tools_come_out_as_code() -> None:
    """One of them in full, so that the oracle is not alone."""
    prompt = JinjaPrompt(TEMPLATES["types as code"]).render(CONVERSATIONS["one question"], [WEATHER, CLOCK], "low")
    assert prompt == (
        "<The Tools>// None\ntype clock = (_: {})\n"
        "// Weather <now> & later – für 'alle'\ntype get_weather = (_: {city: string,days: integer | null?,"
        'unit: "°C" | "°F"?,hours: number?[]?,any: string? | number??,})\n'
        "a14any1b23city2a32days1b41hours2a50unit2</the_tools>"
        "\nUser: Hi <b> & 'c'\nREASONING: LOWAssistant:"
    )


def test_a_template_that_supports_one_call_says_so() -> None:
    messages = [Message("user", "Q"), Message("assistant", "", tool_calls=[CALL, CALL]), Message("user", "and")]
    with pytest.raises(TemplateRefusal, match="single tool-calls"):
        JinjaPrompt(TEMPLATES["headers, a date, tools in the question"]).render(messages)


FRAGMENTS = [
    "{{ [1, 2, 3] | join(', ') }}{{ [3, 1] | sort | first }}{{ 'a,b'.split(',') | last }}",
    "{{ messages | map(attribute='role') | list }}{{ messages | length }}{{ messages | count }}",
    "{{ {'b': 1, 'a': 2} | dictsort }}{{ {'b': 1}.items() | list }}",
    "{{ {'b': 1}.keys() | list }}{{ {'b': 1}.get('c', 4) }}",
    "{{ 'Ab' | upper ~ 'Ab' | lower ~ 'ab' | capitalize ~ 'a b' | title }}",
    "{{ ' x ' | trim }}{{ 'abc' | replace('b', '') }}",
    "{{ nothing is defined }}{{ none is none }}{{ 'x' is string }}",
    "{{ {} is mapping }}{{ [] is iterable }}{{ [] is sequence }}",
    "{{ true is true }}{{ 1 is number }}{{ 3 is odd }}",
    "{{ 'a' is in 'abc' }}{{ 1 is eq 1 }}{{ true is boolean }}{{ 1 is integer }}",
    "{{ 'abc'[1:] }}{{ 'abc'[::-1] }}{{ 'abc'[-1] }}{{ [1, 2, 3][:-1] }}{{ (1, 2)[0] }}",
    "{{ 5 // 2 }}{{ 5 % 3 }}{{ 2 ** 3 }}{{ 7 / 2 }}",
    "{{ -3 | abs }}{{ 2.567 | round(1) }}{{ '3' | int + 1 }}{{ '1.5' | float }}",
    "{{ '%s is %03d%%' % ('x', 7) }}{{ '%s-%s' | format(1, 2) }}",
    "{{ '{} {a!r:>5}'.format(1, a='b') }}{{ '{{{}}}'.format(2024) }}",
    "{{ 'in 2024: {}'.format(1) }}{{ 'a' 'b' }}{{ 'x' * 3 }}{{ [0] * 2 + [1] }}",
    "{% set n = namespace(b=[]) %}{% for m in messages %}{% set n.b = n.b + [m.role] %}{% endfor %}{{ n.b }}",
    "{% for a, b in [(1, 2), (3, 4)] if a > 1 %}{{ a }}{{ b }}{{ loop.length }}{% else %}none{% endfor %}",
    "{% for x in [] %}x{% else %}none{% endfor %}{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{% endfor %}",
    "{% for x in [[1], [2, [3]]] recursive %}{{ loop(x) if x is iterable else x }}{{ loop.depth }}{% endfor %}",
    "{% set x %}block{% endset %}{{ x }}{% with y = 1 %}{{ y }}{% endwith %}{{ 'a' if false }}{{ 'b' if x else 'c' }}",
    "{% macro f(a, b='d') %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1) }}{{ f(1, 2, 3, k=4) }}",
    "{% set comma = joiner(', ') %}{% for x in [1, 2] %}{{ comma() }}{{ x }}{% endfor %}",
    "{% set c = cycler(1, 2) %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.next() }}",
    "{% raw %}{{ x }}{% endraw %}{{ 1 < 2 < 3 }}{{ not 1 }}{{ 1 and 0 or 2 }}{{ 1 in [1] }}{{ 'k' not in {'k': 1} }}",
    "{{ [1, 2, 3] | sum }}{{ [[1], [2]] | sum(start=[]) }}",
    "{{ [1, 2] | max }}{{ [2, 1] | min }}{{ [1, 1] | unique | list }}",
    "{{ [1, 2] | select('odd') | list }}{{ [1, 2] | reject('odd') | list }}",
    "{{ [1, 2] | reverse | list }}{{ 'ab' | list }}",
    "{% for key, group in [{'k': 1}, {'k': 2}, {'k': 1}] | groupby('k') %}{{ key }}{{ group | length }}{% endfor %}",
    "{{ {'a': [1, {'b': none}]} | tojson(indent=2) }}{{ 'é' | tojson }}{{ 'é' | tojson(ensure_ascii=true) }}",
    "{{ [1, 2] | tojson(separators=(',', ':')) }}{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}",
    "{{ '<' | e }}{{ '<' | safe }}",
    "{{ dict(a=1, b=2) }}{{ dict({'a': 1}, b=2).b }}{{ range(3) | list }}{{ range(1, 9, 3) | list }}{{ range(3) }}",
    "{{ 'a b'.split() }}{{ 'abc'.find('c') }}",
    "{{ 'aXbX'.rsplit('X', 1) }}{{ 'k=v'.partition('=') }}{{ 'l\\nm'.splitlines() }}",
    "{{ 'xax'.strip('x') }}{{ 'xa'.lstrip('x') }}{{ 'ax'.rstrip('x') }}",
    "{{ 'ab'.removeprefix('a') }}{{ '7'.zfill(3) }}{{ '1'.isdigit() }}",
    "{{ ', '.join(messages | map(attribute='role')) }}{{ 'aa'.count('a') }}",
    "{{ 'aba'.replace('a', 'b', 1) }}{{ 'x'.center(5) }}|",
    "{{ 'long text here' | truncate(8) }}{{ 'a\\nb' | indent(2) }}",
    "{{ 'a\\nb' | indent('> ', true) }}{{ 'a b' | urlencode }}",
    "{{ {'a': 1}.a }}{{ {'a': 1}['a'] }}",
    "{{ {'a': 1} | attr('items') is defined }}{{ none | default('d', true) }}{{ x | d('e') }}",
    "{{ 1.0 }}{{ 1e3 }}{{ true }}{{ none }}{{ [none, 'a', 1.5] }}{{ 10 ** 20 }}{{ 'é' }}",
]  # fmt: skip


@pytest.mark.parametrize("text", FRAGMENTS)
def test_what_templates_are_made_of_does_what_it_does_in_transformers(text: str) -> None:
    values = {"messages": as_dicts(CONVERSATIONS["system and turns"])}
    assert Program(text).run(values) == ORACLE.from_string(text).render(**values)


def test_the_date_is_written_as_asked() -> None:
    assert re.fullmatch(r"\d\d \w+ \d{4}\|\d{4}", Program("{{ strftime_now('%d %b %Y|%Y') }}").run({}))


def test_the_words_of_the_model_are_marked_for_training_only() -> None:
    said = "{%- generation -%} {{ m }}{% if m == 1 %}{% continue %}{% endif %}! {%- endgeneration -%}"
    text = "{% for m in [1, 2] %}" + said + "{% endfor %}"
    assert Program(text).run({}) == "12!"
