"""A context that the engine refuses; the engine is made up."""

from types import SimpleNamespace
from typing import Any

import pytest

from scheduler.runner.engine import Context, ContextParams, ModelLoadError, context
from scheduler.runner.engine.contextparams import KV_TYPES

ODD = "K cache type q8_0 with block size 32 does not divide n_embd_head_k=48"
FULL = "failed to allocate buffer for kv cache"


class Refusing:
    """An engine that makes no contexts, and its log."""

    def __init__(self, reason: str) -> None:
        self.errors: list[str] = []
        self.types: list[int] = []
        self._reason = reason

    def reason(self) -> str:
        return "\n".join(self.errors)

    def llama_context_default_params(self) -> SimpleNamespace:
        return SimpleNamespace()

    def llama_init_from_model(self, model: object, params: SimpleNamespace) -> None:
        assert params.type_k == params.type_v
        self.types.append(params.type_k)
        self.errors.append(self._reason)


@pytest.mark.parametrize(
    ("kind", "reason", "tried"),
    [
        ("q8_0", ODD, ["q8_0", "f16"]),
        ("q4_0", "quantized V cache requires flash_attn to be enabled", ["q4_0", "f16"]),
        ("q8_0", FULL, ["q8_0"]),
        ("f16", FULL, ["f16"]),
        ("bf16", "no", ["bf16"]),
    ],
    ids=["heads", "attention", "memory", "exact memory", "exact"],
)
def test_a_quantised_cache_that_is_refused_is_tried_once_more_unless_memory_is_short(
    monkeypatch: pytest.MonkeyPatch, kind: str, reason: str, tried: list[str]
) -> None:
    """An exact one would need even more; and what the first attempt was told does not explain the second."""
    engine: Any = Refusing(reason)
    monkeypatch.setattr(context, "native", lambda: engine)
    params = ContextParams(cells=256, sequences=1, batch=8, threads=1, kv_cache_type=kind)
    model: Any = SimpleNamespace(pointer=1, adapters=[])
    with pytest.raises(ModelLoadError) as refused:
        Context(model, params, engine)
    assert engine.types == [KV_TYPES[one] for one in tried]
    assert str(refused.value) == reason
