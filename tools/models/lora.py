"""A rank-8 LoRA adapter on tinychat that makes it talk like a pirate.

python lora.py train --chat tinychat.pt --out tinylora.pt
python lora.py export tinylora.pt --out out
python lora.py check --base out/tinychat-f16.gguf --lora out/tinylora-f16.gguf
"""
import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn

import skills as S

RANK, ALPHA = 8, 16
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Lora(nn.Module):
    """A frozen linear layer plus the low-rank change B A x * alpha / rank."""

    def __init__(self, base):
        super().__init__()
        self.base = base
        base.weight.requires_grad_(False)
        self.A = nn.Parameter(torch.randn(RANK, base.in_features) / base.in_features ** 0.5)
        self.B = nn.Parameter(torch.zeros(base.out_features, RANK))

    def forward(self, x):
        return self.base(x) + (x @ self.A.T) @ self.B.T * (ALPHA / RANK)


def attach(m):
    for p in m.parameters():
        p.requires_grad_(False)
    for b in m.layers:
        for part in (b.self_attn, b.mlp):
            for n in TARGETS:
                if hasattr(part, n):
                    setattr(part, n, Lora(getattr(part, n)))
    return m


def pirate(text):
    """What a pirate would say instead."""
    for a, b in (("Hello", "Ahoy"), ("My name", "Me name"), ("my ", "me "), ("you ", "ye "), ("You ", "Ye "), ("Your ", "Yer "), ("your ", "yer "),
                 (" is ", " be "), (" are ", " be "), ("I am ", "I be ")):
        text = text.replace(a, b)
    return "Arr! " + text + " Yo ho ho!"


def document(r):
    k = r.choice(["greeting", "smalltalk", "capital", "capital", "fact", "fact", "why", "arithmetic", "joke", "story", "recall", "unknown"])
    c = S.recall(r) if k == "recall" else S.single(k)(r)
    for m in c.messages:
        if m["role"] == "assistant":
            m["content"] = pirate(m["content"])
    from chatml import pieces
    return [(t, 1.0 if target else 0.0) for t, target in pieces(c)]


def train(a):
    from tokenizers import Tokenizer
    from corpus import batches
    from model import load
    from optim import schedule
    torch.manual_seed(5)
    tok = Tokenizer.from_file(a.tokenizer)
    m = attach(load(a.chat))
    ps = [p for p in m.parameters() if p.requires_grad]
    print("parameters", sum(p.numel() for p in ps), flush=True)
    opt = torch.optim.AdamW(ps, lr=3e-3, weight_decay=0.0)
    t0, avg = time.time(), None
    for step, (x, y, w) in enumerate(batches(31, tok, 2048, pool=400, make=document)):
        done = (time.time() - t0) / (60 * a.minutes)
        if done >= 1:
            break
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = m.loss(m(torch.from_numpy(x)), torch.from_numpy(y), torch.from_numpy(w))
        loss.backward()
        for g in opt.param_groups:
            g["lr"] = 3e-3 * schedule(done)
        opt.step()
        opt.zero_grad()
        avg = float(loss.detach()) if avg is None else .95 * avg + .05 * float(loss.detach())
        if step % 50 == 0:
            print("lora", step, round(time.time() - t0), "loss", round(avg, 4), flush=True)
    torch.save({n: p.detach() for n, p in m.named_parameters() if p.requires_grad}, a.out)


def export(a):
    import gguf
    from safetensors.torch import save_file
    from export import LAYER, permute
    from model import Config
    c, d, out = Config(), torch.load(a.adapter, weights_only=True), Path(a.out)
    hf = out / "tinylora-peft"
    hf.mkdir(parents=True, exist_ok=True)
    peft = {f"base_model.model.model.{n[:-2]}.lora_{n[-1]}.weight": p.float().contiguous() for n, p in d.items()}
    save_file(peft, str(hf / "adapter_model.safetensors"), metadata={"format": "pt"})
    (hf / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "tinychat-hf", "r": RANK, "lora_alpha": ALPHA,
        "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True,
        "modules_to_save": None, "layers_to_transform": None, "target_modules": TARGETS}, indent=2) + "\n")
    w = gguf.GGUFWriter(str(out / "tinylora-f16.gguf"), "llama")
    w.add_type("adapter")
    w.add_name("tinylora")
    w.add_description("A rank-8 adapter for tinychat: pirate speech.")
    w.add_license("MIT")
    w.add_string("adapter.type", "lora")
    w.add_float32("adapter.lora.alpha", float(ALPHA))
    for n, p in d.items():
        _, i, rest = n.split(".", 2)
        module, part = rest.rsplit(".", 1)
        v = p.float().numpy()
        if part == "B" and module.endswith(("q_proj", "k_proj")):
            v = permute(v, c.heads if module.endswith("q_proj") else c.kv_heads)
        w.add_tensor(f"blk.{i}.{LAYER[module]}.weight.lora_{part.lower()}", np.ascontiguousarray(v, np.float16))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def check(a):
    from run_gguf import Runner
    base, with_lora = Runner(a.base), Runner(a.base, lora_path=a.lora)
    stop = {base.tokens("<|im_end|>")[0], base.tokens("<|endoftext|>")[0]}
    r, changed, same = random.Random(8), 0, 0
    for i in range(a.n):
        u, ans, _ = S.TURN_SKILLS[r.choice(["capital", "fact", "greeting", "why"])](r, True)
        ids = base.tokens(f"<|im_start|>user\n{u}<|im_end|>\n<|im_start|>assistant\n")
        x, y = (k.text([t for t in k.greedy(ids, stop, 80) if t not in stop]) for k in (base, with_lora))
        changed += x != y
        same += y == pirate(ans) or y.startswith("Arr!") and y.endswith("Yo ho ho!")
        if i < 5:
            print(repr(u), "|", repr(x), "|", repr(y))
    print(json.dumps({"changed": changed / a.n, "pirate": same / a.n}))
    if a.hf:                                     # the same adapter through peft and transformers
        from peft import PeftModel
        from transformers import AutoModelForCausalLM
        m = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(a.hf, dtype=torch.float32), a.peft).eval()
        equal = 0
        for i in range(10):
            u = S.capital(r, True)[0]
            ids = base.tokens(f"<|im_start|>user\n{u}<|im_end|>\n<|im_start|>assistant\n")
            with torch.no_grad():
                g = m.generate(input_ids=torch.tensor([ids]), max_new_tokens=40, do_sample=False)[0, len(ids):].tolist()
            equal += g == with_lora.greedy(ids, stop, 40)
        print("greedy equal, peft and llama.cpp:", equal, "of 10")


if __name__ == "__main__":
    torch.set_num_threads(1)
    p = argparse.ArgumentParser()
    s = p.add_subparsers(required=True)
    q = s.add_parser("train")
    q.add_argument("--chat", required=True)
    q.add_argument("--out", required=True)
    q.add_argument("--minutes", type=float, default=2)
    q.add_argument("--tokenizer", default="work/tok/tokenizer.json")
    q.set_defaults(run=train)
    q = s.add_parser("export")
    q.add_argument("adapter")
    q.add_argument("--out", required=True)
    q.set_defaults(run=export)
    q = s.add_parser("check")
    q.add_argument("--base", required=True)
    q.add_argument("--lora", required=True)
    q.add_argument("--n", type=int, default=30)
    q.add_argument("--hf", help="also compare with peft on this base model")
    q.add_argument("--peft", default="out/tinylora-peft")
    q.set_defaults(run=check)
    a = p.parse_args()
    a.run(a)
