"""Hugging Face checkpoints as GGUF: Gemma 2 and DeepSeek V3."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.models.families.draft import Draft

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
UNUSED = 5
SIGMOID_GATING = 2

Tensors = dict[str, NDArray[np.float32]]


def read_safetensors(path: Path) -> Tensors:
    """All tensors in single precision. The format: u64 length, JSON header with types, shapes, offsets, then data."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8:start])
    header.pop("__metadata__", None)
    tensors: Tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        raw = data[start + begin : start + end]
        if entry["dtype"] == "BF16":  # the upper half of a single precision number
            values = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
        elif entry["dtype"] == "F32":
            values = np.frombuffer(raw, np.float32)
        else:
            raise ValueError(f"{path}: {name} has type {entry['dtype']}")
        tensors[name] = values.reshape(entry["shape"])
    return tensors


# -- vocabularies


def sentencepiece_pieces(data: bytes) -> list[tuple[str, float, int]]:
    """Text, score and kind of every piece of a tokenizer.model (protobuf: field 1 of the model, repeated, holds text 1,
    score 2 and kind 3). The kinds are GGUF's."""
    pieces: list[tuple[str, float, int]] = []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            piece = dict(_fields(value))
            text, score = piece[1], piece.get(2, b"\0\0\0\0")
            assert isinstance(text, bytes)
            assert isinstance(score, bytes)
            kind = piece.get(3, NORMAL)
            assert isinstance(kind, int)
            pieces.append((text.decode(), float(np.frombuffer(score, "<f4")[0]), kind))
    return pieces


def _fields(data: bytes) -> list[tuple[int, bytes | int]]:
    """Number and value of each field of a protobuf message; fixed-width numbers as their bytes."""
    found: list[tuple[int, bytes | int]] = []
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            found.append((key >> 3, varint()))
            continue
        size = {1: 8, 5: 4}.get(key & 7) or varint()
        found.append((key >> 3, data[at : at + size]))
        at += size
    return found


def _add_sentencepiece(draft: Draft, source: Path) -> None:
    pieces = sentencepiece_pieces((source / "tokenizer.model").read_bytes())
    config = json.loads((source / "tokenizer_config.json").read_text())
    for id, entry in config["added_tokens_decoder"].items():
        text, score, kind = pieces[int(id)]
        if text != entry["content"] and kind != NORMAL:
            raise ValueError(f"token {id} is {text!r} and {entry['content']!r}")
        pieces[int(id)] = (entry["content"].replace(" ", "▁"), score, _added_kind(entry))
    draft.set("tokenizer.ggml.model", "llama")
    draft.set("tokenizer.ggml.tokens", [text for text, _, _ in pieces])
    draft.set("tokenizer.ggml.scores", [score for _, score, _ in pieces])
    draft.set("tokenizer.ggml.token_type", [kind for _, _, kind in pieces])
    draft.set("tokenizer.ggml.add_space_prefix", False)
    _add_special(draft, config, {text: id for id, (text, _, _) in enumerate(pieces)})


def _add_bpe(draft: Draft, source: Path, size: int) -> None:
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    config = json.loads((source / "tokenizer_config.json").read_text())
    ids: dict[str, int] = dict(tokenizer["model"]["vocab"])
    kinds = dict.fromkeys(ids.values(), NORMAL)
    for entry in tokenizer["added_tokens"]:
        ids[entry["content"]] = entry["id"]
        kinds[entry["id"]] = _added_kind(entry)
    texts = {id: text for text, id in ids.items()}
    draft.set("tokenizer.ggml.model", "gpt2")
    draft.set("tokenizer.ggml.tokens", [texts.get(id, f"[PAD{id}]") for id in range(size)])
    draft.set("tokenizer.ggml.token_type", [kinds.get(id, UNUSED) for id in range(size)])
    merges = tokenizer["model"]["merges"]
    draft.set("tokenizer.ggml.merges", [merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    _add_special(draft, config, ids)


def _added_kind(entry: dict[str, Any]) -> int:
    text = entry["content"]
    if text.startswith("<0x"):
        return BYTE
    if text == "<unk>":
        return UNKNOWN
    marks = text.startswith(("<|", "<｜", "<start_of", "<end_of"))
    return CONTROL if entry["special"] or marks else USER_DEFINED


def _add_special(draft: Draft, config: dict[str, Any], ids: dict[str, int]) -> None:
    names = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    for name, key in names.items():
        entry = config.get(f"{name}_token")
        text = entry["content"] if isinstance(entry, dict) else entry
        if text is not None:
            draft.set(f"tokenizer.ggml.{key}_token_id", ids[text])
    draft.set("tokenizer.ggml.add_bos_token", bool(config.get("add_bos_token", True)))
    draft.set("tokenizer.ggml.add_eos_token", bool(config.get("add_eos_token", False)))
    if template := config.get("chat_template"):
        draft.set("tokenizer.chat_template", template)


# -- architectures


def gemma2(source: Path) -> Draft:
    """Sliding window on every second layer, soft caps."""
    config = json.loads((source / "config.json").read_text())
    draft = _draft("gemma2", config, source)
    draft.put("attention.head_count_kv", config["num_key_value_heads"])
    draft.put("attention.key_length", config["head_dim"])
    draft.put("attention.value_length", config["head_dim"])
    draft.put("attention.sliding_window", config["sliding_window"])
    draft.put("attn_logit_softcapping", float(config["attn_logit_softcapping"]))
    draft.put("final_logit_softcapping", float(config["final_logit_softcapping"]))
    _add_sentencepiece(draft, source)
    names = LAYER | {
        "post_attention_layernorm": "post_attention_norm",
        "pre_feedforward_layernorm": "ffn_norm",
        "post_feedforward_layernorm": "post_ffw_norm",
    }
    for name, values in read_safetensors(source / "model.safetensors").items():
        # The norms' weights are stored less one.
        draft.add_weight(_target(name, names), values + 1 if name.endswith("norm.weight") else values)
    return draft


def deepseek3(source: Path) -> Draft:
    """MLA: a compressed KV cache that all heads share, here as llama.cpp's absorbed form; experts, YaRN."""
    config = json.loads((source / "config.json").read_text())
    draft = _draft("deepseek2", config, source)
    rank, rope, nope = config["kv_lora_rank"], config["qk_rope_head_dim"], config["qk_nope_head_dim"]
    draft.put("attention.head_count_kv", 1)
    draft.put("attention.q_lora_rank", config["q_lora_rank"])
    draft.put("attention.kv_lora_rank", rank)
    draft.put("attention.key_length", rank + rope)
    draft.put("attention.value_length", rank)
    draft.put("attention.key_length_mla", nope + rope)
    draft.put("attention.value_length_mla", config["v_head_dim"])
    draft.put("rope.dimension_count", rope)
    draft.put("vocab_size", config["vocab_size"])
    _put_experts(draft, config)
    scaling = config["rope_scaling"]
    draft.put("rope.scaling.type", "yarn")
    draft.put("rope.scaling.factor", float(scaling["factor"]))
    draft.put("rope.scaling.original_context_length", scaling["original_max_position_embeddings"])
    draft.put("rope.scaling.yarn_log_multiplier", 0.1 * scaling["mscale_all_dim"])
    _add_bpe(draft, source, config["vocab_size"])
    tensors = read_safetensors(source / "model.safetensors")
    _stack_experts(tensors, config["n_routed_experts"])
    for name, values in tensors.items():
        if name.endswith("kv_b_proj.weight"):
            by_head = values.reshape(config["num_attention_heads"], nope + config["v_head_dim"], rank)
            layer = _target(name.removesuffix(".self_attn.kv_b_proj.weight"), {})
            draft.add_weight(f"{layer}.attn_k_b.weight", np.ascontiguousarray(by_head[:, :nope].transpose(0, 2, 1)))
            draft.add_weight(f"{layer}.attn_v_b.weight", np.ascontiguousarray(by_head[:, nope:]))
        else:
            draft.add_weight(_target(name, LAYER | DEEPSEEK_LAYER), values)
    return draft


LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
DEEPSEEK_LAYER = {
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_a_proj": "attn_q_a",
    "self_attn.q_a_layernorm": "attn_q_a_norm",
    "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_a_layernorm": "attn_kv_a_norm",
    "mlp.gate": "ffn_gate_inp",
    "mlp.gate.e_score_correction_bias": "exp_probs_b.bias",
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp",
    "mlp.shared_experts.up_proj": "ffn_up_shexp",
    "mlp.shared_experts.down_proj": "ffn_down_shexp",
    "mlp.experts.gate_proj": "ffn_gate_exps",
    "mlp.experts.up_proj": "ffn_up_exps",
    "mlp.experts.down_proj": "ffn_down_exps",
}
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def _draft(architecture: str, config: dict[str, Any], source: Path) -> Draft:
    """Header values that every architecture has."""
    tokenizer = json.loads((source / "expected.json").read_text())["tokenizer"]
    draft = Draft(architecture)
    draft.set("general.name", f"tiny {architecture}")
    draft.set("general.file_type", 1)
    draft.put("block_count", config["num_hidden_layers"])
    draft.put("context_length", config["max_position_embeddings"])
    draft.put("embedding_length", config["hidden_size"])
    draft.put("feed_forward_length", config["intermediate_size"])
    draft.put("attention.head_count", config["num_attention_heads"])
    draft.put("attention.layer_norm_rms_epsilon", float(config["rms_norm_eps"]))
    draft.put("rope.freq_base", float(config["rope_theta"]))
    draft.set("tokenizer.ggml.pre", tokenizer["gguf_pre"])
    return draft


def _put_experts(draft: Draft, config: dict[str, Any]) -> None:
    draft.put("leading_dense_block_count", config["first_k_dense_replace"])
    draft.put("expert_feed_forward_length", config["moe_intermediate_size"])
    draft.put("expert_count", config["n_routed_experts"])
    draft.put("expert_used_count", config["num_experts_per_tok"])
    draft.put("expert_shared_count", config["n_shared_experts"])
    draft.put("expert_group_count", config["n_group"])
    draft.put("expert_group_used_count", config["topk_group"])
    draft.put("expert_weights_scale", float(config["routed_scaling_factor"]))
    draft.put("expert_weights_norm", config["norm_topk_prob"])
    draft.put("expert_gating_func", SIGMOID_GATING)


def _stack_experts(tensors: Tensors, count: int) -> None:
    """Replace the matrices of single experts by one tensor for all."""
    firsts = [name for name in tensors if ".mlp.experts.0." in name]
    for first in firsts:
        each = [tensors.pop(first.replace(".experts.0.", f".experts.{expert}.")) for expert in range(count)]
        tensors[first.replace(".experts.0.", ".experts.")] = np.stack(each)


def _target(name: str, layer: dict[str, str]) -> str:
    """The GGUF name of a tensor, or of a layer."""
    module, _, part = name.rpartition(".")
    if module in TOP:
        return f"{TOP[module]}.{part}"
    pieces = name.split(".")
    block = f"blk.{pieces[2]}"
    inside = ".".join(pieces[3:])
    if not inside:
        return block
    if inside in layer:
        return f"{block}.{layer[inside]}"
    inside, _, part = inside.rpartition(".")
    return f"{block}.{layer[inside]}.{part}"
