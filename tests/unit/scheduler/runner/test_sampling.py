"""Which samplers a request gets, in which order, and what the penalties have seen."""

from typing import Any

import pytest

from scheduler.frames import Sampling
from scheduler.runner import sampling
from scheduler.runner.sampling import build_chain, penalty_window

RANDOM = 0xFFFFFFFF


class Recorder:
    """Stands in for `SamplerChain`."""

    def __init__(self) -> None:
        self.links: list[tuple[Any, ...]] = []
        self.accepted: list[int] = []

    def __getattr__(self, name: str) -> Any:
        def add(*values: Any) -> None:
            self.links.append((name.removeprefix("add_"), *values))

        return add

    def accept(self, token: int) -> None:
        self.accepted.append(token)


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SamplerChain", Recorder)


def chain(*, prompt: list[int] | None = None, num_ctx: int = 100, **options: Any) -> Any:
    return build_chain(Sampling(**options), vocab_size=10, num_ctx=num_ctx, prompt=prompt or [])


def links(**options: Any) -> list[tuple[Any, ...]]:
    return chain(**options).links


def test_the_usual_chain() -> None:
    assert links() == [
        ("top_k", 40),
        (
            "top_p",
            0.9,
        ),
        ("temperature", 0.8),
        ("dist", RANDOM),
    ]


def test_filters_act_before_temperature_and_neutral_ones_are_left_out() -> None:
    every = links(repeat_penalty=1.1, top_k=5, typical_p=0.7, top_p=0.5, min_p=0.1, temperature=2.0, seed=3)
    assert [name for name, *_ in every] == ["penalties", "top_k", "typical", "top_p", "min_p", "temperature", "dist"]
    assert every[0] == ("penalties", 10, 64, 1.1, 0.0, 0.0)
    assert links(top_k=0, top_p=1.0) == [("temperature", 0.8), ("dist", RANDOM)]


def test_without_temperature_the_best_token_is_taken() -> None:
    assert links(temperature=0.0, seed=5) == [("greedy",)]
    assert links(temperature=-1.0) == [("greedy",)]
    assert [name for name, *_ in links(temperature=0.0, typical_p=0.5, top_k=0, top_p=1.0)] == [
        "typical",
        "temperature",
        "dist",
    ]


@pytest.mark.parametrize(("seed", "drawn"), [(-1, RANDOM), (0, 0), (7, 7), (-2, 0xFFFFFFFE), (1 << 32, 0)])
def test_a_seed_is_a_number_of_32_bits(seed: int, drawn: int) -> None:
    assert links(seed=seed)[-1] == ("dist", drawn)


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_takes_the_place_of_the_filters(version: int) -> None:
    assert links(mirostat=version, seed=4, mirostat_tau=3.0, mirostat_eta=0.2) == [
        ("temperature", 0.8),
        ("mirostat", version, 10, 4, 3.0, 0.2),
    ]
    assert links(mirostat=version, temperature=0.0) == [("greedy",)]


def test_an_unknown_mirostat_is_none() -> None:
    assert links(mirostat=3) == links()


@pytest.mark.parametrize(
    ("options", "window"),
    [
        ({}, 0),
        ({"repeat_penalty": 0.0}, 0),
        ({"repeat_penalty": 1.1}, 64),
        ({"presence_penalty": 0.5}, 64),
        ({"frequency_penalty": -0.5}, 64),
        ({"repeat_penalty": 1.1, "repeat_last_n": 0}, 0),
        ({"repeat_penalty": 1.1, "repeat_last_n": -1}, 100),
        ({"repeat_penalty": 1.1, "repeat_last_n": 1 << 40}, 100),
    ],
)
def test_how_far_penalties_look_back(options: dict[str, Any], window: int) -> None:
    """Never farther than the context."""
    assert penalty_window(Sampling(**options), 100) == window


def test_penalties_have_seen_the_end_of_the_prompt() -> None:
    prompt = list(range(10))
    assert chain(prompt=prompt, repeat_penalty=1.1, repeat_last_n=3).accepted == [7, 8, 9]
    assert chain(prompt=prompt, repeat_penalty=1.1).accepted == prompt
    assert chain(prompt=prompt).accepted == []


def test_a_penalty_of_nothing_or_less_repeats_freely() -> None:
    assert links(repeat_penalty=-1.0)[0] == ("penalties", 10, 64, 1.0, 0.0, 0.0)
