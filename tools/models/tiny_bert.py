"""A very small BERT with fixed random weights, for fast embedding tests.

It was not trained.  Mean pooling over random word vectors still makes sentences
that share words more alike than sentences that do not.

python tiny_bert.py out/tinyembed-random-f16.gguf
"""
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

import skills as S
from bert_to_gguf import convert

WORDS = 900


def vocabulary():
    r, words = random.Random(11), Counter()
    for _ in range(6000):
        words.update("".join(ch if ch.isalpha() else " " for ch in S.plain(r).lower()).split())
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    base = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list(".,!?'\"-:;()") + list(letters) + ["##" + x for x in letters]
    return base + [w for w, _ in sorted(words.items(), key=lambda kv: (-kv[1], kv[0])) if len(w) > 1][:WORDS]


def write_hf(out):
    from transformers import BertConfig, BertModel
    vocab = vocabulary()
    torch.manual_seed(1234)
    c = BertConfig(vocab_size=len(vocab), hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=128,
                   max_position_embeddings=256, type_vocab_size=2, initializer_range=0.3)
    m = BertModel(c, add_pooling_layer=False).eval()
    with torch.no_grad():
        m.embeddings.position_embeddings.weight.mul_(0.05)
        m.embeddings.token_type_embeddings.weight.mul_(0.05)
    m.save_pretrained(out)
    (Path(out) / "vocab.txt").write_text("\n".join(vocab) + "\n")
    (Path(out) / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True}))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as d:
        write_hf(d)
        convert(d, sys.argv[1], "tinyembed-random")
