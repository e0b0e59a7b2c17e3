"""Shapes of well-known models: the keys and tensors of their files, without any weights.

Types are those of a Q4_K_M file: Q4_K in the layers, Q6_K for embeddings and output, F32 for vectors; the experts of
gpt-oss are MXFP4. The vocabulary has its true size and no texts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

Value: TypeAlias = int | float | str | list[int] | list[bool]


@dataclass(frozen=True, slots=True)
class Shape:
    """Everything in front of the data of a file."""

    architecture: str
    keys: dict[str, Value]
    """Those of the architecture, without its name."""
    tensors: list[tuple[str, tuple[int, ...], str]] = field(default_factory=list[tuple[str, tuple[int, ...], str]])
    """Name, shape with the row length first, type."""

    def add(self, name: str, *shape: int, kind: str = "") -> None:
        """One more tensor; vectors are F32 and matrices Q4_K unless `kind` says otherwise."""
        self.tensors.append((name, shape, kind or ("F32" if len(shape) == 1 else "Q4_K")))


def _begun(
    architecture: str, blocks: int, width: int, vocabulary: int, keys: dict[str, Value], *, tied: bool = False
) -> Shape:
    base: dict[str, Value] = {"context_length": 131072, "block_count": blocks, "embedding_length": width}
    shape = Shape(architecture, {**base, "vocab_size": vocabulary, **keys})
    shape.add("token_embd.weight", width, vocabulary, kind="Q6_K")
    shape.add("output_norm.weight", width)
    if not tied:
        shape.add("output.weight", width, vocabulary, kind="Q6_K")
    return shape


def _heads(heads: int, heads_kv: int, size: int) -> dict[str, Value]:
    return {
        "attention.head_count": heads,
        "attention.head_count_kv": heads_kv,
        "attention.key_length": size,
        "attention.value_length": size,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.dimension_count": size,
    }


def _attention(shape: Shape, block: str, width: int, heads: int, heads_kv: int, size: int, *, norms: bool) -> None:
    shape.add(f"{block}.attn_norm.weight", width)
    shape.add(f"{block}.attn_q.weight", width, heads * size)
    shape.add(f"{block}.attn_k.weight", width, heads_kv * size)
    shape.add(f"{block}.attn_v.weight", width, heads_kv * size, kind="Q6_K")
    shape.add(f"{block}.attn_output.weight", heads * size, width)
    if norms:
        shape.add(f"{block}.attn_q_norm.weight", size)
        shape.add(f"{block}.attn_k_norm.weight", size)


def _feed_forward(shape: Shape, block: str, width: int, inner: int, *, down: str = "Q6_K") -> None:
    shape.add(f"{block}.ffn_norm.weight", width)
    shape.add(f"{block}.ffn_gate.weight", width, inner)
    shape.add(f"{block}.ffn_up.weight", width, inner)
    shape.add(f"{block}.ffn_down.weight", inner, width, kind=down)


def _experts(shape: Shape, block: str, width: int, inner: int, count: int, *, kind: str = "Q4_K") -> None:
    shape.add(f"{block}.ffn_gate_inp.weight", width, count, kind="F32")
    shape.add(f"{block}.ffn_gate_exps.weight", width, inner, count, kind=kind)
    shape.add(f"{block}.ffn_up_exps.weight", width, inner, count, kind=kind)
    shape.add(f"{block}.ffn_down_exps.weight", inner, width, count, kind=kind)


def _shared_experts(shape: Shape, block: str, width: int, inner: int) -> None:
    shape.add(f"{block}.ffn_gate_shexp.weight", width, inner)
    shape.add(f"{block}.ffn_up_shexp.weight", width, inner)
    shape.add(f"{block}.ffn_down_shexp.weight", inner, width)


def _blocks(count: int) -> Iterable[str]:
    return (f"blk.{number}" for number in range(count))


# -- keys and values of every layer -------------------------------------------------------------------------------


def llama_8b() -> Shape:
    shape = _begun("llama", 32, 4096, 128256, {"feed_forward_length": 14336, **_heads(32, 8, 128)})
    for block in _blocks(32):
        _attention(shape, block, 4096, 32, 8, 128, norms=False)
        _feed_forward(shape, block, 4096, 14336)
    return shape


def llama_1b() -> Shape:
    shape = _begun("llama", 16, 2048, 128256, {"feed_forward_length": 8192, **_heads(32, 8, 64)}, tied=True)
    for block in _blocks(16):
        _attention(shape, block, 2048, 32, 8, 64, norms=False)
        _feed_forward(shape, block, 2048, 8192)
    return shape


def qwen3_8b() -> Shape:
    shape = _begun("qwen3", 36, 4096, 151936, {"feed_forward_length": 12288, **_heads(32, 8, 128)})
    for block in _blocks(36):
        _attention(shape, block, 4096, 32, 8, 128, norms=True)
        _feed_forward(shape, block, 4096, 12288)
    return shape


def qwen3_moe() -> Shape:
    """30 B in all, of which 3 B compute."""
    experts: dict[str, Value] = {"expert_count": 128, "expert_used_count": 8, "expert_feed_forward_length": 768}
    shape = _begun("qwen3moe", 48, 2048, 151936, {"feed_forward_length": 6144, **experts, **_heads(32, 4, 128)})
    for block in _blocks(48):
        _attention(shape, block, 2048, 32, 4, 128, norms=True)
        shape.add(f"{block}.ffn_norm.weight", 2048)
        _experts(shape, block, 2048, 768, 128)
    return shape


# -- sliding windows ----------------------------------------------------------------------------------------------


def gemma3_4b() -> Shape:
    window: dict[str, Value] = {"attention.sliding_window": 1024}
    shape = _begun("gemma3", 34, 2560, 262208, {"feed_forward_length": 10240, **window, **_heads(8, 4, 256)}, tied=True)
    for block in _blocks(34):
        _attention(shape, block, 2560, 8, 4, 256, norms=True)
        shape.add(f"{block}.post_attention_norm.weight", 2560)
        _feed_forward(shape, block, 2560, 10240)
        shape.add(f"{block}.post_ffw_norm.weight", 2560)
    return shape


def gpt_oss_20b() -> Shape:
    keys: dict[str, Value] = {"expert_count": 32, "expert_used_count": 4, "expert_feed_forward_length": 2880}
    keys["attention.sliding_window"] = 128
    shape = _begun("gpt-oss", 24, 2880, 201088, {"feed_forward_length": 2880, **keys, **_heads(64, 8, 64)})
    shape.tensors[0] = ("token_embd.weight", (2880, 201088), "Q8_0")
    shape.tensors[2] = ("output.weight", (2880, 201088), "Q8_0")
    for block in _blocks(24):
        shape.add(f"{block}.attn_norm.weight", 2880)
        shape.add(f"{block}.post_attention_norm.weight", 2880)
        for name, outputs in (("q", 4096), ("k", 512), ("v", 512)):
            shape.add(f"{block}.attn_{name}.weight", 2880, outputs, kind="Q8_0")
            shape.add(f"{block}.attn_{name}.bias", outputs)
        shape.add(f"{block}.attn_output.weight", 4096, 2880, kind="Q8_0")
        shape.add(f"{block}.attn_output.bias", 2880)
        shape.add(f"{block}.attn_sinks.weight", 64)
        _experts(shape, block, 2880, 2880, 32, kind="MXFP4")
        shape.add(f"{block}.ffn_gate_inp.bias", 32)
        for name in ("gate", "up", "down"):
            shape.add(f"{block}.ffn_{name}_exps.bias", 2880, 32, kind="F32")
    return shape


# -- compressed keys, and values that are part of them ------------------------------------------------------------


def deepseek2_lite() -> Shape:
    keys: dict[str, Value] = {
        **_heads(16, 1, 576),
        "attention.value_length": 512,
        "attention.key_length_mla": 192,
        "attention.value_length_mla": 128,
        "attention.kv_lora_rank": 512,
        "rope.dimension_count": 64,
        "leading_dense_block_count": 1,
        "expert_count": 64,
        "expert_used_count": 6,
        "expert_shared_count": 2,
        "expert_feed_forward_length": 1408,
        "expert_weights_scale": 1.0,
    }
    shape = _begun("deepseek2", 27, 2048, 102400, {"feed_forward_length": 10944, **keys})
    for number, block in enumerate(_blocks(27)):
        shape.add(f"{block}.attn_norm.weight", 2048)
        shape.add(f"{block}.attn_q.weight", 2048, 16 * 192)
        shape.add(f"{block}.attn_kv_a_mqa.weight", 2048, 576)
        shape.add(f"{block}.attn_kv_a_norm.weight", 512)
        shape.add(f"{block}.attn_k_b.weight", 128, 512, 16, kind="Q8_0")
        shape.add(f"{block}.attn_v_b.weight", 512, 128, 16, kind="Q8_0")
        shape.add(f"{block}.attn_output.weight", 16 * 128, 2048)
        if number == 0:
            _feed_forward(shape, block, 2048, 10944, down="Q8_0")
        else:
            shape.add(f"{block}.ffn_norm.weight", 2048)
            _experts(shape, block, 2048, 1408, 64, kind="Q8_0")
            _shared_experts(shape, block, 2048, 2816)
    return shape


# -- states in place of keys and values ---------------------------------------------------------------------------


def qwen3next_8b() -> Shape:
    """The layers of the model of 80 B, a tenth of its experts."""
    keys: dict[str, Value] = {
        **_heads(16, 2, 256),
        "rope.dimension_count": 64,
        "ssm.conv_kernel": 4,
        "ssm.inner_size": 4096,
        "ssm.state_size": 128,
        "ssm.time_step_rank": 32,
        "ssm.group_count": 16,
        "expert_count": 48,
        "expert_used_count": 10,
        "expert_feed_forward_length": 512,
        "expert_shared_feed_forward_length": 512,
    }
    shape = _begun("qwen3next", 48, 2048, 151936, {"feed_forward_length": 5120, **keys})
    for number, block in enumerate(_blocks(48)):
        if (number + 1) % 4:
            _delta_net(shape, block)
        else:
            _attention(shape, block, 2048, 16, 2, 256, norms=True)
            name, _, kind = shape.tensors[-6]
            shape.tensors[-6] = (name, (2048, 2 * 16 * 256), kind)
        shape.add(f"{block}.post_attention_norm.weight", 2048)
        _experts(shape, block, 2048, 512, 48)
        shape.add(f"{block}.ffn_gate_inp_shexp.weight", 2048)
        _shared_experts(shape, block, 2048, 512)
    return shape


def _delta_net(shape: Shape, block: str) -> None:
    shape.add(f"{block}.attn_norm.weight", 2048)
    shape.add(f"{block}.attn_qkv.weight", 2048, 8192)
    shape.add(f"{block}.attn_gate.weight", 2048, 4096)
    shape.add(f"{block}.ssm_conv1d.weight", 4, 8192, kind="F32")
    shape.add(f"{block}.ssm_dt.bias", 32)
    shape.add(f"{block}.ssm_a", 32)
    shape.add(f"{block}.ssm_ba.weight", 2048, 64)
    shape.add(f"{block}.ssm_norm.weight", 128)
    shape.add(f"{block}.ssm_out.weight", 4096, 2048)


def granite_hybrid_7b() -> Shape:
    """Granite 4 tiny: every tenth layer attends."""
    attends = (5, 15, 25, 35)
    keys: dict[str, Value] = {
        **_heads(12, 4, 128),
        "attention.head_count_kv": [4 if number in attends else 0 for number in range(40)],
        **_mamba2(inner=3072, state=128, heads=48),
        "expert_count": 62,
        "expert_used_count": 6,
        "expert_shared_feed_forward_length": 1024,
    }
    shape = _begun("granitehybrid", 40, 1536, 100352, {"feed_forward_length": 512, **keys}, tied=True)
    for number, block in enumerate(_blocks(40)):
        if number in attends:
            _attention(shape, block, 1536, 12, 4, 128, norms=False)
        else:
            _mamba2_layer(shape, block, 1536, inner=3072, state=128, heads=48)
        shape.add(f"{block}.ffn_norm.weight", 1536)
        _experts(shape, block, 1536, 512, 62)
        _shared_experts(shape, block, 1536, 1024)
    return shape


def mamba2_3b() -> Shape:
    keys: dict[str, Value] = {"attention.head_count": 0, "attention.layer_norm_rms_epsilon": 1e-5}
    keys |= _mamba2(inner=5120, state=128, heads=80)
    shape = _begun("mamba2", 64, 2560, 50288, {"feed_forward_length": 0, **keys}, tied=True)
    for block in _blocks(64):
        _mamba2_layer(shape, block, 2560, inner=5120, state=128, heads=80)
    return shape


def _mamba2(*, inner: int, state: int, heads: int) -> dict[str, Value]:
    return {
        "ssm.conv_kernel": 4,
        "ssm.inner_size": inner,
        "ssm.state_size": state,
        "ssm.time_step_rank": heads,
        "ssm.group_count": 1,
    }


def _mamba2_layer(shape: Shape, block: str, width: int, *, inner: int, state: int, heads: int) -> None:
    shape.add(f"{block}.attn_norm.weight", width)
    shape.add(f"{block}.ssm_in.weight", width, 2 * inner + 2 * state + heads)
    shape.add(f"{block}.ssm_conv1d.weight", 4, inner + 2 * state, kind="F32")
    shape.add(f"{block}.ssm_conv1d.bias", inner + 2 * state)
    shape.add(f"{block}.ssm_dt.bias", heads)
    shape.add(f"{block}.ssm_a", 1, heads, kind="F32")
    shape.add(f"{block}.ssm_d", 1, heads, kind="F32")
    shape.add(f"{block}.ssm_norm.weight", inner, 1, kind="F32")
    shape.add(f"{block}.ssm_out.weight", inner, width)


def lfm2_1b() -> Shape:
    """Short convolutions, and six layers that attend."""
    attends = (2, 5, 8, 10, 12, 14)
    keys: dict[str, Value] = {
        **_heads(32, 8, 64),
        "attention.head_count_kv": [8 if number in attends else 0 for number in range(16)],
        "shortconv.l_cache": 3,
    }
    shape = _begun("lfm2", 16, 2048, 65536, {"feed_forward_length": 8192, **keys}, tied=True)
    name, size, kind = shape.tensors[1]
    shape.tensors[1] = (name.replace("output_norm", "token_embd_norm"), size, kind)
    for number, block in enumerate(_blocks(16)):
        if number in attends:
            _attention(shape, block, 2048, 32, 8, 64, norms=True)
        else:
            shape.add(f"{block}.attn_norm.weight", 2048)
            shape.add(f"{block}.shortconv.conv.weight", 3, 2048, kind="F32")
            shape.add(f"{block}.shortconv.in_proj.weight", 2048, 6144)
            shape.add(f"{block}.shortconv.out_proj.weight", 2048, 2048)
        _feed_forward(shape, block, 2048, 8192)
    return shape


SHAPES: Final[dict[str, Callable[[], Shape]]] = {
    "llama-1b": llama_1b,
    "llama-8b": llama_8b,
    "qwen3-8b": qwen3_8b,
    "qwen3moe-30b": qwen3_moe,
    "gemma3-4b": gemma3_4b,
    "gpt-oss-20b": gpt_oss_20b,
    "deepseek2-lite": deepseek2_lite,
    "qwen3next-8b": qwen3next_8b,
    "granitehybrid-7b": granite_hybrid_7b,
    "mamba2-3b": mamba2_3b,
    "lfm2-1b": lfm2_1b,
}
