"""What is read from the engine's log; the lines come from llama.cpp as the binding brings it."""

import types
from collections.abc import Callable

import pytest

from scheduler.frames import Buffer
from scheduler.runner.engine import EngineLog, log

DEBUG, INFO, WARN, ERROR, CONTINUATION = 1, 2, 3, 4, 5
Say = Callable[[int, str], None]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> tuple[EngineLog, Say]:
    callbacks: list[Callable[[int, bytes, object], None]] = []
    library = types.SimpleNamespace(
        llama_log_callback=lambda function: function,  # pyright: ignore[reportUnknownLambdaType]
        llama_log_set=lambda function, _: callbacks.append(function),  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    )
    monkeypatch.setattr(log, "native", lambda: library)
    engine_log = EngineLog()
    return engine_log, lambda level, text: callbacks[0](level, text.encode(), None)


def test_the_tokens_that_end_a_text(heard: tuple[EngineLog, Say]) -> None:
    engine_log, say = heard
    assert engine_log.end_tokens is None
    say(INFO, "load:   - 7 ('before the list')\n")
    say(INFO, "load: printing all EOG tokens:\n")
    say(INFO, "load:   - 2 ('</s>')\nload:   - 32007 ('<|end|>')\n")
    say(WARN, "load: special_eog_ids contains both '<|return|>' and '<|call|>'\n")
    assert engine_log.end_tokens == [2, 32007]


def test_another_vocabulary_has_its_own(heard: tuple[EngineLog, Say]) -> None:
    engine_log, say = heard
    for token in (1, 2):
        say(INFO, f"load: printing all EOG tokens:\nload:   - {token} ('x')\n")
    assert engine_log.end_tokens == [2]


def test_lines_come_in_pieces(heard: tuple[EngineLog, Say], capsys: pytest.CaptureFixture[str]) -> None:
    engine_log, say = heard
    say(INFO, "load_tensors:   CPU_REPACK model buffer")
    say(CONTINUATION, " size =     7.5")
    say(CONTINUATION, "0 MiB\n")
    say(INFO, "load_tensors: offloaded 3/7 layers to GPU\n")
    assert engine_log.buffers() == [Buffer("CPU_REPACK", "model", 7864320)]
    assert engine_log.offloaded == (3, 7)
    assert capsys.readouterr().err.count("\n") == 2


def test_what_only_helps_its_authors_is_dropped(
    heard: tuple[EngineLog, Say], capsys: pytest.CaptureFixture[str]
) -> None:
    _, say = heard
    say(DEBUG, "create_tensor: loading tensor ")
    say(CONTINUATION, "blk.0.attn_q.weight\n")
    assert capsys.readouterr().err == ""


def test_the_reason_of_a_failure_is_without_names_of_functions(heard: tuple[EngineLog, Say]) -> None:
    engine_log, say = heard
    say(ERROR, "llama_model_load: error loading model: check_tensor_dims: tensor 'x' not found\n")
    say(ERROR, "llama_model_load_from_file_impl: failed to load model\n")
    assert engine_log.reason() == "error loading model: check_tensor_dims: tensor 'x' not found"
    assert engine_log.blames_the_file()


def test_a_reason_that_says_nothing_is_better_than_none(heard: tuple[EngineLog, Say]) -> None:
    engine_log, say = heard
    assert engine_log.reason() == ""
    say(ERROR, "llama_model_load_from_file_impl: failed to load model\n")
    assert engine_log.reason() == "failed to load model"
    assert not engine_log.blames_the_file()
