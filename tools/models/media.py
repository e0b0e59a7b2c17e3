"""Small models with projectors for the tests of pictures and sounds.

python media.py pairs LEGACY MODELS OUT  gemma3 and qwen25vl of LEGACY (files with their projector inside, pictures and
                                         what transformers says to them in expected.json), cut into model and
                                         projector; beside them, what MODELS/expected.json knows of tinyvision
python media.py ear OUT                  a sound projector with random weights for models 256 wide, such as tinyvision

What is renamed follows llama.cpp's names; nothing is computed but the type of a few tensors. gemma3 is the model whose
pictures are attended to as a whole, qwen25vl the one with four positions a cell.
"""
import argparse
import gzip
import json
from pathlib import Path

import gguf
import numpy as np

CLIP = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
HALF = [0.5] * 3, [0.5] * 3
GEMMA = [("v.patch_embedding", "v.patch_embd"), ("v.position_embedding", "v.position_embd"), ("v.post_layernorm", "v.post_ln"),
         (".layer_norm1", ".ln1"), (".layer_norm2", ".ln2"), (".attn_output", ".attn_out"), (".mlp.fc1", ".ffn_down"),
         (".mlp.fc2", ".ffn_up"), ("mm.mm_input_projection", "mm.input_projection"), ("mm.mm_soft_emb_norm", "mm.soft_emb_norm")]
QWEN = [("v.merger.ln_q", "v.post_ln"), ("v.merger.mlp.0", "mm.0"), ("v.merger.mlp.2", "mm.2"),
        ("v.patch_embd_0.weight", "v.patch_embd.weight"), ("v.patch_embd_1.weight", "v.patch_embd.weight.1")]


def pairs(a):
    legacy, out = Path(a.legacy), Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    known = json.loads((legacy / "expected.json").read_text())
    expected = {}
    for name, cut in (("gemma3-vision", gemma), ("qwen25vl", qwen)):
        short = name.split("-")[0]
        cut(gguf.GGUFReader(legacy / f"{name}.gguf"), out / f"{short}.gguf", out / f"{short}-mmproj.gguf")
        (out / f"{short}.png").write_bytes((legacy / f"{name}.png").read_bytes())
        image = known[name]["images"][0]
        expected[short] = {k: image[k] for k in ("prompt", "ids", "image_token", "greedy", "last")}
    vision = json.loads((Path(a.models) / "expected.json").read_text())["tinyvision-q8_0.gguf + tinyvision-mmproj-f16.gguf"]
    expected["tinyvision"] = vision["pictures"]
    (out / "expected.json.gz").write_bytes(gzip.compress(json.dumps(expected).encode(), mtime=0))


def value(reader, key, default=None):
    field = reader.get_field(key)
    return default if field is None else field.contents()


def text_model(reader, path, arch, prefix, renames, more):
    """Everything but the projector, its keys under another prefix."""
    w = gguf.GGUFWriter(str(path), arch)
    done = {"GGUF.version", "GGUF.tensor_count", "GGUF.kv_count", "general.architecture", *more}
    for key, field in reader.fields.items():
        if key in done or ".vision." in key or ".mm." in key:
            continue
        new = renames.get(key, f"{arch}.{key[len(prefix) + 1:]}" if key.startswith(prefix + ".") else key)
        if new is not None and new not in more:
            kind = field.types[0]
            w.add_key_value(new, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    for key, (v, kind, sub) in more.items():
        w.add_key_value(key, v, kind, sub)
    for t in reader.tensors:
        if not t.name.startswith(("v.", "mm.")):
            w.add_tensor(t.name, t.data, raw_dtype=t.tensor_type)
    finish(w)


def projector(reader, path, kind, prefix, sizes, stats, flags, renames, floats):
    w = gguf.GGUFWriter(str(path), "clip")
    w.add_bool("clip.has_vision_encoder", True)
    w.add_string("clip.projector_type", kind)
    for f in flags:
        w.add_bool("clip." + f, True)
    for key, v in sizes.items():
        w.add_uint32("clip.vision." + key, int(v))
    for key in ("embedding_length", "block_count", "attention.head_count", "patch_size"):
        w.add_uint32("clip.vision." + key, int(value(reader, f"{prefix}.vision.{key}")))
    w.add_float32("clip.vision.attention.layer_norm_epsilon", float(value(reader, f"{prefix}.vision.attention.layer_norm_epsilon")))
    w.add_array("clip.vision.image_mean", stats[0])
    w.add_array("clip.vision.image_std", stats[1])
    for t in reader.tensors:
        if not t.name.startswith(("v.", "mm.")):
            continue
        name = t.name
        for old, new in renames:
            name = name.replace(old, new)
        if name in floats:
            w.add_tensor(name, np.ascontiguousarray(t.data, np.float32))
        else:
            w.add_tensor(name, t.data, raw_dtype=t.tensor_type)
    finish(w)


def gemma(reader, text, mmproj):
    kinds = gguf.GGUFValueType
    types, tokens = value(reader, "tokenizer.ggml.token_type"), value(reader, "tokenizer.ggml.tokens")
    for mark in ("<start_of_image>", "<end_of_image>"):
        if mark in tokens:
            types[tokens.index(mark)] = 3
    more = {"gemma3.attention.layer_norm_rms_epsilon": (1e-6, kinds.FLOAT32, None), "gemma3.rope.freq_base": (1e6, kinds.FLOAT32, None),
            "gemma3.rope.freq_base_swa": (1e4, kinds.FLOAT32, None), "gemma3.rope.scaling.type": ("linear", kinds.STRING, None),
            "gemma3.rope.scaling.factor": (8.0, kinds.FLOAT32, None), "tokenizer.ggml.add_space_prefix": (False, kinds.BOOL, None),
            "tokenizer.ggml.token_type": (types, kinds.ARRAY, kinds.INT32)}
    text_model(reader, text, "gemma3", "gemma3", {"tokenizer.ggml.merges": None, "tokenizer.chat_template": None}, more)
    sizes = {"feed_forward_length": value(reader, "gemma3.vision.feed_forward_length"), "image_size": value(reader, "gemma3.vision.image_size"),
             "projection_dim": value(reader, "gemma3.embedding_length")}
    projector(reader, mmproj, "gemma3", "gemma3", sizes, HALF, ("use_gelu",), GEMMA, ("v.patch_embd.weight", "v.position_embd.weight"))


def qwen(reader, text, mmproj):
    kinds = gguf.GGUFValueType
    sections = [*value(reader, "qwen25vl.rope.mrope_section")[:3], 0]
    more = {"qwen2vl.rope.dimension_sections": (sections, kinds.ARRAY, kinds.INT32)}
    text_model(reader, text, "qwen2vl", "qwen25vl", {"qwen25vl.rope.mrope_section": None, "tokenizer.chat_template": None}, more)
    ffn = next(t for t in reader.tensors if t.name == "v.blk.0.ffn_up.weight").shape[1]
    full = value(reader, "qwen25vl.vision.fullatt_block_indexes")
    sizes = {"feed_forward_length": ffn, "image_size": 560, "projection_dim": value(reader, "qwen25vl.embedding_length"),
             "spatial_merge_size": value(reader, "qwen25vl.vision.spatial_merge_size"), "num_channels": 3,
             "window_size": value(reader, "qwen25vl.vision.window_size"), "n_wa_pattern": full[0] + 1}
    projector(reader, mmproj, "qwen2.5vl_merger", "qwen25vl", sizes, CLIP, ("use_silu",), QWEN, ("v.patch_embd.weight", "v.patch_embd.weight.1"))


def ear(a):
    """A Whisper encoder of one block behind Ultravox' projector: 150 cells for 30 seconds."""
    rng = np.random.default_rng(7)
    dim, ffn, mels, width, stack, inner = 16, 32, 16, 256, 10, 32
    w = gguf.GGUFWriter(a.out, "clip")
    w.add_bool("clip.has_audio_encoder", True)
    w.add_string("clip.projector_type", "ultravox")
    for key, v in (("embedding_length", dim), ("feed_forward_length", ffn), ("block_count", 1), ("attention.head_count", 2),
                   ("projection_dim", width), ("num_mel_bins", mels), ("projector.stack_factor", stack)):
        w.add_uint32("clip.audio." + key, v)
    w.add_float32("clip.audio.attention.layer_norm_epsilon", 1e-5)

    def tensor(name, *shape, scale=None, half=False):
        v = rng.normal(0, scale or shape[-1] ** -0.5, shape)
        w.add_tensor(name, v.astype(np.float16 if half else np.float32))

    tensor("a.conv1d.1.weight", dim, mels, 3, half=True)
    tensor("a.conv1d.2.weight", dim, dim, 3, half=True)
    tensor("a.position_embd.weight", 1500, dim)
    for name in ("a.conv1d.1.bias", "a.conv1d.2.bias"):
        w.add_tensor(name, np.zeros((dim, 1), np.float32))
    for name in ("a.blk.0.ln1", "a.blk.0.ln2", "a.post_ln"):
        w.add_tensor(name + ".weight", np.ones(dim, np.float32))
        w.add_tensor(name + ".bias", np.zeros(dim, np.float32))
    for part in ("q", "k", "v", "out"):
        tensor(f"a.blk.0.attn_{part}.weight", dim, dim, half=True)
        if part != "k":
            w.add_tensor(f"a.blk.0.attn_{part}.bias", np.zeros(dim, np.float32))
    for part, rows, columns in (("up", ffn, dim), ("down", dim, ffn)):
        tensor(f"a.blk.0.ffn_{part}.weight", rows, columns, half=True)
        w.add_tensor(f"a.blk.0.ffn_{part}.bias", np.zeros(rows, np.float32))
    w.add_tensor("mm.a.norm_pre.weight", np.ones(dim * stack, np.float32))
    tensor("mm.a.mlp.1.weight", 2 * inner, dim * stack, half=True)
    w.add_tensor("mm.a.norm_mid.weight", np.ones(inner, np.float32))
    tensor("mm.a.mlp.2.weight", width, inner, scale=0.02, half=True)
    finish(w)


def finish(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    s = p.add_subparsers(required=True)
    q = s.add_parser("pairs")
    q.add_argument("legacy")
    q.add_argument("models")
    q.add_argument("out")
    q.set_defaults(run=pairs)
    q = s.add_parser("ear")
    q.add_argument("out")
    q.set_defaults(run=ear)
    x = p.parse_args()
    x.run(x)
