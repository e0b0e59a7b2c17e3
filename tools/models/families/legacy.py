"""Models in the layout of Ollama's older converters, rewritten into the layout that llama.cpp reads; text part only."""

from pathlib import Path

from tools.models.families.draft import Draft, Type

CONTROL = 3
IMAGE_MARKS = ("<start_of_image>", "<end_of_image>")


def gemma3(path: Path) -> Draft:
    """Sliding window on five layers of six."""
    draft = _text_part(Draft.read(path))
    draft.default("attention.layer_norm_rms_epsilon", 1e-6)
    draft.default("rope.freq_base", 1e6)
    draft.default("rope.freq_base_swa", 1e4)
    if draft.get("context_length") >= 131072:  # the sizes that scale their positions, which the old layout does not say
        draft.default("rope.scaling.type", "linear")
        draft.default("rope.scaling.factor", 8.0)
    draft.set("tokenizer.ggml.add_space_prefix", False)
    tokens, kinds = draft.metadata["tokenizer.ggml.tokens"][0], draft.metadata["tokenizer.ggml.token_type"][0]
    kinds = [CONTROL if token in IMAGE_MARKS else kind for token, kind in zip(tokens, kinds, strict=True)]
    draft.metadata["tokenizer.ggml.token_type"] = (kinds, Type.ARRAY, Type.INT32)
    return draft


def qwen35(path: Path) -> Draft:
    """Three recurrent layers, then one with attention, and positions of several components."""
    draft = _delta_net(_text_part(Draft.read(path)))
    sections = draft.get("rope.dimension_sections")
    draft.put("rope.dimension_sections", [*sections, 0][:4])
    return draft


def qwen3next(path: Path) -> Draft:
    """Three recurrent layers, then one with attention; experts."""
    return _delta_net(Draft.read(path))


def gpt_oss(path: Path) -> Draft:
    """Sliding window on every second layer, attention sinks, experts in MXFP4."""
    draft = Draft.read(path)
    draft.rename_architecture("gpt-oss")
    draft.default("expert_feed_forward_length", draft.tensors["blk.0.ffn_gate_exps.weight"].shape[1])
    draft.default("rope.scaling.type", "yarn")
    draft.set("tokenizer.ggml.pre", "gpt-4o")
    draft.rename_tensors(".attn_out.", ".attn_output.")
    draft.rename_tensors(".attn_sinks", ".attn_sinks.weight")
    draft.rename_tensors(".ffn_norm.", ".post_attention_norm.")
    return draft


def olmo3(path: Path) -> Draft:
    """Sliding window on three layers of four, YaRN."""
    draft = Draft.read(path)
    draft.rename_architecture("olmo2")
    # Moved, not copied: llama.cpp multiplies by both.
    draft.put("rope.scaling.yarn_attn_factor", draft.metadata.pop("olmo2.rope.scaling.attn_factor")[0])
    return draft


def _text_part(draft: Draft) -> Draft:
    draft.tensors = {name: data for name, data in draft.tensors.items() if not name.startswith(("v.", "mm."))}
    media = (f"{draft.architecture}.vision", f"{draft.architecture}.mm.", f"{draft.architecture}.image")
    draft.metadata = {key: entry for key, entry in draft.metadata.items() if not key.startswith(media)}
    return draft


def _delta_net(draft: Draft) -> Draft:
    heads = draft.get("attention.head_count_kv")
    draft.put("attention.head_count_kv", max(heads) or 2)
    draft.rename_tensors(".ssm_dt", ".ssm_dt.bias")
    return draft
