"""Write a trained language model as a Hugging Face directory and as GGUF files.

python export.py tinychat.pt --name tinychat --out out --hf --quants q8_0 q4_0
"""
import argparse
import ctypes
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

from chatml import MARKS, SPECIALS, TEMPLATE
from model import load

PADDING = "<|endoftext|>"


def special_ids(tokenizer_json):
    return {x["content"]: x["id"] for x in json.loads(Path(tokenizer_json).read_text())["added_tokens"]}


def export_hf(m, tokenizer_json, out):
    out.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().to(torch.float16).contiguous() for k, v in m.state().items()}
    save_file(state, str(out / "model.safetensors"), metadata={"format": "pt"})
    end, stop = (special_ids(tokenizer_json)[s] for s in ("<|endoftext|>", "<|im_end|>"))
    (out / "config.json").write_text(json.dumps(
        {**m.c.hf(), "bos_token_id": end, "eos_token_id": stop, "pad_token_id": end}, indent=2) + "\n")
    (out / "generation_config.json").write_text(json.dumps(
        {"bos_token_id": end, "eos_token_id": [stop, end], "pad_token_id": end, "do_sample": False}, indent=2) + "\n")
    (out / "tokenizer.json").write_text(Path(tokenizer_json).read_text())
    (out / "chat_template.jinja").write_text(TEMPLATE)
    (out / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": False, "add_prefix_space": False,
        "bos_token": None, "eos_token": "<|im_end|>", "pad_token": PADDING, "unk_token": None,
        "clean_up_tokenization_spaces": False, "model_max_length": m.c.context,
        "additional_special_tokens": SPECIALS[1:], "chat_template": TEMPLATE}, indent=2, ensure_ascii=False) + "\n")


def permute(w, heads):
    """Half-split rotary rows (Hugging Face) to the interleaved ones that llama.cpp uses for 'llama'."""
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


LAYER = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def gguf_tensors(m):
    """(GGUF name, float32 array) for every weight; norms stay float32 in the file."""
    c = m.c
    for k, v in m.state_dict().items():
        a = v.detach().float().numpy()
        if k == "embed_tokens.weight":
            yield "token_embd.weight", a
        elif k == "norm.weight":
            yield "output_norm.weight", a
        else:
            _, i, rest = k.split(".", 2)
            rest = rest.removesuffix(".weight")
            if rest == "self_attn.q_proj":
                a = permute(a, c.heads)
            elif rest == "self_attn.k_proj":
                a = permute(a, c.kv_heads)
            yield f"blk.{i}.{LAYER[rest]}.weight", a


def add_tokenizer(w, tokenizer_json):
    t = json.loads(Path(tokenizer_json).read_text())
    vocab = dict(t["model"]["vocab"])
    for x in t["added_tokens"]:
        vocab[x["content"]] = x["id"]
    tokens = [s for s, _ in sorted(vocab.items(), key=lambda kv: kv[1])]
    assert sorted(vocab.values()) == list(range(len(tokens)))
    special, marks = set(SPECIALS), set(MARKS)
    types = [gguf.TokenType.CONTROL if s in special else gguf.TokenType.USER_DEFINED if s in marks else gguf.TokenType.NORMAL
             for s in tokens]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types(types)
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in t["model"]["merges"]])
    ids = special_ids(tokenizer_json)
    w.add_bos_token_id(ids["<|endoftext|>"])
    w.add_eos_token_id(ids["<|im_end|>"])
    w.add_eot_token_id(ids["<|im_end|>"])
    w.add_pad_token_id(ids["<|endoftext|>"])
    w.add_uint32("tokenizer.ggml.fim_pre_token_id", ids["<|fim_prefix|>"])
    w.add_uint32("tokenizer.ggml.fim_suf_token_id", ids["<|fim_suffix|>"])
    w.add_uint32("tokenizer.ggml.fim_mid_token_id", ids["<|fim_middle|>"])
    w.add_add_bos_token(False)
    w.add_chat_template(TEMPLATE)


def export_gguf(m, tokenizer_json, path, name, description):
    c = m.c
    w = gguf.GGUFWriter(str(path), "llama")
    w.add_name(name)
    w.add_description(description)
    w.add_license("MIT")
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    w.add_vocab_size(c.vocab)
    w.add_context_length(c.context)
    w.add_embedding_length(c.dim)
    w.add_block_count(c.layers)
    w.add_feed_forward_length(c.ffn)
    w.add_head_count(c.heads)
    w.add_head_count_kv(c.kv_heads)
    w.add_key_length(c.head_dim)
    w.add_value_length(c.head_dim)
    w.add_rope_dimension_count(c.head_dim)
    w.add_rope_freq_base(c.theta)
    w.add_layer_norm_rms_eps(c.eps)
    add_tokenizer(w, tokenizer_json)
    for n, a in gguf_tensors(m):
        w.add_tensor(n, a.astype(np.float32 if a.ndim == 1 else np.float16))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def quantise(src, dst, kind):
    """Quantise with llama.cpp itself."""
    import llama_cpp as lc
    p = lc.llama_model_quantize_default_params()
    p.nthread = 1
    p.ftype = getattr(lc, "LLAMA_FTYPE_MOSTLY_" + kind.upper())
    code = lc.llama_model_quantize(str(src).encode(), str(dst).encode(), ctypes.byref(p))
    assert code == 0, (kind, code)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("checkpoint")
    a.add_argument("--tokenizer", default="work/tok/tokenizer.json")
    a.add_argument("--name", required=True)
    a.add_argument("--title")
    a.add_argument("--out", required=True)
    a.add_argument("--hf", action="store_true")
    a.add_argument("--suffix", default="-f16")
    a.add_argument("--quants", nargs="*", default=[])
    a = a.parse_args()
    m, out = load(a.checkpoint), Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    if a.hf:
        export_hf(m, a.tokenizer, out / f"{a.name}-hf")
    f16 = out / f"{a.name}{a.suffix}.gguf"
    export_gguf(m, a.tokenizer, f16, a.title or a.name, "A tiny model trained on synthetic text for tests and demonstrations.")
    for q in a.quants:
        quantise(f16, out / f"{a.name}-{q}.gguf", q)


if __name__ == "__main__":
    main()
