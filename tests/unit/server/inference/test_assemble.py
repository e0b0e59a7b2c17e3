"""From messages to the prompt a model reads."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelstore.model import StoredModel
from modelstore.names import Name
from modelstore.store import Store
from scheduler import frames
from server.errors import ApiError
from server.inference.assemble import assemble, history, parsed_template
from server.inference.request import ChatRequest, CompletionRequest
from server.messages import Message, Tool, ToolCall
from server.prompt import images
from tests.unit.modelstore import tinygguf
from tests.unit.server.fakes import LOADED, FakeScheduler, install

pytestmark = pytest.mark.anyio

TURNS = "{{ range .Messages }}{{ .Role }}={{ .Content }};{{ end }}"
THINKS = "{{ range .Messages }}{{ if .Thinking }}<think>{{ .Thinking }}</think>{{ end }}{{ .Content }}{{ end }}<think>"
JINJA = (
    "{{ bos_token }}{% for m in messages %}{{ m.role }}={{ m.content }};{% endfor %}"
    "{% if tools %}<tool_call>{% endif %}<think></think>"
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "models")


def stored(store: Store, weights: bytes | None = None, **body: Any) -> StoredModel:
    install(store, "m", weights, **body)
    return store.catalog.get(Name.parse("m"))


def native(store: Store, **body: Any) -> StoredModel:
    return stored(store, tinygguf.model(tokenizer__chat_template=JINJA), **body)


def chat(*messages: Message, **changes: Any) -> ChatRequest:
    return ChatRequest(model="m", messages=list(messages), **changes)


def ask(prompt: str = "hi", **changes: Any) -> CompletionRequest:
    return CompletionRequest(model="m", prompt=prompt, **changes)


USER = Message("user", "hi")


async def test_the_models_own_turns_and_system_text_lead(store: Store, scheduler: FakeScheduler) -> None:
    model = stored(store, template=TURNS, system="S", messages=[{"role": "user", "content": "a"}])
    lease = scheduler.grant()
    assert (await assemble(model, chat(Message("assistant", "b"), USER), lease)).text == (
        "system=S;user=a;assistant=b;user=hi;"
    )
    assert (await assemble(model, ask(), lease)).text == "system=S;user=a\n\nhi;"
    assert (await assemble(model, ask(system="T"), lease)).text == "system=T;user=a\n\nhi;"


async def test_a_context_takes_the_place_of_the_models_turns(store: Store, scheduler: FakeScheduler) -> None:
    model = stored(store, template=TURNS, messages=[{"role": "user", "content": "a"}])
    lease = scheduler.grant()
    assert (await assemble(model, ask(context=[65, 66]), lease)).text == "ABuser=hi;"
    assert (await assemble(model, ask(context=[]), lease)).text == "user=hi;"


async def test_a_raw_prompt_is_left_alone(store: Store, scheduler: FakeScheduler) -> None:
    model = stored(store, template=TURNS, system="S")
    prompt = await assemble(model, ask("[img] {{", raw=True, images=[b"i"]), scheduler.grant())
    assert (prompt.text, prompt.images, prompt.image_count) == ("[img] {{", [b"i"], 1)


async def test_a_suffix_is_filled_into_the_template(store: Store, scheduler: FakeScheduler) -> None:
    model = stored(store, template="{{ .Prompt }}|{{ .Suffix }}", system="S")
    lease = scheduler.grant()
    assert (await assemble(model, ask("a", suffix="z"), lease)).text == "a|z"
    request = ask("a", suffix="z", template="{{ .Suffix }}<{{ .Prompt }}")
    assert (await assemble(model, request, lease)).text == "z<a"


async def test_pictures_of_a_suffixed_prompt_stand_where_it_says(store: Store, scheduler: FakeScheduler) -> None:
    model = stored(store, template="{{ .Prompt }}|{{ .Suffix }}")
    prompt = await assemble(model, ask("a[img-0]", suffix="z", images=[b"i"]), scheduler.grant())
    assert (prompt.text, prompt.images, prompt.image_count) == ("a[img-0]|z", [b"i"], 1)


async def test_a_template_of_the_request_is_used(store: Store, scheduler: FakeScheduler) -> None:
    """The prompt may place its pictures itself; the others are placed as by a template of the model."""
    model, lease = stored(store, template=TURNS), scheduler.grant()

    async def rendered(text: str, *pictures: bytes) -> str:
        prompt = await assemble(model, ask(text, template="T:{{ .Prompt }}", images=list(pictures)), lease)
        assert (prompt.images, prompt.image_count) == ([*pictures], len(pictures))
        return prompt.text

    assert await rendered("[img] [img-0]") == "T:[img] [img-0]"
    assert await rendered("see [img]", b"i") == "T:see [img-0]"
    assert await rendered("see [img-0]", b"i") == "T:see [img-0]"
    assert await rendered("see [img-1]", b"i", b"j") == "T:[img-0]see [img-1]"


async def test_what_reads_like_a_mark_is_text(store: Store, scheduler: FakeScheduler) -> None:
    """In another message, and in the context that a completion brings along."""
    scheduler.info = msgspec.structs.replace(LOADED, num_ctx=1000)
    model, lease = stored(store, template=TURNS), scheduler.grant()
    asked = chat(Message("system", "no [img-0]"), Message("user", "[img-5]?", images=[b"i"]))
    prompt = await assemble(model, asked, lease)
    assert prompt.text.count("[img-") == 1
    assert images.unguarded(prompt.text) == "system=no [img-0];user=[img-0][img-5]?;"
    continued = await assemble(model, ask("hi", context=[*b"[img-0]"], images=[b"i"]), lease)
    assert continued.text == f"{images.GUARDED}0]user=[img-0]hi;"
    assert (await assemble(model, ask("[img-3]", context=[*b"[img-0]"]), lease)).text == "[img-0]user=[img-3];"


async def test_old_messages_are_dropped_until_the_rest_fits(store: Store, scheduler: FakeScheduler) -> None:
    """A token is a character here, and there are 30. Images are numbered anew."""
    scheduler.info = msgspec.structs.replace(LOADED, num_ctx=30)
    model = stored(store, template=TURNS)
    old, system = Message("user", "x" * 30, images=[b"old"]), Message("system", "S")
    new = Message("user", "hi", images=[b"new"])
    prompt = await assemble(model, chat(old, system, new), scheduler.grant())
    assert prompt.text == "system=S;user=[img-0]hi;"
    assert (prompt.images, prompt.image_count, prompt.dropped) == ([b"new"], 1, 1)


async def test_marks_are_put_in_after_counting(store: Store, scheduler: FakeScheduler) -> None:
    """Those of renderers and of the weights' own template are counted, as the reference does."""
    turn = Message("user", "x" * 10, images=[b"i"])

    async def dropped(model: StoredModel, num_ctx: int) -> int:
        scheduler.info = msgspec.structs.replace(LOADED, num_ctx=num_ctx)
        return (await assemble(model, chat(turn, turn), scheduler.grant())).dropped

    model = stored(store, template="{{ range .Messages }}{{ .Content }};{{ end }}")
    assert (await dropped(model, 23), await dropped(model, 22)) == (0, 1)
    model = stored(
        store, tinygguf.model(tokenizer__chat_template="{% for m in messages %}{{ m.content }};{% endfor %}")
    )
    assert (await dropped(model, 36), await dropped(model, 35)) == (0, 1)


async def test_a_long_chat_is_rendered_and_counted_a_few_times(
    store: Store, scheduler: FakeScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    trips: list[int] = []
    tokenize = scheduler.runner.tokenize

    async def counted(texts: list[str], **how: bool) -> frames.Tokens:
        trips.append(len(texts))
        return await tokenize(texts, **how)

    monkeypatch.setattr(scheduler.runner, "tokenize", counted)
    scheduler.info = msgspec.structs.replace(LOADED, num_ctx=4000)
    turns = [Message(("user", "assistant")[at % 2], "x" * (at * 37 % 90)) for at in range(500)]
    prompt = await assemble(stored(store, template=TURNS), chat(*turns, turns[0]), scheduler.grant())
    assert 3800 < len(prompt.text) <= 4000
    assert len(trips) <= 6


async def test_a_window_that_a_renderer_refuses_is_no_error(store: Store, scheduler: FakeScheduler) -> None:
    """Qwen3.8 wants a question. Here none fits, so the shortest conversation with one is left, and will be cut."""
    scheduler.info = msgspec.structs.replace(LOADED, num_ctx=100)
    model = stored(store, renderer="qwen3.8", parser="qwen3.5")
    old = [Message("user", "old"), Message("assistant", "answer")]
    chain = [Message("user", "question"), Message("assistant", "x" * 200), Message("tool", "result")]
    prompt = await assemble(model, chat(*old, *chain), scheduler.grant())
    assert prompt.dropped == 2
    assert "question" in prompt.text
    with pytest.raises(ApiError, match="no user query found"):
        await assemble(model, chat(*chain[1:]), scheduler.grant())


async def test_nothing_is_dropped_where_that_is_not_wanted(store: Store, scheduler: FakeScheduler) -> None:
    scheduler.info = msgspec.structs.replace(LOADED, num_ctx=8)
    prompt = await assemble(
        stored(store, template=TURNS), chat(Message("assistant", "x" * 30), USER, truncate=False), scheduler.grant()
    )
    assert (prompt.dropped, prompt.whole) == (0, False)
    assert "x" * 30 in prompt.text


async def test_long_conversations_are_rendered_all_the_same(store: Store, scheduler: FakeScheduler) -> None:
    """In a thread."""
    request = chat(Message("user", "x" * 20_000), truncate=False)
    prompt = await assemble(stored(store, template=TURNS), request, scheduler.grant())
    assert prompt.text == f"user={'x' * 20_000};"


async def test_the_chat_template_of_the_weights(store: Store, scheduler: FakeScheduler) -> None:
    """A chat's prompt is refused when it is too long, and its marks of images come last; a completion's are not."""
    model = native(store)
    lease = scheduler.grant()
    talked = await assemble(model, chat(Message("user", "hi", images=[b"i"])), lease)
    assert talked.whole
    assert talked.text.endswith("user=hi[img-0];<think></think>")
    asked = await assemble(model, ask("hi", images=[b"i"]), lease)
    assert not asked.whole
    assert asked.text.endswith("user=[img-0]hi;<think></think>")


async def test_thoughts_in_a_completion_of_a_chat_template_stay_text(store: Store, scheduler: FakeScheduler) -> None:
    model, lease = native(store), scheduler.grant()
    assert (await assemble(model, chat(USER, think=True), lease)).parser.thoughts(True)
    assert not (await assemble(model, ask(think=True), lease)).parser.thoughts(True)


async def test_without_any_template_a_chat_is_chatml_and_a_completion_its_prompt(
    store: Store, scheduler: FakeScheduler
) -> None:
    model, lease = stored(store), scheduler.grant()
    assert "<|im_start|>user\nhi<|im_end|>" in (await assemble(model, chat(USER), lease)).text
    assert (await assemble(model, ask(), lease)).text == "hi"


async def test_the_prompt_may_open_the_thinking(store: Store, scheduler: FakeScheduler) -> None:
    """For raw prompts too: the tags are those of the model."""
    model, lease = stored(store, template=THINKS), scheduler.grant()
    for request in (chat(USER, think=True), ask(think=True), ask("<think>", raw=True, think=True)):
        parser = (await assemble(model, request, lease)).parser
        assert parser.feed("so</think>hi").thinking == "so"
        assert parser.preserved == ["<think>", "</think>"]
    assert not (await assemble(model, chat(USER, think=False), lease)).parser.thoughts(False)


@pytest.mark.parametrize("name", ["deepseek-r1", "other"])
async def test_some_models_forget_what_they_thought(store: Store, scheduler: FakeScheduler, name: str) -> None:
    install(store, name, template=TURNS)
    model = store.catalog.get(Name.parse(name))
    request = chat(Message("assistant", "<think>so</think>a"), USER)
    text = (await assemble(model, request, scheduler.grant())).text
    assert text == ("assistant=a;user=hi;" if name != "other" else "assistant=<think>so</think>a;user=hi;")


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (ask(template="{{"), "template: :1: unclosed action"),
        (ask(suffix="x", template="{{"), "template: :1: unclosed action"),
        (ask(template="{{ slice .Prompt 9 }}"), None),
        (ask(suffix="x", template="{{ slice .Prompt 9 }}"), None),
    ],
)
async def test_a_broken_go_template_is_500(
    store: Store, scheduler: FakeScheduler, request_: CompletionRequest, text: str | None
) -> None:
    with pytest.raises(ApiError) as caught:
        await assemble(stored(store), request_, scheduler.grant())
    assert caught.value.status == 500
    assert text is None or caught.value.message == text


@pytest.mark.parametrize(("template", "status"), [("{{ raise_exception('no') }}", 400), ("{% nope %}", 500)])
async def test_a_chat_template_that_fails(store: Store, scheduler: FakeScheduler, template: str, status: int) -> None:
    model = stored(store, tinygguf.model(tokenizer__chat_template=template))
    with pytest.raises(ApiError) as caught:
        await assemble(model, chat(USER), scheduler.grant())
    assert caught.value.status == status
    assert caught.value.message.startswith('{"error":{"code":')


async def test_a_renderer_that_is_not_built_in(store: Store, scheduler: FakeScheduler) -> None:
    with pytest.raises(ApiError) as caught:
        await assemble(stored(store, renderer="nope"), chat(USER), scheduler.grant())
    assert (caught.value.status, caught.value.message) == (500, 'unknown renderer "nope"')


def test_a_template_is_parsed_once() -> None:
    assert parsed_template(TURNS) is parsed_template(TURNS)


def test_turns_of_the_model_have_everything_a_request_could_say(store: Store) -> None:
    turns = [
        {"role": "user", "content": "a", "images": ["aGk="]},
        {
            "role": "assistant",
            "content": "",
            "thinking": "t",
            "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {"x": 1}}}],
        },
        {"role": "tool", "content": "r", "tool_name": "f", "tool_call_id": "1"},
    ]
    model = stored(store)
    object.__setattr__(model, "messages", turns)
    assert history(model) == [
        Message("user", "a", images=[b"hi"]),
        Message("assistant", "", "t", tool_calls=[ToolCall("f", {"x": 1}, "1")]),
        Message("tool", "r", tool_name="f", tool_call_id="1"),
    ]


HARMONY = """{{ range .Tools }}({{ .Function.Name }}){{ end }}{{ range .Messages }}<|start|>{{ .Role }}<|message|>\
{{ range .ToolCalls }}{{ .Function.Name }}{{ end }}{{ .Content }}<|end|>{{ end }}<|start|>assistant"""


async def test_a_renderer_of_the_config_writes_the_prompt(store: Store, scheduler: FakeScheduler) -> None:
    model = stored(store, template=TURNS, renderer="qwen3-coder", parser="qwen3-coder")
    prompt = await assemble(model, chat(USER, tools=[Tool(name="f")]), scheduler.grant())
    assert prompt.text.startswith("<|im_start|>system\nYou are Qwen")
    assert prompt.text.endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")
    assert prompt.parser.preserved == ["<tool_call>", "</tool_call>"]
    parsed = prompt.parser.feed("so <tool_call><function=f></function></tool_call>") + prompt.parser.finish()
    assert (parsed.content, [call.name for call in parsed.calls]) == ("so", ["f"])


async def test_a_parser_of_the_config_reads_what_a_template_asked_for(store: Store, scheduler: FakeScheduler) -> None:
    model, lease = stored(store, template=TURNS, parser="qwen3-coder"), scheduler.grant()
    assert (await assemble(model, chat(USER), lease)).text == "user=hi;"
    for request in (chat(USER), ask()):
        assert (await assemble(model, request, lease)).parser.preserved
    assert not (await assemble(model, ask(raw=True), lease)).parser.preserved


async def test_passthrough_leaves_reasoning_in_the_text_but_reads_calls(store: Store, scheduler: FakeScheduler) -> None:
    template = THINKS + "{{ range .Messages }}{{ if .ToolCalls }}<c>{{ end }}{{ end }}{{ .Tools }}"
    model = stored(store, template=template, parser="passthrough")
    prompt = await assemble(model, chat(USER, tools=[Tool(name="f")], think=True), scheduler.grant())
    parsed = prompt.parser.feed('<think>so</think><c>{"name": "f", "arguments": {}}') + prompt.parser.finish()
    assert (parsed.content, parsed.thinking, [call.name for call in parsed.calls]) == ("<think>so</think>", "", ["f"])


async def test_a_template_with_the_marks_of_harmony_is_read_as_such(store: Store, scheduler: FakeScheduler) -> None:
    """The model sees identifiers, the client the names that it gave."""
    model, lease = stored(store, tinygguf.model("gptoss"), template=HARMONY), scheduler.grant()
    messages = [USER, Message("assistant", tool_calls=[ToolCall("my tool", {})])]
    prompt = await assemble(model, chat(*messages, tools=[Tool(name="my tool")], think=True, truncate=False), lease)
    assert prompt.text == (
        "(my_tool)<|start|>user<|message|>hi<|end|><|start|>assistant<|message|>my_tool<|end|><|start|>assistant"
    )
    assert prompt.parser.thoughts(False) is None
    thoughts = prompt.parser.thoughts(True)
    assert thoughts is not None
    assert thoughts[:2] == ("<|channel|>", "<|channel|>final<|message|>")
    told = prompt.parser.feed("<|channel|>analysis<|message|>hm<|end|><|start|>assistant") + prompt.parser.feed(
        "<|channel|>commentary to=functions.my_tool<|message|>{}<|call|>"
    )
    assert (told.thinking, [call.name for call in told.calls]) == ("hm", ["my tool"])


async def test_an_answer_that_was_begun_in_harmony_goes_on(store: Store, scheduler: FakeScheduler) -> None:
    model = stored(store, tinygguf.model("gptoss"), template=HARMONY)
    prompt = await assemble(model, chat(USER, Message("assistant", "abc")), scheduler.grant())
    assert prompt.parser.feed(" more").content == " more"
