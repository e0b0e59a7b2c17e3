"""OLLAMA_FLASH_ATTENTION and OLLAMA_KV_CACHE_TYPE, as a daemon would tell them to a runner, on real models."""

import tempfile
from functools import cache
from typing import Any

import pytest

from modelstore import gguf
from scheduler import frames
from scheduler.devices import Host, Snapshot
from scheduler.environment import NO_GPUS
from scheduler.estimate.anatomy import facts_of
from scheduler.plan import Start, Target, decide, load_frame
from scheduler.requests import LeaseRequest, LoadOptions, ModelRef
from scheduler.spec import resolve
from scheduler.terms import NEEDS_FLASH, ODD_HEADS, UNKNOWN_TYPE
from server.lifecycle import limits
from server.settings import Settings
from tests.integration.runner import EXPECTED, MODELS, Runner, load
from tests.integration.test_families import EXPECTED as FAMILIES

CHAT = "tinychat-f16.gguf"
ODD = "families/deepseek3.gguf"
"""Its heads have 48 numbers."""
MACHINE = Snapshot(Host(total=8 << 30, free=8 << 30, threads=1), ())


def told(name: str, flash: str | None, kind: str | None) -> tuple[frames.Load, str]:
    """What a runner is told under these variables, and what is said about them in the log."""
    environ = {"OLLAMA_FLASH_ATTENTION": flash, "OLLAMA_KV_CACHE_TYPE": kind, "OLLAMA_NUM_PARALLEL": "1"}
    wanted = limits(Settings.from_env({key: value for key, value in environ.items() if value is not None}))
    path = MODELS / name
    model = ModelRef(str(path), name, "0" * 64, (str(path),), facts=facts_of(gguf.read_header(path)))
    request = LeaseRequest(model, LoadOptions(num_ctx=512, num_thread=1))
    target = Target(request, resolve(request, wanted, 4096))
    start = decide(target, [], MACHINE, limits=wanted, most=1)
    assert isinstance(start, Start)
    return load_frame(target, start.placement, MACHINE, wanted), start.placement.kv_complaint


@cache
def answered(name: str, flash: bool | None, kind: str) -> tuple[str, str, str]:
    """The answer of a runner that was told so, the type that it has used, and its log."""
    with tempfile.TemporaryFile() as log:
        runner = Runner(load(name, num_ctx=512, flash_attention=flash, kv_cache_type=kind), NO_GPUS, log=log.fileno())
        assert isinstance(runner.loaded, frames.Loaded), runner.loaded
        text = runner.say(PROMPTS[name], num_predict=TOKENS.get(name, -1))
        assert runner.close() == 0
        log.seek(0)
        return text, runner.loaded.kv_cache_type, log.read().decode(errors="replace")


_SHORT: dict[str, Any] = FAMILIES["deepseek3"]["short"][0]
_HELLO: dict[str, Any] = EXPECTED[CHAT]["chat"][0]
PROMPTS = {CHAT: _HELLO["prompt"], ODD: _SHORT["prompt"]}
TOKENS = {ODD: len(_SHORT["answer_ids"])}
ANSWERS = {CHAT: _HELLO["text"], ODD: _SHORT["answer"]}


@pytest.mark.parametrize(
    ("flash", "kind", "given", "complaint"),
    [
        (None, None, (False, "f16"), ""),
        (None, "f16", (False, "f16"), ""),
        (None, "q8_0", (None, "q8_0"), ""),
        (None, "q4_0", (None, "q4_0"), ""),
        (None, "garbage", (False, "f16"), UNKNOWN_TYPE),
        ("", "Q8_0", (None, "q8_0"), ""),
        ("0", None, (False, "f16"), ""),
        ("0", "f16", (False, "f16"), ""),
        ("0", "q8_0", (False, "f16"), NEEDS_FLASH),
        ("0", "q4_0", (False, "f16"), NEEDS_FLASH),
        ("0", "garbage", (False, "f16"), UNKNOWN_TYPE),
        ("1", None, (True, "f16"), ""),
        ("1", "f16", (True, "f16"), ""),
        ("1", "q8_0", (True, "q8_0"), ""),
        ("1", "q4_0", (True, "q4_0"), ""),
        ("1", "garbage", (True, "f16"), UNKNOWN_TYPE),
    ],
)
def test_whatever_is_set_the_model_answers(
    flash: str | None, kind: str | None, given: tuple[bool | None, str], complaint: str
) -> None:
    """The same greedy text as with the engine's own cache: the tiny model is sure enough for four bits."""
    frame, said = told(CHAT, flash, kind)
    assert (frame.flash_attention, frame.kv_cache_type) == given
    assert said == complaint
    text, used, _ = answered(CHAT, frame.flash_attention, frame.kv_cache_type)
    assert text.strip() == ANSWERS[CHAT]
    assert used == given[1]


@pytest.mark.parametrize(("flash", "kind"), [(None, "q8_0"), ("1", "q8_0"), ("1", "q4_0"), ("1", "iq4_nl")])
def test_a_model_whose_heads_do_not_divide_is_planned_with_f16(flash: str | None, kind: str) -> None:
    frame, said = told(ODD, flash, kind)
    assert (frame.flash_attention, frame.kv_cache_type) == (flash == "1", "f16")
    assert said == ODD_HEADS


@pytest.mark.parametrize("flash", [None, True, False])
def test_a_type_that_the_engine_refuses_becomes_f16(flash: bool | None) -> None:
    """Where nobody has foreseen it: the model answers as it should, the daemon is told, and the log says why."""
    text, used, log = answered(ODD, flash, "q8_0")
    assert text == ANSWERS[ODD]
    assert used == "f16"
    (line,) = [line for line in log.splitlines() if line.startswith("the KV cache cannot be of type q8_0, using f16: ")]
    assert ("does not divide" in line) is (flash is not False)
